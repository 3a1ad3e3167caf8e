"""Measurements over time in one cell: one or more channels, as many steps as there are.

Cells are lists of numbers (one channel), lists of steps that are lists (several), or such as text: "0.1 0.2 0.3", "1 2; 3 4",
"[[1, 2], [3, 4]]".
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.listed import Moments, divisors, first, nested, written
from dapeng.columns.number import MISSING, gone
from dapeng.columns.series_reader import SeriesReader
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, EncoderOptions

FEW_STEPS = 8
"""Numbers in a text from which on, in the median, it is taken for a series."""
MOST_CHANNELS = 16
"""Numbers of channels that are counted, to find the commonest."""
MOST_STEPS = 10_000
"""Of a series, where nothing is said."""
SUMMED = ("mean", "deviation", "least", "largest", "first", "last", "slope")


@kinds.columns
class Series(ColumnOptions):
    """One or more channels over time, in one cell."""

    type: Literal["series"] = "series"
    read_only: ClassVar[bool] = True
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("series", auto=True)] = None
    """How it is read. auto: a GRU."""
    channels: int | Literal["auto"] = Field("auto", ge=1, le=100_000)
    """Numbers of a step. auto: as many as most training cells have."""
    max_length: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Steps that are looked at, the last ones of longer series. auto: all that the longest in training has, at most 10,000."""
    scale: Literal["standard", "each", "none"] = "standard"
    """Every channel to mean 0 and deviation 1 over all training cells, over each cell by itself, or as they are."""
    missing: list[str] = Field(default_factory=list)
    """Cells, and measurements, that mean that there is no value, beside empty ones, NA, n/a, null and the like."""

    @classmethod
    def examples(cls) -> list[Any]:
        first = ["0.1 0.2; 0.3 0.4", "[[1, 2.5], [-3, 1], [0, 0]]", "", "1e-2,7", "(4 5); (6 7)", "0 0 | 1 nan | 2 3"]
        return [*[f.replace("1e-2,7", "1e-2,7;0,1") for f in first], "[[0.5,0.25]]", "-1 -2;-3 1", "3 1;2 2", "9 8;7 6"]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are series: lists of lists, or lists of numbers that are not all of one length."""
        as_text = written(cells)
        if as_target or not (nested(cells.type) or as_text):
            return 0.0, ""
        shapes = [f.shape for f in first(cells, SeriesReader(0, [], [], False, 0, MISSING).steps)]
        if len(shapes) < 2 or len({c for _, c in shapes}) > 1:
            return 0.0, ""
        lengths, channels = [t for t, _ in shapes], shapes[0][1]
        if channels == 1 and (min(lengths) == max(lengths) or (as_text and np.median(lengths) < FEW_STEPS)):
            return 0.0, ""
        told = f"{min(lengths):,} to {max(lengths):,} steps"
        return 0.86, f"{told} of {channels:,} numbers" if channels > 1 else f"lists of {told}"

    def summary(self, target: bool) -> SeriesSummary:
        return SeriesSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> SeriesColumn:
        return SeriesColumn(name, self, state, target)

    @property
    def gone(self) -> list[str]:
        """What stands for no value, in lower case."""
        return gone(self.missing)


def read(cells: Cells, reader: SeriesReader) -> tuple[list[np.ndarray | None], Bad]:
    """Each cell's steps (T, C), None where there is no value, and what could not be read."""
    array = one_array(cells)
    rows: list[np.ndarray | None] = []
    bad = Bad()
    for row, value in enumerate(array.to_pylist() if pa.types.is_nested(array.type) else strings(array).to_pylist()):
        try:
            rows.append(reader.steps(value))
        except ValueError as error:
            bad.add(row, str(error))
            rows.append(None)
    return rows, bad


