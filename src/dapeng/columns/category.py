"""One of some labels: an embedding as an input; as an output, classification.

Labels are compared after NFC, without zero-width characters and surrounding blanks. As an input, code 0 stands for a label
that wasn't seen in training and for a missing cell; as a target, codes count from 0 and a missing cell is absent.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import Answers, Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.category_reader import CategoryReader
from dapeng.columns.thresholds import steady_threshold
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, LossOptions
from dapeng.core.registry import DEFAULT

INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
MOST_DISTINCT = 1_000_000
MOST_SPELLINGS = 10_000
MOST_CLASSES = 10_000
RARE = 0.1
"""Share of the positive rows of two labels, below which the likelier label is mostly no answer."""
FEWEST_POSITIVES = 10
"""Positive rows that a threshold can be found by; with fewer, as many are called positive as training has."""
MOST_SAID = 0.5
"""Largest share of the rows of which a chosen threshold may say what is rare."""
MOST_LISTED = 1_000
"""Labels that a schema names."""


@kinds.columns
class Category(ColumnOptions):
    """One of some labels; as an input an embedding, as an output the task is classification."""

    type: Literal["category"] = "category"
    tabular: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    output_only: ClassVar[tuple[str, ...]] = ("decoder", "loss", "weight", "threshold")
    of_labels: ClassVar[bool] = True
    alike: ClassVar[tuple[str, ...]] = ("encoder", "missing", "min_count", "max_labels", "normalise")
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("category", auto=True)] = None
    """How it is read. auto: an embedding."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("category", default="class")] = DEFAULT
    """How it is produced."""
    loss: Annotated[LossOptions, kinds.losses.choice("category", default="cross_entropy")] = DEFAULT
    """What training minimises."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    missing: list[str] = Field(default_factory=list)
    """Cells that mean that there is no value, beside the empty one. NA and None are labels unless named here."""
    min_count: int = Field(1, ge=1)
    """Labels seen less often count as unknown (inputs)."""
    max_labels: int = Field(100_000, ge=1)
    """Keep only so many of the most frequent labels (inputs)."""
    positive: str | None = None
    """The label that counts as positive in two-class metrics. auto: the rarer one."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = "auto"
    """Probability from which on the positive label of two is said. auto: 0.5; where under a tenth of the training rows are positive, the
    one with the best F1 on the validation rows.
    """
    normalise: Literal["NFC", "NFKC", "none"] = "NFC"
    """The Unicode form in which labels are compared. NFKC also takes full-width letters, ligatures and the like for the plain ones."""
    like: str | None = None
    """Share labels and embedding table with this column."""

    @classmethod
    def examples(cls) -> list[Any]:
        return ["red", "blue", "red", "绿", "", "NA", "blue", "red", "绿", "blue"]

    def summary(self, target: bool) -> CategorySummary:
        return CategorySummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> CategoryColumn:
        return CategoryColumn(name, self, state, target)


def normal(label: str, form: str = "NFC") -> str:
    """The form in which labels are compared; form: of Unicode, or "none"."""
    return INVISIBLE.sub("", label if form == "none" else unicodedata.normalize(form, label)).strip()  # type: ignore[arg-type]


def labelled(cells: Cells, missing: list[str], form: str = "NFC") -> tuple[list[str | None], np.ndarray]:
    """Distinct normal labels (None where missing) and each cell's position among them, -1 for null."""
    raw, indices = coded(cells)
    return _normal_labels(raw, missing, form), indices


def _normal_labels(raw: list[str], missing: list[str], form: str) -> list[str | None]:
    gone = {normal(m, form) for m in missing} | {""}
    return [None if label in gone else label for label in (normal(v, form) for v in raw)]


def coded(cells: Cells) -> tuple[list[str], np.ndarray]:
    """Distinct labels as they are written, and each cell's position among them, -1 for null."""
    array = one_array(cells)
    if pa.types.is_floating(array.type):
        array = pa.array(
            [None if v is None or v != v else (str(int(v)) if v.is_integer() else repr(v)) for v in array.to_pylist()],
            pa.string(),
        )
    found = strings(array).dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.fill_null(-1).to_numpy(zero_copy_only=False)


