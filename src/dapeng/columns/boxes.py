"""Boxes with labels in a picture; as an output the task is detection.

A cell is a list of boxes, as JSON or as Arrow's lists and structs have it: {label, x1, y1, x2, y2} or {label, x, y, width, height}, in
pixels of the picture as it is shown (upright), x from the left and y from the top. An empty list says that nothing is there; an empty
cell, that nobody has looked. Boxes are learnt, found and judged in pixels of the picture as it came, whatever size it is read at.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.average_precision import Found, True_, average_precision, matches, overlaps
from dapeng.columns.base import Answers, Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array
from dapeng.columns.category import normal
from dapeng.core import kinds
from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import ColumnOptions, DecoderOptions
from dapeng.core.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

MOST_OUTSIDE = 0.05
"""Share of a box that may lie outside of its picture, and is cut off."""
LEAST_SCORE = 0.05
MOST_IN_A_CELL = 10_000
GUESSED = 50


@kinds.columns
class Boxes(ColumnOptions):
    """Boxes with labels in a picture.

    Example: `outputs: {cells: {type: boxes, of: photo}}`
    """

    type: Literal["boxes"] = "boxes"
    lies_in_picture: ClassVar[bool] = True
    of_labels: ClassVar[bool] = True
    of: str | None = None
    """The picture in which they lie. auto: the only one that is read."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("boxes", default="yolo")] = DEFAULT
    """How they are found."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    labels: list[str] | None = Field(None, min_length=1)
    """Labels that there can be; any other is refused. auto: those of the rows that train."""
    max_boxes: int = Field(100, ge=1, le=10_000)
    """Most boxes that are found in a picture."""
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """Score from which on a box is told. auto: the one with the best F1 on the validation rows."""

    @classmethod
    def examples(cls) -> list[Any]:
        one = {"label": "cat", "x1": 2, "y1": 2, "x2": 6, "y2": 7}
        two = {"label": "犬", "x": 1.5, "y": 0, "width": 4, "height": 3.5}
        cells = [[one], [one, two], [], [two], None, [one, one, two], [two, two], [one], [], [two, one]]
        return ["" if c is None else json.dumps(c, ensure_ascii=False) for c in cells]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are boxes: lists of objects with a label and corners, or an empty list."""
        found = [v for v in one_array(cells)[:GUESSED].to_pylist() if v is not None and v != ""]
        try:
            boxes = [boxes_of(v) for v in found]
        except ValueError:
            return 0.0, ""
        every = sum(len(b[1]) for b in boxes if b is not None)
        return (0.95, f"lists of boxes, {every / len(boxes):.3g} a cell") if every else (0.0, "")

    def summary(self, target: bool) -> BoxesSummary:
        return BoxesSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> BoxesColumn:
        return BoxesColumn(name, self, state, target)


