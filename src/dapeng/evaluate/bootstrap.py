"""Percentile bootstrap: how far a figure could have come out otherwise on as many rows of the same kind.

Efron: Bootstrap Methods: Another Look at the Jackknife, 1979. All members see the same resamples, so that differences
between them are paired. A resample is a count for every row; see `dapeng.metrics.base` for what that buys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dapeng.data.draws import key
from dapeng.metrics.base import Drawn, Metric, View, value_of

CHUNK = 1_000_000
"""Counts that are in memory at once."""
MOST_DRAWS = 60_000_000
"""Rows drawn over all resamples: past it there are fewer resamples, down to 200."""
MOST_RANKED = 12_000_000
"""Rows put in order over all resamples and classes, for metrics that need it."""
FEWEST = 50
"""Resamples under which no interval is given."""


@dataclass(frozen=True)
class Interval:
    """A value, the bounds that the truth lies between at the level of confidence, and from how many resamples.

    low and high are None where there were too few resamples, and where all of them are alike, which knows no doubt.
    """

    value: float
    low: float | None
    high: float | None
    resamples: int

    @property
    def a_point(self) -> bool:
        """True where every resample came out as the value itself."""
        return self.low is not None and self.high is not None and self.high - self.low <= 1e-12 * max(abs(self.high), 1)

    def plain(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "resamples": self.resamples}


Draws = dict[str, dict[str, np.ndarray]]
"""By member and metric: (resamples,) values; dear metrics have fewer."""


def resample_count(rows: int, asked: int) -> int:
    """As many as asked, but fewer on very many rows, where intervals are narrow anyway."""
    return min(asked, max(200, MOST_DRAWS // max(rows, 1)))


def ranked_count(view: View, resamples: int, effort: int = MOST_RANKED) -> int:
    """Resamples of metrics that put rows in order."""
    return min(resamples, effort // max(view.rows * view.curves, 1))


def counts_of(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks (r, N) of how often each row was drawn; the same whatever the size of the chunks."""
    random = np.random.Generator(np.random.Philox(int(key(seed, 43))))
    per_chunk = max(1, CHUNK // max(rows, 1))
    for start in range(0, resamples, per_chunk):
        here = min(per_chunk, resamples - start)
        yield np.stack([_counts(random, rows) for _ in range(here)])


def _counts(random: np.random.Generator, rows: int) -> np.ndarray:
    return np.bincount(random.integers(0, rows, rows, np.int32), minlength=rows).astype(np.float64)


def draw(wanted: Mapping[str, tuple[View, Mapping[str, Metric]]], resamples: int, seed: int) -> Draws:
    """Values of every metric of every member under the same resamples.

    wanted: by member, its view (all of the same rows) and its metrics by name. Of the effort for dear metrics, the first
    member gets two thirds.
    """
    rows = next(iter(wanted.values()))[0].rows
    resamples = resample_count(rows, resamples)
    found: dict[str, dict[str, list[np.ndarray]]] = {m: {n: [] for n in w[1]} for m, w in wanted.items()}
    others = MOST_RANKED // (2 * max(len(wanted) - 1, 1))
    limits = [
        ranked_count(view, resamples, others if at else MOST_RANKED) for at, (view, _) in enumerate(wanted.values())
    ]
    done = 0
    for counts in counts_of(rows, resamples, seed):
        for (member, (view, metrics)), limit in zip(wanted.items(), limits):
            _add(found[member], view, metrics, counts, limit - done)
        done += len(counts)
    nothing = np.empty(0)
    drawn = {m: {n: np.concatenate(v) if v else nothing for n, v in each.items()} for m, each in found.items()}
    for member, (view, metrics) in wanted.items():
        for name, metric in metrics.items():
            if metric.biased:
                drawn[member][name] = _unbiased(drawn[member][name], value_of(metric, view))
    return drawn


def _unbiased(draws: np.ndarray, value: float) -> np.ndarray:
    """Resamples moved so that their mean is the value: how they spread says its doubt, and how far off they lie only that rows repeat.

    Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 10. A distance does not fall below 0.
    """
    known = draws[~np.isnan(draws)]
    return np.maximum(draws - known.mean() + value, 0) if len(known) else draws


def _add(
    into: dict[str, list[np.ndarray]], view: View, metrics: Mapping[str, Metric], counts: np.ndarray, ranked: int
) -> None:
    drawn = Drawn(view, counts)
    fewer = drawn if ranked >= len(counts) else Drawn(view, counts[: max(ranked, 0)])
    for name, metric in metrics.items():
        if not metric.ranks:
            into[name].append(metric.values(drawn))
        elif ranked > 0:
            into[name].append(metric.values(fewer))


def interval(value: float, draws: np.ndarray, confidence: float) -> Interval:
    """The middle `confidence` of the resampled values."""
    known = draws[~np.isnan(draws)]
    if len(known) < FEWEST or not np.isfinite(value):
        return Interval(value, None, None, len(known))
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), len(known))


def share_interval(value: float, rows: int, draws: np.ndarray, confidence: float) -> Interval:
    """Of a share of rows, or of other things. Where none or all are right, resampling knows no doubt; then Wilson's interval has some.

    Wilson: Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    found = interval(value, draws, confidence)
    if (
        not found.a_point or value not in (0, 1) or not rows
    ):  # errors for each word may come to 1 by chance, and go beyond
        return found
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    far = z / (rows + z)
    return Interval(value, 0.0 if value == 0 else 1 - far, far if value == 0 else 1.0, found.resamples)


def figure(metric: Metric, view: View, draws: np.ndarray, confidence: float) -> Interval:
    """A metric of a view with its interval; none where all resamples are alike and the metric is no share of things that are counted."""
    value, trials = value_of(metric, view), metric.trials(view)
    if trials is not None:
        return share_interval(value, trials, draws, confidence)
    found = interval(value, draws, confidence)
    return Interval(value, None, None, found.resamples) if found.a_point else found


def difference(
    metric: Metric, first: tuple[View, np.ndarray], second: tuple[View, np.ndarray], confidence: float
) -> Interval:
    """How much better the first is, paired: above 0 whatever the direction of the metric."""
    sign = 1.0 if metric.higher_is_better else -1.0
    count = min(len(first[1]), len(second[1]))
    value = sign * (value_of(metric, first[0]) - value_of(metric, second[0]))
    return interval(value, sign * (first[1][:count] - second[1][:count]), confidence)
