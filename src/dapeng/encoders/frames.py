"""Any network of pictures over the frames, then attention over time.

Neimark et al.: Video Transformer Network, 2021 (https://arxiv.org/abs/2102.00719): frames are read each by itself, and a Transformer reads
what was found in them, in order.

Legend: B rows, F frames, C channels, Y X picture, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.clips import ClipEncoder
from dapeng.encoders.within import WithinOptions, prime
from dapeng.nn.attention import Block, sinusoids
from dapeng.nn.features import Features, Widths


@encoders
class Frames(WithinOptions):
    """A network of pictures reads each frame; a Transformer reads them in order.

    Paper: Neimark et al., 2021, https://arxiv.org/abs/2102.00719
    Example: `inputs: {clip: {type: video, encoder: {type: frames, network: {type: resnet_small, width: 16}}}}`
    """

    type: Literal["frames"] = "frames"
    fits: ClassVar[tuple[str, ...]] = ("video",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    tiny: ClassVar[dict[str, Any]] = {
        "network": {"type": "cnn"},
        "embed_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
        "dropout": 0.0,
    }
    network: Annotated[EncoderOptions, encoders.choice("image", default="resnet_small")] = DEFAULT
    """The network that reads a frame: any that reads pictures."""
    embed_dim: int = Field(128, ge=2, le=65_536)
    """Width of a frame's vector."""
    num_layers: int = Field(2, ge=1, le=1000)
    """Blocks of attention over the frames."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Frames:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, columns: list[Any], tables: Any) -> FramesEncoder:
        return FramesEncoder(columns[0], self, self.network.build(columns, tables))

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 30 if rows < 5_000 else 20, "batch_size": 16 if rows < 5_000 else 32, "learning_rate": 1e-3}


class FramesEncoder(ClipEncoder):
    """frames (B, F, C, Y, X) -> tokens (B, F, D), pooled (B, D) their mean."""

    places: Tensor

    earlier: ClassVar[dict[str, str]] = {"picture.": "network."}
    """What weights were called before."""

    def __init__(self, column: Any, o: Frames, network: Any):
        super().__init__(column)
        self.network = network
        self.project = nn.Linear(network.widths.pooled, o.embed_dim)
        self.register_buffer("places", sinusoids(self.frames, o.embed_dim), persistent=False)
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, aligned=False)

    def prime(self, cells: Cells) -> None:
        prime(self.network, Cells({"pixels": cells["frames"][:, : self.frames].flatten(0, 1)}))

    def embed(self, cells: Cells) -> Tensor:
        frames = cells["frames"][:, : self.frames]
        flat = self.network.embed(Cells({"pixels": frames.flatten(0, 1)}))
        return flat.unflatten(0, (-1, self.frames))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        flat = embedded.flatten(0, 1)
        pooled = self.network.read(flat, Cells({"pixels": flat})).pooled
        x = self.project(pooled).unflatten(0, (-1, self.frames)) + self.places  # (B, F, D)
        x = self.drop(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return Features(pooled=x.mean(1), tokens=x)
