"""What stays the same over the phases of a training, and what follows from it: the feed, and how to fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.core.console import warn
from dapeng.core.duration import seconds
from dapeng.core.errors import TrainingError
from dapeng.core.kinds import ScheduleOptions, schedules
from dapeng.core.spec import Phase, Train
from dapeng.data.batch import Batch
from dapeng.data.feed import Feed, TableFeed
from dapeng.data.packed import PackedFeed, windows_of
from dapeng.data.stored import Store
from dapeng.train.loop import Fit
from dapeng.train.state import State
from dapeng.train.strategies import Single
from dapeng.transforms.compose import steps_of, transforms_for

LONGEST_WITHOUT_VALIDATION = 2_000
Change = Callable[[Batch, int], Batch]


@dataclass(frozen=True)
class Setting:
    """Rows, columns, machine and limits of a training. known: puts in what frozen encoders gave; deadline in seconds."""

    train: Train
    inputs: Mapping[str, Column]
    outputs: Mapping[str, Column]
    store: Store
    rows: np.ndarray
    strategy: Single
    known: Callable[[Batch], Batch] | None
    autocast: torch.dtype | None
    device: str
    deadline: float | None
    untargeted: np.ndarray | None = None
    """Positions that train and have no target."""

    def rows_of(self, phase: Phase) -> np.ndarray:
        """Positions that a phase reads."""
        more = self.untargeted
        if more is None or not len(more) or not phase.objective.untargeted:
            return self.rows
        return np.sort(np.concatenate([self.rows, more]))

    @property
    def packed(self) -> str | None:
        return packed(self.inputs, self.outputs, self.store)

    @property
    def augmented(self) -> bool:
        return any(steps_of(c, self.outputs) for c in self.inputs.values())

    def feed(self, state: State, phase: Phase) -> Feed:
        """Batches of the size that the state has come to, of the rows that the phase reads."""
        rows = self.rows_of(phase)
        size, accumulate, seed = state.progress.batch_size, state.progress.accumulate, self.train.seed
        ranks = self.strategy.rank, self.strategy.world
        name = self.packed
        if name is not None:
            window = self.outputs[name].window or 1
            stored, mixture = self.store.stored[name], self.store.mixture
            return PackedFeed(name, stored, rows, window, size, accumulate, seed, *ranks, mixture)
        changes = _after(transforms_for(self.inputs, self.outputs, seed), self.known)
        return TableFeed(self.store, rows, size, accumulate, seed, *ranks, changes)

    def halved(self, state: State, error: BaseException, phase: Phase) -> Feed:
        """Out of memory: half the micro-batch, twice as many of them; the step stays the same. Raises TrainingError."""
        progress = state.progress
        if progress.batch_size <= 1:
            what = f"out of memory with one row a micro-batch: {error}"
            raise TrainingError(what, hint="choose a smaller network") from None
        half, twice = progress.batch_size // 2, 2 * progress.accumulate
        if self.train.batch_size != "auto":
            hint = f"train.batch_size=auto, or train.batch_size={half} train.accumulate={twice}"
            raise TrainingError(f"out of memory with {progress.batch_size} rows a micro-batch", hint=hint) from None
        progress.batch_size, progress.accumulate = half, twice
        state.objective.zero_grad(set_to_none=True)
        warn(f"out of memory: going on with {twice} micro-batches of {half} rows a step")
        return self.feed(state, phase)

    def how(self, phase: Phase, epochs: float, feed: Feed, rate: float) -> Fit:
        """Steps, validations, patience and checkpoints of a phase."""
        train = self.train
        asked = phase.steps or (None if phase.epochs else train.steps)
        steps = asked or max(1, round((phase.epochs or epochs) * feed.steps_per_epoch))
        every = min(feed.steps_per_epoch, LONGEST_WITHOUT_VALIDATION)
        every = max(every, math.ceil(steps / (100 if steps > 200 else 30)))
        # without augmentation a network overfits sooner or later, and is then trained anew over fewer epochs
        patience = max(6, max(1, steps // every) // (2 if self.augmented else 5))
        often = train.checkpoint_every
        return Fit(
            steps=steps,
            validate_every=every,
            learning_rate=rate,
            schedule=_schedule(train, phase),
            seed=train.seed,
            patience=patience if train.patience == "auto" else train.patience,
            deadline=self.deadline,
            checkpoint_seconds=None if isinstance(often, int) else seconds(often),
            checkpoint_steps=often if isinstance(often, int) else None,
            autocast=self.autocast,
            device=self.device,
        )


def packed(inputs: Mapping[str, Column], outputs: Mapping[str, Column], store: Store) -> str | None:
    """The column whose cells are laid one behind the other and cut into windows: the only one, where there are no inputs."""
    names = [n for n, c in outputs.items() if c.window]
    alone = not inputs and len(outputs) == 1 and list(store.stored) == names
    return names[0] if names and alone else None


def drawn(inputs: Mapping[str, Column], outputs: Mapping[str, Column], store: Store, rows: np.ndarray) -> int:
    """How much an epoch draws of these rows: each of them once, or each window of their texts."""
    name = packed(inputs, outputs, store)
    offsets = store.stored[name].offsets if name is not None else None
    if name is None or offsets is None:
        return len(rows)
    return windows_of(int((offsets[rows + 1] - offsets[rows]).sum()), outputs[name].window or 1)


def _after(changes: Change | None, known: Callable[[Batch], Batch] | None) -> Change | None:
    """Random changes, and then what is known of frozen encoders."""
    if known is None:
        return changes
    return lambda batch, epoch: known(batch if changes is None else changes(batch, epoch))


def _schedule(train: Train, phase: Phase) -> ScheduleOptions:
    """As the spec says; where it doesn't, what the optimiser wants."""
    wanted = (phase.optimiser or train.optimiser).schedule
    if wanted is None or "schedule" in train.model_fields_set:
        return train.schedule
    return schedules.members()[wanted](warmup=0.05)
