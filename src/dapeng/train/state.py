"""Everything that a resumed run needs, as safetensors and JSON: weights, optimisers, average, best weights, place in the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dapeng.core.files import read_json, write_json
from dapeng.core.run import BESIDE
from dapeng.objectives.base import Objective
from dapeng.train import weights
from dapeng.train.ema import Average
from dapeng.train.strategies import Single


@dataclass
class Progress:
    """Where a run is. Random states are not in it: every draw is a function of (seed, step, turn, rank)."""

    phase: int = 0
    step: int = 0
    """Steps of the phase that are done."""
    share: float = 0.0
    """How far the schedule is, 0 to 1."""
    planned: int = 0
    """Steps that the phase will have."""
    passes: float = 0.0
    """Epochs that the phase was planned for; a second attempt has its own."""
    done: bool = False
    """The phase ended before its last step: no gain any more, or no time."""
    elapsed: float = 0.0
    """Seconds of training so far, over all sittings."""
    best_score: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    best_phase: int = 0
    stale: int = 0
    """Validations since the best."""
    batch_size: int = 0
    accumulate: int = 1
    threads: int = 0
    """Processor threads: sums in another order would give other last bits."""
    log_bytes: int = 0
    """Length of metrics.jsonl; what lies behind it is told again."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry a validation."""


@dataclass
class State:
    """What the loop moves."""

    objective: Objective
    strategy: Single
    average: Average
    progress: Progress
    wrapped: dict[str, Any] = field(default_factory=dict)
    """What is called in place of the objective, by turn: `strategy.wrap` made it."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The model's best weights by validation, empty before the first."""
    beside: dict[str, Tensor] = field(default_factory=dict)
    """What the objective keeps beside them (`Objective.beside`), of the same step."""

    def remember(self) -> None:
        """The weights as they are, as the best."""
        self.best = {n: t.detach().clone() for n, t in self.objective.model.state_dict().items()}
        self.beside = {n: t.detach().clone() for n, t in self.objective.beside().items()}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model as it is evaluated: with averaged weights, where an optimiser or `train.ema` keeps an average."""
        with contextlib.ExitStack() as stack:
            for optimiser in self.strategy.optimisers.values():
                averaged = getattr(optimiser, "averaged", None)
                if averaged is not None:
                    stack.enter_context(averaged())
            stack.enter_context(self.average.applied())
            yield

    def write(self, folder: Path) -> None:
        """Into the folder of a checkpoint."""
        weights.save(self.objective.state_dict(), folder / "objective.safetensors")
        for turn, optimiser in self.strategy.optimisers.items():
            weights.save(_flat(optimiser.state_dict()), folder / f"optimiser-{turn}.safetensors", check=False)
        if self.average.values:
            weights.save(self.average.values, folder / "average.safetensors")
        if self.best:
            weights.save(self.best, folder / "best.safetensors")
        if self.beside:
            weights.save(self.beside, folder / BESIDE)
        write_json(folder / "progress.json", asdict(self.progress), sync=False)

    def read(self, folder: Path) -> None:
        """Out of the folder of a checkpoint. Raises RunError where it belongs to another network."""
        where, model = str(folder), self.objective.model
        weights.apply(self.objective, weights.load(folder / "objective.safetensors"), where)
        for turn, optimiser in self.strategy.optimisers.items():
            flat = weights.load(folder / f"optimiser-{turn}.safetensors", check=False)
            optimiser.load_state_dict(_unflat(flat, optimiser.state_dict()))
        if self.average.decay is not None:
            self.average.values = weights.as_called_now(model, weights.load(folder / "average.safetensors"))
        best = folder / "best.safetensors"
        self.best = weights.as_called_now(model, weights.load(best)) if best.is_file() else {}
        self.beside = weights.load(folder / BESIDE) if (folder / BESIDE).is_file() else {}
        self.progress = Progress(**read_json(folder / "progress.json"))


def _flat(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """An optimiser's state as tensors: "index.name"."""
    return {
        f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(float(value))
        for index, values in state["state"].items()
        for name, value in values.items()
        if value is not None
    }


def _unflat(flat: Mapping[str, Tensor], like: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": like["param_groups"]}
