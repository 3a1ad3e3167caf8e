"""What a fold leaves to be judged, in memory and in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import safe_open

from dapeng.columns.base import Column
from dapeng.core.files import write_bytes
from dapeng.models.predict import Predictions


@dataclass
class Tested:
    """Predictions for the rows that test a fold.

    rows: their positions. predictions: by member (product, network, each learner). shares: of each member, by output.
    roles: of each learner: learner, or baseline. costs: CPU seconds of each member. log: length of metrics.jsonl after it.
    settings: by output, what the product decides by (`Column.settle`).
    """

    rows: np.ndarray
    predictions: dict[str, Predictions] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    best_epoch: float = 0.0
    log: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def aligned(self, fitted: dict[str, Column], outputs: dict[str, Column]) -> None:
        """Predictions by the fold's own columns in terms of others: a fold may not have seen every label."""
        self.predictions = {
            m: {o: outputs[o].aligned(p, fitted[o]) for o, p in found.items()} for m, found in self.predictions.items()
        }

    def save(self, path: Path) -> None:
        """As safetensors, in one step."""
        arrays: dict[str, np.ndarray] = {"rows": np.ascontiguousarray(self.rows)}
        names: list[list[str]] = []
        for member, outputs in self.predictions.items():
            for output, tensors in outputs.items():
                for tensor, array in tensors.items():
                    arrays[str(len(names))] = np.ascontiguousarray(array)
                    names.append([member, output, tensor])
        facts = {n: getattr(self, n) for n in ("shares", "roles", "costs", "best_epoch", "log", "settings")}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, safetensors.numpy.save(arrays, {"facts": json.dumps({**facts, "names": names})}))

    @classmethod
    def load(cls, path: Path) -> Tested:
        with safe_open(path, "numpy") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            predictions: dict[str, Predictions] = {}
            for number, (member, output, tensor) in enumerate(facts.pop("names")):
                predictions.setdefault(member, {}).setdefault(output, {})[tensor] = file.get_tensor(str(number))
            return cls(file.get_tensor("rows"), predictions, **facts)
