"""Every registered objective, through what the loop asks of it: gradients, sums per row, falling loss, and draws that are repeatable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from dapeng.core.kinds import columns, decoders, objectives, vocoders
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.groups import PROMPT, REJECTED
from dapeng.data.prepare import Prepared
from dapeng.data.table import Frame
from dapeng.models.build import Choices, fresh_model
from dapeng.objectives.base import Objective, total
from dapeng.train.strategies import Single
from tests.contract.parts import fitted

TEXTS = ["a lovely film", "warm and funny", "great acting", "a joy", "good work", "a bore", "dull", "cold and bad"]
OTHERS = ["so dull", "a bore", "bad", "cold", "poor work", "a joy", "lovely", "warm"]
TAGS = sorted(objectives.members())


def text(target: bool, **options: Any) -> Any:
    member = columns.members()["text"].model_validate({"type": "text", **options})
    summary = member.summary(target)
    summary.add(pa.array(TEXTS + OTHERS))
    return member.fitted("t", summary.result(), target)


def pictures() -> tuple[dict[str, Any], dict[str, Any]]:
    encoder = {"type": "mlp", "hidden": [12, 8], "activation": "sigmoid"}
    return {"x": fitted("image", "x", encoder=encoder)}, {"y": fitted("category", "y", target=True)}


def reading() -> tuple[dict[str, Any], dict[str, Any]]:
    encoder = {"type": "transformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    return {"t": text(False, encoder=encoder)}, {"y": fitted("category", "y", target=True)}


def writing() -> tuple[dict[str, Any], dict[str, Any]]:
    decoder = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    return {}, {"t": text(True, tokeniser="characters", decoder=decoder)}


def drawing() -> tuple[dict[str, Any], dict[str, Any]]:
    decoder = {"type": "dcgan", "width": 8, "noise": 4}
    outputs = {"y": fitted("image", "y", target=True, size=8, decoder=decoder)}
    return {"x": fitted("category", "x", encoder="embedding")}, outputs


def speaking() -> tuple[dict[str, Any], dict[str, Any]]:
    vocoder = {"type": "gan", **vocoders.members()["gan"].tiny}
    decoder = {"type": "speech", **decoders.members()["speech"].tiny, "vocoder": vocoder}
    encoder = {"type": "transformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    return {"t": text(False, encoder=encoder)}, {"y": fitted("audio", "y", target=True, decoder=decoder)}


WHERE = {"rbm": pictures, "preference": writing, "adversarial": drawing, "adversarial_sound": speaking}
"""What an objective is tried over; every other over one text that is read."""


def made(tag: str) -> tuple[Objective, Batch]:
    inputs, outputs = WHERE.get(tag, reading)()
    beside = {}
    cells: dict[str, Any] = {
        n: pa.array(type(c.options).examples()[:8]) for n, c in {**inputs, **outputs}.items() if n != "t"
    }
    if "t" in {**inputs, **outputs}:
        cells["t"] = pa.array(TEXTS)
    if inputs == {}:
        written = outputs["t"]
        beside = {
            k: type(written)(n, written.options, written.state, True) for k, n in ((REJECTED, "bad"), (PROMPT, "asked"))
        }
        cells |= {"bad": pa.array(OTHERS), "asked": pa.array(TEXTS[::-1])}
    store = Prepared(inputs, outputs, None, 1.0, beside).store(Frame(pa.table(cells)))
    torch.manual_seed(0)
    spec = Spec.model_validate(
        {"inputs": {n: c.type for n, c in inputs.items()}, "outputs": {n: c.type for n, c in outputs.items()}}
    )
    model = fresh_model(spec, inputs, outputs, Choices())
    (first, *_) = objectives.members()[tag]().parts(model)
    objective = first.build(model, {}, {**inputs, **outputs, **beside})
    objective.begins(first=True)
    return objective.train(), Rows(store).batch(np.arange(8))


def step(objective: Objective, micros: list[Batch], seed: int = 1) -> torch.Tensor:
    """The loss of one step over these micro-batches, its gradients left in the parameters."""
    torch.default_generator.manual_seed(seed)
    drawn = [objective.draw(b, "model") for b in micros]
    counts = Single().sum([objective.counts(b, "model") for b in drawn])
    losses = [total(objective, objective(b, "model"), counts) for b in drawn]
    for loss in losses:
        loss.backward()
    return torch.stack([x.detach() for x in losses]).sum()


@pytest.mark.parametrize("tag", TAGS)
def test_every_trained_parameter_gets_a_finite_gradient_and_no_other_any(tag: str) -> None:
    objective, batch = made(tag)
    assert torch.isfinite(step(objective, [batch]))
    mine = {id(p) for p in objective.trainable("model")}
    assert mine <= {id(p) for p in objective.parameters()}
    for name, parameter in objective.named_parameters():
        if id(parameter) in mine:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("tag", TAGS)
def test_losses_are_one_a_row_and_counts_are_known_before_them(tag: str) -> None:
    objective, batch = made(tag)
    torch.manual_seed(0)
    drawn = objective.draw(batch, "model")
    counts, losses = objective.counts(drawn, "model"), objective(drawn, "model")
    assert counts.keys() == losses.keys()
    assert all(loss.shape == (8,) for loss in losses.values())


@pytest.mark.parametrize("tag", TAGS)
def test_a_draw_is_a_function_of_its_seed(tag: str) -> None:
    objective, batch = made(tag)
    found = []
    for seed in (3, 3):
        torch.default_generator.manual_seed(seed)
        found.append(objective.draw(batch, "model"))
    for name, cells in found[0].columns.items():
        for part, tensor in cells.tensors.items():
            assert torch.equal(tensor, found[1][name][part]), (name, part)


@pytest.mark.parametrize("tag", TAGS)
def test_the_loss_falls_on_eight_rows(tag: str) -> None:
    objective, batch = made(tag)
    if tag == "rbm":
        pytest.skip(
            "the gradient of contrastive divergence is of no function that falls: tests/parity/test_rbm.py looks at what it learns"
        )
    optimiser = torch.optim.Adam(objective.trainable("model"), 2e-2)
    losses = []
    for _ in range(60):
        losses.append(float(step(objective, [batch], seed=5)))
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("tag", [t for t in TAGS if t not in ("masked", "rbm", "adversarial", "adversarial_sound")])
def test_two_micro_batches_are_one_batch(tag: str) -> None:
    """Of those that draw nothing; a draw is made a micro-batch at a time."""
    whole, batch = made(tag)
    parts, _ = made(tag)
    step(whole, [batch])
    step(parts, [batch.take(slice(0, 5)), batch.take(slice(5, 8))])
    for (name, a), (_, b) in zip(whole.named_parameters(), parts.named_parameters()):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("tag", TAGS)
def test_what_it_tells_of_rows_does_not_depend_on_their_batches(tag: str) -> None:
    objective, batch = made(tag)
    objective.eval()
    told = objective.tell(batch)
    if told is None:
        assert type(objective).tell is Objective.tell
        return
    assert {"score", "loss"} <= objective.figures({n: float(s) / float(c) for n, (s, c) in told.items()}).keys()
    each = [objective.tell(batch.take(slice(i, i + 1))) for i in range(8)]
    for name, (summed, count) in told.items():
        assert float(sum(e[name][1] for e in each)) == float(count)  # type: ignore[index]
        assert float(sum(e[name][0] for e in each)) == pytest.approx(float(summed), rel=1e-4, abs=1e-4)  # type: ignore[index]


@pytest.mark.parametrize("tag", TAGS)
def test_its_state_comes_back(tag: str) -> None:
    objective, batch = made(tag)
    other, _ = made(tag)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.1)
    other.load_state_dict(objective.state_dict())
    torch.testing.assert_close(step(other.eval(), [batch]), step(objective.eval(), [batch]))
