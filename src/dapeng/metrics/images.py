"""Metrics of drawn pictures: how far their features, as a crowd, are from those of real ones, and whether they show what was asked.

FID: Heusel et al., 2017 (https://arxiv.org/abs/1706.08500), here with the features of a named network of one's own instead of Inception's,
so that figures compare within one such network alone. KID: Binkowski et al., 2018 (https://arxiv.org/abs/1801.01401).

Legend: N rows, C channels, Y X picture, F features, R weightings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio

SMALL = 8
"""Longer side of pictures whose pixels are compared as they are."""
MOST_PAIRED = 1000
"""Rows whose features are compared pair by pair."""
RESAMPLED = 100
"""Weightings under which features are compared as crowds: each takes some milliseconds."""


@dataclass(frozen=True)
class Seen:
    """What a judge sees in pictures. features: (N, F) float. said: (N,) int64, keys of labels (`dapeng.columns.judged.label_keys`)."""

    features: np.ndarray
    said: np.ndarray

    def take(self, rows: np.ndarray) -> Seen:
        return Seen(self.features[rows], self.said[rows])


@dataclass
class ImageView(View):
    """Drawn pictures beside the real ones of the same rows, (N, C, Y, X) uint8.

    seen, real: what the judge sees in them; None where there is no judge. asked: (N,) keys of the labels that should be seen.
    """

    task: ClassVar[str] = "image"

    drawn: np.ndarray
    wanted: np.ndarray
    seen: Seen | None = None
    real: Seen | None = None
    asked: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return len(self.wanted)

    def take(self, rows: np.ndarray) -> ImageView:
        both = [None if s is None else s.take(rows) for s in (self.seen, self.real)]
        asked = None if self.asked is None else self.asked[rows]
        return ImageView(self.drawn[rows], self.wanted[rows], both[0], both[1], asked)

    def same(self, other: View) -> bool:
        return isinstance(other, ImageView) and bool((self.drawn == other.drawn).all())

    @cached_property
    def right(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(N,) whether the judge sees what was asked, in drawn pictures and in real ones."""
        if self.asked is None or self.seen is None or self.real is None:
            return None
        return self.seen.said == self.asked, self.real.said == self.asked

    @cached_property
    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, F) of drawn and real pictures made small."""
        return small(self.drawn), small(self.wanted)


def small(pictures: np.ndarray) -> np.ndarray:
    """(N, F) brightness from 0 to 1 of pictures (N, C, Y, X), with at most SMALL x SMALL places."""
    grey = pictures.astype(np.float32).mean(1) / 255
    rows, columns = (np.linspace(0, side, min(SMALL, side) + 1).astype(int)[:-1] for side in grey.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(grey, rows, 1), columns, 2)
    counts = np.outer(np.diff([*rows, grey.shape[1]]), np.diff([*columns, grey.shape[2]]))
    return (sums / counts).reshape(len(grey), -1).astype(np.float64)


def frechet(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> np.ndarray | float:
    """The squared Fréchet distance of two normal distributions: means (..., F), covariances (..., F, F).

    Dowson, Landau, 1982 (https://doi.org/10.1016/0047-259X(82)90077-X): |m - n|^2 + tr(A + B - 2 (A B)^1/2).
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    between = np.linalg.eigvalsh(root @ other_covariance @ root)
    traces = np.trace(covariance, axis1=-2, axis2=-1) + np.trace(other_covariance, axis1=-2, axis2=-1)
    return np.square(mean - other_mean).sum(-1) + traces - 2 * np.sqrt(np.maximum(between, 0)).sum(-1)


def crowd(features: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) and covariance (F, F) of features (N, F), each row counted so often (N,)."""
    total = counts.sum()
    mean = counts @ features / max(total, 1)
    apart = features - mean
    return mean, (apart * counts[:, None]).T @ apart / max(total - 1, 1)


def _apart(pair: tuple[np.ndarray, np.ndarray], counts: np.ndarray) -> np.ndarray:
    """(R,) distances of two crowds; nan beyond the weightings that are looked at."""
    out = np.full(len(counts), np.nan)
    for r, one in enumerate(counts[:RESAMPLED]):
        out[r] = frechet(*crowd(pair[0], one), *crowd(pair[1], one))
    return out


class _Images(Metric):
    fits: ClassVar[tuple[str, ...]] = ("image",)
    higher_is_better: ClassVar[bool] = False


@metrics
class FrechetDistance(_Images):
    """Fréchet distance of the judge's features of drawn and real pictures (FID): 0 is alike."""

    type: Literal["fid"] = "fid"
    title: ClassVar[str] = "FID"
    biased: ClassVar[bool] = True

    def applies(self, view: View) -> bool:
        return isinstance(view, ImageView) and view.seen is not None

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, ImageView)
        assert view.seen is not None
        assert view.real is not None
        return _apart((view.seen.features, view.real.features), drawn.counts)


@metrics
class PixelDistance(_Images):
    """Fréchet distance of the pixels of drawn and real pictures, made small (8 x 8, grey): without a judge, what can be said."""

    type: Literal["fid_pixels"] = "fid_pixels"
    title: ClassVar[str] = "FID of small pixels"
    biased: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, ImageView)
        return _apart(drawn.view.pixels, drawn.counts)


@metrics
class KernelDistance(_Images):
    """Squared maximum mean discrepancy of the judge's features under a cubic kernel (KID), without bias; of at most 1,000 rows."""

    type: Literal["kid"] = "kid"
    title: ClassVar[str] = "KID"

    def applies(self, view: View) -> bool:
        return isinstance(view, ImageView) and view.seen is not None

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, ImageView)
        assert view.seen is not None
        assert view.real is not None
        at = np.unique(np.linspace(0, view.rows - 1, min(view.rows, MOST_PAIRED)).astype(int))
        return kernel_distance(view.seen.features[at], view.real.features[at], drawn.counts[:, at])


def kernel_distance(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(R,) unbiased estimates under weightings (R, N); of a row, pairs with itself are left out, also of the other crowd."""
    x, y = first.astype(np.float64), second.astype(np.float64)
    width = x.shape[1]
    kernels = [(a @ b.T / width + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    within = [((counts @ k) * counts).sum(1) - counts**2 @ k.diagonal() for k in kernels]
    return ratio(within[0] + within[1] - 2 * within[2], pairs)


@metrics
class Recognised(_Images):
    """Share of the drawn pictures in which the judge sees what was asked."""

    type: Literal["recognised"] = "recognised"
    title: ClassVar[str] = "Recognised"
    higher_is_better: ClassVar[bool] = True
    share: ClassVar[bool] = True

    def applies(self, view: View) -> bool:
        return isinstance(view, ImageView) and view.right is not None

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, ImageView)
        assert drawn.view.right is not None
        return drawn.mean(drawn.view.right[0].astype(np.float64))


@metrics
class RecognisedOfReal(Recognised):
    """The judge's accuracy on drawn pictures by that on real ones."""

    type: Literal["recognised_of_real"] = "recognised_of_real"  # type: ignore[assignment]
    title: ClassVar[str] = "Recognised, of the judge's accuracy on real ones"
    share: ClassVar[bool] = False

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, ImageView)
        assert drawn.view.right is not None
        said, real = (drawn.mean(r.astype(np.float64)) for r in drawn.view.right)
        return ratio(said, real)
