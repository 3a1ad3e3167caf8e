"""The curves of a run out of its metrics.jsonl, for trackers: by fold and phase, with the name that each figure has there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dapeng.core.errors import DapengError, RunError
from dapeng.core.run import RunFolder

NAMES = {
    "train_loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "epoch": "train/epoch",
    "loss": "validation/loss",
}
PLACE = ("fold", "phase", "step", "time", "checkpoint")


@dataclass(frozen=True)
class Point:
    """One figure at one step. seconds: since 1970, when it was told."""

    name: str
    value: float
    step: int
    seconds: float


@dataclass(frozen=True)
class Curves:
    """What one training told. fold: its number, None where there was one split. phase: its number from 0.

    After a cross-validation, the model that is kept is trained on all rows: nothing validates it.
    """

    fold: int | None
    phase: int
    points: list[Point]

    @property
    def group(self) -> str:
        """ "" where there was one split, else the fold, or "all rows"."""
        if self.fold is None:
            return ""
        return f"fold {self.fold}" if any(p.name.startswith("validation/") for p in self.points) else "all rows"

    @property
    def name(self) -> str:
        """Such as "fold-0/phase-0"."""
        group = self.group.replace(" ", "-")
        return f"{group}/phase-{self.phase}" if group else f"phase-{self.phase}"


def curves(folder: RunFolder) -> list[Curves]:
    """Every training of a run, in order. Raises RunError where no network was trained, so that there are none."""
    if not folder.has("metrics.jsonl"):
        raise RunError(
            f"{folder.path} has no metrics.jsonl: no network was trained", hint="train one with model=network"
        )
    began = _began(folder)
    told: dict[tuple[int | None, int], dict[int, dict[str, Any]]] = {}
    for entry in _entries(folder):
        key = (entry.get("fold"), int(entry.get("phase") or 0))
        told.setdefault(key, {})[int(entry["step"])] = entry  # a run that went on tells a step again: the later counts
    found = [Curves(f, p, [q for e in steps.values() for q in _points(e, began)]) for (f, p), steps in told.items()]
    if not found:
        raise RunError(
            f"{folder.path / 'metrics.jsonl'} holds no figure yet", hint=f"dapeng train --resume {folder.path}"
        )
    return found


def _entries(folder: RunFolder) -> Iterator[dict[str, Any]]:
    for line in folder.file("metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # half a line, where the run was killed
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int) and "train_loss" in entry:
            yield entry


def _points(entry: dict[str, Any], began: float) -> Iterator[Point]:
    at = began + float(entry.get("time") or 0.0)
    for key, value in entry.items():
        if key not in PLACE and isinstance(value, (int, float)) and math.isfinite(value):
            yield Point(NAMES.get(key, f"validation/{key}"), float(value), int(entry["step"]), at)


def _began(folder: RunFolder) -> float:
    try:
        return datetime.fromisoformat(str(folder.about().get("created"))).timestamp()
    except ValueError:
        return datetime.now(UTC).timestamp()


def tested(folder: RunFolder) -> dict[str, float]:
    """The figures of the test rows: {"test/sentiment.accuracy": 0.93, ...}; none where the run isn't done."""
    try:
        outputs = folder.read_json("metrics.json")["outputs"]
    except (DapengError, KeyError, TypeError):
        return {}
    return {
        f"test/{output}.{name}": float(figure["value"])
        for output, found in outputs.items()
        for name, figure in found.get("metrics", {}).items()
        if isinstance(figure, dict) and isinstance(figure.get("value"), (int, float)) and math.isfinite(figure["value"])
    }


def settings(folder: RunFolder) -> dict[str, str]:
    """What was done, every value, by its dotted path in the spec."""
    from dapeng.core.yaml12 import read

    if not folder.has("resolved.yaml"):
        return {}
    spec = read(folder.file("resolved.yaml").read_text(encoding="utf-8")).value.get("spec", {})
    return dict(_flat(spec, ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value is not None and value != {}:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
