"""Anomalies by reconstruction: what a network that learnt good pictures alone can't draw again is strange.

Bergmann et al.: MVTec AD, 2019 (section 5), compare such autoencoders (https://doi.org/10.1109/CVPR.2019.00982).

Legend: B rows, C channels, Y X picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder
from dapeng.nn.anomaly import Back, smoothed
from dapeng.nn.features import Features, Widths


@decoders
class Autoencoder(DecoderOptions):
    """Draws the picture again from the encoder's coarsest map; the error of a pixel is its strangeness, that of the worst place the picture's.

    Paper: Bergmann et al., 2019, https://doi.org/10.1109/CVPR.2019.00982
    Example: `outputs: {fault: {type: anomaly, decoder: {type: autoencoder, smooth: 2}}}`
    """

    type: Literal["autoencoder"] = "autoencoder"
    fits: ClassVar[tuple[str, ...]] = ("anomaly",)
    needs: ClassVar[frozenset[str]] = frozenset({"maps"})
    smooth: float = Field(2.0, gt=0, le=64)
    """Deviation in pixels of the Gaussian under which errors are looked at."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 60 if rows < 1_000 else 20, "batch_size": 16, "learning_rate": 2e-3}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> AutoencoderDecoder:
        return AutoencoderDecoder(column, widths, self.smooth, self.norm)


class Redrawing(Decoder):
    """Base of decoders that learn by drawing good pictures again. Target: codes (B, Y, X), all 0 where a picture is good. An element is a row."""

    needs: ClassVar[frozenset[str]] = frozenset({"maps"})

    def __init__(self, column: Any, widths: Widths, norm: NormOptions):
        super().__init__()
        self.frame: tuple[int, int] = column.frame
        self.step: int = column.step
        channels, stride = widths.maps[-1]
        self.back = Back(channels, stride, column.channels, norm)

    def last(self) -> Iterator[nn.Parameter]:
        yield from self.back.head.parameters()

    def count(self, target: Cells) -> Tensor | int:
        return taught(target).float()

    def errors(self, features: Features | None) -> Tensor:
        """(B, Y, X) squared error of each pixel, the mean over channels, in deviations of the data."""
        assert features is not None
        assert features.pixels is not None
        pixels = features.pixels.float()
        drawn = self.back(features.maps[-1], pixels.shape[2], pixels.shape[3]).float()
        return ((drawn - pixels) ** 2).mean(1)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return self._loss(self.errors(features), target)

    def _loss(self, errors: Tensor, target: Cells) -> Tensor:
        each = errors.mean((1, 2))
        return torch.where(taught(target), each, torch.zeros_like(each))

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return self._told(features, self.errors(features))

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        errors = self.errors(features)
        return self._loss(errors, target), self._told(features, errors)

    def heat(self, features: Features, errors: Tensor) -> Tensor:
        """(B, Y, X) how strange each pixel is."""
        raise NotImplementedError

    def _told(self, features: Any, errors: Tensor) -> dict[str, Tensor]:
        heat, affine = self.heat(features, errors), features.affine
        if affine is None:
            affine = torch.eye(2, 3, device=heat.device).expand(heat.shape[0], 2, 3)
        kept = heat
        if self.step > 1:  # the last place of a side may have fewer pixels
            kept = F.avg_pool2d(heat[:, None], self.step, ceil_mode=True, count_include_pad=False)[:, 0]
        return {"score": heat.amax((1, 2)), "heat": kept, "affine": affine / self.step}


class AutoencoderDecoder(Redrawing):
    """maps, pixels -> score (B,), heat (B, Y, X)."""

    def __init__(self, column: Any, widths: Widths, smooth: float, norm: NormOptions):
        super().__init__(column, widths, norm)
        self.smooth = smooth

    def heat(self, features: Features, errors: Tensor) -> Tensor:
        return smoothed(errors, self.smooth)


def taught(target: Cells) -> Tensor:
    """(B,) rows that teach: those that are there, and good."""
    good = (target["codes"] == 0).flatten(1).all(1)
    return good if target.present is None else good & target.present
