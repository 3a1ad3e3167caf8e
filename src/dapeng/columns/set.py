"""Several labels in one cell: an embedding bag as an input; as an output, multi-label tagging.

Cells are labels between separators ("a;b;c", "a|b", "a, b"), or lists (JSON, Python's or Arrow's). The separator is found by
fitting. An empty cell has no value unless `empty: set`; an empty list is always the empty set. Labels are compared as those of
a category are. A label that training never saw is unknown in an input, and is not there in a target.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field

from dapeng.columns.base import Answers, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.category import normal
from dapeng.columns.number import mostly
from dapeng.columns.set_reader import SetReader
from dapeng.columns.thresholds import best_threshold
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, LossOptions
from dapeng.core.registry import DEFAULT

pc: Any = pyarrow.compute  # its functions are made at run time, where no type checker sees them
SEPARATORS: tuple[str, ...] = (";", "|", "；", "、", "\t", ",", "，", "/", " ")
"""Tried in this order: what stands within labels comes late."""
SEEN = 0.02
"""Share of the cells in which a separator must be found."""
MOST_DISTINCT = 200_000
MATRIX = 256
"""Most labels that classical learners see."""
FEWEST_POSITIVES = 20
"""Rows that must have a label before it gets a threshold of its own."""
GUESSED = 2_000


@kinds.columns
class Set(ColumnOptions):
    """Several labels in one cell; as an input an embedding bag, as an output the task is tagging."""

    type: Literal["set"] = "set"
    tabular: ClassVar[bool] = True
    of_labels: ClassVar[bool] = True
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("set", auto=True)] = None
    """How it is read. auto: the mean of learned vectors."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("set", default="tags")] = DEFAULT
    """How it is produced."""
    loss: Annotated[LossOptions, kinds.losses.choice("set", default="binary_cross_entropy")] = DEFAULT
    """What training minimises."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    separator: str | Literal["auto"] = Field("auto", min_length=1, max_length=10)
    """What stands between labels. auto: one of ; | ； 、 tab , ， / and blanks, by the training cells."""
    empty: Literal["missing", "set"] = "missing"
    """What an empty cell means: that nothing is known, or that no label applies."""
    missing: list[str] = Field(default_factory=list)
    """Cells that mean that there is no value, beside the empty one."""
    min_count: int = Field(1, ge=1)
    """Labels seen less often are left out: unknown in an input, not predicted in an output."""
    max_labels: int = Field(1_000, ge=1, le=100_000)
    """Keep only so many of the most frequent labels."""
    threshold: float | Literal["auto"] = Field("auto", gt=0, lt=1)
    """A label is said from this probability on (outputs). auto: the best F1 on the validation rows, for each label."""

    @classmethod
    def examples(cls) -> list[Any]:
        return ["a;b", "b", "c;a;b", "", '["a", "c"]', "[]", "红;b", "d ; a;a", "c", "b;d"]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are sets: few labels that come together in many ways."""
        kind = cells.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            ok = pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
            return (0.8, "lists of labels") if ok else (0.0, "")
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return 0.0, ""
        if mostly(cells[:GUESSED]):  # "1,234.50" is one number
            return 0.0, ""
        texts = [t for t in strings(cells).to_pylist()[:GUESSED] if t and t.strip()]
        best = (0.0, "")
        for separator in SEPARATORS[:-2]:  # blanks and slashes stand in too much else
            if sum(separator in t for t in texts) >= 0.15 * len(texts) and _repeat(texts, separator):
                shown = {"\t": "tabs"}.get(separator, repr(separator))
                best = (0.7, f"several labels in a cell, between {shown}")
                break
        if not best[0] and sum(t.strip().startswith("[") for t in texts) >= 0.95 * len(texts):
            best = (0.7, "lists of labels") if _repeat(texts, "\0") else best
        return best

    def summary(self, target: bool) -> SetSummary:
        return SetSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> SetColumn:
        return SetColumn(name, self, state, target)

    def plain_reader(self, labels: list[str], separator: str, kept: int = 0) -> SetReader:
        gone = sorted({normal(m) for m in self.missing})
        return SetReader(labels, separator, gone, self.empty, kept)


