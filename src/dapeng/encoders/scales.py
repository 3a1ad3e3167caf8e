"""One network that reads a picture at several sizes: what is coarse in one is fine in the next.

Adelson et al.: Pyramid Methods in Image Processing, 1984; as features: Farabet et al.: Learning Hierarchical Features for Scene Labeling, 2013
(https://doi.org/10.1109/TPAMI.2012.231).

Legend: B rows, C channels, Y X picture, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.encoders.within import WithinOptions
from dapeng.nn.features import Features, Widths


@encoders
class Scales(WithinOptions):
    """A network of pictures reads each picture at its own size and at further ones; what it sees is laid side by side.

    Paper: Farabet et al., 2013, https://doi.org/10.1109/TPAMI.2012.231
    Example: `inputs: {part: {type: image, encoder: {type: scales, sizes: [0.75], network: {type: resnet_small, width: 16}}}}`
    """

    type: Literal["scales"] = "scales"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"network": {"type": "resnet_small", "width": 8, "norm": "group", "dropout": 0.0}}
    network: Annotated[EncoderOptions, encoders.choice("image", default="resnet_small")] = DEFAULT
    """The network that reads them: one that takes pictures of any size."""
    sizes: list[Annotated[float, Field(ge=0.5, le=4)]] = Field([0.75], min_length=1, max_length=8)
    """Further heights and widths at which it reads, as shares of the picture's own."""

    def build(self, columns: list[Any], tables: Any) -> ScalesEncoder:
        encoder = ScalesEncoder(self.network.build(columns, tables), self.sizes)
        encoder.try_sizes(columns[0].shape, self.network.type)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        return self.network.advice(rows)


class ScalesEncoder(Encoder):
    """pixels (B, C, Y, X) -> pooled (B, D n) and maps (B, C_i n, Y_i, X_i) of all n sizes, on the grid of the picture's own; its tokens."""

    def __init__(self, network: Any, sizes: list[float]):
        super().__init__()
        self.network, self.sizes = network, sizes
        own, n = network.widths, 1 + len(sizes)
        self.widths = Widths(
            pooled=None if own.pooled is None else own.pooled * n,
            tokens=own.tokens,
            maps=tuple((channels * n, stride) for channels, stride in own.maps),
        )

    def levels(self) -> list[Any]:
        return self.network.levels()

    def embed(self, cells: Cells) -> Tensor:
        return self.network.embed(cells)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        height, width = embedded.shape[2:]
        own = self.network.read(embedded, cells)
        every = [own]
        for share in self.sizes:
            size = (max(1, round(share * height)), max(1, round(share * width)))
            every.append(self.network.read(F.interpolate(embedded, size, mode="bilinear"), cells))
        pooled = None if own.pooled is None else torch.cat([f.pooled for f in every], -1)
        maps = tuple(torch.cat([_on(m, levels[0]) for m in levels], 1) for levels in zip(*(f.maps for f in every)))
        return Features(pooled=pooled, tokens=own.tokens, mask=own.mask, maps=maps)

    @torch.no_grad()
    def try_sizes(self, shape: tuple[int, int, int], name: str) -> None:
        """Raise SpecError where the network can't read a picture (C, Y, X) at these sizes."""
        training = self.training
        device = next((p.device for p in self.parameters()), None)
        try:
            found = self.eval().read(torch.zeros(1, *shape, device=device), Cells({}))
        except RuntimeError:
            found = None
        self.train(training)
        if found is None or (found.pooled is not None and found.pooled.shape[-1] != self.widths.pooled):
            what = f"{name} reads pictures of one size alone"
            hint = "network: {type: resnet_small}, or another of convolutions alone"
            raise SpecError(Problem("encoder.network", what, hint))


def _on(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, Y, X) brought to the grid of another map."""
    return x if x.shape[2:] == like.shape[2:] else F.interpolate(x, like.shape[2:], mode="bilinear")