def boxes_of(value: Any) -> tuple[np.ndarray, list[str]] | None:
    """(N, 4) x1, y1, x2, y2 float64 and N labels; None where there is no value. Raises ValueError that says what is wrong."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("not a list of boxes in JSON") from None
    if not isinstance(value, list) or not all(isinstance(b, dict) for b in value):
        raise ValueError("not a list of boxes {label, x1, y1, x2, y2}")
    if len(value) > MOST_IN_A_CELL:
        raise ValueError(f"{len(value):,} boxes are over the cap of {MOST_IN_A_CELL:,}")
    labels = [normal(str(b.get("label", ""))) for b in value]
    if "" in labels:
        raise ValueError(f"box {labels.index('') + 1} has no label")
    corners = np.array([_corners(b, n) for n, b in enumerate(value, 1)], np.float64).reshape(-1, 4)
    return corners, labels


def _corners(box: dict[str, Any], number: int) -> list[float]:
    """x1, y1, x2, y2 of a box that has an area."""
    by_size = box.get("x1") is None
    names = ("x", "y", "width", "height") if by_size else ("x1", "y1", "x2", "y2")
    try:
        a, b, c, d = (float(box[n]) for n in names)
    except KeyError as error:
        raise ValueError(f"box {number} has no {error.args[0]}") from None
    except (TypeError, ValueError):
        raise ValueError(f"box {number}: its place is not of numbers") from None
    if by_size:
        c, d = a + c, b + d
    if not np.isfinite([a, b, c, d]).all():
        raise ValueError(f"box {number}: its place is not of finite numbers")
    if c <= a or d <= b:
        raise ValueError(f"box {number} has no area: {c - a:g} wide, {d - b:g} high")
    return [a, b, c, d]


class BoxesSummary(Summary):
    """How often each label occurs, and what could not be read."""

    def __init__(self, options: Boxes):
        self.options = options
        self.counts: Counter[str] = Counter()
        self.missing = self.strange = self.empty = self.cells = self.most = 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        for value in one_array(cells).to_pylist():
            try:
                found = boxes_of(value)
            except ValueError:
                self.strange += 1
                continue
            if found is None:
                self.missing += 1
                continue
            self.cells += 1
            self.empty += not found[1]
            self.most = max(self.most, len(found[1]))
            self.counts.update(found[1])

    def merge(self, other: BoxesSummary) -> None:
        self.counts.update(other.counts)
        self.most = max(self.most, other.most)
        for name in ("missing", "strange", "empty", "cells"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        labels = sorted(self.counts, key=lambda c: (-self.counts[c], c))
        if self.options.labels is not None:
            labels = [normal(label) for label in self.options.labels]
        return {
            "labels": labels,
            "counts": [self.counts[c] for c in labels],
            "cells": self.cells,
            "empty": self.empty,
            "most": self.most,
            "missing": self.missing,
            "unreadable": self.strange,
        }

    def result_in(self, picture: dict[str, Any]) -> dict[str, Any]:
        return {**self.result(), "frame": [picture["height"], picture["width"]]}


class BoxesColumn(Column):
    """boxes (B, N, 4) in pixels of the picture as it came, codes (B, N) of their labels, and the mask of both."""

    answers: ClassVar[Answers] = "boxes"
    options: Boxes

    def __init__(self, name: str, options: Boxes, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.labels: list[str] = state["labels"]
        self.codes = {label: code for code, label in enumerate(self.labels)}
        self.max_boxes = options.max_boxes

    @property
    def frame(self) -> tuple[int, int] | None:
        """Height and width at which the picture is read; None where that is not known."""
        found = self.state.get("frame")
        return (found[0], found[1]) if found else None

    def layout(self) -> dict[str, Dims]:
        return {"boxes": Dims("B N 4", "float32"), "codes": Dims("B N", "int64")}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        every, labels, bad = [], [], Bad()
        values = one_array(cells).to_pylist()
        present = np.ones(len(values), bool)
        for row, value in enumerate(values):
            try:
                found = boxes_of(value)
                codes = [self._code(label) for label in found[1]] if found is not None else []
            except DataError:
                raise
            except ValueError as error:
                bad.add(row, str(error))
                found, codes = None, []
            present[row] = found is not None
            every.append(np.empty((0, 4)) if found is None else found[0])
            labels.append(np.array(codes, np.int64))
        tensors = {
            "boxes": np.concatenate([np.empty((0, 4)), *every]).astype(np.float32),
            "codes": np.concatenate([np.empty(0, np.int64), *labels]),
        }
        lengths = np.array([len(c) for c in labels], np.int64)
        return Encoded(tensors, None if present.all() else present, lengths, bad)

    def _code(self, label: str) -> int:
        if label in self.codes:
            return self.codes[label]
        if self.options.labels is not None:
            hint = f"mend it, or add it to outputs.{self.name}.labels"
            raise DataError(Problem(self.name, f"the label {label!r} is none of {', '.join(self.labels[:20])}", hint))
        raise ValueError(f"the label {label!r} is in no row that trains")

    def placed(self, encoded: Encoded, picture: Encoded) -> Encoded:
        """Boxes cut at the border of their pictures; rows with one that lies further out are bad."""
        if picture.extents is None or encoded.lengths is None:
            return encoded
        there = np.ones(len(encoded.lengths), bool) if picture.present is None else picture.present
        row = np.repeat(np.arange(len(encoded.lengths)), encoded.lengths)
        boxes = encoded.tensors["boxes"]
        inside = np.clip(boxes, 0, np.tile(picture.extents[row], 2)).astype(np.float32)
        kept, whole = ((b[:, 2:] - b[:, :2]).prod(1) for b in (inside, boxes))
        out = (kept < (1 - MOST_OUTSIDE) * whole) & there[row]
        for at in dict.fromkeys(row[out].tolist()):
            box = boxes[np.flatnonzero(out & (row == at))[0]]
            wide, high = picture.extents[at]
            corners = ", ".join(f"{v:g}" for v in box)
            encoded.bad.add(at, f"a box ({corners}) lies outside of its picture of {wide:g} x {high:g} pixels")
        present = np.ones(len(there), bool) if encoded.present is None else encoded.present.copy()
        present[encoded.bad.rows] = False
        boxes = np.where(there[row][:, None], inside, boxes)
        tensors = {**encoded.tensors, "boxes": boxes}
        return Encoded(tensors, None if present.all() else present, encoded.lengths, encoded.bad)

    def hopeless(self) -> tuple[str, str] | None:
        return None if sum(self.state["counts"]) else ("no cell of the target holds a box", "")

    def predictions(self) -> dict[str, Dims]:
        n = self.max_boxes
        return {
            "boxes": Dims(f"B {n} 4", "float32"),
            "scores": Dims(f"B {n}", "float32"),
            "codes": Dims(f"B {n}", "int64"),
        }

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        """(B,) the sum of the scores: about how many boxes there are."""
        return prediction["scores"].sum(1)

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """(rows,) of flat arrays: code, x1, y1, x2, y2 of each box."""
        out = np.empty(len(tensors["codes"]), object)
        for row, (codes, boxes) in enumerate(zip(tensors["codes"], tensors["boxes"])):
            out[row] = np.concatenate([codes[:, None], boxes], 1).astype(np.float64).ravel()
        return out

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        """Share of boxes that one of the two lacks, row by row, at the score that is told."""
        return np.array([_unlike(f, t, self.cut) for f, t in zip(found_in(prediction), true_in(wanted))])

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        return "ap50", average_precision(found_in(prediction), true_in(wanted), len(self.labels), (0.5,))

    @property
    def cut(self) -> float:  # type: ignore[override]
        """Score from which on a box is told."""
        asked = self.options.threshold
        return float(self.state.get("threshold", 0.3)) if asked == "auto" else asked

    def aligned(self, prediction: dict[str, np.ndarray], fitted: Any) -> dict[str, np.ndarray]:
        places = np.array([self.codes.get(label, -1) for label in fitted.labels], np.int64)
        codes = places[np.asarray(prediction["codes"]).round().astype(np.int64)]
        scores = np.where(codes >= 0, prediction["scores"], 0).astype(np.float32)
        order = np.argsort(-scores, 1, kind="stable")  # boxes of labels that are not known here go to the end
        boxes = np.take_along_axis(np.asarray(prediction["boxes"]).reshape(*scores.shape, 4), order[..., None], 1)
        scores, codes = (np.take_along_axis(x, order, 1) for x in (scores, np.maximum(codes, 0)))
        return {"boxes": boxes, "scores": scores, "codes": codes}

    def settle(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Any]:
        if self.options.threshold != "auto":
            return {}
        best = best_cut(found_in(prediction), true_in(wanted))
        return {} if best is None else {"threshold": best}

    def keep(self, settings: dict[str, Any]) -> None:
        self.state.update(settings)

    def agreed(self, settings: list[dict[str, Any]]) -> dict[str, Any]:
        known = [s["threshold"] for s in settings if "threshold" in s]
        return {"threshold": float(np.median(known))} if known else {}

    def decision(self) -> str:
        found = self.options.threshold == "auto" and "threshold" in self.state
        how = ", which has the best F1 on the validation rows" if found else ""
        return f"{self.name}: boxes are told from a score of {self.cut:.2f} on{how}."

    def decode(self, prediction: dict[str, np.ndarray]) -> list[list[dict[str, Any]]]:
        """Of each row the boxes, the surest first: label, score, x1, y1, x2, y2 in pixels of the picture as it came."""
        return [self._told(*row) for row in found_in(prediction)]

    def _told(self, boxes: np.ndarray, scores: np.ndarray, codes: np.ndarray) -> list[dict[str, Any]]:
        told = np.flatnonzero(scores >= self.cut)
        return [
            {
                "label": self.labels[codes[i]],
                "score": round(float(scores[i]), 4),
                **{k: round(float(v), 2) for k, v in zip(("x1", "y1", "x2", "y2"), boxes[i])},
            }
            for i in told
        ]

    def in_brief(self, value: Any) -> str:
        counts = Counter(box["label"] for box in value)
        return ", ".join(f"{counts[c]} {c}" for c in self.labels if counts[c]) or "nothing"

    def apart(self, found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
        """How far each box is from its partner; of scores that are all but equal, rounding decides which comes first.

        Boxes without a partner count by their share of all scores: where two overlap just so, rounding decides which stay.
        """
        worst, alone, every = 0.0, 0.0, 0.0
        for one, other in zip(found_in(found), found_in(wanted)):
            for (boxes, scores, codes), (others, their_scores, their_codes) in ((one, other), (other, one)):
                every += float(scores.sum())
                if not len(scores):
                    continue
                far = np.abs(boxes[:, None] - others[None]) / np.maximum(1.0, np.abs(others[None]))
                far = np.maximum(far.max(2, initial=0.0), np.abs(scores[:, None] - their_scores[None]))
                far = np.where(codes[:, None] == their_codes[None], far, np.inf).min(1, initial=np.inf)
                partner = far < 1e-2
                worst = max(worst, float(far[partner].max(initial=0.0)))
                alone += float(scores[~partner].sum())
        return max(worst, alone / every if every else 0.0)

    @property
    def joint(self) -> str:
        return "json"

    def schema(self) -> dict[str, Any]:
        places = {k: {"type": "number"} for k in ("score", "x1", "y1", "x2", "y2")}
        box = {"type": "object", "properties": {"label": {"enum": list(self.labels)}, **places}}
        return {"type": "array", "items": box}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, A) boxes of each label; nan where there is no value."""
        found = self.encode(cells, base)
        assert found.lengths is not None
        row = np.repeat(np.arange(len(found.lengths)), found.lengths)
        out = np.zeros((len(found.lengths), len(self.labels)), np.float32)
        np.add.at(out, (row, found.tensors["codes"]), 1)
        if found.present is not None:
            out[~found.present] = np.nan
        return out

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {label}" for label in self.labels]

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        return pa.array(["[]"] * rows)

    def entry(self) -> Entry:
        return Entry("lines", "[]")

    def remarks(self) -> list[str]:
        most = self.state["most"]
        return [f"a picture has {most:,} boxes, more than max_boxes={self.max_boxes}"] if most > self.max_boxes else []

    def describe(self) -> str:
        every = ", ".join(f"{n:,} {c}" for c, n in list(zip(self.labels, self.state["counts"]))[:6])
        more = f" and {len(self.labels) - 6} labels more" if len(self.labels) > 6 else ""
        return f"boxes of {self.of}: {every}{more}" if self.of else f"boxes: {every}{more}"


