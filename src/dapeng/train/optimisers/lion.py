"""Steps of one size, in the direction of a momentum's sign. Found by search over programs: Chen et al., 2023."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import OptimiserOptions, optimisers


class _foreach:
    """Operations over lists of tensors, one kernel for many; torch has no public name for them."""

    lerp: Any = staticmethod(torch._foreach_lerp)  # pyright: ignore[reportPrivateImportUsage]
    lerp_: Any = staticmethod(torch._foreach_lerp_)  # pyright: ignore[reportPrivateImportUsage]
    sign_: Any = staticmethod(torch._foreach_sign_)  # pyright: ignore[reportPrivateImportUsage]
    mul_: Any = staticmethod(torch._foreach_mul_)  # pyright: ignore[reportPrivateImportUsage]
    add_: Any = staticmethod(torch._foreach_add_)  # pyright: ignore[reportPrivateImportUsage]


@optimisers
class Lion(OptimiserOptions):
    """The sign of a momentum: half of Adam's memory; wants a third to a tenth of its learning rate, and more weight decay.

    Paper: Chen et al., 2023, https://arxiv.org/abs/2302.06675
    Example: `train: {optimiser: {type: lion, weight_decay: 0.1}, learning_rate: 1e-4}`
    """

    type: Literal["lion"] = "lion"
    weight_decay: float = Field(0.03, ge=0, le=100)
    betas: list[float] = Field(default=[0.9, 0.99], min_length=2, max_length=2)
    """Of the step, and of what is remembered."""

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return _Lion(groups, learning_rate, (self.betas[0], self.betas[1]), self.weight_decay)


class _Lion(torch.optim.Optimizer):
    """p <- p - lr (sign(b1 m + (1 - b1) g) + decay p); m <- b2 m + (1 - b2) g."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], weight_decay: float):
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            moved: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            for p in moved:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in moved]
            gradients = [p.grad for p in moved]
            beta1, beta2 = group["betas"]
            steps = _foreach.lerp(momenta, gradients, 1 - beta1)
            _foreach.sign_(steps)
            _foreach.mul_(moved, 1 - group["lr"] * group["weight_decay"])
            _foreach.add_(moved, steps, alpha=-group["lr"])
            _foreach.lerp_(momenta, gradients, 1 - beta2)
        return loss
