"""Matrices move along the nearest orthogonal matrix to their momentum, everything else by AdamW.

Jordan et al.: Muon, 2024 (https://kellerjordan.github.io/posts/muon/); the scale of a step, which lets both share one learning rate,
is that of Liu et al.: Muon is Scalable for LLM Training, 2025 (https://arxiv.org/abs/2502.16982).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import OptimiserOptions, optimisers
from dapeng.train.lean import LeanAdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
RMS = 0.2
"""Of a step of AdamW, about."""


@optimisers
class Muon(OptimiserOptions):
    """Orthogonalised momentum for matrices and convolutions; AdamW for biases, norms, embedding tables and the last layer.

    Paper: Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/
    Example: `train: {optimiser: {type: muon, weight_decay: 0.05}, learning_rate: 2e-3}`
    """

    type: Literal["muon"] = "muon"
    apart: ClassVar[bool] = True
    momentum: float = Field(0.95, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, le=100)
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    """Of AdamW."""
    rest: float = Field(1.0, gt=0, le=1000)
    """Learning rate of AdamW, as a share of that of the matrices."""
    fixed_norm: bool = False
    """Keep every matrix at the length of an orthogonal one, so that a step turns it by the learning rate, whatever its size (0.24 for
    2,000 rows a step in https://arxiv.org/abs/2404.00498); for networks with a norm after each matrix."""

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        # what is decayed are the matrices
        matrices = [g for g in groups if "weight_decay" not in g and not g.get("last")]
        others = [g for g in groups if "weight_decay" in g or g.get("last")]
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(_Muon(matrices, learning_rate, self.momentum, self.weight_decay, self.fixed_norm))
        if others:
            others = [
                {"weight_decay": self.weight_decay, **g, "factor": g.get("factor", 1.0) * self.rest} for g in others
            ]
            betas = (self.betas[0], self.betas[1])
            parts.append(LeanAdamW(others, lr=learning_rate * self.rest, betas=betas, fused=True))
        return cast(torch.optim.Optimizer, Several(parts))


class Several:
    """Optimisers of different parameters, as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]):
        self.parts = parts
        self.param_groups = [g for part in parts for g in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def _counts(self) -> list[int]:
        return [sum(len(g["params"]) for g in part.param_groups) for part in self.parts]

    def state_dict(self) -> dict[str, Any]:
        state: dict[int, Any] = {}
        start = 0
        for part, count in zip(self.parts, self._counts()):
            state |= {start + index: values for index, values in part.state_dict()["state"].items()}
            start += count
        return {"state": state, "param_groups": [part.state_dict()["param_groups"] for part in self.parts]}

    def load_state_dict(self, found: dict[str, Any]) -> None:
        start = 0
        for part, count in zip(self.parts, self._counts()):
            own = {i - start: v for i, v in found["state"].items() if start <= i < start + count}
            part.load_state_dict({"state": own, "param_groups": part.state_dict()["param_groups"]})
            start += count
        self.param_groups = [g for part in self.parts for g in part.param_groups]


class _Muon(torch.optim.Optimizer):
    """Nesterov momentum of each matrix, made orthogonal; kernels of convolutions are matrices (C_out, C_in Y X)."""

    def __init__(self, groups: Any, lr: float, momentum: float, weight_decay: float, fixed_norm: bool = False):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.fixed_norm = fixed_norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                buffer = state["momentum_buffer"]
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalised(p.grad.lerp(buffer, group["momentum"]).flatten(1))
                if self.fixed_norm:  # as an orthogonal matrix has it, and so the step, too
                    length, scale = min(update.shape) ** 0.5, 1.0
                    p.mul_(length / p.norm().clamp(min=1e-7))
                else:
                    scale = RMS * max(update.shape) ** 0.5
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p), alpha=-group["lr"] * scale)
        return loss


def orthogonalised(x: Tensor) -> Tensor:
    """About the orthogonal matrix nearest to x (N, K), by Newton and Schulz' iteration; in fp32, which a processor does best."""
    a, b, c = COEFFICIENTS
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        product = x @ x.mT
        x = a * x + (b * product + c * product @ product) @ x
    return x.mT if tall else x
