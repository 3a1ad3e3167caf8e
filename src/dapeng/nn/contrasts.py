"""Contrasts: directions in which number columns that rise together differ, each scaled to deviation 1.

Length and width of a stone are nearly one number; what they differ in says whether it is round, and is too small beside either for
a network to find. They are the principal components of least variance, of logarithms where a column has no negative numbers, so
that a ratio is a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LARGEST, LEAST = 0.05, 1e-6
"""Variance of a contrast, where that of a column is 1: above it columns don't rise together, below it there is only rounding."""
FLOOR = 0.01
"""Times its mean, the least of which a column's logarithm is taken."""
FAR = 6.0
"""Deviations beyond which a row is left out in finding contrasts, and at which their values end."""
FEWEST_ROWS = 20
"""Rows a column."""
PASSES = 3


class Contrasts(nn.Module):
    """Standardised values (B, K) -> terms (B, K, C), whose sum over the columns are the contrasts (B, C); zeros until `prime`."""

    slope: Tensor
    shift: Tensor
    logs: Tensor
    centre: Tensor
    turn: Tensor

    def __init__(self, columns: Sequence[Any], count: int):
        super().__init__()
        how = [_scale(c.state, c.options.scale) for c in columns]
        self.register_buffer("slope", torch.tensor([h[0] for h in how]), persistent=False)
        self.register_buffer("shift", torch.tensor([h[1] for h in how]), persistent=False)
        self.register_buffer("logs", torch.tensor([h[2] for h in how]), persistent=False)
        self.register_buffer("centre", torch.zeros(len(how)))
        self.register_buffer("turn", torch.zeros(len(how), count))

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """A row that lacks a column has none."""
        terms = (self._terms(values) - self.centre)[..., None] * self.turn
        return terms if present is None else terms * present.all(1)[:, None, None]

    @staticmethod
    def joined(terms: Tensor) -> Tensor:
        """(B, K, C) -> (B, C)."""
        return terms.sum(1).clamp(-FAR, FAR)

    def prime(self, values: Tensor, present: Tensor | None = None) -> None:
        """Find the contrasts of training rows."""
        x = self._terms(values if present is None else values[present.all(1)]).double().numpy()
        if len(x) < FEWEST_ROWS * x.shape[1]:
            return
        centre, turn = directions(x, self.turn.shape[1])
        self.centre.copy_(torch.from_numpy(centre))
        self.turn[:, : turn.shape[1]] = torch.from_numpy(turn).float()

    def _terms(self, values: Tensor) -> Tensor:
        return torch.where(self.logs, (values * self.slope + self.shift).clamp(min=FLOOR).log(), values)


def _scale(state: dict[str, Any], scale: str) -> tuple[float, float, bool]:
    """Factor and shift that turn a standardised column into multiples of its mean, and whether it has a logarithm."""
    log = scale != "log" and state["low"] >= 0 and state["mean"] > 0
    mean, std = (state["mean"], state["std"]) if scale == "standard" else (0.0, 1.0)
    return (std / state["mean"], mean / state["mean"], True) if log else (1.0, 0.0, False)


def directions(x: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Centre (K,) and contrasts (K, at most `most`) of rows (N, K): (x - centre) @ contrasts have mean 0 and deviation 1."""
    mean, std = x.mean(0), x.std(0)
    std = np.where(std > 1e-9, std, np.inf)
    z = np.clip((x - mean) / std, -FAR, FAR)
    kept = np.ones(len(z), bool)
    middle, variances, vectors = z.mean(0), np.ones(0), np.ones((z.shape[1], 0))
    for _ in range(PASSES):  # a few wild rows would hide a narrow direction
        middle = z[kept].mean(0)
        variances, vectors = np.linalg.eigh(np.cov(z[kept] - middle, rowvar=False))
        far = np.abs((z - middle) @ vectors) > FAR * np.sqrt(np.maximum(variances, LEAST))
        if far.mean() > 0.5:
            break
        kept = ~far.any(1)
    narrow = np.flatnonzero((variances > LEAST) & (variances < LARGEST))[:most]
    centre = mean + middle * np.where(np.isfinite(std), std, 0.0)
    return centre, vectors[:, narrow] / np.sqrt(variances[narrow]) / std[:, None]
