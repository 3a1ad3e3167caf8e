"""A real number: read from text in any notation, standardised; as an output, regression.

A cell that isn't a number is bad, never silently 0. Missing are empty cells and the tokens in `missing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.fences import fenced, fences
from dapeng.columns.number_reader import NumberReader
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, LossOptions
from dapeng.core.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

pc: Any = pyarrow.compute  # its functions are made at run time, where no type checker sees them
MISSING = ["", "na", "n/a", "nan", "null", "none", "?", "-", "--", "#n/a", "#na", "<na>", "missing", "unknown"]
PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
SKETCH = 4096


@kinds.columns
class Number(ColumnOptions):
    """A real number; as an input it is standardised or embedded, as an output the task is regression."""

    type: Literal["number"] = "number"
    tabular: ClassVar[bool] = True
    input_only: ClassVar[tuple[str, ...]] = ("encoder", "outliers", "monotone")
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("number", auto=True)] = None
    """How it is read. auto: piecewise-linear embedding."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("number", default="value")] = DEFAULT
    """How it is produced."""
    loss: Annotated[LossOptions, kinds.losses.choice("number", default="mse")] = DEFAULT
    """What training minimises."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    missing: list[str] | None = None
    """Cells that mean that there is no value, beside the empty one. auto: NA, n/a, ?, -, null and the like."""
    decimal: Literal[".", ","] = "."
    """Decimal mark."""
    scale: Literal["standard", "log", "none"] = "standard"
    """Before the network: mean 0 and standard deviation 1, the same of sign(x) log(1 + |x|), or as it is."""
    outliers: Literal["keep", "clip", "missing"] = "keep"
    """Values far outside what is usual in the training rows (inputs): as they are, moved to the fence, or as if there were none.

    A fence is four times as far from the median as the outer sixteenth of the values on its side.
    """
    monotone: Literal["none", "increasing", "decreasing"] = "none"
    """What is predicted never falls (never rises) where this input rises, all else equal: the number, or the probability of the
    positive label of two. Trees and linear models promise it; the network can't and has no part in the answer (inputs).
    """

    @property
    def direction(self) -> int:
        return {"none": 0, "increasing": 1, "decreasing": -1}[self.monotone]

    @classmethod
    def examples(cls) -> list[Any]:
        return ["1", "2.5", "-3e2", "", "$1,234.50", "12%", "(300)", "0", "7", "8.25"]

    def summary(self, target: bool) -> NumberSummary:
        return NumberSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> NumberColumn:
        return NumberColumn(name, self, state, target)


def parse(cells: Cells, missing: list[str] | None, decimal: str) -> tuple[np.ndarray, np.ndarray, Bad]:
    """Cells as float64 (nan where there is none), which are present, and which could not be read."""
    array = one_array(cells)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_boolean(array.type):
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
        return _finite(values, ~np.isnan(values))
    if pa.types.is_decimal(array.type):
        return parse(array.cast(pa.float64()), missing, decimal)
    plain = strings(array)
    if missing is None and decimal == ".":
        quick = _quickly(plain)
        if quick is not None:
            return quick, np.ones(len(quick), bool), Bad()
    text = pc.utf8_trim_whitespace(plain)
    if decimal == ",":
        text = pc.replace_substring(pc.replace_substring(text, ".", ""), ",", ".")
    tokens = pa.array([m.lower() for m in (["", *missing] if missing is not None else MISSING)])
    gone = pc.fill_null(pc.is_in(pc.utf8_lower(text), tokens), True)
    gone = pc.or_(gone, pc.is_null(text))
    simple = pc.and_(pc.invert(gone), pc.fill_null(pc.match_substring_regex(text, PLAIN), False))
    values = pc.if_else(simple, text, None).cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
    present = ~gone.to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(present & ~simple.to_numpy(zero_copy_only=False))
    bad = Bad()
    if len(odd):
        codes = text.take(pa.array(odd)).dictionary_encode()
        read = [unusual(v) for v in codes.dictionary.to_pylist()]
        for row, code in zip(odd, codes.indices.to_pylist()):
            values[row] = np.nan if read[code] is None else read[code]
            if read[code] is None:
                bad.add(row, f"{codes.dictionary[code].as_py()[:40]!r} is not a number")
    return _finite(values, present, bad)


def _quickly(text: pa.Array) -> np.ndarray | None:
    """Cells that all are plain, finite numbers; None where one may be anything else."""
    if text.null_count or not len(text):
        return None
    try:
        values = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return values.copy() if np.isfinite(values).all() else None


def _finite(values: np.ndarray, present: np.ndarray, bad: Bad | None = None) -> tuple[np.ndarray, np.ndarray, Bad]:
    bad = bad or Bad()
    known = set(bad.rows)
    for row in np.flatnonzero(present & ~np.isfinite(values)):
        if int(row) not in known:
            bad.add(row, f"{values[row]} is not a finite number")
    if bad.rows:
        present = present.copy()
        present[bad.rows] = False
        values = values.copy()
        values[bad.rows] = np.nan
    return values, present, bad


def gone(more: Sequence[str]) -> list[str]:
    """What stands for no value, in lower case: the usual, and what the user says."""
    return sorted({m.lower() for m in [*MISSING, *more]})


def mostly(cells: Cells) -> bool:
    """True if hardly a cell is anything but a number, with a point or a comma, whatever else it could be."""
    for decimal in ".,":
        _, there, bad = parse(cells, None, decimal)
        if len(bad.rows) < 0.05 * max(int(there.sum()) + len(bad.rows), 1):
            return True
    return False


def unusual(text: str) -> float | None:
    """A number as people write it: "$1,234.50", "12%", "(300)", "1 234"; None if it isn't one."""
    sign, cell = 1.0, text.strip()
    if cell.startswith("(") and cell.endswith(")"):
        sign, cell = -1.0, cell[1:-1]
    percent = cell.endswith(("%", "％"))
    cell = cell.strip("$€£¥￥%％ \u00a0").replace("\u2212", "-")
    for separator in (",", " ", "\u00a0", "'", "_"):
        groups = cell.split(separator)
        if len(groups) > 1 and groups[0].lstrip("+-") and all(len(g.partition(".")[0]) == 3 for g in groups[1:]):
            cell = "".join(groups)
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell else sign * value / (100 if percent else 1)


