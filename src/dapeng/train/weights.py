"""Weights to files and back: safetensors alone, never a pickle; nothing that isn't finite is saved or loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from dapeng.core.errors import Problem, RunError, TrainingError
from dapeng.data.tensors import load, not_finite


def save(tensors: Mapping[str, Tensor], path: Path, check: bool = True) -> None:
    """Write tensors in one step (temporary file, fsync, rename). Raises TrainingError on nan."""
    wrong = not_finite(tensors) if check else []
    if wrong:
        raise TrainingError(f"weights are not finite: {', '.join(wrong[:3])}", hint="train.learning_rate=1e-4")
    held = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file(held, temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"can't write {path}: {error}", hint="free some space and go on with `dapeng train --resume`"
        ) from None


def as_called_now(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names that parts give them now: one that was renamed says what its own began with `earlier`."""
    tensors = dict(tensors)
    for place, part in module.named_modules():
        earlier: dict[str, str] = getattr(part, "earlier", {})
        within = f"{place}." if place else ""
        for old, new in ((within + o, within + n) for o, n in earlier.items()):
            tensors = {new + n[len(old) :] if n.startswith(old) else n: t for n, t in tensors.items()}
    return tensors


def apply(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module. Raises RunError in three lines where they belong to another network."""
    tensors = as_called_now(module, tensors)
    for name, part in module.named_modules():
        adopt: Any = getattr(part, "adopt", None)  # makes room for tensors whose size the training rows decided
        if adopt is not None:
            adopt({n.removeprefix(f"{name}."): t for n, t in tensors.items() if n.startswith(f"{name}.")})
    own = {n: tuple(t.shape) for n, t in module.state_dict().items()}
    given = {n: tuple(t.shape) for n, t in tensors.items()}
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    other = sorted(n for n in own.keys() & given.keys() if own[n] != given[n])
    problems = []
    if missing:
        problems.append(Problem(where, f"lacks {len(missing)} tensors, such as {missing[0]} {own[missing[0]]}"))
    if extra:
        problems.append(Problem(where, f"has {len(extra)} tensors that the network lacks, such as {extra[0]}"))
    if other:
        n = other[0]
        problems.append(
            Problem(where, f"{len(other)} tensors differ in shape, such as {n}: {given[n]}, expected {own[n]}")
        )
    if problems:
        raise RunError(problems, "these weights belong to another network")
    module.load_state_dict(dict(tensors))


__all__ = ["apply", "as_called_now", "load", "not_finite", "save"]
