"""Fixed-length numbers in one cell: an embedding from elsewhere, a spectrum, the pixels of a small picture.

Cells are texts ("0.1 0.2 0.3", "[0.1, 0.2]"), or lists as Arrow, JSON and NumPy hold them. The length is that of most training
cells; a cell of another length is bad.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field

from dapeng.columns.base import Answers, Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.listed import Moments, divisors, first, nested, written
from dapeng.columns.number import MISSING, gone
from dapeng.columns.vector_reader import VectorReader
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, LossOptions
from dapeng.core.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

pc: Any = pyarrow.compute  # its functions are made at run time, where no type checker sees them
MOST_LENGTHS = 16
BETWEEN = r"[\[\](){},;|\s]+"
"""What stands around and between the numbers of a text."""


@kinds.columns
class Vector(ColumnOptions):
    """Fixed-length numbers; as an output the task is regression of all of them."""

    type: Literal["vector"] = "vector"
    tabular: ClassVar[bool] = True
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("vector", auto=True)] = None
    """How it is read. auto: one linear layer."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("vector", default="vector")] = DEFAULT
    """How it is produced."""
    loss: Annotated[LossOptions, kinds.losses.choice("vector", default="mse")] = DEFAULT
    """What training minimises."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    size: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Numbers of a cell. auto: as many as most training cells have."""
    scale: Literal["standard", "whole", "none"] = "standard"
    """Each number to mean 0 and deviation 1, all of them by one mean and deviation, or as they are."""
    missing: list[str] = Field(default_factory=list)
    """Cells that mean that there is no value, beside empty ones, NA, n/a, null and the like."""

    @classmethod
    def examples(cls) -> list[Any]:
        first = ["0.1 0.2 0.3", "[1, 2.5, -3]", "", "1e-2;0;7", "(4 5 6)", "0 0 1"]
        return [*first, "[0.5,0.25,0.125]", "-1 -2 -3", "3 1 2", "9 8 7"]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are vectors: lists of equally many numbers, at least two."""
        inner = cells.type.value_type if nested(cells.type) else None
        numbers = inner is not None and (pa.types.is_floating(inner) or pa.types.is_integer(inner))
        if not (numbers if inner is not None else written(cells)):
            return 0.0, ""
        lengths = list(map(len, first(cells, VectorReader(0, 0, 1, MISSING).numbers)))
        if len(lengths) < 2 or min(lengths) != max(lengths) or lengths[0] < 2:
            return 0.0, ""
        return 0.85, f"lists of {lengths[0]:,} numbers"

    def summary(self, target: bool) -> VectorSummary:
        return VectorSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> VectorColumn:
        return VectorColumn(name, self, state, target)

    def plain_reader(self, size: int, mean: list[float] | float = 0.0, std: list[float] | float = 1.0) -> VectorReader:
        return VectorReader(size, mean, std, gone(self.missing))


def read(cells: Cells, reader: VectorReader) -> tuple[list[np.ndarray | None], Bad]:
    """Each cell's numbers, None where there is no value, and what could not be read; of any length if the size is 0."""
    array = one_array(cells)
    rows: list[np.ndarray | None] = []
    bad = Bad()
    values = array.to_pylist() if pa.types.is_nested(array.type) else strings(array).to_pylist()
    for row, value in enumerate(values):
        try:
            found = reader.numbers(value)
        except ValueError as error:
            bad.add(row, str(error))
            found = None
        rows.append(None if found is None else np.array(found))
    return rows, bad


def quickly(cells: Cells, size: int) -> np.ndarray | None:
    """(N, size) of cells that all are there, finite and of the size; None where one may be anything else."""
    array = one_array(cells)
    if array.null_count or not len(array) or not size:
        return None
    if pa.types.is_string(array.type):
        array = pc.split_pattern_regex(pc.utf8_trim(array, "[](){},;| \t\r\n"), BETWEEN)
    if not pa.types.is_nested(array.type) or pa.types.is_struct(array.type):
        return None
    if not pa.types.is_fixed_size_list(array.type):
        lengths = pc.list_value_length(array)
        if pc.min(lengths).as_py() != size or pc.max(lengths).as_py() != size:
            return None
    elif array.type.list_size != size:
        return None
    try:
        flat = array.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return flat.reshape(-1, size) if flat.size == len(array) * size and np.isfinite(flat).all() else None


