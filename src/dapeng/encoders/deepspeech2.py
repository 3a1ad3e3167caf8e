"""Convolutions over the spectrum, then recurrent layers in both directions.

Amodei et al.: Deep Speech 2: End-to-End Speech Recognition in English and Mandarin, 2015 (https://arxiv.org/abs/1512.02595).

Legend: B rows, C channels, F frames, M bands, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.sounds import SoundEncoder, SoundOptions
from dapeng.nn.attention import pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import as_picture, halved, within
from dapeng.nn.recurrent import Recurrent


@encoders
class DeepSpeech2(SoundOptions):
    """Convolutions over the spectrum, then GRUs in both directions: what is heard, in its order.

    Paper: Amodei et al., 2015, https://arxiv.org/abs/1512.02595
    Example: `inputs: {clip: {type: audio, encoder: {type: deepspeech2, hidden: 256, num_layers: 3}}}`
    """

    type: Literal["deepspeech2"] = "deepspeech2"
    tiny: ClassVar[dict[str, Any]] = {"channels": 4, "hidden": 16, "num_layers": 1, "dropout": 0.0}
    channels: int = Field(16, ge=1, le=1024)
    """Of both convolutions."""
    hidden: int = Field(128, ge=1, le=65_536)
    """Width of the state, in each direction."""
    num_layers: int = Field(2, ge=1, le=100)
    """Recurrent layers, one on the other."""
    cell: Literal["gru", "lstm"] = "gru"
    """What a recurrent layer is made of."""
    stride: Literal[1, 2, 4] = 2
    """Frames of the spectrum that a token stands for."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.2, ge=0, lt=1)
    """Between recurrent layers, and on what they give."""

    def build(self, columns: list[Any], tables: Any) -> DeepSpeech2Encoder:
        return DeepSpeech2Encoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20 if rows < 10_000 else 12, "batch_size": 16, "learning_rate": 1e-3}


class DeepSpeech2Encoder(SoundEncoder):
    """samples, mask (B, T) -> tokens (B, F / stride, 2 D), their mask, and pooled (B, 2 D): their mean."""

    def __init__(self, column: Any, o: DeepSpeech2):
        super().__init__(column, o)
        self.steps = (min(o.stride, 2), max(o.stride // 2, 1))
        self.conv1 = nn.Conv2d(1, o.channels, (11, 21), (self.steps[0], 2), (5, 10), bias=False)
        self.conv2 = nn.Conv2d(o.channels, o.channels, (5, 11), (self.steps[1], 2), (2, 5), bias=False)
        self.norm1, self.norm2 = o.norm.maps(o.channels), o.norm.maps(o.channels)
        width = o.channels * -(-self.front.width // 4)
        self.layers = Recurrent(o.cell, width, o.hidden, o.num_layers, True, o.dropout)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=2 * o.hidden, tokens=2 * o.hidden, **self.span(o.stride))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        lengths = self.lengths(cells)
        x, mask = embedded, within(lengths, embedded)
        x = as_picture(x * mask[..., None])
        for conv, norm, step in ((self.conv1, self.norm1, self.steps[0]), (self.conv2, self.norm2, self.steps[1])):
            x, lengths = norm(conv(x)), halved(lengths, step)
            mask = within(lengths, x, 2)
            x = F.relu(x) * mask[:, None, :, None]
        x = x.transpose(1, 2).flatten(2)  # (B, F, C M)
        tokens = self.drop(self.layers(x, mask))
        return Features(pooled=pooled_tokens(tokens, mask, "mean"), tokens=tokens, mask=mask)
