"""From what a spec says about its data to rows: addresses resolved, each opened by the source that reads its kind."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import numpy as np

from dapeng.core.errors import DataError, Problem, SpecError
from dapeng.core.kinds import sources
from dapeng.core.secrets import redacted
from dapeng.core.spec import Data
from dapeng.data import files
from dapeng.data.mixture import Mixture
from dapeng.data.sources.base import Reader, from_base
from dapeng.data.table import PART_NAMES, PARTS, Concat, Head, Note, Source


@dataclass(frozen=True)
class Opened:
    """The sources of a spec's data, by part: "all", or "train" with "validation" and "test" where they are given."""

    parts: dict[str, Source]
    mixed: list[tuple[Source, float]] = field(default_factory=list)
    """Sources of a mixture with their weights; the first ones of the whole."""
    _whole: dict[str, Source] = field(default_factory=dict, repr=False, compare=False)

    @property
    def first(self) -> Source:
        """The source that says which columns there are."""
        return self.parts.get("all") or self.parts["train"]

    @property
    def names(self) -> list[str]:
        return self.first.names

    def whole(self) -> Source:
        """All rows as one source, part after part."""
        if "whole" not in self._whole:
            ordered = sorted(self.parts.items(), key=lambda p: PARTS.index(p[0]) if p[0] in PARTS else 0)
            several = len(ordered) > 1
            codes = [PARTS.index(p) for p, _ in ordered] if several else None
            self._whole["whole"] = (
                Concat([s for _, s in ordered], "the data", codes, "ignore") if several else self.first
            )
        return self._whole["whole"]

    def mixture(self) -> Mixture | None:
        """In which proportions rows that train are drawn; None: as they are."""
        if not self.mixed:
            return None
        ends = np.cumsum([source.count() for source, _ in self.mixed])
        return Mixture([source.name for source, _ in self.mixed], [weight for _, weight in self.mixed], ends)

    def given(self) -> np.ndarray | None:
        """(rows,) int8: the part each row of `whole` was given in; None where the data came as one."""
        whole = self.whole()
        return whole.given() if isinstance(whole, Concat) and whole.parts is not None else None

    def notes(self) -> list[Note]:
        """Everything that sources had to say so far."""
        return self.whole().all_notes()

    def fingerprint(self) -> str:
        return self.whole().fingerprint()


def open_data(data: Data, base: Path | None = None, objects: Mapping[str, object] | None = None) -> Opened:
    """Open what a spec names.

    base: the folder that relative paths start from (the spec's). objects: data frames and the like given from Python, by
    part ("all", "train", ...); they take the place of `data.path`, `data.train`, ... Raises DataError, SpecError.
    """
    named = {"all": data.path, "train": data.train, "validation": data.validation, "test": data.test}
    addresses: dict[str, object] = {part: address for part, address in named.items() if address is not None}
    addresses.update(objects or {})
    mixed: list[tuple[Source, float]] = []
    if data.mixture:
        if "all" in addresses or "train" in addresses:
            what = "data: mixture is what trains; so are path and train"
            raise SpecError(what, hint="name one of them")
        mixed = [(_single(_open(part.data, data, base), str(part.data)), part.weight) for part in data.mixture]
        addresses["train" if addresses else "all"] = mixed
    if not addresses:
        raise SpecError("data: nothing is named", hint="write data: FILE, or dapeng train FILE --target COLUMN")
    if "all" in addresses and len(addresses) > 1:
        raise SpecError(
            "data: path is all of the data; train, validation and test are its parts", hint="name one or the others"
        )
    if "all" in addresses:
        parts = {"all": _mixed(mixed)} if mixed else _open(addresses["all"], data, base)
    elif "train" not in addresses:
        raise SpecError("data: train is missing", hint="name data.train, or all of the data as data.path")
    else:
        parts = {
            part: _mixed(mixed) if address is mixed else _single(_open(address, data, base), str(part))
            for part, address in addresses.items()
        }
    if data.max_rows is not None:
        parts = {part: cast(Source, Head(source, data.max_rows)) for part, source in parts.items()}
    opened = Opened(parts, mixed)
    opened.whole()  # parts whose columns differ are an error now
    return opened


def _mixed(sources: list[tuple[Source, float]]) -> Source:
    return Concat([source for source, _ in sources], "the mixture")


