"""Convolutions over a text's tokens, and the maximum over positions.

Kim: Convolutional Neural Networks for Sentence Classification, 2014 (https://arxiv.org/abs/1408.5882).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class TextCNN(EncoderOptions):
    """Convolutions of several widths over the tokens, each pooled to its maximum.

    Paper: Kim, 2014, https://arxiv.org/abs/1408.5882
    Example: `inputs: {review: {type: text, encoder: text_cnn}}`
    """

    type: Literal["text_cnn"] = "text_cnn"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(128, ge=1, le=4096)
    """Width of a token's vector."""
    channels: int = Field(100, ge=1, le=4096)
    """Filters of each width."""
    kernels: list[int] = Field(default=[2, 3, 4], min_length=1, max_length=16)
    """Widths of the filters in tokens."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """On the vectors of the tokens and on the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> TextCNNEncoder:
        return TextCNNEncoder(tables.get(columns[0].domain, columns[0].size, self.embed_dim), self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 8 if rows < 50_000 else 4, "batch_size": 64, "learning_rate": 1e-3}


class TextCNNEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, filters)."""

    def __init__(self, table: nn.Embedding, o: TextCNN):
        super().__init__()
        self.table = Lent(table)
        self.convolutions = nn.ModuleList(nn.Conv1d(o.embed_dim, o.channels, k) for k in o.kernels)
        self.kernels = list(o.kernels)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=o.channels * len(o.kernels), tokens=o.embed_dim, aligned=True)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        x = (self.drop(embedded) * mask[..., None]).transpose(
            1, 2
        )  # (B, D, T); padding is zero, at the border and behind
        real = mask.sum(1, keepdim=True)
        pooled = []
        for k, convolution in zip(self.kernels, self.convolutions):
            y = F.relu(convolution(F.pad(x, (k // 2, k - 1))))  # (B, F, T + k // 2)
            # a window counts if it begins before the text's end: how far a batch is padded changes nothing
            at = torch.arange(y.shape[2], device=y.device)[None] - k // 2
            pooled.append((y * (at < real)[:, None]).amax(2))
        return Features(pooled=self.drop(torch.cat(pooled, 1)), tokens=embedded, mask=mask)
