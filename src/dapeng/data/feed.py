"""Batches out of a prepared store: a function of (seed, position) alone, so that a run resumes bit for bit.

Small stores are tensors, indexed by rows, with no Python per row. Memory-mapped ones are read in windows of whole stretches,
shuffled within, so that memory stays flat however large the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch

from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import permutation
from dapeng.data.groups import WEIGHT
from dapeng.data.stored import Store, Stored, let_go

STRETCH = 4_096
WINDOW = 32
MOST_AT_ONCE = 1 << 21
"""Elements of ragged rows, padding counted, that are predicted at once."""


class Rows:
    """Rows of a store as batches of tensors. `keys` chooses the groups."""

    def __init__(self, store: Store, keys: list[str] | None = None):
        self.keys = keys or list(store.stored)
        self.stored = {k: store.stored[k] for k in self.keys}
        self.dense: dict[str, dict[str, torch.Tensor]] = {}
        self.offsets: dict[str, torch.Tensor] = {}
        self.mapped = store.folder is not None
        # a target that every row has needs no mask: its count is a number, and its loss is not picked over
        targets = {g.key for g in store.targets}
        self.marked = {
            k for k, s in self.stored.items() if s.present is not None and not (k in targets and s.present.all())
        }
        if not self.mapped:
            for key, s in self.stored.items():
                self.dense[key] = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in s.tensors.items()}
                if key in self.marked and s.present is not None:
                    self.dense[key]["@present"] = torch.from_numpy(np.ascontiguousarray(s.present))
                if s.offsets is not None:
                    self.offsets[key] = torch.from_numpy(s.offsets)

    def batch(self, rows: np.ndarray | torch.Tensor) -> Batch:
        """The rows at these positions."""
        index = rows if isinstance(rows, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        if self.mapped:
            return Batch({k: self._from_disk(k, s, index.numpy()) for k, s in self.stored.items()}, index)
        return Batch({k: self._from_memory(k, index) for k in self.keys}, index)

    def _from_memory(self, key: str, index: torch.Tensor) -> Cells:
        held = self.dense[key]
        if key in self.offsets:
            return _ragged(
                {n: t for n, t in held.items() if n != "@present"}, self.offsets[key], index, held.get("@present")
            )
        return Cells(
            {n: t[index] for n, t in held.items() if n != "@present"},
            held["@present"][index] if "@present" in held else None,
        )

    def _from_disk(self, key: str, s: Stored, index: np.ndarray) -> Cells:
        present = None if s.present is None or key not in self.marked else torch.from_numpy(s.present[index])
        if s.offsets is None:
            return Cells({n: torch.from_numpy(a[index]) for n, a in s.tensors.items()}, present)
        starts, ends = s.offsets[index], s.offsets[index + 1]
        local = np.concatenate([[0], np.cumsum(ends - starts)])
        flat = {
            n: torch.from_numpy(np.concatenate([a[b:e] for b, e in zip(starts, ends)])) for n, a in s.tensors.items()
        }
        let_go(*s.tensors.values())
        cells = _ragged(flat, torch.from_numpy(local), torch.arange(len(index)), None)
        return Cells(cells.tensors, present)

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """Tokens of these rows over all groups whose work grows with them; None if there is no such."""
        long = (s for s in self.stored.values() if any(d.sequence for d in s.layout.values()))
        ragged = [s.offsets[rows + 1] - s.offsets[rows] for s in long if s.offsets is not None]
        return np.sum(ragged, 0) if ragged else None


def _ragged(
    flat: dict[str, torch.Tensor], offsets: torch.Tensor, index: torch.Tensor, present: torch.Tensor | None
) -> Cells:
    """(B, T) padded to the longest row of the batch, with `mask`."""
    starts = offsets[index]
    lengths = offsets[index + 1] - starts
    longest = max(int(lengths.max()) if len(lengths) else 1, 1)
    at = torch.arange(longest)
    mask = at < lengths[:, None]
    tensors = {}
    for name, values in flat.items():
        where = (starts[:, None] + at).clamp_(max=max(len(values) - 1, 0))
        taken = values[where] if len(values) else torch.zeros(where.shape, dtype=values.dtype)
        tensors[name] = taken.masked_fill_(~mask.view(*mask.shape, *[1] * (taken.dim() - 2)), 0)
    return Cells({**tensors, "mask": mask}, None if present is None else present[index])


class Feed(Protocol):
    """Where batches come from. per_step, unit: how much of what a step takes, for the figure of its speed."""

    steps_per_epoch: int
    batch_size: int
    per_step: int
    unit: str

    def steps(self, position: int) -> Iterator[list[Batch]]: ...
    def grow(self, step: int, predict: Any) -> None: ...


class TableFeed:
    """The training batches of a table.

    rows: positions that train. batch_size: rows of one micro-batch. accumulate: micro-batches of a step. rank, world: which
    share of each step this process takes. transforms: (batch, epoch) -> batch, random changes for training.
    """

    unit = "rows"

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        batch_size: int,
        accumulate: int = 1,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        transforms: Callable[[Batch, int], Batch] | None = None,
    ):
        self.reader, self.positions, self.mixture = Rows(store), rows, store.mixture
        self.accumulate, self.seed, self.rank, self.world = accumulate, seed, rank, world
        self.transforms = transforms
        self.batch_size = batch_size
        self.per_step = batch_size * accumulate * world
        self.steps_per_epoch = max(1, round(len(rows) / self.per_step))
        self.lengths = None if self.reader.mapped else self.reader.lengths(rows)
        self._epoch: int = -1
        self._order: np.ndarray | Windows = np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray | Windows:
        """Row positions of an epoch in the order of training."""
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return self._order

    def _shuffled(self, epoch: int) -> np.ndarray | Windows:
        positions, lengths = self.positions, self.lengths
        if self.mixture is not None:
            positions = self.mixture.rows(positions, self.seed, epoch)
            lengths = None if lengths is None else self.reader.lengths(positions)
        if self.reader.mapped:
            return Windows(positions, self.seed, epoch)
        order = permutation(len(positions), self.seed, epoch)
        if lengths is None:
            return positions[order]
        return positions[_bucketed(order, lengths, self.per_step, self.seed, epoch)]

    def steps(self, position: int) -> Iterator[list[Batch]]:
        """The micro-batches of each step from `position` on, without end; this rank's share."""
        while True:
            epoch, step = divmod(position, self.steps_per_epoch)
            order = self.order(epoch)
            start, end = (len(order) * s // self.steps_per_epoch for s in (step, step + 1))
            parts = self.accumulate * self.world
            mine = range(self.rank, parts, self.world)
            cut = [order[start + (end - start) * m // parts : start + (end - start) * (m + 1) // parts] for m in mine]
            yield [self._batch(rows, epoch) for rows in cut]
            position += 1

    def _batch(self, rows: np.ndarray, epoch: int) -> Batch:
        batch = self.reader.batch(rows)
        return self.transforms(batch, epoch) if self.transforms else batch

    def grow(self, step: int, predict: Any) -> None:
        """A table doesn't grow."""


class Windows:
    """An order that reads whole stretches: stretches shuffled, rows shuffled within windows of several.

    Made window by window as it is sliced, so that an epoch's order takes no memory that grows with the rows.
    """

    def __init__(self, positions: np.ndarray, seed: int, epoch: int):
        self.positions, self.seed, self.epoch = positions, seed, epoch
        count = len(positions)
        self.stretches = permutation((count + STRETCH - 1) // STRETCH, seed, epoch)
        sizes = np.minimum((self.stretches + 1) * STRETCH, count) - self.stretches * STRETCH
        self.starts = np.concatenate([[0], np.cumsum(np.add.reduceat(sizes, np.arange(0, len(sizes), WINDOW)))])
        self._window, self._rows = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, at: slice) -> np.ndarray:
        start, stop, _ = at.indices(len(self))
        window = int(np.searchsorted(self.starts, start, "right")) - 1
        parts = [np.empty(0, np.int64)]
        while start < stop:
            rows, base = self._rows_of(window), int(self.starts[window])
            parts.append(rows[start - base : stop - base])
            start = base + len(rows)
            window += 1
        return np.concatenate(parts)

    def _rows_of(self, window: int) -> np.ndarray:
        if window != self._window:
            chosen = self.stretches[window * WINDOW : (window + 1) * WINDOW]
            rows = np.concatenate([self.positions[s * STRETCH : (s + 1) * STRETCH] for s in chosen])
            order = permutation(len(rows), self.seed, self.epoch, window * WINDOW + 1)
            self._window, self._rows = window, rows[order]
        return self._rows


def _bucketed(order: np.ndarray, lengths: np.ndarray, step: int, seed: int, epoch: int) -> np.ndarray:
    """Rows of like length together: sorted within stretches of 32 steps, the steps then shuffled."""
    count = len(order)
    steps = max(1, round(count / step))
    bounds = [count * s // steps for s in range(steps + 1)]
    for s in range(0, steps, 32):
        a, b = bounds[s], bounds[min(s + 32, steps)]
        order[a:b] = order[a:b][np.argsort(lengths[order[a:b]], kind="stable")]
    pieces = [order[bounds[s] : bounds[s + 1]] for s in permutation(steps, seed, epoch, 7)]
    # steps differ by one row at most, so shuffled pieces still fill the same bounds
    return np.concatenate(pieces)


def batches(store: Store, rows: np.ndarray, batch_size: int, keys: list[str] | None = None) -> Iterator[Batch]:
    """Rows in order, for evaluation and prediction; of like length together where texts are long, so look at `batch.rows`.

    Fewer rows at a time where they are so long (sounds) that a batch would hold more than `MOST_AT_ONCE` elements.
    """
    reader = Rows(store, keys)
    lengths = reader.lengths(rows)
    if lengths is not None:
        order = np.argsort(-lengths, kind="stable")
        rows, lengths = rows[order], lengths[order]
    start = 0
    while start < len(rows):
        fit = batch_size if lengths is None else max(1, min(batch_size, MOST_AT_ONCE // max(int(lengths[start]), 1)))
        yield reader.batch(rows[start : start + fit])
        start += fit


def weight_of(batch: Batch) -> torch.Tensor | None:
    """(B,) row weights, if the table has any."""
    return batch[WEIGHT]["values"] if WEIGHT in batch else None