def _single(parts: dict[str, Source], name: str) -> Source:
    """A named part is what its address holds: where that has parts itself, its part of that name, or all of it."""
    if name in parts:
        return parts[name]
    return next(iter(parts.values())) if len(parts) == 1 else Concat(list(parts.values()), name)


def _open(address: object, data: Data, base: Path | None) -> dict[str, Source]:
    if isinstance(address, list) and all(isinstance(a, (str, Path)) for a in address):
        found = [path for a in address for path in _resolved(a, base)]
    elif isinstance(address, (str, Path)):
        found = _resolved(address, base)
    else:
        return reader_of(address, data).parts(address, data)
    opened = [_open_one(a, data) for a in found]
    if len(opened) == 1:
        return opened[0]
    shown = str(address) if isinstance(address, (str, Path)) else ", ".join(map(str, address))
    return {"all": Concat([s for parts in opened for s in parts.values()], redacted(shown))}


def _open_one(address: str | Path, data: Data) -> dict[str, Source]:
    if isinstance(address, Path) and address.is_dir() and _may_hold_tables(address, data):
        tables = _tables_in(address, data)
        if tables:
            return tables
    return reader_of(address, data).parts(str(address), data)


def _may_hold_tables(folder: Path, data: Data) -> bool:
    """True unless the folder as a whole is what a source reads, or a format is named that isn't one of tables."""
    if data.format is not None:
        named = sources.members().get(data.format)
        return named is not None and named.table
    return not any(m.matches(str(folder)) for m in sources.members().values() if not m.general)


def _tables_in(folder: Path, data: Data) -> dict[str, Source]:
    """A folder of tables: train.csv and test.csv are parts; else all of them are one table."""
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    tables = [m for m in sources.members().values() if m.table]
    if not inside or any(p.is_dir() or not any(m.matches(str(p)) for m in tables) for p in inside):
        return {}
    stems = {PART_NAMES.get(p.name.split(".")[0].lower()): p for p in inside}
    if "train" in stems and len(stems) == len(inside) and None not in stems:
        return {str(part): reader_of(path, data).open(str(path), data) for part, path in stems.items()}
    return {"all": Concat([reader_of(p, data).open(str(p), data) for p in inside], folder.name)}


def reader_of(address: object, data: Data) -> Reader:
    """The registered source that reads an address: as `data.format` says, else as its ending or its first bytes tell."""
    members = sources.members()
    if data.format is not None:
        if data.format not in members:
            close = get_close_matches(data.format, members, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(members)}"
            raise SpecError(f"data.format: unknown format {data.format!r}", hint=hint)
        return members[data.format]()
    for member in _in_turn():
        url = isinstance(address, str) and "://" in address
        if member.whole(str(address), None) is not None if url else member.matches(address):
            return member()
    if isinstance(address, (str, Path)) and Path(address).is_file():
        return members[_by_content(Path(address))]()
    shown = type(address).__name__ if not isinstance(address, (str, Path)) else repr(str(address))
    raise DataError(
        f"{shown} is not something that rows can be read from", hint=f"formats: {', '.join(members)}; set data.format"
    )


def _in_turn() -> list[type[Reader]]:
    """The sources in the order in which they are asked for an address: those that take anything come last."""
    return sorted(sources.members().values(), key=lambda m: m.general)


def _by_content(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    for name, member in sources.members().items():
        if member.begins and head.startswith(member.begins):
            return name
    files.refuse_other_kinds(path, head)
    return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[{")) else "csv"


def absolute(address: str, base: Path | None) -> str:
    """An address that holds from any folder: its paths are whole; a name (sample:digits) stays as it is."""
    path = from_base(address, base)
    if path.exists():
        return str(path.resolve())
    for member in _in_turn():
        whole = member.whole(address, base)
        if whole is not None:
            return whole
    return str(path.absolute()) if any(c in address for c in "*?[") and "://" not in address else address


def _resolved(address: str | Path, base: Path | None) -> list[str | Path]:
    """A path or a pattern as paths that exist; other addresses (sample:NAME, a URL) as they are."""
    text = str(address)
    path = from_base(text, base)
    if path.exists():
        return [path]
    for member in _in_turn():
        whole = member.whole(text, base)
        if whole is not None:
            return [whole]
    if re.match(r"[a-z_]{2,}:", text):
        return [text]
    if any(c in text for c in "*?["):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise DataError(Problem(text, "no file fits the pattern", f"looked in {path.parent}"))
        return [Path(f) for f in found]
    raise files.missing(path)
