"""What reads a column, or a block of like columns."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.nn.features import Features, Widths


class Encoder(nn.Module):
    """Cells -> Features, in two steps, so that explanations, attacks and mixing have one entrance.

    widths: the static side of what it gives.
    """

    widths: Widths

    def embed(self, cells: Cells) -> Tensor:
        """Floats, one entry an element of the cell: (B, K, D) columns, (B, T, D) tokens, (B, C, Y, X) pixels."""
        raise NotImplementedError

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        """Features out of what `embed` gave (or out of something like it)."""
        raise NotImplementedError

    def forward(self, cells: Cells, embedded: Tensor | None = None) -> Features:
        features = self.read(self.embed(cells) if embedded is None else embedded, cells)
        if features.present is not None or cells.present is None or cells.present.dim() > 1:
            return features
        return replace(features, present=cells.present)
