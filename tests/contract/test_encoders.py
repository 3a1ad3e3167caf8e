"""Every registered encoder, from its defaults: finite, trainable, the same after saving, blind to padding, row by row, exported."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.utils import _pytree as pytree

from dapeng.core.kinds import encoders
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch, Cells
from dapeng.models.build import Choices, build_model, parameters
from dapeng.models.plan import plan
from dapeng.objectives.base import Objective, total
from dapeng.train.strategies import Single
from tests.contract.parts import batch_of, encoder_cases, fitted, floats, with_encoder, without_batch_statistics

CASES = encoder_cases()


def system(kind: str, tag: str, **options):
    """A class model over one column of the type, and a batch of it."""
    torch.manual_seed(0)
    inputs = {"x": with_encoder(kind, tag, **options)}
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": kind}}, outputs={"y": "category"}, fusion={"dropout": 0.0})  # type: ignore
    model = build_model(spec, inputs, outputs, Choices())
    return model, batch_of(inputs, outputs), outputs


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_every_parameter_gets_a_finite_gradient(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag, **without_batch_statistics(tag))
    objective = Objective(model)
    total(objective, objective(batch, "model"), {"y": 8.0}).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_its_size_is_known_before_memory_is_taken(kind: str, tag: str) -> None:
    inputs, outputs = {"x": with_encoder(kind, tag)}, {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": kind}}, outputs={"y": "category"})  # type: ignore
    built = build_model(spec, inputs, outputs, Choices())
    assert plan(spec, inputs, outputs).trained == parameters(built)


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_the_loss_falls_on_eight_rows(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag)
    objective = Objective(model)
    optimiser = torch.optim.AdamW(objective.trainable("model"), lr=5e-3)
    losses = []
    for step in range(60):
        torch.manual_seed(step)
        loss = total(objective, objective(batch, "model"), Single().sum([objective.counts(batch, "model")]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_weights_saved_and_loaded_predict_the_same(kind: str, tag: str, tmp_path) -> None:
    from dapeng.train import weights

    model, batch, _ = system(kind, tag)
    model.eval()
    weights.save(model.state_dict(), tmp_path / "w.safetensors")
    other, _, _ = system(kind, tag)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    weights.apply(other, weights.load(tmp_path / "w.safetensors"), "here")
    other.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(batch)["y"], other(batch)["y"])


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_a_copy_is_independent_and_keeps_its_own_tables(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag)
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        before = twin(batch)["y"]["probabilities"].clone()
        for parameter in model.parameters():
            parameter.add_(1.0)
        torch.testing.assert_close(twin(batch)["y"]["probabilities"], before)


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_a_row_is_read_alike_alone_and_in_a_batch(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag)
    model.eval()
    with torch.no_grad():
        together = model(batch)["y"]["probabilities"]
        for row in range(batch.size):
            alone = model(batch.take(slice(row, row + 1)))["y"]["probabilities"]
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "tag"), [c for c in CASES if c[0] in ("text", "audio")])
def test_padding_changes_nothing(kind: str, tag: str) -> None:
    torch.manual_seed(0)
    longer = {"max_length": 64} if kind == "text" else {}
    inputs = {"x": fitted(kind, "x", encoder={"type": tag, **encoders.members()[tag].tiny}, **longer)}
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": kind}}, outputs={"y": "category"})  # type: ignore
    model, batch = build_model(spec, inputs, outputs, Choices()).eval(), batch_of(inputs, outputs)
    cells = batch["x"]
    wider = {n: torch.nn.functional.pad(t, (0, 5 if kind == "text" else 500)) for n, t in cells.tensors.items()}
    with torch.no_grad():
        padded = model(batch.replace({"x": Cells(wider, cells.present)}))["y"]["probabilities"]
        torch.testing.assert_close(padded, model(batch)["y"]["probabilities"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_per_sample_gradients_are_those_of_single_rows(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag, **without_batch_statistics(tag))
    objective = Objective(model)
    parameters = {n: p.detach() for n, p in floats(objective).items()}

    def loss(parameters, batch: Batch):
        return sum(v.sum() for v in functional_call(objective, parameters, (batch, "model")).values())

    def one(x):
        return None if x is None else x.unsqueeze(1)

    rows = Batch(
        {n: Cells({k: one(t) for k, t in c.tensors.items()}, one(c.present)) for n, c in batch.columns.items()},
        one(batch.rows),
    )  # type: ignore[arg-type]
    by_row = pytree.tree_map(lambda t: 0 if isinstance(t, torch.Tensor) else None, rows)
    every = vmap(grad(loss), in_dims=(None, by_row), randomness="different")(parameters, rows)
    for row in (0, 3):
        objective.zero_grad()
        sum(v.sum() for v in objective(batch.take(slice(row, row + 1)), "model").values()).backward()  # type: ignore[union-attr]
        for name, parameter in floats(objective).items():
            torch.testing.assert_close(every[name][row], parameter.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_what_it_gives_is_what_it_says(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag)
    (key, encoder), *_ = model.encoders.items()
    features = encoder(batch[key])
    widths = encoder.widths
    assert widths.gives <= encoders.members()[tag].gives
    if widths.pooled:
        assert features.pooled is not None
        assert features.pooled.shape == (batch.size, widths.pooled)
    if widths.tokens:
        assert features.tokens is not None
        assert features.tokens.shape[-1] == widths.tokens
    assert len(features.maps) == len(widths.maps)
    for level, (channels, _) in zip(features.maps, widths.maps):
        assert level.shape[1] == channels


@pytest.mark.parametrize(("kind", "tag"), CASES)
def test_the_embedded_form_is_the_differentiable_entrance(kind: str, tag: str) -> None:
    model, batch, _ = system(kind, tag)
    model.eval()
    (key, encoder), *_ = model.encoders.items()
    embedded = encoder.embed(batch[key]).detach().requires_grad_()
    probability = model(batch, {key: embedded})["y"]["probabilities"][:, 0].sum()
    probability.backward()
    assert embedded.grad is not None
    assert torch.isfinite(embedded.grad).all()
    with torch.no_grad():
        torch.testing.assert_close(model(batch)["y"], model(batch, {key: embedded})["y"])
