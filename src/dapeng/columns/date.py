"""A point in time, as calendars write it: which day, which weekday, which hour; as an input read by calendar features.

The way in which most training cells are written is found by fitting; cells that are written otherwise are bad, never guessed.
Times are wall-clock times as written: an offset from UTC is read and set aside, so that hours that a change to summer time
skips or repeats are hours like any other. Missing are empty cells, 0000-00-00 and the tokens in `missing`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array, strings
from dapeng.columns.calendar import PARTS, DateReader, parts_of
from dapeng.columns.number import Number, NumberSummary, gone
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, EncoderOptions

pc: Any = pyarrow.compute  # its functions are made at run time, where no type checker sees them
ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$"
BEGAN = datetime(1970, 1, 1)
GUESSED = 1_000
"""Cells that are looked at to guess whether a column holds dates."""
WRITTEN = {
    "ymd": "year-month-day",
    "dmy": "day/month/year",
    "mdy": "month/day/year",
    "yymd": "year-month-day, years of two digits",
    "named": "the month's name",
    "chinese": "年月日",
    "compact": "YYYYMMDD",
    "ym": "year-month",
    "unix": "Unix time",
}


@kinds.columns
class Date(ColumnOptions):
    """A point in time in any common notation; as an input it is read by calendar features."""

    type: Literal["date"] = "date"
    read_only: ClassVar[bool] = True
    tabular: ClassVar[bool] = True
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("date", auto=True)] = None
    """How it is read. auto: calendar features."""
    order: Literal["auto", "dmy", "mdy", "ymd"] = "auto"
    """Of day, month and year in 3/5/2024. auto: by the cells that can be read in one way alone."""
    unix: Literal["none", "seconds", "milliseconds"] = "none"
    """Cells are numbers that count from 1970-01-01 00:00 UTC on."""
    missing: list[str] = Field(default_factory=list)
    """Cells that mean that there is no date, beside empty ones, 0000-00-00, NA, n/a, null and the like."""

    @classmethod
    def examples(cls) -> list[Any]:
        first = ["2024-03-05", "2024-02-29", "", "1999-12-31 23:59:59", "2024-03-31T02:30:00+01:00"]
        return [*first, "0000-00-00", "2023/7/1 08:15", "2022-01-03", "2024.11.9", "2025-06-30T12:00:00Z"]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are dates: all but 5 % are written in one way."""
        kind = cells.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return (0.0, "") if as_target else (0.95, "dates")
        if as_target or not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return 0.0, ""
        summary = DateSummary(cls())
        there = pc.drop_null(strings(cells))
        summary.add(there.take(pa.array(np.unique(np.linspace(0, len(there) - 1, GUESSED).astype(int)))))
        found = summary.result()
        if found["count"] < max(0.95 * (found["count"] + found["otherwise"]), 3):
            return 0.0, ""
        sure = found["family"] in ("ymd", "dmy", "mdy", "named", "chinese") or found["count"] >= 20
        return (0.9, f"dates, written as {WRITTEN[found['family']]}") if sure else (0.0, "")

    def summary(self, target: bool) -> DateSummary:
        return DateSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> DateColumn:
        return DateColumn(name, self, state, target)

    def plain_reader(self, **more: Any) -> DateReader:
        """A reader that knows these options; `more` of a fitted state."""
        return DateReader(missing=gone(self.missing), unix=self.unix, **more)


