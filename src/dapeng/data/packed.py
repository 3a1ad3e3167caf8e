"""Texts laid one behind the other and cut into windows: what a model without inputs learns from, with nothing padded.

The store holds the tokens of all texts already, in memory or in mapped files; a window is looked up in it, whatever its texts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import permutation, uniform
from dapeng.data.mixture import Mixture
from dapeng.data.stored import Stored, let_go


class PackedFeed:
    """Windows of a text column as batches: ids (B, T + 1), their mask (begins are not to be learnt), and `documents` where
    a window holds parts of several texts.

    rows: positions that train. window: T. batch_size: windows of one micro-batch. Otherwise as TableFeed: an epoch's order of
    texts, where its first window begins, and the order of its windows are functions of the seed and the epoch.
    """

    unit = "tokens"

    def __init__(
        self,
        name: str,
        stored: Stored,
        rows: np.ndarray,
        window: int,
        batch_size: int,
        accumulate: int = 1,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        mixture: Mixture | None = None,
    ):
        assert stored.offsets is not None
        self.name, self.ids, self.taught = name, stored.tensors["ids"], stored.tensors.get("taught")
        there = rows if stored.present is None else rows[np.asarray(stored.present[rows])]
        self.starts = np.asarray(stored.offsets[there])
        self.lengths = np.asarray(stored.offsets[there + 1]) - self.starts
        self.mixture = mixture
        self.source = np.empty(0, np.int64) if mixture is None else mixture.sources(there)
        self.batch_size, self.accumulate = batch_size, accumulate
        self.seed, self.rank, self.world = seed, rank, world
        self.tokens = int(self.lengths.sum())
        self.window = max(1, min(window, self.tokens - 1))
        self.windows = windows_of(self.tokens, self.window)
        per_step = batch_size * accumulate * world
        self.steps_per_epoch, self.per_step = max(1, round(self.windows / per_step)), per_step * self.window
        self._epoch = -1
        self._texts = self._ends = self._order = np.empty(0, np.int64)
        self._begin = 0

    def _open(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._texts = self.texts(epoch)
        self._ends = np.cumsum(self.lengths[self._texts])
        spare = int(self._ends[-1]) - 1 - self.windows * self.window
        self._begin = int(uniform(np.zeros(1, np.int64), 1, self.seed, epoch, 1)[0, 0] * (spare + 1))
        self._order = permutation(self.windows, self.seed, epoch, 2)

    def texts(self, epoch: int) -> np.ndarray:
        """Numbers of the texts of an epoch, in the order in which they are laid."""
        if self.mixture is None:
            return permutation(len(self.starts), self.seed, epoch, 0)
        return self.mixture.texts(self.source, self.lengths, self.seed, epoch)

    def steps(self, position: int) -> Iterator[list[Batch]]:
        """The micro-batches of each step from `position` on, without end; this rank's share."""
        while True:
            epoch, step = divmod(position, self.steps_per_epoch)
            self._open(epoch)
            start, end = (self.windows * s // self.steps_per_epoch for s in (step, step + 1))
            parts = self.accumulate * self.world
            mine = range(self.rank, parts, self.world)
            cut = [(start + (end - start) * m // parts, start + (end - start) * (m + 1) // parts) for m in mine]
            yield [self._batch(self._order[a:b]) for a, b in cut]
            position += 1

    def _batch(self, windows: np.ndarray) -> Batch:
        """(B,) numbers of windows -> their tokens."""
        at = self._begin + windows[:, None] * self.window + np.arange(self.window + 1)
        turn = np.searchsorted(self._ends, at, side="right")
        text = self._texts[turn]
        within = at - self._ends[turn] + self.lengths[text]
        place = self.starts[text] + within
        mask = within > 0 if self.taught is None else (within > 0) & np.asarray(self.taught[place])
        tensors = {"ids": torch.from_numpy(np.asarray(self.ids[place])), "mask": torch.from_numpy(mask)}
        let_go(self.ids, self.taught)
        if (turn[:, 0] != turn[:, -1]).any():
            tensors["documents"] = torch.from_numpy(turn - turn[:, :1])
        return Batch({self.name: Cells(tensors)}, torch.from_numpy(windows))

    def grow(self, step: int, predict: object) -> None:
        """A table doesn't grow."""


def windows_of(tokens: int, window: int) -> int:
    """Whole windows in so many tokens, each with the token that follows it; one at least."""
    return max(1, (tokens - 1) // window)