class NumberSummary(Summary):
    """Count, mean, variance, range, and a sketch of quantiles out of at most `SKETCH` weighted points."""

    def __init__(self, options: Number):
        self.options = options
        self.count, self.missing, self.mean, self.squares = 0, 0, 0.0, 0.0
        self.low, self.high, self.whole = np.inf, -np.inf, True
        self.points, self.weights = np.empty(0), np.empty(0)

    def add(self, cells: Cells, base: Path | None = None) -> None:
        values, present, _ = parse(cells, self.options.missing, self.options.decimal)
        x = values[present]
        if self.options.scale == "log":
            x = np.sign(x) * np.log1p(np.abs(x))
        other = NumberSummary(self.options)
        other.count, other.missing = len(x), len(values) - len(x)
        if len(x):
            other.mean, other.squares = float(x.mean()), float(((x - x.mean()) ** 2).sum())
            other.low, other.high, other.whole = float(x.min()), float(x.max()), bool((x == np.round(x)).all())
            other.points, counts = np.unique(x, return_counts=True)
            other.weights = counts.astype(np.float64)
        self.merge(other)

    def merge(self, other: NumberSummary) -> None:
        self.missing += other.missing
        if not other.count:
            return
        total = self.count + other.count
        shift = other.mean - self.mean
        self.squares += other.squares + shift * shift * self.count * other.count / total
        self.mean += shift * other.count / total
        self.count = total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.whole = self.whole and other.whole
        points, where = np.unique(np.concatenate([self.points, other.points]), return_inverse=True)
        weights = np.bincount(where, np.concatenate([self.weights, other.weights]))
        if len(points) > 2 * SKETCH:
            points, weights = _thin(points, weights)
        self.points, self.weights = points, weights

    def result(self) -> dict[str, Any]:
        return self._result() if self.options.outliers == "keep" else self._without_outliers()

    def _without_outliers(self) -> dict[str, Any]:
        """The statistics of the values within the fences, and how many are outside."""
        how, bounds = self.options.outliers, fences(self.points, self.weights)
        if bounds is None:
            return {**self._result(), "fences": None, "outside": 0}
        moved = fenced(self.points, how, bounds)
        outside = float(self.weights[(self.points < bounds[0]) | (self.points > bounds[1])].sum())
        there = ~np.isnan(moved)
        inner = NumberSummary(self.options)
        inner.points, where = np.unique(moved[there], return_inverse=True)
        inner.weights = np.bincount(where, self.weights[there])
        total = inner.weights.sum()
        inner.mean = float(inner.points @ inner.weights / total)
        inner.squares = float(((inner.points - inner.mean) ** 2) @ inner.weights / total * self.count)
        inner.count, inner.low, inner.high = self.count, float(inner.points[0]), float(inner.points[-1])
        inner.whole = self.whole and bool((inner.points == np.round(inner.points)).all())
        gone = round(outside) if how == "missing" else 0
        found = {**inner._result(), "count": self.count - gone, "missing": self.missing + gone}
        if self.options.scale == "log":
            bounds = tuple(float(np.sign(b) * np.expm1(abs(b))) for b in bounds)
        return {**found, "fences": list(bounds), "outside": round(outside)}

    def _result(self) -> dict[str, Any]:
        std = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        total = np.cumsum(self.weights)
        at = np.linspace(0, 1, 65) * (total[-1] if len(total) else 0)
        quantiles = self.points[np.minimum(np.searchsorted(total, at), len(total) - 1)] if len(total) else np.empty(0)
        distinct = (
            self.points[np.round(np.linspace(0, len(self.points) - 1, min(65, len(self.points)))).astype(int)]
            if len(total)
            else []
        )
        return {
            "count": self.count,
            "missing": self.missing,
            "mean": self.mean,
            "std": std if std > 0 else 1.0,
            "constant": std == 0,
            "low": self.low if self.count else 0.0,
            "high": self.high if self.count else 0.0,
            "whole": self.whole,
            "quantiles": [float(q) for q in quantiles],
            "distinct": [float(v) for v in distinct],
        }