class VectorSummary(Summary):
    """For each of at most 16 lengths: how many cells, and moments of every element."""

    def __init__(self, options: Vector):
        self.options = options
        self.reader = options.plain_reader(0)
        self.moments: dict[int, Moments] = {}
        self.missing, self.strange = 0, 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        asked = self.options.size
        known = [asked] if asked != "auto" else sorted(self.moments, key=lambda n: -self._cells(n))[:1]
        whole = quickly(cells, known[0] if known else self._first(cells))
        if whole is not None:
            self._count(whole)
            return
        rows, bad = read(cells, self.reader)
        self.strange += len(bad.rows)
        self.missing += sum(r is None for r in rows) - len(bad.rows)
        for length in sorted({len(r) for r in rows if r is not None}):
            self._count(np.stack([r for r in rows if r is not None and len(r) == length]))

    def _first(self, cells: Cells) -> int:
        rows, _ = read(cells[:1], self.reader)
        return 0 if not rows or rows[0] is None else len(rows[0])

    def _count(self, x: np.ndarray) -> None:
        self._merge(x.shape[1], Moments.of(x))

    def _cells(self, length: int) -> int:
        return int(self.moments[length].count[0]) if length in self.moments else 0

    def _merge(self, length: int, other: Moments) -> None:
        if length not in self.moments and len(self.moments) >= MOST_LENGTHS:
            self.strange += int(other.count[0])
            return
        self.moments[length] = self.moments.get(length, Moments.none(length)).merged(other)

    def merge(self, other: VectorSummary) -> None:
        for length in sorted(other.moments):
            self._merge(length, other.moments[length])
        self.missing += other.missing
        self.strange += other.strange

    def result(self) -> dict[str, Any]:
        asked = self.options.size
        size = asked if asked != "auto" else max(self.moments, key=lambda n: (self._cells(n), n), default=1)
        moments = self.moments.get(size, Moments.none(size))
        mean = centre = moments.mean
        spread = moments.deviation
        if self.options.scale == "whole":
            centre = np.full(size, mean.mean())
            spread = np.full(size, np.sqrt((spread**2 + (mean - mean.mean()) ** 2).mean()))
        if self.options.scale == "none":
            centre, spread = np.zeros(size), np.ones(size)
        return {
            "size": size,
            "count": self._cells(size),
            "otherwise": self.strange + sum(self._cells(n) for n in self.moments if n != size),
            "missing": self.missing,
            "mean": centre.tolist(),
            "std": divisors(spread, centre).tolist(),
        }


def _is_number(value: Any) -> bool:
    """Whether a member of a JSON list is a number, as such or as text."""
    try:
        return not isinstance(value, bool) and float(value) == float(value)
    except (TypeError, ValueError):
        return False


class VectorColumn(Column):
    """values (B, D): standardised, 0 where there is none."""

    answers: ClassVar[Answers] = "numbers"
    options: Vector

    def __init__(self, name: str, options: Vector, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.size: int = state["size"]
        self._reader = options.plain_reader(self.size, state["mean"], state["std"])

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "project", "one linear layer over the numbers"

    def layout(self) -> dict[str, Dims]:
        return {"values": Dims(f"B {self.size}", "float32")}

    def numbers(self, cells: Cells) -> tuple[np.ndarray, Bad]:
        """(N, D) float64 in the user's units, nan where there is none, and what could not be read."""
        whole = quickly(cells, self.size)
        if whole is not None:
            return whole, Bad()
        rows, bad = read(cells, self._reader)
        nothing = np.full(self.size, np.nan)
        return np.array([nothing if r is None else r for r in rows], np.float64).reshape(-1, self.size), bad

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        x, bad = self.numbers(cells)
        present = np.asarray(~np.isnan(x).any(1))
        return Encoded({"values": self._reader.scaled(x)}, None if present.all() else present, bad=bad)

    def remarks(self) -> list[str]:
        other = self.state["otherwise"]
        return [f"{other:,} cells are not lists of {self.size:,} numbers, and can't be read"] if other else []

    def hopeless(self) -> tuple[str, str] | None:
        return None if self.state["count"] else ("no cell of the target is a list of numbers", "")

    def predictions(self) -> dict[str, Dims]:
        return {"mean": Dims(f"B {self.size}", "float32")}

    def to_units(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        x = prediction["mean"]
        return {**prediction, "mean": x * x.new_tensor(self.state["std"]) + x.new_tensor(self.state["mean"])}

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        x = np.asarray(tensors["values"]).astype(np.float64)
        return x * np.array(self.state["std"]) + np.array(self.state["mean"])

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        """Squared error, each element in units of its deviation, so that none rules because of its unit."""
        return (((np.asarray(prediction["mean"], np.float64) - wanted) / np.array(self.state["std"])) ** 2).mean(1)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        if not len(wanted):
            return "r2", 0.0
        error = ((prediction["mean"].astype(np.float64) - wanted) ** 2).sum()
        spread = ((wanted - wanted.mean(0)) ** 2).sum()
        return "r2", float(1 - error / spread) if spread else 0.0

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return [[float(v) for v in row] for row in prediction["mean"]]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "number"}, "minItems": self.size, "maxItems": self.size}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return self.numbers(cells)[0].astype(np.float32)

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {i}" for i in range(self.size)]

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        x = draw.standard_normal((rows, self.size)) * np.array(self.state["std"]) + np.array(self.state["mean"])
        return pa.array(list(x))

    def entry(self) -> Entry:
        return Entry("numbers", " ".join(f"{v:.4g}" for v in self.state["mean"]))

    @property
    def expected(self) -> str:
        return f"{self.size:,} numbers"

    def posted(self, value: Any) -> list[float] | None:
        if isinstance(value, (dict, bool)):
            raise ValueError("an object" if isinstance(value, dict) else "true or false")
        for place, one in enumerate(value if isinstance(value, list) else [], 1):
            if not _is_number(one):
                raise ValueError(f"{'nothing' if one in (None, '') else repr(one)[:40]} in place {place}")
        return self._reader.numbers(value)

    def describe(self) -> str:
        return f"vector of {self.size:,} numbers"

    def reader(self) -> tuple[type, dict[str, Any]]:
        fitted = {"size": self.size, "mean": self.state["mean"], "std": self.state["std"]}
        return VectorReader, {**fitted, "missing": gone(self.options.missing)}
