"""`dapeng show`: the training step in numbers is autograd's, the walk and the graph name what is there."""

from __future__ import annotations

import re

import torch

from dapeng import api
from dapeng.api.show import Look, graph, sample, step
from dapeng.core.loader import load_spec


def test_the_step_by_hand_equals_plain_autograd() -> None:
    spec = load_spec(str(api.recipe_file("by-hand"))).spec
    shown = step(spec, None)
    look = Look(spec, None)  # the same seed: the same weights
    weights = dict(look.model.named_parameters())
    x, y = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([4.0, 5.0, 6.0])
    for layer in ("fusion.trunk.0", "fusion.trunk.2"):
        x = torch.sigmoid(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"])
    heads = [
        torch.sigmoid(x @ weights[f"decoders.y{i}.head.weight"].T + weights[f"decoders.y{i}.head.bias"])
        for i in (1, 2, 3)
    ]
    loss = ((torch.cat(heads, 1)[0] - y) ** 2).sum()
    loss.backward()
    assert re.search(rf"loss +total +{loss.item():.4f}", shown)
    for name in ("fusion.trunk.0.weight", "decoders.y2.head.bias"):
        parameter = weights[name]
        assert parameter.grad is not None
        line = next(s for s in shown.splitlines() if s.startswith("update") and f" {name} " in s)
        numbers = [float(v) for v in line.split(")", 1)[1].split()]
        torch.testing.assert_close(torch.tensor(numbers), -0.1 * parameter.grad.flatten(), rtol=1e-4, atol=1e-6)
    assert shown.count("can't reach the target") == 3


def test_the_walk_goes_from_the_cell_to_a_value_in_the_users_units() -> None:
    shown = sample(
        load_spec("data: sample:iris\ninputs: {petal_length: number}\noutputs: {species: category}").spec, None
    )
    for part in ("cell", "fitted", "tensor", "embedded", "features", "fused", "prediction", "value"):
        assert re.search(rf"^{part} ", shown, re.M), part
    assert "species.probabilities  (1, 3)" in shown


def test_the_graph_is_mermaid_and_escapes_names() -> None:
    shown = graph(load_spec(str(api.recipe_file("digits"))).spec, None)
    assert shown.startswith("flowchart LR")
    assert 'c0(["image: image"]) --> e0' in shown
    assert "fusion --> d0" in shown
