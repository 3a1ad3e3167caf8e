"""WebDataset: tar archives whose files, grouped by the name before the first dot, are samples. Read in order, never unpacked.

An index of where each file lies is made once, so a pass over the labels reads the labels alone. Nothing is unpickled: .pyd,
.pth, .npy and their like are left out, which is said.
Convention: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import files, shards
from dapeng.data.shards import Forward, Index, in_order
from dapeng.data.sources.base import Reader, from_base
from dapeng.data.table import Block, Source
from dapeng.data.values import array

PICTURES = ("jpg", "jpeg", "png", "gif", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm")
MEDIA = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "mp4", "webm", "avi", "mov", "mkv")
TEXTS = ("txt", "text", "transcript", "caption", "cls", "cls2", "class", "count", "index", "inx", "id")
RECORDS = ("json", "jsn")
LOOK = 1000
"""JSON files that are read to know the names and types of the fields."""
BYTES = 64 << 20
"""Bytes at which a block ends before it has its rows."""
LARGE = 64
"""Times data.limits.field_bytes that a picture, a sound or a video may take: they are read one by one."""
_TAR = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)


@sources
class WebDatasetOptions(Reader):
    """WebDataset shards: .tar, .tar.gz, a pattern, or a range of them. Each ending is a column: jpg and png hold pictures, cls a
    label, txt a text, and the keys of json are columns of their own.

    Example: `dapeng train "shards-{000..012}.tar" --target cls`
    """

    type: Literal["webdataset"] = "webdataset"
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, (str, Path)) and _TAR.search(str(address)) is not None

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        if "://" in address or not cls.matches(address) or not any(c in address for c in "{*?["):
            return None
        return str(from_base(address, base).absolute())

    def open(self, address: object, data: Data) -> Source:
        return ShardSource(str(address), _shards(str(address)), data)


def _shards(address: str) -> list[Path]:
    """The archives that an address stands for, in order. Raises DataError where one is missing."""
    if Path(address).exists():
        return [Path(address)]
    found: list[Path] = []
    for name in shards.expanded(address):
        if any(c in name for c in "*?["):
            some = sorted(Path(f) for f in glob.glob(name, recursive=True))
            if not some:
                raise DataError(Problem(name, "no file fits the pattern", f"looked in {Path(name).parent}"))
            found += some
        elif Path(name).is_file():
            found.append(Path(name))
        else:
            raise files.missing(Path(name))
    return found


class ShardSource(Source):
    """The samples of some shards, one after the other."""

    parsed = True

    def __init__(self, address: str, paths: list[Path], data: Data):
        super().__init__()
        self.data, self.paths, self._hash = data, paths, ""
        self.name = paths[0].name if len(paths) == 1 else Path(address).name
        self.base = paths[0].parent
        self.size = sum(p.stat().st_size for p in paths)
        self.indices = [Index(p, data) for p in paths]
        self.rows = sum(len(i.keys) for i in self.indices)
        if self.rows == 0:
            raise DataError(Problem(self.name, "no rows: no file has an ending", "as in 0001.jpg and 0001.cls"))
        self.columns, self.records = self._columns()
        self.fields = self._fields()
        self.names = [*self.columns, *self.fields]
        if not self.names:
            raise DataError(Problem(self.name, "no file has an ending that is read", "such as .jpg, .txt, .cls, .json"))
        self._tell()

    def _columns(self) -> tuple[dict[str, list[str]], list[str]]:
        """Endings by column, and those of JSON. Pictures of several formats are one column, unless a sample has two."""
        endings = list(dict.fromkeys(e for i in self.indices for e in i.places))
        pictures = [e for e in endings if e in PICTURES]
        columns = {e: [e] for e in endings if e.rpartition(".")[2] in (*PICTURES, *MEDIA, *TEXTS)}
        if len(pictures) > 1 and not self._together(pictures):
            columns = {"image": pictures, **{n: e for n, e in columns.items() if n not in pictures}}
        return columns, [e for e in endings if e.rpartition(".")[2] in RECORDS]

    def _together(self, endings: list[str]) -> bool:
        return any(sum(i.place(e, s)[0] >= 0 for e in endings) > 1 for i in self.indices for s in range(len(i.keys)))

    def _tell(self) -> None:
        read = {*self.records, *(e for endings in self.columns.values() for e in endings)}
        others = [e for e in dict.fromkeys(e for i in self.indices for e in i.places) if e not in read]
        if others:
            listed = ", ".join(f".{e}" for e in others[:8])
            what = f"files that end in {listed} are not read: only pictures, sounds, texts, labels and JSON are"
            self.note("warning", self.name, what, len(others))
        passed = sum(i.passed for i in self.indices)
        if passed:
            self.note("info", self.name, f"{passed} files that belong to no sample are not read", passed)
        for index in self.indices:
            if index.open_ended:
                self.note("warning", index.path.name, "the archive has no end mark: it may be cut short")

    def _fields(self) -> dict[str, tuple[str, str | None, pa.DataType]]:
        """Columns out of JSON: its ending, the key (None: the whole value), and the type."""
        out: dict[str, tuple[str, str | None, pa.DataType]] = {}
        for ending in self.records:
            known: dict[str | None, list[Any]] = {}
            for value in self._first(ending):
                for key, cell in value.items() if isinstance(value, dict) else [(None, value)]:
                    known.setdefault(key, []).append(cell)
            for key, cells in known.items():
                name = ending if key is None else key
                name = f"{ending}.{key}" if name in self.columns or name in out else name
                kind = array(cells).type
                out[name] = (ending, key, pa.string() if pa.types.is_null(kind) else kind)
        return out

    def _first(self, ending: str) -> Iterator[Any]:
        seen = 0
        for index in self.indices:
            with files.open_bytes(index.path, self.data.limits) as file:
                forward = Forward(file)
                for sample, places in in_order(index, [ending]):
                    for start, size, _ in places:
                        yield self._record(self._content(index, sample, forward, start, size, ending), index, sample)
                        seen += 1
                    if seen >= LOOK:
                        return

    def _place(self, index: Index, sample: int) -> str:
        return f"{index.path.name}: sample {index.keys[sample]!r}"

    def _content(self, index: Index, sample: int, forward: Forward, start: int, size: int, ending: str) -> bytes:
        kind = ending.rpartition(".")[2]
        most = self.data.limits.field_bytes * (LARGE if kind in (*PICTURES, *MEDIA) else 1)
        if size > most:
            what = f"its .{ending} has {size:,} bytes, more than {most:,}"
            raise LimitError(Problem(self._place(index, sample), what, "raise data.limits.field_bytes"))
        found = forward.read(start, size)
        if len(found) < size:
            raise DataError(Problem(self._place(index, sample), "the archive is cut short", "copy or write it anew"))
        return found

    def _record(self, content: bytes, index: Index, sample: int) -> Any:
        try:
            return orjson.loads(content)
        except ValueError as error:
            what = f"its JSON can't be read ({str(error).split(': line')[0]})"
            raise DataError(Problem(self._place(index, sample), what, "mend it, and write the shard anew")) from None

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.names if names is None else list(names)
        endings = [e for n in chosen for e in self.columns.get(n, [])]
        endings += [e for e in self.records if any(self.fields[n][0] == e for n in chosen if n in self.fields)]
        start, held = 0, 0
        cells: dict[str, list[Any]] = {n: [] for n in chosen}
        count = 0
        for index in self.indices:
            with files.open_bytes(index.path, self.data.limits) as file:
                forward = Forward(file)
                for sample, places in in_order(index, endings):
                    held += self._sample(index, sample, forward, places, cells)
                    count += 1
                    if count == rows or held > BYTES:
                        yield Block(start, self._table(cells, count))
                        start, count, held, cells = start + count, 0, 0, {n: [] for n in chosen}
        if count:
            yield Block(start, self._table(cells, count))

    def _sample(
        self,
        index: Index,
        sample: int,
        forward: Forward,
        places: list[tuple[int, int, str]],
        cells: dict[str, list[Any]],
    ) -> int:
        """Put one sample's cells in; the number of bytes read."""
        found = {e: self._content(index, sample, forward, start, size, e) for start, size, e in places}
        records = {e: self._record(found[e], index, sample) for e in self.records if e in found}
        for name, column in cells.items():
            if name in self.fields:
                ending, key, _ = self.fields[name]
                value = records.get(ending)
                column.append(value if key is None else value.get(key) if isinstance(value, dict) else None)
            else:
                ending = next((e for e in self.columns[name] if e in found), None)
                column.append(None if ending is None else self._cell(found[ending], ending, index, sample))
        return sum(map(len, found.values()))

    def _cell(self, content: bytes, ending: str, index: Index, sample: int) -> bytes | str:
        if ending.rpartition(".")[2] not in TEXTS:
            return content
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("utf-8", "replace")
            self.note("repair", self.name, "texts that aren't valid UTF-8: their bytes are replaced by U+FFFD")
        return text.strip("\r\n") if ending in ("txt", "text") else text.strip()

    def _table(self, cells: dict[str, list[Any]], count: int) -> pa.Table:
        if not cells:
            return pa.table({"": pa.nulls(count)}).select([])
        return pa.table({n: self._array(n, values) for n, values in cells.items()})

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        if name in self.fields:
            return array(values, self.fields[name][2])
        media = self.columns[name][0].rpartition(".")[2] not in TEXTS
        return pa.array(values, pa.binary() if media else pa.string())

    def where(self, row: int) -> str:
        for index in self.indices:
            if row < len(index.keys):
                return self._place(index, row)
            row -= len(index.keys)
        return f"{self.name} row {row}"

    def fingerprint(self) -> str:
        if not self._hash:
            hashes = "\n".join(files.fingerprint(p, self.data) for p in self.paths)
            self._hash = hashlib.sha256(hashes.encode()).hexdigest()
        return self._hash
