"""Residual convolutions in three dimensions over a volume.

Cicek et al.: 3D U-Net, 2016 (https://arxiv.org/abs/1606.06650), its way down, of residual blocks. Slices often lie farther apart than
lines: which axes a stage halves, and whether it looks at neighbouring slices, follows from that (Isensee et al.: nnU-Net, 2021,
https://doi.org/10.1038/s41592-020-01008-z).

Legend: B rows, C channels, Z Y X volume, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths
from dapeng.nn.volumes import Residual3d, kernel, steps


@encoders
class VolumeCNN(EncoderOptions):
    """Stages of residual convolutions in three dimensions, each at half the size of the one before along the axes that are finest.

    Paper: Cicek et al., 2016, https://arxiv.org/abs/1606.06650
    Example: `inputs: {scan: {type: volume, encoder: {type: volume_cnn, width: 16, stages: 4}}}`
    """

    type: Literal["volume_cnn"] = "volume_cnn"
    fits: ClassVar[tuple[str, ...]] = ("volume",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"width": 4, "stages": 2, "dropout": 0.0}
    width: int = Field(16, ge=1, le=1024)
    """Channels of the first stage; each stage doubles them."""
    stages: int = Field(4, ge=1, le=7)
    """Stages; the first is as fine as the volume."""
    norm: Annotated[NormOptions, norms.choice("maps", default="group")] = DEFAULT
    """Batches of volumes are small: rows don't see each other."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> VolumeCNNEncoder:
        return VolumeCNNEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 100 if rows < 200 else 40, "batch_size": 2, "learning_rate": 2e-3}


class VolumeCNNEncoder(Encoder):
    """pixels (B, 1, Z, Y, X) -> maps of each stage (B, C, Z', Y', X'), tokens of the last, pooled (B, 2 D)."""

    def __init__(self, column: Any, o: VolumeCNN):
        super().__init__()
        self.mean, self.std = column.state["mean"], column.state["std"]
        stages, maps, inputs, stride, apart = [], [], 1, 1, tuple(column.spacing)
        for level, step in enumerate(steps(apart, column.frame, o.stages)):
            outputs = o.width * 2**level
            stages.append(Residual3d(inputs, outputs, o.norm, kernel(apart), step))
            apart = tuple(a * s for a, s in zip(apart, step))
            inputs, stride = outputs, stride * step[2]
            maps.append((outputs, stride))
        self.stages = nn.ModuleList(stages)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=2 * inputs, tokens=inputs, maps=tuple(maps))

    def embed(self, cells: Cells) -> Tensor:
        return (cells["pixels"].float() / 255 - self.mean) / self.std

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x, maps = embedded, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pooled = torch.cat([x.mean((2, 3, 4)), x.amax((2, 3, 4))], 1)
        return Features(pooled=self.drop(pooled), tokens=x.flatten(2).mT, maps=tuple(maps))
