"""What a metric is: a figure of merit over rows, computed for many weightings of the rows at once.

A bootstrap resample is nothing but a count for every row, so a metric takes counts (R, N) and gives (R,) values: plain sums
are one matrix product, ranks one cumulative sum over rows sorted once. The point value is the case of one row of ones.

Legend: N rows, R weightings (resamples), A classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from dapeng.core.kinds import MetricOptions

LARGEST_ONE_HOT = 2_000_000
SMALLEST = float(np.finfo(np.float64).eps)


class View(ABC):
    """Predictions beside the truth, row by row. task: the name that metrics fit, and of the registered task."""

    task: ClassVar[str]

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @abstractmethod
    def take(self, rows: np.ndarray) -> View:
        """Some of the rows."""

    @abstractmethod
    def same(self, other: View) -> bool:
        """True if both say the same about every row."""

    @property
    def curves(self) -> int:
        """How often the rows are put in order by metrics that rank them."""
        return 1


class LabelView(View):
    """Predictions of labels: one of several (`ClassView`), or any number of them (`dapeng.metrics.tags.SetView`).

    probabilities: (N, A). right: (N,) whether all that was said of a row is true. log_losses: (N,).
    """

    probabilities: np.ndarray
    right: np.ndarray
    log_losses: np.ndarray
    asked: list[int]
    """Labels that one-against-the-rest metrics go through."""
    believed: tuple[np.ndarray, np.ndarray]
    """Probabilities of what was said, and whether that is true: what calibration compares."""

    @property
    def rows(self) -> int:
        return len(self.probabilities)

    @property
    def classes(self) -> int:
        return self.probabilities.shape[1]

    @property
    def curves(self) -> int:
        return len(self.asked)

    @abstractmethod
    def has(self, label: int) -> np.ndarray:
        """(N,) whether a label is true of each row."""

    @abstractmethod
    def ones(self, what: str) -> np.ndarray | None:
        """(N, A) with a 1 at each row's labels (`true`, `said`, or `hits`: where both agree); None where it would be large."""

    def order(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows by falling probability of a label, whether each has it, and the last position of every group of ties."""
        if label not in self._orders:
            scores = self.probabilities[:, label]
            order = np.argsort(-scores, kind="stable")
            falling = scores[order]
            ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
            self._orders[label] = (order, self.has(label)[order], ends)
        return self._orders[label]

    @cached_property
    def _orders(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return {}


@dataclass
class ClassView(LabelView):
    """A class prediction beside the truth.

    probabilities: (N, A). codes: (N,) true classes. positive: the class that two-class metrics ask about. decided: (N,) classes that
    were said; None: the likeliest ones.
    """

    task: ClassVar[str] = "category"

    probabilities: np.ndarray
    codes: np.ndarray
    positive: int = 1
    decided: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.probabilities = np.asarray(self.probabilities, np.float64)
        self.codes = np.asarray(self.codes, np.int64)

    def take(self, rows: np.ndarray) -> ClassView:
        decided = None if self.decided is None else self.decided[rows]
        return ClassView(self.probabilities[rows], self.codes[rows], self.positive, decided)

    def same(self, other: View) -> bool:
        return isinstance(other, ClassView) and bool(np.allclose(self.probabilities, other.probabilities, atol=1e-6))

    def has(self, label: int) -> np.ndarray:
        return self.codes == label

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) the class that is said: the likeliest, unless it was decided otherwise."""
        return self.probabilities.argmax(1) if self.decided is None else np.asarray(self.decided, np.int64)

    @cached_property
    def right(self) -> np.ndarray:  # type: ignore[override]
        """(N,) whether it is the true one."""
        return self.predicted == self.codes

    @cached_property
    def of_truth(self) -> np.ndarray:
        """(N,) the probability that was given to the true class."""
        return self.probabilities[np.arange(self.rows), self.codes]

    @cached_property
    def log_losses(self) -> np.ndarray:  # type: ignore[override]
        """(N,) negative logarithm of the probability that was given to the true class."""
        return -np.log(np.clip(self.of_truth, SMALLEST, 1 - SMALLEST))

    @cached_property
    def asked(self) -> list[int]:  # type: ignore[override]
        """Classes that one-against-the-rest metrics go through: the positive one of two, else all."""
        return [self.positive] if self.classes == 2 else list(range(self.classes))

    @property
    def believed(self) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[override]
        return self.probabilities[np.arange(self.rows), self.predicted], self.right

    def ones(self, what: str) -> np.ndarray | None:
        if self.rows * self.classes > LARGEST_ONE_HOT:
            return None
        if what not in self._ones:
            found = np.zeros((self.rows, self.classes))
            found[np.arange(self.rows), self.predicted if what == "said" else self.codes] = 1.0
            self._ones[what] = found * self.right[:, None] if what == "hits" else found
        return self._ones[what]

    @cached_property
    def _ones(self) -> dict[str, np.ndarray]:
        return {}


@dataclass
class ValueView(View):
    """Predicted values beside the true ones, in the user's units: (N,) numbers or (N, D) vectors."""

    predicted: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        self.predicted = np.asarray(self.predicted, np.float64)
        self.values = np.asarray(self.values, np.float64)

    @property
    def rows(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> Self:
        return type(self)(self.predicted[rows], self.values[rows])

    def same(self, other: View) -> bool:
        return isinstance(other, type(self)) and bool(np.allclose(self.predicted, other.predicted, rtol=1e-6))


class NumberView(ValueView):
    """Predicted numbers (N,) beside the true ones (N,)."""

    task: ClassVar[str] = "number"

    @cached_property
    def errors(self) -> np.ndarray:
        return self.predicted - self.values

    @cached_property
    def by_size(self) -> np.ndarray:
        """Rows by rising absolute error."""
        return np.argsort(np.abs(self.errors), kind="stable")


class Drawn:
    """A view under R weightings of its rows. counts: (R, N), at least 0."""

    def __init__(self, view: View, counts: np.ndarray):
        self.view, self.counts = view, counts
        self._curves: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def total(self) -> np.ndarray:
        """(R,) sum of the weights."""
        return self.counts.sum(1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """(R,) weighted means of values (N,); (R, k) of values (N, k)."""
        total = self.total if values.ndim == 1 else self.total[:, None]
        return ratio(self.counts @ values, total)

    def _by_class(self, what: str) -> np.ndarray:
        view = self.view
        assert isinstance(view, LabelView)
        ones = view.ones(what)
        if ones is not None:  # one matrix product beats as many passes as there are weightings
            return self.counts @ ones
        assert isinstance(view, ClassView)
        codes = view.predicted if what == "said" else view.codes
        counts = self.counts * view.right if what == "hits" else self.counts
        return np.stack([np.bincount(codes, one, view.classes) for one in counts])

    @cached_property
    def true(self) -> np.ndarray:
        """(R, A) weight of the rows of each class."""
        return self._by_class("true")

    @cached_property
    def said(self) -> np.ndarray:
        """(R, A) weight of the rows that were said to be of each class."""
        return self._by_class("said")

    @cached_property
    def hits(self) -> np.ndarray:
        """(R, A) weight of the rows of each class that were said to be of it."""
        return self._by_class("hits")

    def curve(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(R, G) true and false positives down to each distinct probability of a class, from the highest on."""
        assert isinstance(self.view, LabelView)
        if label not in self._curves:
            order, of_it, ends = self.view.order(label)
            weights = self.counts[:, order]
            every = np.cumsum(weights, 1)[:, ends]
            right = np.cumsum(weights * of_it, 1)[:, ends]
            self._curves[label] = (right, every - right)
        return self._curves[label]


class Metric(MetricOptions):
    """A registered metric. `values` is all that it must offer."""

    title: ClassVar[str] = ""
    """How it is called in a report."""
    ranks: ClassVar[bool] = False
    """True if it sorts rows: dear, so it gets fewer resamples."""
    two_classes: ClassVar[bool] = False
    """True if it asks about one of two classes."""
    share: ClassVar[bool] = False
    """True if it is a share of the rows."""
    in_units: ClassVar[bool] = False
    """True if it is in the units of the column."""
    biased: ClassVar[bool] = False
    """True if it is worse the fewer different rows there are, so that resamples lie beside the value and are moved back to it."""

    def trials(self, view: View) -> int | None:
        """Of how many things it is a share, so that none or all of them still leave doubt; None where it is of no such kind."""
        return view.rows if self.share else None

    def applies(self, view: View) -> bool:
        """Whether it makes sense for these rows."""
        return not self.two_classes or (isinstance(view, LabelView) and view.classes == 2)

    def values(self, drawn: Drawn) -> np.ndarray:
        """(R,) one value for each weighting; nan where it is not defined."""
        raise NotImplementedError


def ratio(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Elementwise quotient, and `otherwise` where the divisor is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.full(above.shape, otherwise), where=below != 0)


def value_of(metric: Metric, view: View) -> float:
    """The metric of all rows, each counted once."""
    return float(metric.values(Drawn(view, np.ones((1, view.rows))))[0])
