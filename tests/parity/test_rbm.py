"""A restricted Boltzmann machine against scikit-learn's: free energies, and the step of contrastive divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import nn

from dapeng.objectives.rbm import free_energy, reconstruction


@pytest.fixture
def machine() -> tuple[BernoulliRBM, nn.Linear, nn.Parameter, torch.Tensor]:
    generator = np.random.default_rng(0)
    x = (generator.random((60, 12)) < 0.4).astype(np.float64)
    theirs = BernoulliRBM(5, n_iter=3, random_state=0).fit(x)
    theirs.components_ = generator.normal(size=(5, 12))
    linear, visible = nn.Linear(12, 5), nn.Parameter(torch.from_numpy(theirs.intercept_visible_).float())
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(theirs.components_))
        linear.bias.copy_(torch.from_numpy(theirs.intercept_hidden_))
    return theirs, linear, visible, torch.from_numpy(x).float()


def test_free_energy_is_scikit_learns(machine) -> None:
    theirs, linear, visible, x = machine
    own = free_energy(x, linear, visible, gaussian=False).detach().numpy()
    np.testing.assert_allclose(own, theirs._free_energy(x.numpy().astype(np.float64)), rtol=1e-5)


def test_gradient_is_that_of_contrastive_divergence(machine) -> None:
    """<v h> of the data less <v h> of the reconstruction, as scikit-learn's update has it, with the same reconstruction."""
    theirs, linear, visible, x = machine
    torch.manual_seed(0)
    dreamt = reconstruction(x, linear, visible, gaussian=False, steps=1)
    (free_energy(x, linear, visible, False) - free_energy(dreamt, linear, visible, False)).sum().backward()
    data, model = x.numpy().astype(np.float64), dreamt.numpy().astype(np.float64)
    h_data, h_model = theirs._mean_hiddens(data), theirs._mean_hiddens(model)
    np.testing.assert_allclose(-linear.weight.grad, h_data.T @ data - h_model.T @ model, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(-linear.bias.grad, (h_data - h_model).sum(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(-visible.grad, (data - model).sum(0), rtol=1e-4, atol=1e-4)


def test_a_gaussian_machine_s_free_energy_is_minus_the_logarithm_of_its_sum_over_hidden_states() -> None:
    torch.manual_seed(0)
    linear, bias, v = nn.Linear(4, 3), nn.Parameter(torch.randn(4)), torch.randn(5, 4)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    energies = 0.5 * (v - bias).square().sum(1)[:, None] - (v @ linear.weight.T + linear.bias) @ states.T
    wanted = -(-energies).logsumexp(1)
    torch.testing.assert_close(free_energy(v, linear, bias, gaussian=True), wanted)


def test_a_chain_of_a_trained_machine_dreams_of_what_it_has_seen() -> None:
    """Two patterns, learnt by our own objective through the loop's calls: reconstructions are nearer to them than noise is."""
    from dapeng.core.kinds import objectives, optimisers
    from dapeng.core.spec import Spec
    from dapeng.data.batch import Cells
    from dapeng.models.build import Choices, build_model
    from tests.contract.parts import batch_of, fitted, with_encoder

    torch.manual_seed(0)
    column = with_encoder("image", "mlp", hidden=[16], activation="sigmoid")
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "image"}}, outputs={"y": "category"})  # type: ignore
    model = build_model(spec, {"x": column}, outputs, Choices())
    batch = batch_of({"x": column}, outputs)
    size = batch["x"]["pixels"][0].numel()
    patterns = torch.zeros(2, size)
    patterns[0, : size // 2] = patterns[1, size // 2 :] = 1
    pixels = (255 * patterns[torch.arange(8) % 2]).to(torch.uint8).view_as(batch["x"]["pixels"])
    batch = batch.replace({"x": Cells({"pixels": pixels}, None)})
    (part,) = objectives.members()["rbm"]().parts(model)
    objective = part.build(model)
    optimiser = optimisers.members()["sgd"](momentum=0.5).build([{"params": objective.trainable("model")}], 0.1)
    for _ in range(200):
        losses = objective(batch, "model")["x"]
        losses.mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    linear = model.encoders["x"].full_layers()[0]
    noisy = (patterns + (torch.rand(2, size) < 0.1)) % 2
    again = reconstruction(noisy, linear, objective.visible[0], gaussian=False, steps=1)
    assert (again - patterns).abs().mean() < 0.3 * (noisy - patterns).abs().mean() + 0.02
