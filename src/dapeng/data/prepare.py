"""Columns fitted, encoded once, and kept as arrays: in memory where they are small, else on disk, memory-mapped.

Everything here works block by block, so memory does not grow with the data. A prepared store is found again by the hash of
its data, its columns' settings and their fitted state; training then never touches the original files.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.columns.base import Column, Dims, Encoded, Summary
from dapeng.core.alike import root_of
from dapeng.core.console import say
from dapeng.core.errors import DapengError, DataError, Problem
from dapeng.core.files import read_json, write_json
from dapeng.core.followed import followed
from dapeng.core.kinds import ColumnOptions
from dapeng.core.machine import give_back
from dapeng.core.spec import plain
from dapeng.data import kept
from dapeng.data.groups import WEIGHT, Group, group
from dapeng.data.infer import guess
from dapeng.data.stored import Gathering, Quarantined, Shapes, Store, Stored, describe, mapped
from dapeng.data.table import Block, Source

IN_MEMORY = 1 << 30
TOKENS_IN_MEMORY = 1 << 27
"""Stores up to so many bytes live in memory."""
ROWS, BYTES_AT_ONCE = 65_536, 1 << 28
"""Rows that are encoded at once, and bytes of their arrays."""
MOST_TOLD = 10_000
"""Quarantined cells that are kept with their reasons."""
MOSTLY, LOOKED_AT = 0.5, 200
"""Share of unreadable cells from which on a column is of another type, and rows that are looked at for which."""


def fit_columns(
    source: Source,
    wanted: Mapping[str, tuple[ColumnOptions, bool]],
    training: Callable[[int, int], np.ndarray],
    data: str | None = None,
) -> dict[str, Column]:
    """Columns fitted on the training rows alone, in one pass.

    wanted: options, and whether it is a target, by column. training: (start, count) -> bool mask of those rows. data: what
    the rows are made of, and which train, as a hash; then the fit is kept, and found when the same is asked again.
    """
    asked = [[n, o.type, plain(o, every=True), target] for n, (o, target) in wanted.items()]
    key = None if data is None else kept.address("fit", data, asked)
    states = None if key is None else _kept_states(key)
    if states is None:
        states = _states(source, wanted, training)
        if key is not None:
            with contextlib.suppress(kept.Unwritable), kept.filling(key) as folder:  # it only saves time
                write_json(folder / "fit.json", states)
    return {n: options.fitted(n, states[n], target) for n, (options, target) in wanted.items()}


def _kept_states(key: str) -> dict[str, Any] | None:
    there = kept.found(key)
    if there is None:
        return None
    try:
        return read_json(there / "fit.json")
    except (DapengError, OSError):
        kept.remove(there)
        return None


def _states(
    source: Source,
    wanted: Mapping[str, tuple[ColumnOptions, bool]],
    training: Callable[[int, int], np.ndarray],
) -> dict[str, Any]:
    """Each block has summaries of its own that are merged in order: the same bytes on one machine and on many."""
    total = {name: options.summary(target) for name, (options, target) in wanted.items()}
    for block in source.blocks(list(wanted)):
        mask = np.asarray(training(block.start, len(block)))
        if not mask.any():
            continue
        rows = block.columns if mask.all() else block.columns.filter(pa.array(mask))
        for name, (options, target) in wanted.items():
            part = options.summary(target)
            part.add(rows.column(name), source.base)
            total[name].merge(part)
    inputs = {n: options for n, (options, target) in wanted.items() if not target}
    lying = {n: p for n, (o, _) in wanted.items() if (p := followed(o, inputs)) is not None}
    for picture in lying.values():
        total[picture].followed = True
    states = _shared(total, inputs)
    for name, (options, target) in wanted.items():
        if name in lying:
            states[name] = {**total[name].result_in(states[lying[name]]), "of": lying[name]}
        elif target:
            root = root_of(name, {**inputs, name: options})
            found = total[name]
            states[name] = found.result() if root == name else found.result_like(inputs[root], states[root])
    return states


def _shared(total: Mapping[str, Summary], inputs: Mapping[str, ColumnOptions]) -> dict[str, Any]:
    """The state of each input; those that are like another have that of all of them, but for how many cells were missing."""
    states = {n: total[n].result() for n in inputs}
    roots = {n: root_of(n, inputs) for n in inputs}
    for root in sorted(set(roots.values())):
        names = [n for n in inputs if roots[n] == root]
        if len(names) == 1:
            continue
        together: Any = inputs[root].summary(False)
        for name in names:
            together.merge(total[name])
        state = together.result()
        states |= {n: {**state, "missing": states[n]["missing"]} for n in names}
    return states


class Prepared:
    """Encodes blocks of rows and gathers them into a Store."""

    def __init__(
        self,
        inputs: Mapping[str, Column],
        targets: Mapping[str, Column],
        weight: str | None,
        max_bad: float,
        beside: Mapping[str, Column] | None = None,
    ):
        """beside: by where they lie in a batch (`dapeng.data.groups.BESIDE`), columns that objectives ask for."""
        further = {c.name: c for c in (beside or {}).values()}
        self.columns = {**inputs, **targets, **further}
        self.inputs = group(inputs)
        self.targets = [Group(n, (n,), False) for n in targets]
        self.beside = [Group(key, (c.name,), False) for key, c in (beside or {}).items()]
        self.weight, self.max_bad = weight, max_bad

    def encode(self, block: Block, source: Source) -> tuple[dict[str, Stored], list[tuple[int, str, str]]]:
        """One block's arrays by group, and its bad cells as (position in the block, column, reason)."""
        out: dict[str, Stored] = {}
        bad: list[tuple[int, str, str]] = []
        known: dict[str, Encoded] = {}
        for g in [*self.inputs, *self.targets, *self.beside]:
            cells = {n: self._encoded(n, block, source, known) for n in g.columns}
            for name, encoded in cells.items():
                bad += [(row, name, why) for row, why in zip(encoded.bad.rows, encoded.bad.reasons)]
            out[g.key] = self._stack(g, cells) if g.block else self._alone(g, cells[g.columns[0]], len(block))
        if self.weight:
            out[WEIGHT] = self._weights(block, bad)
        return out, bad

    def _encoded(self, name: str, block: Block, source: Source, known: dict[str, Encoded]) -> Encoded:
        """The cells of a column; of one that lies in a picture, placed in it. known: what was encoded before."""
        column = self.columns[name]
        encoded = column.encode(block.columns.column(name), source.base)
        if column.of is not None and column.of in known:
            encoded = column.placed(encoded, known[column.of])
        known[name] = encoded
        return encoded

    def _stack(self, g: Group, cells: dict[str, Encoded]) -> Stored:
        first = self.columns[g.columns[0]]
        layout = {n: Dims(f"B {len(g.columns)}", d.dtype) for n, d in first.layout().items()}
        tensors = {n: np.stack([cells[c].tensors[n] for c in g.columns], 1) for n in layout}
        present = None
        if any(self.columns[c].can_be_absent for c in g.columns):
            rows = len(next(iter(tensors.values())))
            every = np.ones(rows, bool)
            marks = (cells[c].present for c in g.columns)
            present = np.stack([every if m is None else m for m in marks], 1)
        return Stored(g, layout, tensors, present)

    def _alone(self, g: Group, encoded: Encoded, rows: int) -> Stored:
        column = self.columns[g.columns[0]]
        present = encoded.present if encoded.present is not None else np.ones(rows, bool)
        offsets = None
        if encoded.lengths is not None:
            offsets = np.concatenate([[0], np.cumsum(encoded.lengths)]).astype(np.int64)
        keep = column.target or column.can_be_absent
        return Stored(g, column.layout(), dict(encoded.tensors), present if keep else None, offsets)

    def _weights(self, block: Block, bad: list[tuple[int, str, str]]) -> Stored:
        from dapeng.columns.number import parse

        values, present, unread = parse(block.columns.column(self.weight), None, ".")
        bad += [(row, str(self.weight), why) for row, why in zip(unread.rows, unread.reasons)]
        wrong = np.flatnonzero(~present | (values < 0))
        bad += [
            (int(r), str(self.weight), "a weight must be a number of at least 0") for r in wrong if r not in unread.rows
        ]
        values = np.where(present & (values >= 0), values, 0.0).astype(np.float32)
        return Stored(Group(WEIGHT, (str(self.weight),), False), {"values": Dims("B", "float32")}, {"values": values})

    def shapes(self) -> Shapes:
        """Groups and the layouts of their tensors, in the order in which they are stored."""
        out: Shapes = {}
        for g in [*self.inputs, *self.targets, *self.beside]:
            layout = self.columns[g.columns[0]].layout()
            if g.block:
                layout = {n: Dims(f"B {len(g.columns)}", d.dtype) for n, d in layout.items()}
            out[g.key] = (g, layout)
        if self.weight:
            out[WEIGHT] = (Group(WEIGHT, (self.weight,), False), {"values": Dims("B", "float32")})
        return out

    @property
    def at_once(self) -> int:
        """Rows that are encoded at once: fewer of large pictures and videos."""
        fixed = [d for _, layout in self.shapes().values() for d in layout.values() if not d.ragged]
        size = sum(int(np.prod(d.sizes(B=1))) * np.dtype(d.dtype).itemsize for d in fixed)
        return max(1, min(ROWS, BYTES_AT_ONCE // max(size, 1)))

    @property
    def in_memory(self) -> int:
        """Bytes of arrays up to which they are held in memory: fewer where texts are laid behind each other, and few are looked at."""
        return TOKENS_IN_MEMORY if any(c.window for c in self.columns.values()) else IN_MEMORY

    def store(self, source: Source, data: str | None = None, in_memory: int | None = None) -> Store:
        """All rows of a source. Past `in_memory` bytes the arrays lie in files, memory-mapped.

        data: what the rows are made of, as a hash; then the files are kept, and found when the same is asked again.
        """
        in_memory = self.in_memory if in_memory is None else in_memory
        if data is None:
            return self._gathered(source, Gathering(None, in_memory))
        key = kept.address(data, self._outside(source), self._fitted(), self.weight, self.max_bad)
        there = kept.found(key)
        store = mapped(there, self.shapes(), self.inputs, self.targets) if there is not None else None
        if store is not None:
            say("prepared rows are found again: nothing is read anew")
            return store
        if there is not None:
            kept.remove(there)
        with contextlib.ExitStack() as stack:
            gathering = Gathering(lambda: stack.enter_context(kept.filling(key)), in_memory)
            stack.callback(gathering.close)
            store = self._gathered(source, gathering)
            if gathering.folder is None:
                return store
            gathering.close()
            describe(store, gathering.form, gathering.folder)
        found = mapped(kept.folder() / key, self.shapes(), self.inputs, self.targets)
        pa.default_memory_pool().release_unused()
        give_back()
        if found is None:
            raise DataError(Problem(str(kept.folder() / key), "prepared rows can't be read back", "look at the disk"))
        return found

    def _outside(self, source: Source) -> str | None:
        """A hash over the files that cells name: their paths, sizes and times."""
        names = [n for n, c in self.columns.items() if c.options.reads_files]
        if not names:
            return None
        digest = hashlib.sha256()
        for block in source.blocks(names):
            for n in names:
                for path in self.columns[n].files(block.columns.column(n), source.base):
                    digest.update(f"{path} {_stamp(path)}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _fitted(self) -> list[Any]:
        fitted = [[n, c.type, plain(c.options, every=True), c.state, c.target] for n, c in self.columns.items()]
        return [*fitted, *([g.key, *g.columns] for g in self.beside)]

    def _gathered(self, source: Source, gathering: Gathering) -> Store:
        names = [*self.columns, *([self.weight] if self.weight and self.weight not in self.columns else [])]
        store = Store(0, {}, self.inputs, self.targets)
        counts: dict[str, int] = {}
        out: list[np.ndarray] = []
        for block in source.blocks(names, self.at_once):
            part, bad = self.encode(block, source)
            gathering.add(part)
            for row, column, reason in bad:
                counts[column] = counts.get(column, 0) + 1
                if len(store.quarantined) < MOST_TOLD:
                    at = block.start + row
                    store.quarantined.append(Quarantined(at, source.where(at), column, reason))
            if bad:
                out.append(np.unique([store.rows + row for row, _, _ in bad]))
            store.rows += len(block)
        self._refuse_too_many(store, counts, source)
        store.stored = gathering.joined()
        store.left_out = np.concatenate(out) if out else np.empty(0, np.int64)
        return store

    def _refuse_too_many(self, store: Store, counts: dict[str, int], source: Source) -> None:
        problems = []
        for column, count in counts.items():
            if count > self.max_bad * max(store.rows, 1):
                shown = [q for q in store.quarantined if q.column == column][:3]
                examples = "; ".join(f"{q.where}: {q.reason}" for q in shown)
                known = self.columns.get(column)
                kind = "a weight" if known is None else known.type
                what = f"{count:,} of {store.rows:,} cells can't be read as {kind}: {examples}"
                problems.append(Problem(column, what, hint(known, count / store.rows, source)))
        if problems:
            raise DataError(problems, f"too many unreadable cells (data.max_bad is {self.max_bad:g})")


def hint(column: Column | None, share: float, source: Source) -> str:
    """What to do about a share of cells that can't be read as the column's type: where it is most of them, the type that they look like."""
    if share <= MOSTLY:
        return f"mend the cells, choose another type, or allow more with data.max_bad={max(0.1, math.ceil(share * 100) / 100)}"
    if column is None or column.options.lies_in_picture or (column.target and column.options.reads_files):
        return "mend the cells, or choose another type"
    found = guess(column.name, source.head(LOOKED_AT).column(column.name), column.target, source.decimal)
    kind = found.options.get("type", column.type)
    if kind == column.type:
        return "mend the cells, or choose another type"
    side = "outputs" if column.target else "inputs"
    return f"`type: {kind}` for {side}.{column.name} ({found.reason}), or mend the cells"


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return "missing"
    return f"{facts.st_size} {facts.st_mtime_ns}"