def _thin(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most SKETCH of the points at equal steps of weight, each with the weight that it stands for."""
    total = np.cumsum(weights)
    at = (np.arange(SKETCH) + 0.5) / SKETCH * total[-1]
    kept = np.unique(np.concatenate([[0], np.searchsorted(total, at), [len(points) - 1]]))
    return points[kept], np.diff(np.concatenate([[0.0], total[kept]]))


class NumberColumn(Column):
    """values (B,): standardised numbers, 0 where absent."""

    blocks: ClassVar[bool] = True
    amounts: ClassVar[bool] = True
    options: Number

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "piecewise", "says where a value lies among the quantiles"

    def layout(self) -> dict[str, Dims]:
        return {"values": Dims("B", "float32")}

    def standardise(self, values: np.ndarray) -> np.ndarray:
        if self.options.scale == "none":
            return values
        if self.options.scale == "log":
            values = np.sign(values) * np.log1p(np.abs(values))
        return (values - self.state["mean"]) / self.state["std"]

    @property
    def direction(self) -> int:
        return 0 if self.target else self.options.direction

    def remarks(self) -> list[str]:
        outside, bounds = self.state.get("outside"), self.state.get("fences")
        if not outside or bounds is None:
            return []
        done = "clipped" if self.options.outliers == "clip" else "read as missing"
        return [f"{outside:,} cells outside {bounds[0]:.6g} to {bounds[1]:.6g} are outliers, and {done}"]

    def _parsed(self, cells: Cells) -> tuple[np.ndarray, np.ndarray, Bad]:
        """As `parse`, outliers treated as asked."""
        values, present, bad = parse(cells, self.options.missing, self.options.decimal)
        if self.options.outliers == "keep" or self.state.get("fences") is None:
            return values, present, bad
        values = fenced(values, self.options.outliers, self.state["fences"])
        return values, present & ~np.isnan(values), bad

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        values, present, bad = self._parsed(cells)
        scaled = np.where(present, self.standardise(np.where(present, values, 0.0)), 0.0)
        return Encoded({"values": scaled.astype(np.float32)}, None if present.all() else present, bad=bad)

    def bins(self, count: int) -> list[float]:
        """Edges of at most `count` bins, standardised, strictly rising: half at the quantiles of the training rows, half at
        those of the distinct values, or a column that is mostly 0 would have hardly any.
        """
        quantiles, distinct = (np.asarray(self.state[k] or [0.0, 1.0]) for k in ("quantiles", "distinct"))
        edges = np.unique(np.concatenate([_thinned(quantiles, count // 2 + 1), _thinned(distinct, count - count // 2)]))
        if self.options.scale != "none":
            edges = np.unique((edges - self.state["mean"]) / self.state["std"])
        return [float(e) for e in edges] if len(edges) > 1 else [float(edges[0]), float(edges[0]) + 1.0]

    @property
    def levels(self) -> list[float]:
        """Quantiles that a prediction holds beside its middle."""
        return self.options.loss.levels if self.target else []

    def predictions(self) -> dict[str, Dims]:
        own = {"mean": Dims("B", "float32")}
        return {**own, "quantiles": Dims(f"B {len(self.levels)}", "float32")} if self.levels else own

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {f"{level:g}": prediction["quantiles"][:, i] for i, level in enumerate(self.levels)}

    def to_units(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: self._in_units(x) for name, x in prediction.items()}

    def _in_units(self, x: Tensor) -> Tensor:
        if self.options.scale == "none":
            return x
        x = x * self.state["std"] + self.state["mean"]
        return x.sign() * (x.abs().exp() - 1) if self.options.scale == "log" else x

    def target_values(self, encoded: np.ndarray) -> np.ndarray:
        """Encoded targets back in the user's units, float64."""
        x = encoded.astype(np.float64)
        if self.options.scale == "none":
            return x
        x = x * self.state["std"] + self.state["mean"]
        return np.sign(x) * np.expm1(np.abs(x)) if self.options.scale == "log" else x

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        return self.target_values(np.asarray(tensors["values"]))

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        """Squared error."""
        return (np.asarray(prediction["mean"], np.float64) - wanted) ** 2

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        if not len(wanted):
            return "r2", 0.0
        error = ((prediction["mean"].astype(np.float64) - wanted) ** 2).sum()
        spread = ((wanted - wanted.mean()) ** 2).sum()
        return "r2", float(1 - error / spread) if spread else 0.0

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        known = self.state["quantiles"] or [0.0]
        if self.options.scale == "log":
            known = [float(np.sign(q) * np.expm1(abs(q))) for q in known]
        return pa.array([float(known[i]) for i in draw.integers(0, len(known), rows)])

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return [float(v) for v in prediction["mean"]]

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return self._parsed(cells)[0].astype(np.float32)[:, None]

    def entry(self) -> Entry:
        if self.options.scale == "log":
            return Entry("number")
        known = self.state["quantiles"] or [0.0]
        return Entry("number", f"{known[len(known) // 2]:.4g}", bounds=(self.state["low"], self.state["high"]))

    def describe(self) -> str:
        s = self.state
        return f"number, mean {s['mean']:.4g}, deviation {s['std']:.4g}, {s['low']:.4g} to {s['high']:.4g}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        s = self.state
        missing = ["", *self.options.missing] if self.options.missing is not None else MISSING
        return NumberReader, {
            "mean": s["mean"],
            "std": s["std"],
            "scale": self.options.scale,
            "missing": [m.lower() for m in missing],
            "decimal": self.options.decimal,
            "outliers": self.options.outliers,
            "fences": s.get("fences"),
        }


def _thinned(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the values, evenly, the outermost among them."""
    return values[np.round(np.linspace(0, len(values) - 1, min(count, len(values)))).astype(int)]
