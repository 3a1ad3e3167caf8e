"""AdamW that needs no schedule: it evaluates an average of its path and takes gradients beside it. Defazio et al., 2024."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class ScheduleFree(OptimiserOptions):
    """AdamW over an average of all steps: as good at any time as a schedule that ends there. The schedule is constant if none is named.

    Paper: Defazio et al., 2024, https://arxiv.org/abs/2405.15682
    Example: `train: {optimiser: schedule_free, learning_rate: 5e-3}`
    """

    type: Literal["schedule_free"] = "schedule_free"
    schedule: ClassVar[str | None] = "constant"
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    """How far gradients are taken from the path to the average, and of the mean square."""
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0, le=100)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return _ScheduleFree(groups, learning_rate, (self.betas[0], self.betas[1]), self.eps, self.weight_decay)


class _ScheduleFree(torch.optim.Optimizer):
    """Parameters are y = (1 - b1) z + b1 x: z is the path of AdamW, x its average; `averaged` shows x."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state |= {"z": p.clone(), "square": torch.zeros_like(p)}
                    state |= {"step": torch.zeros(()), "weight": torch.zeros(())}
                z, square = state["z"], state["square"]
                state["step"] += 1
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                corrected = (square / (1 - beta2 ** float(state["step"]))).sqrt_().add_(group["eps"])
                move = (p.grad / corrected).add_(p, alpha=group["weight_decay"])
                state["weight"] += group["lr"] ** 2
                share = group["lr"] ** 2 / max(float(state["weight"]), 1e-30)
                p.lerp_(z, share)
                p.add_(move, alpha=group["lr"] * (beta1 * (1 - share) - 1))
                z.sub_(move, alpha=group["lr"])
        return loss

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The parameters as their average x, for a while."""
        kept = []
        with torch.no_grad():
            for group in self.param_groups:
                for p in (p for p in group["params"] if self.state[p]):
                    kept.append((p, p.clone()))
                    p.lerp_(self.state[p]["z"], 1 - 1 / group["betas"][0])
        try:
            yield
        finally:
            with torch.no_grad():
                for p, before in kept:
                    p.copy_(before)
