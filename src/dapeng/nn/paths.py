"""Ways from noise to pictures, and solvers that walk them in few steps.

At time t a picture is seen as alpha(t) x + sigma(t) noise, noise alone at t = 0, the picture at t = 1, and a network says its velocity.
Flow matching: Lipman et al., 2022 (https://arxiv.org/abs/2210.02747), Liu et al.: Rectified Flow, 2022
(https://arxiv.org/abs/2209.03003); diffusion with v: Salimans, Ho, 2022 (https://arxiv.org/abs/2202.00512). Solvers: Euler; Heun as in
Karras et al., 2022 (https://arxiv.org/abs/2206.00364); DPM-Solver++(2M): Lu et al., 2022 (https://arxiv.org/abs/2211.01095).

Legend: B rows, C channels, Y X picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
"""(noisy pictures (B, C, Y, X), time) -> what the network says of them."""


class Path(Protocol):
    """A way from noise to pictures. Times are tensors in training, plain numbers in sampling."""

    def alpha(self, t: Any) -> Any: ...
    def sigma(self, t: Any) -> Any: ...

    def wanted(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network is to say."""
        ...

    def clean(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        """The picture that follows from what it said."""
        ...

    def leads_to(self, noisy: Tensor, clean: Tensor, t: float) -> Tensor:
        """What the network would have said if this picture followed from it; t < 1."""
        ...

    def slope(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        """How the noisy picture moves with time."""
        ...


class Straight:
    """Straight lines from noise to pictures: what is said is where they lead."""

    def alpha(self, t: Any) -> Any:
        return t

    def sigma(self, t: Any) -> Any:
        return 1 - t

    def wanted(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return x - noise

    def clean(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        return noisy + (1 - t) * said

    def leads_to(self, noisy: Tensor, clean: Tensor, t: float) -> Tensor:
        return (clean - noisy) / (1 - t)

    def slope(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        return said


class Arc:
    """Diffusion that keeps the variance, with the cosine schedule: alpha = sin(pi t / 2), sigma = cos(pi t / 2)."""

    def alpha(self, t: Any) -> Any:
        return torch.sin(t * (math.pi / 2)) if isinstance(t, Tensor) else math.sin(t * math.pi / 2)

    def sigma(self, t: Any) -> Any:
        return torch.cos(t * (math.pi / 2)) if isinstance(t, Tensor) else math.cos(t * math.pi / 2)

    def wanted(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self.alpha(t) * noise - self.sigma(t) * x

    def clean(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        return self.alpha(t) * noisy - self.sigma(t) * said

    def leads_to(self, noisy: Tensor, clean: Tensor, t: float) -> Tensor:
        return (self.alpha(t) * noisy - clean) / self.sigma(t)

    def slope(self, noisy: Tensor, said: Tensor, t: float) -> Tensor:
        return said * (-math.pi / 2)  # d/dt (alpha x + sigma noise) = pi / 2 (sigma x - alpha noise)


def even_times(steps: int) -> list[float]:
    """Times of a walk in equal steps, both ends counted."""
    return [i / steps for i in range(steps + 1)]


def euler(path: Path, velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """A step along the slope at its beginning."""
    for now, then in itertools.pairwise(times):
        x = x + (then - now) * path.slope(x, velocity(x, now), now)
    return x


def heun(path: Path, velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """A step along the mean of the slopes at its beginning and end; two looks a step, one in the last."""
    for now, then in itertools.pairwise(times):
        first = path.slope(x, velocity(x, now), now)
        ahead = x + (then - now) * first
        if then < times[-1]:
            second = path.slope(ahead, velocity(ahead, then), then)
            ahead = x + (then - now) * 0.5 * (first + second)
        x = ahead
    return x


def multistep(path: Path, velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """DPM-Solver++(2M): exact in what is linear, with the last two pictures that the network believed in; one look a step."""
    before: Tensor | None = None
    last_step = 0.0
    for now, then in itertools.pairwise(times):
        clean = path.clean(x, velocity(x, now), now)
        alphas, sigmas = (path.alpha(now), path.alpha(then)), (path.sigma(now), path.sigma(then))
        step = _log_ratio(alphas[1], sigmas[1]) - _log_ratio(alphas[0], sigmas[0])
        ahead = clean
        if before is not None and math.isfinite(step) and math.isfinite(last_step):
            share = step / (2 * last_step)
            ahead = (1 + share) * clean - share * before
        shrunk = sigmas[1] / sigmas[0]
        x = shrunk * x + (alphas[1] - alphas[0] * shrunk) * ahead
        before, last_step = clean, step
    return x


def _log_ratio(alpha: float, sigma: float) -> float:
    """Half the logarithm of the ratio of signal to noise."""
    if alpha <= 0:
        return -math.inf
    return math.inf if sigma <= 1e-12 else math.log(alpha / sigma)


SOLVERS = {"euler": euler, "heun": heun, "dpm": multistep}