class CategorySummary(Summary):
    """Counts of labels; past a million distinct ones the rarest are forgotten."""

    def __init__(self, options: Category):
        self.options = options
        self.counts: Counter[str] = Counter()
        self.missing, self.forgotten = 0, 0
        self.spellings: dict[str, set[str]] = {}
        """Raw forms of the labels that were not written in their normal form."""
        self.odd: Counter[str] = Counter()

    def add(self, cells: Cells, base: Path | None = None) -> None:
        raw, indices = coded(cells)
        labels = _normal_labels(raw, self.options.missing, self.options.normalise)
        seen = np.bincount(indices[indices >= 0], minlength=len(labels))
        self.missing += int((indices < 0).sum())
        for label, written, count in zip(labels, raw, seen.tolist()):
            if label is None:
                self.missing += count
                continue
            self.counts[label] += count
            if written != label and count:
                self._spelt(label, {written}, count)
        self._bound()

    def _spelt(self, label: str, forms: set[str], count: int) -> None:
        if label in self.spellings or len(self.spellings) < MOST_SPELLINGS:
            self.spellings.setdefault(label, set()).update(forms)
            self.odd[label] += count

    @property
    def merged(self) -> int:
        """Spellings that were read as another one's label: café in two Unicode forms, blanks at an end."""
        return sum(len(f) - (self.counts[n] <= self.odd[n]) for n, f in self.spellings.items())

    def merge(self, other: CategorySummary) -> None:
        self.counts.update(other.counts)
        self.missing += other.missing
        self.forgotten += other.forgotten
        for label, forms in other.spellings.items():
            self._spelt(label, forms, other.odd[label])
        self._bound()

    def _bound(self) -> None:
        if len(self.counts) > MOST_DISTINCT:
            kept = sorted(self.counts.items(), key=lambda i: (-i[1], i[0]))[: MOST_DISTINCT // 2]
            self.forgotten += sum(self.counts.values()) - sum(c for _, c in kept)
            self.counts = Counter(dict(kept))

    def result(self) -> dict[str, Any]:
        ranked = sorted(self.counts.items(), key=lambda i: (-i[1], i[0]))
        return {
            "labels": [label for label, _ in ranked],
            "counts": [count for _, count in ranked],
            "missing": self.missing + self.forgotten,
            "merged": self.merged,
        }


def _natural(label: str) -> tuple:
    """Numbers in their order, then words in theirs: classes are listed as people expect."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


class CategoryColumn(Column):
    """codes (B,): input: 0 unknown or missing, else 1 + label; target: the label's position."""

    blocks: ClassVar[bool] = True
    coded: ClassVar[bool] = True
    answers: ClassVar[Answers] = "label"
    options: Category

    def __init__(self, name: str, options: Category, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        ranked = list(zip(state["labels"], state["counts"]))
        if target:
            ranked.sort(key=lambda i: _natural(i[0]))
        else:
            ranked = [(label, n) for label, n in ranked if n >= options.min_count][: options.max_labels]
        self.labels = [label for label, _ in ranked]
        self.counts = [n for _, n in ranked]
        self._codes = {label: i + (0 if target else 1) for i, label in enumerate(self.labels)}

    @property
    def domain(self) -> str | None:
        return None if self.target else (self.options.like or self.name)

    @property
    def size(self) -> int:
        """Number of codes: the labels, and for inputs the unknown."""
        return len(self.labels) + (0 if self.target else 1)

    @property
    def positive(self) -> int:
        """Position of the label that counts as positive: as asked, else the rarer of two."""
        if self.options.positive is not None and self.options.positive in self._codes:
            return self._codes[self.options.positive]
        return min(range(len(self.counts)), key=lambda i: (self.counts[i], -i))

    @property
    def rare(self) -> bool:
        """Whether there are two labels, and under a tenth of the training rows have the positive one."""
        return len(self.labels) == 2 and self.counts[self.positive] < RARE * sum(self.counts)

    @property
    def cut(self) -> float | None:
        """Probability from which on the positive label is said; None: the likelier label is."""
        if len(self.labels) != 2:
            return None
        return self.state.get("threshold") if self.options.threshold == "auto" else self.options.threshold

    @property
    def can_be_absent(self) -> bool:
        return False

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "embedding", "a learned vector for each label"

    def layout(self) -> dict[str, Dims]:
        return {"codes": Dims("B", "int64", low=0, high=max(self.size - 1, 0))}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        labels, indices = labelled(cells, self.options.missing, self.options.normalise)
        unknown = -1 if self.target else 0
        table = np.array([unknown if v is None else self._codes.get(v, unknown) for v in labels] + [unknown], np.int64)
        codes = table[indices]
        if not self.target:
            return Encoded({"codes": codes})
        bad = Bad()
        strange = np.array([v is not None and v not in self._codes for v in labels] + [False])
        for row in np.flatnonzero(strange[indices]):
            bad.add(row, f"label {labels[indices[row]]!r} was not seen in training")
        present = codes >= 0
        return Encoded({"codes": np.maximum(codes, 0)}, None if present.all() else present, bad=bad)

    def unseen(self, cells: Cells) -> dict[str, int]:
        labels, indices = labelled(cells, self.options.missing, self.options.normalise)
        counts = np.bincount(indices[indices >= 0], minlength=len(labels))
        strange = sorted((v, int(n)) for v, n in zip(labels, counts) if v is not None and n and v not in self._codes)
        found: dict[str, int] = {}
        for label, count in strange:
            found[label] = found.get(label, 0) + count
        return found

    def remarks(self) -> list[str]:
        merged = self.state.get("merged")
        what = "spellings differ only in blanks or invisible characters from a label, and are read as it"
        return [f"{merged:,} {what}"] if merged else []

    def hopeless(self) -> tuple[str, str] | None:
        if not self.labels:
            return "every cell of the target is missing", ""
        if len(self.labels) == 1:
            return f"only class {self.labels[0]!r} occurs: there is nothing to tell apart", ""
        if len(self.labels) > MOST_CLASSES:
            return f"{len(self.labels):,} different labels", f"outputs.{self.name}=number, or text"
        if self.options.threshold != "auto" and len(self.labels) != 2:
            return (
                f"a threshold is for two labels, and it has {len(self.labels)}",
                f"outputs.{self.name}.threshold=auto",
            )
        return None

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        """Log loss."""
        p = np.asarray(prediction["probabilities"], np.float64)
        return -np.log(np.clip(p[np.arange(len(wanted)), wanted], 1e-9, 1))

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        if self.rare and len(wanted):  # accuracy stands still there, and orders of a few positives are mostly luck
            known = self.counts[self.positive] / sum(self.counts)
            share = np.where(np.arange(2) == self.positive, known, 1 - known)
            return "pseudo_r2", float(1 - self.losses(prediction, wanted).mean() / -np.log(share[wanted]).mean())
        return "accuracy", float((prediction["probabilities"].argmax(1) == wanted).mean()) if len(wanted) else 0.0

    def settle(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Any]:
        positives = self.counts[self.positive] if self.labels else 0
        if self.options.threshold != "auto" or not self.rare or positives < FEWEST_POSITIVES or not len(wanted):
            return {}
        p, flags = np.asarray(prediction["probabilities"], np.float64)[:, self.positive], wanted == self.positive
        few = flags.sum() < FEWEST_POSITIVES
        cut = float(np.quantile(p, 1 - positives / sum(self.counts))) if few else steady_threshold(p, flags)
        cut = round(float(np.clip(cut, 1e-6, 1 - 1e-6)), 6)
        # probabilities that tell nothing are best served, by F1, with yes to all: that is no decision
        return {"threshold": cut} if (p >= cut).mean() <= MOST_SAID else {}

    def keep(self, settings: dict[str, Any]) -> None:
        if settings:
            self.state["threshold"] = settings["threshold"]

    def agreed(self, settings: list[dict[str, Any]]) -> dict[str, Any]:
        known = [s["threshold"] for s in settings if s]
        return {"threshold": round(float(np.mean(known)), 6)} if known else {}

    def settled(self, prediction: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, np.ndarray]:
        if not settings:
            return prediction
        return {**prediction, "said": self._said(prediction, settings["threshold"])}

    def _said(self, prediction: dict[str, np.ndarray], cut: float | None) -> np.ndarray:
        p = np.asarray(prediction["probabilities"])
        if cut is None or not len(p):
            return p.argmax(1)
        return np.where(p[:, self.positive] >= cut, self.positive, 1 - self.positive)

    def said(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(N,) codes of the labels that a prediction says."""
        return np.asarray(prediction["said"]) if "said" in prediction else self._said(prediction, self.cut)

    def decision(self) -> str:
        cut = self.cut
        if cut is None:
            return ""
        why = "chosen on the validation rows" if self.options.threshold == "auto" else "as the spec says"
        return f"{self.name}: {self.labels[self.positive]!r} is said from a probability of {cut:.3g} on ({why})"

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.labels, prediction["probabilities"].T))

    def schema(self) -> dict[str, Any]:
        return {"enum": self.labels} if len(self.labels) <= MOST_LISTED else {"type": "string"}

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        labels = self.labels or [""]
        return pa.array([labels[i] for i in draw.integers(0, len(labels), rows)], pa.string())

    def predictions(self) -> dict[str, Dims]:
        return {"probabilities": Dims(f"B {len(self.labels)}", "float32", low=0, high=1)}

    def aligned(self, prediction: dict[str, np.ndarray], fitted: Any) -> dict[str, np.ndarray]:
        if fitted.labels == self.labels:
            return prediction
        found = prediction["probabilities"]
        out = np.zeros((len(found), len(self.labels)), found.dtype)
        for there, label in enumerate(fitted.labels):
            out[:, self._codes[label]] = found[:, there]
        if "said" in prediction:
            mine = np.array([self._codes[label] for label in fitted.labels])
            return {**prediction, "probabilities": out, "said": mine[np.asarray(prediction["said"], np.int64)]}
        return {**prediction, "probabilities": out}

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return [self.labels[i] for i in self.said(prediction)]

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return self.encode(cells).tensors["codes"].astype(np.float32)[:, None]

    def entry(self) -> Entry:
        return Entry("choice", choices=sorted(self.labels))

    def describe(self) -> str:
        shown = ", ".join(self.labels[:6]) + (", ..." if len(self.labels) > 6 else "")
        return f"category, {len(self.labels)} labels: {shown}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        return CategoryReader, {
            "labels": self.labels,
            "missing": sorted({normal(m, self.options.normalise) for m in self.options.missing} | {""}),
            "form": self.options.normalise,
        }
