"""Figures of drawn pictures against closed forms and plain loops: Fréchet distance, kernel distance, what a judge recognises, copies."""

from __future__ import annotations

import numpy as np
import pytest

from dapeng.evaluate.bootstrap import counts_of, draw, interval
from dapeng.evaluate.nearest import nearest_pictures
from dapeng.metrics.base import Drawn, value_of
from dapeng.metrics.images import (
    FrechetDistance,
    ImageView,
    KernelDistance,
    PixelDistance,
    Recognised,
    RecognisedOfReal,
    Seen,
    frechet,
    kernel_distance,
    small,
)


def spread(width: int, seed: int) -> np.ndarray:
    """A covariance with eigenvalues of many sizes."""
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(width, width))
    return root @ root.T / width


def test_the_distance_of_independent_normals_is_that_of_means_and_deviations() -> None:
    mean, other = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 0.5])
    one, two = np.array([1.0, 2.0, 0.1]), np.array([3.0, 0.5, 0.1])
    found = frechet(mean, np.diag(one**2), other, np.diag(two**2))
    assert found == pytest.approx(((mean - other) ** 2).sum() + ((one - two) ** 2).sum())


def test_the_distance_of_any_normals_is_the_formula_with_a_root_of_the_product() -> None:
    from scipy.linalg import sqrtm

    a, b, mean = spread(12, 1), spread(12, 2), np.linspace(-1, 1, 12)
    wanted = (mean**2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet(mean, a, 0 * mean, b) == pytest.approx(wanted, rel=1e-8)
    assert frechet(mean, a, mean, a) == pytest.approx(0, abs=1e-9)
    flat = a.copy()
    flat[3], flat[:, 3] = 0, 0  # features that never move, as dead units
    assert np.isfinite(frechet(mean, flat, mean, b))


def view(rows: int, shift: float) -> ImageView:
    draw = np.random.default_rng(3)
    pictures = draw.integers(0, 256, (2, rows, 1, 12, 9), np.uint8)
    features = draw.normal(size=(2, rows, 5))
    codes = draw.integers(0, 4, rows)
    said = np.where(draw.random(rows) < 0.7, codes, 9)
    return ImageView(
        pictures[0],
        pictures[1],
        Seen(features[0] + shift, said),
        Seen(features[1], np.where(codes == 2, 8, codes)),
        codes,
    )


def test_fid_of_rows_is_the_distance_of_their_normals_and_sees_a_shift() -> None:
    one = view(400, 2.0)
    assert one.seen is not None
    assert one.real is not None
    x, y = one.seen.features, one.real.features
    wanted = frechet(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert value_of(FrechetDistance(), one) == pytest.approx(wanted)
    assert wanted == pytest.approx(5 * 2.0**2, rel=0.1)
    assert value_of(FrechetDistance(), view(400, 0.0)) < 0.2


def test_kid_is_the_mean_over_pairs_one_by_one() -> None:
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=(2, 7, 3))
    counts = np.array([1, 2, 0, 1, 1, 3, 1], np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / 3 + 1) ** 3

    total = pairs = 0.0
    for i in range(7):
        for j in range(7):
            weight = counts[i] * counts[j] if i != j else 0.0
            total += weight * (kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]))
            pairs += weight
    # a row that was drawn twice is a pair with itself, which is left out as in an unbiased estimate over rows
    every = counts.sum() ** 2 - (counts**2).sum()
    assert pairs == every
    assert kernel_distance(x, y, counts[None])[0] == pytest.approx(total / pairs)


def test_kid_is_about_nothing_for_alike_and_grows_with_a_shift() -> None:
    alike, apart = (value_of(KernelDistance(), view(600, s)) for s in (0.0, 1.0))
    assert abs(alike) < 0.1 * apart


def test_what_is_recognised_is_told_beside_what_the_judge_sees_in_real_ones() -> None:
    one = view(500, 0.0)
    assert one.asked is not None
    assert one.seen is not None
    drawn, real = (one.seen.said == one.asked).mean(), (one.asked != 2).mean()
    assert value_of(Recognised(), one) == pytest.approx(drawn)
    assert value_of(RecognisedOfReal(), one) == pytest.approx(drawn / real)
    assert not Recognised().applies(ImageView(one.drawn, one.wanted, one.seen, one.real))


def test_without_a_judge_small_pixels_are_compared() -> None:
    one = view(300, 0.0)
    alone = ImageView(one.drawn, one.wanted)
    assert not FrechetDistance().applies(alone)
    assert value_of(PixelDistance(), ImageView(one.wanted, one.wanted)) == pytest.approx(0, abs=1e-9)
    assert value_of(PixelDistance(), alone) < value_of(PixelDistance(), ImageView(255 - one.drawn // 4, one.wanted))
    grey = small(np.full((2, 3, 40, 17), 51, np.uint8))
    assert grey.shape == (2, 64)
    np.testing.assert_allclose(grey, 0.2, rtol=1e-6)


def test_pictures_learnt_by_heart_are_found() -> None:
    draw = np.random.default_rng(0)
    stored = draw.integers(0, 256, (300, 1, 10, 10), np.uint8)
    trained = np.arange(0, 300, 2)
    real, drawn = (draw.integers(0, 256, (40, 1, 10, 10), np.uint8) for _ in range(2))
    drawn[7], drawn[9] = stored[100], stored[101]  # the second did not train
    found = nearest_pictures(drawn, real, stored, trained, 40)
    assert found is not None
    assert found["copies"] == 1
    assert found["shown"][0] == {"row": 7, "trained": 100, "apart": pytest.approx(0, abs=1e-3)}
    plain = [min(np.sqrt(((r / 255.0 - stored[t] / 255.0) ** 2).mean()) for t in trained) for r in real[:5]]
    np.testing.assert_allclose(found["real"][:5], plain, atol=2e-4)


def test_the_value_lies_within_its_interval_though_resamples_repeat_rows() -> None:
    one = view(60, 0.0)
    metric = FrechetDistance()
    value = value_of(metric, one)
    draws = draw({"it": (one, {"fid": metric})}, 400, 0)["it"]["fid"]
    found = interval(value, draws, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < value < found.high
    assert np.nanmean(draws) == pytest.approx(value, rel=0.05)
    raw = metric.values(Drawn(one, np.concatenate(list(counts_of(60, 400, 0)))))
    assert np.nanmean(raw) > 1.5 * value  # which is why
