"""Which of two inputs belong together: a picture and its caption, a question and its page. Rows with equal cells match.

As an output the task is retrieval: each input becomes a vector, and those of a pair lie close. What is predicted are both vectors; how
well other rows' are told from the right ones, a set of rows says.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Answers, Cells, Column, Dims, Encoded, Summary, strings
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions
from dapeng.core.registry import DEFAULT


@kinds.columns
class Match(ColumnOptions):
    """What names a pair of inputs: a number, a name. Rows with the same one belong together, others don't.

    Example: `outputs: {stamp: {type: match, embed_dim: 64}}`
    """

    type: Literal["match"] = "match"
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("match", default="contrastive")] = DEFAULT
    """How it is produced."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    embed_dim: int = Field(64, ge=1, le=65_536)
    """Length of the vectors."""

    @classmethod
    def examples(cls) -> list[Any]:
        return ["a", "b", "c", None, "d", "e", "f", "a", "g", "h"]

    def summary(self, target: bool) -> MatchSummary:
        return MatchSummary()

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> MatchColumn:
        return MatchColumn(name, self, state, target)


class MatchSummary(Summary):
    """How many cells there are."""

    def __init__(self) -> None:
        self.rows, self.missing = 0, 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        self.rows += len(cells)
        self.missing += cells.null_count

    def merge(self, other: MatchSummary) -> None:
        self.rows, self.missing = self.rows + other.rows, self.missing + other.missing

    def result(self) -> dict[str, Any]:
        return {"rows": self.rows, "missing": self.missing}


class MatchColumn(Column):
    """keys (B,) int64: equal where cells are. A prediction is two vectors of length 1 for a row, first and second (B, D)."""

    answers: ClassVar[Answers] = "number"
    options: Match

    def layout(self) -> dict[str, Dims]:
        return {"keys": Dims("B", "int64")}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows = strings(cells).to_pylist()
        keys = np.fromiter((0 if c is None else key_of(c) for c in rows), np.int64, len(rows))
        present = np.array([c is not None for c in rows], bool)
        return Encoded({"keys": keys}, None if present.all() else present)

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """(B,) names of pairs, as texts: they are no codes of classes."""
        return np.asarray(tensors["keys"]).astype(str)

    def predictions(self) -> dict[str, Dims]:
        both = Dims(f"B {self.options.embed_dim}", "float32")
        return {"first": both, "second": both}

    def amount(self, prediction: dict[str, Any]) -> Any:
        """(B,) how close the two inputs of a row are, from -1 to 1."""
        return (prediction["first"] * prediction["second"]).sum(1)

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        return np.log1p(places(prediction["first"], prediction["second"], wanted))

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        ranks = places(prediction["first"], prediction["second"], wanted)
        return "mean reciprocal rank", float((1 / (1 + ranks)).mean()) if len(ranks) else 0.0

    def decode(self, prediction: dict[str, np.ndarray]) -> list[float]:
        """How close the two inputs of each row are, from -1 to 1."""
        return [float(v) for v in self.amount(prediction)]

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return np.zeros((len(cells), 0), np.float32)

    def matrix_names(self) -> list[str]:
        return []

    def describe(self) -> str:
        return f"pairs that match, {self.state['rows'] - self.state['missing']:,} rows"


def key_of(cell: str) -> int:
    """A number for a name."""
    return int.from_bytes(hashlib.sha256(cell.encode()).digest()[:8], "big", signed=True)


def places(first: np.ndarray, second: np.ndarray, keys: np.ndarray, at_once: int = 1 << 24) -> np.ndarray:
    """(N,) how many vectors of `second` that don't match lie closer to each of `first` than the closest that does; ties count half."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    keys = np.unique(np.asarray(keys), return_inverse=True)[1]
    found = np.zeros(len(first))
    block = max(1, at_once // max(len(second), 1))
    for start in range(0, len(first), block):
        like = first[start : start + block] @ second.T
        match = keys[start : start + block, None] == keys[None]
        best = np.where(match, like, -np.inf).max(1, keepdims=True)
        found[start : start + block] = ((like > best) & ~match).sum(1) + 0.5 * ((like == best) & ~match).sum(1)
    return found
