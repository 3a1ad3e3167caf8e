"""The lean optimisers are torch's own, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dapeng.train.lean import LeanAdam, LeanAdamW, _Lean

PAIRS: list[Any] = [(LeanAdam, torch.optim.Adam), (LeanAdamW, torch.optim.AdamW)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))


def groups(model: nn.Module) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in model.parameters() if p.dim() > 1]},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]


def go(model: nn.Module, optimiser: torch.optim.Optimizer, steps: range, without: int = -1) -> None:
    """Steps on random rows; on step `without` the first matrix has no gradient."""
    for step in steps:
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        for group in optimiser.param_groups:
            group["lr"] = 0.01 / (1 + step)
        model(x).square().mean().backward()
        if step == without:
            next(model.parameters()).grad = None
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(("lean", "plain"), PAIRS)
@pytest.mark.parametrize("without", [-1, 0, 7])
def test_steps_are_those_of_torch_also_where_a_gradient_is_missing(lean: Any, plain: Any, without: int) -> None:
    out = []
    for kind in (lean, plain):
        model = network()
        go(model, kind(groups(model), lr=0.01, weight_decay=0.1, fused=True), range(20), without)
        out.append(weights(model))
    assert torch.equal(*out)
    assert not torch.equal(out[0], weights(network()))


@pytest.mark.parametrize(("lean", "plain"), PAIRS)
def test_a_state_goes_from_one_to_the_other_and_back(lean: Any, plain: Any) -> None:
    whole, cut = network(), network()
    go(whole, plain(groups(whole), fused=True), range(15))
    first = lean(groups(cut), fused=True)
    go(cut, first, range(5))
    middle = plain(groups(cut), fused=True)
    middle.load_state_dict(first.state_dict())
    go(cut, middle, range(5, 10))
    first.load_state_dict(middle.state_dict())
    go(cut, first, range(10, 15))
    assert torch.equal(weights(whole), weights(cut))


def test_it_is_the_kernel_that_is_called_and_not_torch_s_step(monkeypatch: Any) -> None:
    model = network()
    optimiser: _Lean = LeanAdamW(groups(model), fused=True)
    go(model, optimiser, range(2))
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("torch's own step"))
    go(model, optimiser, range(2, 4))
