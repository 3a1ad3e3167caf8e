"""A moving average of the weights, evaluated and kept in their place. Polyak, Juditsky, 1992."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

foreach_lerp: Any = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]


class Average:
    """decay: share of the old average that is kept at each step, less at the start. None: no average."""

    def __init__(self, module: nn.Module, decay: float | None):
        self.module, self.decay = module, decay
        self.values: dict[str, Tensor] = {}
        if decay is not None:
            self.values = {n: t.detach().clone() for n, t in module.state_dict().items()}

    def update(self, step: int) -> None:
        """Count in the weights after a step (from 1)."""
        if self.decay is None:
            return
        decay = min(self.decay, step / (step + 10))
        current = self.module.state_dict()
        floats = [n for n, t in self.values.items() if t.is_floating_point()]
        foreach_lerp([self.values[n] for n in floats], [current[n] for n in floats], 1 - decay)
        for name, value in self.values.items():
            if not value.is_floating_point():
                value.copy_(current[name])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The module with the averaged weights, for a while."""
        if self.decay is None:
            yield
            return
        kept = {n: t.detach().clone() for n, t in self.module.state_dict().items()}
        self.module.load_state_dict(self.values)
        try:
            yield
        finally:
            self.module.load_state_dict(kept)
