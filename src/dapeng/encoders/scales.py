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
from dapeng.encoders.within import WithinOptions, prime
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

    @property
    def stays(self) -> bool:
        return self.network.stays

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

    def prime(self, cells: Cells) -> None:
        prime(self.network, cells)

    def embed(self, cells: Cells) -> Tensor:
        return self.network.embed(cells)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        every = [self.network.read(x, cells) for x in (embedded, *(self._scaled(embedded, s) for s in self.sizes))]
        own = every[0]
        pooled = None if own.pooled is None else torch.cat([f.pooled for f in every], -1)
        maps = tuple(torch.cat([_on(m, levels[0]) for m in levels], 1) for levels in zip(*(f.maps for f in every)))
        return Features(pooled=pooled, tokens=own.tokens, mask=own.mask, maps=maps)

    def _scaled(self, pixels: Tensor, share: float) -> Tensor:
        height, width = pixels.shape[2:]
        return F.interpolate(pixels, (max(1, round(share * height)), max(1, round(share * width))), mode="bilinear")

    @torch.no_grad()
    def try_sizes(self, shape: tuple[int, int, int], name: str) -> None:
        """Raise SpecError where the network can't read a picture (C, Y, X) at one of these sizes; nothing is tried without memory."""
        pixels = torch.zeros(1, *shape, device=next((p.device for p in self.parameters()), None))
        if pixels.is_meta:
            return
        training = self.training
        self.eval()
        for share in self.sizes:
            scaled = self._scaled(pixels, share)
            try:
                pooled = self.network.read(scaled, Cells({})).pooled
                wrong = pooled is not None and pooled.shape[-1] != self.network.widths.pooled
                why = "what it gives depends on the size" if wrong else ""
            except RuntimeError as error:
                why = str(error).splitlines()[0]
            if why:
                at = " x ".join(str(n) for n in scaled.shape[2:])
                what = f"{name} can't read this picture at {share:g} of its size, {at} pixels: {why}"
                hint = "sizes nearer to 1, or network: {type: resnet_small}, which reads any"
                raise SpecError(Problem("network", what, hint))
        self.train(training)


def _on(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, Y, X) brought to the grid of another map."""
    return x if x.shape[2:] == like.shape[2:] else F.interpolate(x, like.shape[2:], mode="bilinear")