def found_in(prediction: dict[str, np.ndarray]) -> list[Found]:
    """Boxes, scores and codes that were found in each row, the surest first; those with no score are none."""
    scores = np.asarray(prediction["scores"], np.float64)
    boxes = np.asarray(prediction["boxes"], np.float64).reshape(*scores.shape, 4)
    codes = np.asarray(prediction["codes"]).round().astype(np.int64)
    return [(b[s > 0], s[s > 0], c[s > 0]) for b, s, c in zip(boxes, scores, codes)]


def true_in(wanted: np.ndarray) -> list[True_]:
    """True boxes and their codes, of rows as `BoxesColumn.truth` tells them."""
    each = [np.asarray(flat, np.float64).reshape(-1, 5) for flat in wanted]
    return [(rows[:, 1:], rows[:, 0].astype(np.int64)) for rows in each]


def right_ones(found: Found, true: True_, level: float = 0.5) -> np.ndarray:
    """(D,) whether each found box is one of the true ones, which no surer one has taken."""
    boxes, scores, codes = found
    right = np.zeros(len(scores), bool)
    for code in np.unique(codes):
        mine = np.flatnonzero(codes == code)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        yours = true[0][true[1] == code]
        right[mine] = matches(overlaps(boxes[mine], yours), np.zeros(len(yours), bool), (level,))[0] >= 0
    return right


def best_cut(found: list[Found], true: list[True_]) -> float | None:
    """The score from which on boxes have the best F1, to two decimals; None where there is no true box, or none was found."""
    every = sum(len(t[1]) for t in true)
    if not every:
        return None
    scores = np.concatenate([f[1] for f in found]) if found else np.empty(0)
    right = np.concatenate([right_ones(f, t) for f, t in zip(found, true)]) if found else np.empty(0, bool)
    cuts = np.round(np.arange(LEAST_SCORE, 0.96, 0.01), 2)
    said = np.array([(scores >= c).sum() for c in cuts])
    hits = np.array([right[scores >= c].sum() for c in cuts])
    if not hits.any():
        return None
    f1 = 2 * hits / (said + every)
    best = np.flatnonzero(f1 >= f1.max() - 1e-9)
    return float(cuts[best[len(best) // 2]])  # the middle of those that do as well


def _unlike(found: Found, true: True_, cut: float) -> float:
    """1 - F1 of one row; 0 where there is nothing and nothing is said."""
    told = found[1] >= cut
    hits = right_ones((found[0][told], found[1][told], found[2][told]), true).sum()
    every = told.sum() + len(true[1])
    return 1 - 2 * float(hits) / float(every) if every else 0.0
