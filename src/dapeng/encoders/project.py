"""A vector by one linear layer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths


@encoders
class Project(EncoderOptions):
    """One linear layer over fixed-length numbers, and a norm; fusion's trunk follows.

    Example: `inputs: {spectrum: {type: vector, encoder: {type: project, width: 256}}}`
    """

    type: Literal["project"] = "project"
    fits: ClassVar[tuple[str, ...]] = ("vector",)
    width: int = Field(128, ge=1, le=65_536)
    """Width of the features."""

    def build(self, columns: list[Any], tables: Any) -> ProjectEncoder:
        return ProjectEncoder(columns[0].size, self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"trunk": True}


class ProjectEncoder(Encoder):
    """values (B, N) -> pooled (B, D)."""

    def __init__(self, size: int, o: Project):
        super().__init__()
        self.linear = nn.Linear(size, o.width)
        self.norm = nn.LayerNorm(o.width)
        self.widths = Widths(pooled=o.width)

    def embed(self, cells: Cells) -> Tensor:
        return cells["values"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=self.norm(self.linear(embedded)))
