"""Optimisers of our own against torch's, or against the formula of their paper, step by step."""

from __future__ import annotations

import torch

from dapeng.core.kinds import optimisers


def parameter(seed: int = 0) -> torch.nn.Parameter:
    torch.manual_seed(seed)
    return torch.nn.Parameter(torch.randn(6, 4))


def gradients(steps: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(6, 4) for _ in range(steps)]


def test_muon_is_torchs_on_matrices() -> None:
    ours, theirs = parameter(), parameter()
    own = optimisers.members()["muon"](weight_decay=0.1).build([{"params": [ours]}], 0.01)
    other = torch.optim.Muon([theirs], 0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients(5):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        own.step()
        other.step()
    # theirs iterates in bfloat16
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-3)


def test_muon_makes_directions_orthogonal() -> None:
    from dapeng.train.optimisers.muon import orthogonalised

    torch.manual_seed(0)
    for shape in ((5, 20), (20, 5)):
        singular = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert singular.min() > 0.6
        assert singular.max() < 1.3


def test_muon_leaves_biases_to_adamw() -> None:
    matrix, bias = parameter(), torch.nn.Parameter(torch.ones(4))
    twin = torch.nn.Parameter(torch.ones(4))
    groups = [{"params": [matrix]}, {"params": [bias], "weight_decay": 0.0}]
    own = optimisers.members()["muon"]().build(groups, 0.01)
    other = torch.optim.AdamW([twin], 0.01, weight_decay=0.0)
    for gradient in gradients(3):
        matrix.grad, bias.grad, twin.grad = gradient, gradient[0].clone(), gradient[0].clone()
        own.step()
        other.step()
    torch.testing.assert_close(bias, twin)


def test_lion_is_its_paper_s_formula() -> None:
    ours = parameter()
    wanted, momentum = ours.detach().clone(), torch.zeros(6, 4)
    own = optimisers.members()["lion"](weight_decay=0.5, betas=[0.9, 0.99]).build([{"params": [ours]}], 0.01)
    for g in gradients(4):
        ours.grad = g.clone()
        own.step()
        wanted = wanted - 0.01 * ((0.9 * momentum + 0.1 * g).sign() + 0.5 * wanted)
        momentum = 0.99 * momentum + 0.01 * g
    torch.testing.assert_close(ours.detach(), wanted)


def test_schedule_free_is_its_paper_s_three_sequences() -> None:
    """z moves by Adam, x is its average, gradients are taken at y = (1 - b) z + b x (Defazio et al., 2024, algorithm 1)."""
    ours = parameter()
    start = ours.detach().clone().double()
    z, x, v, beta, lr = start.clone(), start.clone(), torch.zeros(6, 4).double(), 0.9, 0.05
    own = optimisers.members()["schedule_free"](weight_decay=0.0).build([{"params": [ours]}], lr)
    for t, g in enumerate(gradients(6), 1):
        ours.grad = g.clone()
        own.step()
        v = 0.999 * v + 0.001 * g.double() ** 2
        z = z - lr * g.double() / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta) * z + beta * x
        torch.testing.assert_close(ours.detach().double(), y, rtol=1e-4, atol=1e-5)
    with own.averaged():
        torch.testing.assert_close(ours.detach().double(), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.detach().double(), y, rtol=1e-4, atol=1e-5)


def test_nesterov_is_torchs() -> None:
    ours, theirs = parameter(), parameter()
    own = optimisers.members()["nesterov"]().build([{"params": [ours]}], 0.01)
    other = torch.optim.SGD([theirs], 0.01, 0.9, nesterov=True)
    for gradient in gradients(3):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        own.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_muon_turns_a_matrix_of_fixed_length_by_the_learning_rate() -> None:
    ours = parameter()
    own = optimisers.members()["muon"](fixed_norm=True).build([{"params": [ours]}], 0.1)
    for gradient in gradients(4):
        before = ours.detach().clone()
        ours.grad = gradient * 1e3  # of any size
        own.step()
        length = min(before.shape) ** 0.5
        moved = ours - before * (length / before.norm())
        assert 0.06 * length < float(moved.detach().norm()) < 0.13 * length


def test_muon_leaves_the_layer_that_answers_to_adamw_at_its_own_rate() -> None:
    from dapeng.core.spec import Train
    from dapeng.train.strategies import Single

    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3))

    class Answering(torch.nn.Module):
        turns = ("all",)

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def trainable(self, turn: str) -> list[torch.nn.Parameter]:
            return list(network.parameters())

        def last(self) -> list[torch.nn.Parameter]:
            return list(network[1].parameters())

    options = Train.model_validate({"optimiser": {"type": "muon", "rest": 0.5, "weight_decay": 0.0}}).optimiser
    strategy = Single()
    strategy.wrap(Answering(), options, 0.01)  # type: ignore[arg-type]
    strategy.learning_rate("all", 0.02)
    (found,) = strategy.optimisers.values()
    by = {id(p): g for g in found.param_groups for p in g["params"]}
    matrix, head, bias = network[0].weight, network[1].weight, network[0].bias
    assert isinstance(bias, torch.nn.Parameter)
    assert by[id(matrix)]["lr"] == 0.02
    assert "betas" not in by[id(matrix)]
    for p in (head, bias):
        assert by[id(p)]["lr"] == 0.01
        assert "betas" in by[id(p)]