def _repeat(texts: list[str], separator: str) -> bool:
    """True if cells split into labels that repeat, are short, are no numbers, and are not always equally many."""
    reader = SetReader([], separator, [], "missing")
    rows = [reader.members(t) or [] for t in texts]
    counts = Counter(label for row in rows for label in row)
    labels, total = len(counts), sum(counts.values())
    again = sum(len(reader.members(t) or []) for t in set(texts)) / max(labels, 1)  # different cells that share a label
    if labels < 2 or labels > min(total / 3, 2_000) or again < 1.5 or len(set(map(len, rows))) < 2:
        return False
    words = sum(len(label.split()) * n for label, n in counts.items()) / total
    letters = sum(len(label) * n for label, n in counts.items()) / total
    numbers = sum(label.replace(".", "", 1).lstrip("-").isdigit() for label in counts)
    return words <= 3 and letters <= 30 and numbers < 0.5 * labels


class SetSummary(Summary):
    """Counts of labels for each separator that could be meant; past 200,000 the rarest are forgotten."""

    def __init__(self, options: Set):
        self.options = options
        self.separators: tuple[str, ...] = SEPARATORS if options.separator == "auto" else (options.separator,)
        self.reader = options.plain_reader([], self.separators[0])
        self.counts: dict[str, Counter[str]] = {s: Counter() for s in self.separators}
        self.holding: dict[str, int] = dict.fromkeys(self.separators, 0)
        self.most: dict[str, int] = dict.fromkeys(self.separators, 0)
        self.rows, self.missing, self.empty = 0, 0, 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        for cell, count in _distinct(cells):
            if self.reader.members(cell) is None:
                self.missing += count
                continue
            self.rows += count
            for separator in self.separators:
                found = self.reader.members(cell, separator) or []
                self.counts[separator].update(dict.fromkeys(found, count))
                self.most[separator] = max(self.most[separator], len(found))
                self.holding[separator] += count if isinstance(cell, str) and separator in cell.strip() else 0
            self.empty += count if not self.reader.members(cell) else 0
        self._bound()

    def merge(self, other: SetSummary) -> None:
        for separator in self.separators:
            self.counts[separator].update(other.counts[separator])
            self.holding[separator] += other.holding[separator]
            self.most[separator] = max(self.most[separator], other.most[separator])
        for name in ("rows", "missing", "empty"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._bound()

    def _bound(self) -> None:
        for separator, counts in self.counts.items():
            if len(counts) > MOST_DISTINCT:
                kept = sorted(counts.items(), key=lambda i: (-i[1], i[0]))[: MOST_DISTINCT // 2]
                self.counts[separator] = Counter(dict(kept))

    def result(self) -> dict[str, Any]:
        likely = [s for s in self.separators if self.holding[s] >= max(1, SEEN * self.rows)]
        separator = likely[0] if likely else self.separators[0]
        ranked = sorted(self.counts[separator].items(), key=lambda i: (-i[1], i[0]))
        ranked = [(label, n) for label, n in ranked if n >= self.options.min_count]
        kept = ranked[: self.options.max_labels]
        return {
            "separator": separator,
            "labels": [label for label, _ in kept],
            "counts": [n for _, n in kept],
            "cut": len(ranked) - len(kept),
            "rows": self.rows,
            "missing": self.missing,
            "empty": self.empty,
            "most": self.most[separator],
        }


def _distinct(cells: Cells) -> list[tuple[Any, int]]:
    """Cells and how often each occurs, in the order of their first occurrence; lists as they come."""
    array = one_array(cells)
    if pa.types.is_nested(array.type):
        return [(v, 1) for v in array.to_pylist()]
    counted = pc.value_counts(strings(array))
    return list(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist()))


class SetColumn(Column):
    """Input: ids (B, T), 0 unknown, else 1 + label. Target: labels (B, A), 1 for each that applies."""

    answers: ClassVar[Answers] = "labels"
    options: Set

    def __init__(self, name: str, options: Set, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.labels: list[str] = state["labels"]
        self.counts: list[int] = state["counts"]
        self._reader = options.plain_reader(self.labels, state["separator"], min(len(self.labels), MATRIX))

    @property
    def domain(self) -> str | None:
        return None if self.target else self.name

    @property
    def size(self) -> int:
        """Number of codes of an input: the labels and the unknown."""
        return len(self.labels) + 1

    @property
    def places(self) -> float:
        return 1.0 if self.target else max(1.0, self.state["most"] / 4)

    @property
    def thresholds(self) -> np.ndarray:
        """(A,) probabilities from which on labels are said."""
        asked = self.options.threshold
        found = self.state.get("thresholds", 0.5) if asked == "auto" else asked
        return np.broadcast_to(np.asarray(found, np.float64), (len(self.labels),))

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "embedding_bag", "the mean of a learned vector for each label"

    def layout(self) -> dict[str, Dims]:
        if self.target:
            return {"labels": Dims(f"B {len(self.labels)}", "uint8", low=0, high=1)}
        return {"ids": Dims("B T", "int32", low=0, high=self.size - 1), "mask": Dims("B T", "bool")}

    def _codes(self, cells: Cells) -> tuple[list[list[int] | None], np.ndarray]:
        """Codes of the distinct cells (None where there is no value), and each cell's position among them."""
        array = one_array(cells)
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
        if pa.types.is_nested(array.type):
            return [self._reader.coded(v) for v in array.to_pylist()], np.arange(len(array))
        found = strings(array).dictionary_encode()
        coded = [self._reader.coded(v) for v in found.dictionary.to_pylist()]
        return [*coded, self._reader.coded(None)], found.indices.fill_null(len(coded)).to_numpy(zero_copy_only=False)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        codes, at = self._codes(cells)
        present = np.array([c is not None for c in codes], bool)[at] if len(at) else np.empty(0, bool)
        marks = None if present.all() else present
        if self.target:
            return Encoded({"labels": self._flags(codes, len(self.labels), np.uint8)[at]}, marks)
        lengths = np.array([len(c or ()) for c in codes], np.int64)[at] if len(at) else np.empty(0, np.int64)
        flat = [np.array(codes[i] or (), np.int32) for i in at.tolist()]
        ids = np.concatenate(flat) if flat else np.empty(0, np.int32)
        return Encoded({"ids": ids}, marks, lengths=lengths)

    def _flags(self, codes: list[list[int] | None], size: int, kind: Any) -> np.ndarray:
        out = np.zeros((len(codes), size), kind)
        for row, found in enumerate(codes):
            out[row, [c - 1 for c in found or () if 0 < c <= size]] = 1
        return out

    def unseen(self, cells: Cells) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for cell, count in _distinct(cells):
            strange = [v for v in self._reader.members(cell) or () if v not in self._reader.codes]
            counts.update(dict.fromkeys(strange, count))
        return dict(sorted(counts.items()))

    def remarks(self) -> list[str]:
        cut = self.state.get("cut")
        what = f"the {self.options.max_labels:,} most frequent labels are kept; max_labels allows more"
        return [f"{what}, {cut:,} are left out"] if cut else []

    def hopeless(self) -> tuple[str, str] | None:
        if not self.labels:
            return "no cell of the target has a label", ""
        if len(self.labels) == 1 and self.counts[0] == self.state["rows"]:
            return f"every cell has {self.labels[0]!r} and nothing else: there is nothing to tell apart", ""
        return None

    def predictions(self) -> dict[str, Dims]:
        return {"probabilities": Dims(f"B {len(self.labels)}", "float32", low=0, high=1)}

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(tensors["labels"]).astype(bool)

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        p = np.clip(np.asarray(prediction["probabilities"], np.float64), 1e-9, 1 - 1e-9)
        return -np.where(wanted, np.log(p), np.log1p(-p)).mean(1)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """Average precision over all pairs of rows and labels: it knows no threshold."""
        every = wanted.size
        step = max(1, every // 2_000_000)  # more would move it by less than a thousandth
        p, y = prediction["probabilities"].ravel()[::step], wanted.ravel()[::step]
        hits = y[np.argsort(-p, kind="stable")]
        at = np.flatnonzero(hits)
        return "average_precision", float((np.arange(1, len(at) + 1) / (at + 1)).mean()) if len(at) else 0.0

    def aligned(self, prediction: dict[str, np.ndarray], fitted: Any) -> dict[str, np.ndarray]:
        if fitted.labels == self.labels:
            return prediction
        mine = {label: i for i, label in enumerate(self.labels)}
        pairs = [(mine[v], i) for i, v in enumerate(fitted.labels) if v in mine]
        out = {}
        for name, found in prediction.items():
            out[name] = np.zeros((len(found), len(self.labels)), found.dtype)
            out[name][:, [a for a, _ in pairs]] = found[:, [b for _, b in pairs]]
        return out

    def settle(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Any]:
        if self.options.threshold != "auto" or not wanted.any():
            return {}
        p = np.asarray(prediction["probabilities"], np.float64)
        common = best_threshold(p.ravel(), wanted.ravel())
        own = wanted.sum(0) >= FEWEST_POSITIVES
        found = [best_threshold(p[:, c], wanted[:, c]) if own[c] else common for c in range(p.shape[1])]
        return {"thresholds": dict(zip(self.labels, [round(t, 6) for t in found])), "common": round(common, 6)}

    def agreed(self, settings: list[dict[str, Any]]) -> dict[str, Any]:
        known = [s for s in settings if s]
        if not known:
            return {}
        found = {label: [s["thresholds"].get(label, s["common"]) for s in known] for label in self.labels}
        common = float(np.mean([s["common"] for s in known]))
        return {"thresholds": {v: round(float(np.mean(t)), 6) for v, t in found.items()}, "common": round(common, 6)}

    def keep(self, settings: dict[str, Any]) -> None:
        if settings:
            self.state["thresholds"] = [settings["thresholds"].get(v, settings["common"]) for v in self.labels]

    def settled(self, prediction: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, np.ndarray]:
        if not settings:
            return prediction
        cuts = np.array([settings["thresholds"].get(v, settings["common"]) for v in self.labels])
        return {**prediction, "said": np.asarray(prediction["probabilities"]) >= cuts}

    def said(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(N, A) bool: the labels that a prediction says."""
        if "said" in prediction:
            return np.asarray(prediction["said"]).astype(bool)
        return np.asarray(prediction["probabilities"]) >= self.thresholds

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return [[self.labels[i] for i in np.flatnonzero(row)] for row in self.said(prediction)]

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.labels, prediction["probabilities"].T))

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"enum": self.labels}}

    @property
    def joint(self) -> str:
        """What stands between labels where a list must be one text."""
        return self.state["separator"]

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, at most 256) float32: 1 for each of the most frequent labels that a cell has; nan where it has no value."""
        codes, at = self._codes(cells)
        found = self._flags(codes, self._reader.kept, np.float32)
        found[[i for i, c in enumerate(codes) if c is None]] = np.nan
        return found[at]

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {label}" for label in self.labels[: self._reader.kept]]

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        labels = self.labels or ["a"]
        most = max(1, min(self.state["most"], len(labels)))
        return pa.array(
            [list(draw.choice(labels, int(draw.integers(1, most + 1)), replace=False)) for _ in range(rows)]
        )

    def entry(self) -> Entry:
        return Entry("labels", choices=self.labels)

    @property
    def expected(self) -> str:
        return "a list of labels"

    def posted(self, value: Any) -> list[str] | None:
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(v, (dict, list)) for v in parts):
            raise ValueError("an object" if isinstance(value, dict) else "a list that holds no labels alone")
        return self._reader.members(value)

    def describe(self) -> str:
        shown = ", ".join(self.labels[:6]) + (", ..." if len(self.labels) > 6 else "")
        mean = sum(self.counts) / max(self.state["rows"], 1)
        return f"set, {len(self.labels)} labels, {mean:.2g} a row: {shown}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        return SetReader, {
            "labels": self.labels,
            "separator": self.state["separator"],
            "missing": sorted({normal(m) for m in self.options.missing}),
            "empty": self.options.empty,
            "kept": self._reader.kept,
        }
