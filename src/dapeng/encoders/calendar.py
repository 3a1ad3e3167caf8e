"""A point in time by its place in the calendar: where in the range of years, on the circles of year, month, week and day."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths


@encoders
class Calendar(EncoderOptions):
    """Calendar features, each by a learned direction; time itself also by the stretch of it that a date lies in.

    Example: `inputs: {visit: {type: date, encoder: {type: calendar, bins: 16}}}`
    """

    type: Literal["calendar"] = "calendar"
    fits: ClassVar[tuple[str, ...]] = ("date",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(8, ge=1, le=4096)
    """Width of a feature."""
    bins: int = Field(8, ge=1, le=256)
    """Stretches of time, each with as many training rows, over which the effect of time is a straight line."""

    def build(self, columns: list[Any], tables: Any) -> CalendarEncoder:
        column = columns[0]
        return CalendarEncoder(len(column.features), column.bins(self.bins), self.embed_dim)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"trunk": True}  # what a weekday means in summer is no sum of both


class CalendarEncoder(Encoder):
    """values (B, F) -> tokens (B, n + F - 1, D), pooled (B, (n + F - 1) D), with n stretches of time."""

    start: Tensor
    width: Tensor

    def __init__(self, features: int, edges: list[float], dim: int):
        super().__init__()
        found = torch.tensor(edges)
        self.register_buffer("start", found[:-1], persistent=False)
        self.register_buffer("width", found.diff(), persistent=False)
        count = len(edges) - 1 + features - 1
        self.weight = nn.Parameter(torch.randn(count, dim) * dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(count, dim))
        self.widths = Widths(pooled=count * dim, tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        values = cells["values"]
        pieces = ((values[:, :1] - self.start) / self.width).clamp(0, 1)  # (B, n), as piecewise-linear numbers
        return torch.cat([pieces, values[:, 1:]], 1)[..., None] * self.weight + self.bias

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=embedded.flatten(1), tokens=embedded)