class SeriesSummary(Summary):
    """For each of at most 16 numbers of channels: moments of every channel, and how many cells have which length."""

    def __init__(self, options: Series):
        self.options = options
        self.reader = SeriesReader(0, [], [], False, 0, options.gone)
        self.moments: dict[int, Moments] = {}
        self.lengths: dict[int, Counter[int]] = {}
        self.missing, self.strange = 0, 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        rows, bad = read(cells, self.reader)
        self.strange += len(bad.rows)
        self.missing += sum(r is None for r in rows) - len(bad.rows)
        for channels in sorted({r.shape[1] for r in rows if r is not None}):
            mine = [r for r in rows if r is not None and r.shape[1] == channels]
            self._merge(channels, Moments.of(np.concatenate(mine)), Counter(len(r) for r in mine))

    def _merge(self, channels: int, other: Moments, lengths: Counter[int]) -> None:
        if channels not in self.moments:
            if len(self.moments) >= MOST_CHANNELS:
                self.strange += lengths.total()
                return
            self.moments[channels] = Moments.none(channels)
            self.lengths[channels] = Counter()
        self.moments[channels] = self.moments[channels].merged(other)
        self.lengths[channels].update(lengths)

    def merge(self, other: SeriesSummary) -> None:
        for channels in sorted(other.moments):
            self._merge(channels, other.moments[channels], other.lengths[channels])
        self.missing += other.missing
        self.strange += other.strange

    def result(self) -> dict[str, Any]:
        asked, most = self.options.channels, self.options.max_length
        cells = {n: c.total() for n, c in self.lengths.items()}
        channels = asked if asked != "auto" else max(cells, key=lambda n: (cells[n], n), default=1)
        moments = self.moments.get(channels) or Moments.none(channels)
        lengths = sorted(self.lengths.get(channels, Counter()).elements())
        longest = lengths[-1] if lengths else 1
        limit = most if most != "auto" else min(longest, MOST_STEPS)
        plain = self.options.scale == "none"
        std = divisors(moments.deviation, moments.mean)
        return {
            "channels": channels,
            "count": cells.get(channels, 0),
            "otherwise": self.strange + sum(n for c, n in cells.items() if c != channels),
            "missing": self.missing,
            "mean": [0.0] * channels if plain else moments.mean.tolist(),
            "std": [1.0] * channels if plain else std.tolist(),
            "median": lengths[len(lengths) // 2] if lengths else 1,
            "longest": longest,
            "cut": sum(n > limit for n in lengths),
            "max_length": limit,
        }


class SeriesColumn(Column):
    """values (B, T, C) float32: standardised; what is missing within is as it was before."""

    options: Series
    ragged: ClassVar[bool] = True

    def __init__(self, name: str, options: Series, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.channels: int = state["channels"]
        self.max_length: int = state["max_length"]
        self._reader = SeriesReader(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        s = self.state
        each = self.options.scale == "each"
        fixed = {"channels": s["channels"], "mean": s["mean"], "std": s["std"]}
        return {**fixed, "each": each, "longest": s["max_length"], "missing": self.options.gone}

    @property
    def places(self) -> float:
        return float(max(min(self.state["median"], self.max_length), 1))

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "gru", "reads one step after the other"

    def layout(self) -> dict[str, Dims]:
        return {"values": Dims(f"B T {self.channels}", "float32"), "mask": Dims("B T", "bool")}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, bad = read(cells, self._reader)
        nothing = np.zeros((0, self.channels), np.float32)
        found = [nothing if r is None else self._reader.scaled(self._reader.kept(r)) for r in rows]
        values = np.concatenate(found) if found else nothing
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        present = np.array([r is not None for r in rows], bool)
        return Encoded({"values": values}, None if present.all() else present, lengths, bad)

    def remarks(self) -> list[str]:
        other, cut, most = self.state["otherwise"], self.state["cut"], self.max_length
        strange = f"{other:,} cells are not steps of {self.channels:,} numbers, and can't be read"
        long = f"{cut:,} series have more than {most:,} steps: the last {most:,} are looked at"
        return ([strange] if other else []) + ([long] if cut else [])

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        rows, _ = read(cells, self._reader)
        nothing = [np.nan] * (len(SUMMED) * self.channels + 1)
        found = [nothing if r is None else self._reader.summed(self._reader.kept(r)) for r in rows]
        return np.array(found, np.float64).reshape(len(rows), len(nothing)).astype(np.float32)

    def matrix_names(self) -> list[str]:
        every = range(self.channels)
        return [f"{self.name} {c} {what}" for c in every for what in SUMMED] + [f"{self.name} steps"]

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        length = max(1, min(self.state["median"], self.max_length))
        x = draw.standard_normal((rows, length, self.channels)) * np.array(self.state["std"]) + self.state["mean"]
        return pa.array(x.tolist())

    def entry(self) -> Entry:
        return Entry("steps", "\n".join([" ".join(f"{v:.4g}" for v in self.state["mean"])] * 3))

    @property
    def expected(self) -> str:
        return "a list of numbers" if self.channels == 1 else f"a list of steps of {self.channels:,} numbers"

    def posted(self, value: Any) -> Any:
        if isinstance(value, (dict, bool)):
            raise ValueError("an object" if isinstance(value, dict) else "true or false")
        found = self._reader.steps(value)
        return None if found is None else found.tolist()

    def describe(self) -> str:
        channels = "one channel" if self.channels == 1 else f"{self.channels:,} channels"
        return f"series of {channels}, {self.state['median']:,} steps in the median, at most {self.max_length:,}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        return SeriesReader, self._arguments()