def typed(array: pa.Array) -> np.ndarray | None:
    """(N,) seconds on the wall's clock of typed cells, nan where missing; None if cells are text or numbers."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(array)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return None
    times = array.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return np.where(np.isnat(times), np.nan, times.astype(np.int64) / 1e6)


def quickly(array: pa.Array) -> np.ndarray | None:
    """(N,) seconds of texts that all are there and are ISO 8601 without an offset; None where one may be anything else."""
    if array.null_count or not len(array) or not pc.all(pc.match_substring_regex(array, ISO)).as_py():
        return None
    try:
        return np.array(array.to_pylist(), "datetime64[s]").astype(np.int64).astype(np.float64)
    except ValueError:  # 30 February, 0000-00-00
        return None


class DateSummary(Summary):
    """For each way of writing dates: how many cells, their days, and the range of each part of the calendar."""

    def __init__(self, options: Date):
        self.options, self.reader = options, options.plain_reader()
        self.days: dict[str, NumberSummary] = {}
        self.low: dict[str, np.ndarray] = {}
        self.high: dict[str, np.ndarray] = {}
        self.missing, self.strange, self.slashes = 0, 0, 0
        self.readable = 0
        self.offsets: set[str] = set()

    def add(self, cells: Cells, base: Path | None = None) -> None:
        array = one_array(cells)
        seconds = typed(array)
        if seconds is not None:
            there = ~np.isnan(seconds)
            self.missing += int((~there).sum())
            self.readable += int(there.sum())
            self._count("ymd", seconds[there])
            return
        texts = strings(array)
        seconds = None if self.options.unix != "none" else quickly(texts)
        if seconds is not None:
            self.readable += len(seconds)
            self._count("ymd", seconds)
            return
        found = texts.dictionary_encode()
        read = [self.reader.readings(v) for v in found.dictionary.to_pylist()]
        seen = np.bincount(found.indices.drop_null().to_numpy(), minlength=len(read))
        self.missing += int(found.indices.null_count)
        each: dict[str, list[float]] = {}
        for (readings, slashed, offset), count in zip(read, seen.tolist()):
            if readings is None:
                self.missing += count
                continue
            self.readable += count if readings else 0
            self.strange += 0 if readings else count
            self.slashes += count if slashed else 0
            if offset and len(self.offsets) < 10:
                self.offsets.add(offset)
            for family, value in readings.items():
                each.setdefault(family, []).extend([value] * count)
        for family, values in sorted(each.items()):
            self._count(family, np.array(values))

    def _count(self, family: str, seconds: np.ndarray) -> None:
        if not len(seconds):
            return
        parts = parts_of(seconds)
        days = NumberSummary(Number(scale="none"))
        days.add(pa.array(parts[:, 0]))
        self._merge(family, days, parts[:, 1:].min(0), parts[:, 1:].max(0))

    def _merge(self, family: str, days: NumberSummary, low: np.ndarray, high: np.ndarray) -> None:
        if family not in self.days:
            self.days[family] = NumberSummary(Number(scale="none"))
            self.low[family], self.high[family] = low, high
        self.days[family].merge(days)
        self.low[family] = np.minimum(self.low[family], low)
        self.high[family] = np.maximum(self.high[family], high)

    def merge(self, other: DateSummary) -> None:
        for family in sorted(other.days):
            self._merge(family, other.days[family], other.low[family], other.high[family])
        for name in ("missing", "strange", "slashes", "readable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.offsets = set(sorted(self.offsets | other.offsets)[:10])

    def _family(self) -> tuple[str, bool]:
        """The way in which most cells are written, and whether day and month could be each other."""
        counts = {family: days.count for family, days in self.days.items()}
        order = self.options.order
        if order != "ymd":
            counts.pop("yymd", None)
        if order != "auto":
            counts = {f: n for f, n in counts.items() if f not in ("ymd", "dmy", "mdy") or f == order} or counts
        if not counts:
            return "unix" if self.options.unix != "none" else "ymd", False
        most = max(counts.values())
        best = [f for f in WRITTEN if counts.get(f) == most]
        if "dmy" in best and "mdy" in best:
            return ("mdy" if 2 * self.slashes > most else "dmy"), True
        return best[0], False

    def result(self) -> dict[str, Any]:
        family, ambiguous = self._family()
        days = self.days.get(family, NumberSummary(Number(scale="none")))
        found = days.result()
        kept = [p for i, p in enumerate(PARTS) if family in self.low and self.low[family][i] < self.high[family][i]]
        return {
            "family": family,
            "ambiguous": ambiguous,
            "count": found["count"],
            "otherwise": self.strange + self.readable - found["count"],
            "missing": self.missing,
            "offsets": sorted(self.offsets),
            "parts": kept,
            **{k: found[k] for k in ("mean", "std", "constant", "low", "high", "quantiles")},
        }


class DateColumn(Column):
    """values (B, F): days since the training mean, and places on the circles of the year, the month, the week and the day."""

    options: Date

    def __init__(self, name: str, options: Date, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self._reader = options.plain_reader(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        s = self.state
        return {k: s[k] for k in ("family", "parts", "mean", "std", "low", "high", "constant")}

    @property
    def features(self) -> list[str]:
        """Names of what the network sees."""
        return self._reader.features()

    def bins(self, count: int) -> list[float]:
        """Edges of at most so many stretches of time, each with as many training rows, in units of `values`."""
        s = self.state
        edges = (np.array(s["quantiles"] or [0.0]) - s["mean"]) / s["std"]
        at = np.round(np.linspace(0, len(edges) - 1, count + 1)).astype(int)
        found = np.unique(edges[at])
        return [float(e) for e in found] if len(found) > 1 else [float(found[0]), float(found[0]) + 1.0]

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "calendar", "sees trends, seasons, weekdays and hours"

    def layout(self) -> dict[str, Dims]:
        return {"values": Dims(f"B {len(self.features)}", "float32")}

    def seconds(self, cells: Cells) -> tuple[np.ndarray, Bad]:
        """(N,) seconds since 1970 on the wall's clock, nan where there are none, and what could not be read."""
        array = one_array(cells)
        found = typed(array)
        bad = Bad()
        if found is not None:
            return found, bad
        texts = strings(array)
        found = quickly(texts) if self.state["family"] == "ymd" else None
        if found is not None:
            return found, bad
        codes = texts.dictionary_encode()
        read, reasons = [], {}
        for place, text in enumerate(codes.dictionary.to_pylist()):
            try:
                read.append(self._reader.seconds(text))
            except ValueError as error:
                read.append(np.nan)
                reasons[place] = str(error)
        at = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        if reasons:
            for row in np.flatnonzero(np.isin(at, list(reasons))):
                bad.add(row, reasons[int(at[row])])
        return np.array([*read, np.nan])[at], bad

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        seconds, bad = self.seconds(cells)
        present = ~np.isnan(seconds)
        return Encoded({"values": self._reader.values(seconds)}, None if present.all() else present, bad=bad)

    def remarks(self) -> list[str]:
        s, out = self.state, []
        if s["ambiguous"]:
            other = "dmy" if s["family"] == "mdy" else "mdy"
            what = f"no cell tells day and month apart: read as {WRITTEN[s['family']]}"
            out.append(f"{what}; write order: {other} if that is wrong")
        if s["otherwise"]:
            what = f"{s['otherwise']:,} cells are not written as the others ({WRITTEN[s['family']]}), and can't be read"
            out.append(what)
        if len(s["offsets"]) > 1:
            shown = ", ".join(s["offsets"][:4])
            out.append(f"times are in several zones ({shown}); each is read as the clock on the wall says")
        return out

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, 1 + parts): days since 1970 and the calendar's parts as they are."""
        return self._reader.raw(self.seconds(cells)[0])

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {part}" for part in ("days", *self._reader.parts)]

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        s = self.state
        days = draw.uniform(s["low"], max(s["high"], s["low"]), rows)
        times = (days * 86_400).astype(np.int64).astype("datetime64[s]")
        return pa.array(times, pa.timestamp("s"))

    def entry(self) -> Entry:
        s = self.state
        bounds = (self._iso(s["low"])[:10], self._iso(s["high"])[:10]) if s["count"] else None
        return Entry("date", self._iso(s["mean"]), bounds=bounds)

    def _iso(self, days: float) -> str:
        """Days since 1970 as ISO 8601, to the minute where training cells have times."""
        then = BEGAN + timedelta(seconds=round(days * 86_400))
        return then.isoformat(timespec="minutes") if "hour" in self.state["parts"] else then.date().isoformat()

    @property
    def expected(self) -> str:
        return f"a date ({WRITTEN[self.state['family']]}, or ISO 8601)"

    def posted(self, value: Any) -> datetime | None:
        """ISO 8601 can be read beside the notation of the training cells: it can't be taken for another."""
        if value is None or isinstance(value, bool) or not isinstance(value, (str, int, float)):
            if value is None:
                return None
            raise ValueError("no text and no number")
        text = strings(pa.array([value]))
        try:
            seconds = self._reader.seconds(text[0].as_py())
        except ValueError:
            read = quickly(pc.utf8_trim_whitespace(text))
            if read is None:
                raise
            seconds = float(read[0])
        return None if np.isnan(seconds) else BEGAN + timedelta(seconds=seconds)

    def describe(self) -> str:
        s = self.state
        if not s["count"]:
            return "date, none in training"
        first, last = (str(np.datetime64(int(np.floor(s[k])), "D")) for k in ("low", "high"))
        times = ", with times" if "hour" in s["parts"] else ""
        return f"date, {first} to {last}, {WRITTEN[s['family']]}{times}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        return DateReader, {"missing": gone(self.options.missing), "unix": self.options.unix, **self._arguments()}
