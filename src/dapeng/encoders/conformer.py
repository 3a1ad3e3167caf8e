"""The Conformer: convolutions that shorten the spectrum, then blocks of attention and convolution.

Gulati et al.: Conformer: Convolution-augmented Transformer for Speech Recognition, 2020 (https://arxiv.org/abs/2005.08100).

Legend: B rows, F frames, M bands, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.sounds import SoundEncoder, SoundOptions
from dapeng.nn.attention import attend_to, pooled_tokens
from dapeng.nn.conformer import ConformerBlock, waves
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import as_picture, halved, within


@encoders
class Conformer(SoundOptions):
    """Attention over the whole sound and convolutions over what is near, in turn.

    Paper: Gulati et al., 2020, https://arxiv.org/abs/2005.08100
    Example: `inputs: {clip: {type: audio, encoder: {type: conformer, embed_dim: 144, num_layers: 8}}}`
    """

    type: Literal["conformer"] = "conformer"
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "channels": 4, "dropout": 0.0}
    embed_dim: int = Field(144, ge=2, le=65_536)
    """Width of a token; even."""
    num_layers: int = Field(4, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    kernel: int = Field(15, ge=1, le=255)
    """Tokens that a block's convolution looks at; odd."""
    channels: int = Field(32, ge=1, le=4096)
    """Of the two convolutions that shorten the spectrum to a quarter of its frames."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Conformer:
        if self.embed_dim % self.num_heads or self.embed_dim % 2:
            raise ValueError(f"num_heads {self.num_heads} and 2 must divide embed_dim {self.embed_dim}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle: an odd number is expected")
        return self

    def build(self, columns: list[Any], tables: Any) -> ConformerEncoder:
        return ConformerEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 30 if rows < 10_000 else 20, "batch_size": 16, "learning_rate": 1e-3}


class ConformerEncoder(SoundEncoder):
    """samples, mask (B, T) -> tokens (B, F / 4, D), their mask, and pooled (B, D): their mean."""

    def __init__(self, column: Any, o: Conformer):
        super().__init__(column, o)
        self.conv1 = nn.Conv2d(1, o.channels, 3, 2, 1)
        self.conv2 = nn.Conv2d(o.channels, o.channels, 3, 2, 1)
        self.project = nn.Linear(o.channels * -(-self.front.width // 4), o.embed_dim)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.blocks = nn.ModuleList(
            ConformerBlock(o.embed_dim, o.num_heads, o.kernel, o.dropout, o.norm.maps) for _ in range(o.num_layers)
        )
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, **self.span(4))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        lengths = self.lengths(cells)
        mask = within(lengths, embedded)
        x = as_picture(embedded * mask[..., None])
        for conv in (self.conv1, self.conv2):
            x, lengths = conv(x), halved(lengths)
            mask = within(lengths, x, 2)
            x = F.relu(x) * mask[:, None, :, None]
        x = self.drop(self.project(x.transpose(1, 2).flatten(2)))
        bias, distances = attend_to(mask), waves(x.shape[1], x.shape[2], x.device)
        for block in self.blocks:
            x = block(x, mask, bias, distances)
        return Features(pooled=pooled_tokens(x, mask, "mean"), tokens=x, mask=mask)
