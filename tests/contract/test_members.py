"""Every registered decoder, loss, optimiser, schedule, transform, fusion and learner, without being asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dapeng.core.kinds import columns, decoders, fusions, learners, losses, optimisers, schedules, transforms
from dapeng.data.batch import Cells
from dapeng.learners.base import Inputs, Target
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Tables
from tests.contract.parts import batch_of, fitted

DECODERS = [(k, t) for t, m in decoders.members().items() for k in m.fits if k in columns.members()]
LOSSES = [(k, t) for t, m in losses.members().items() for k in m.fits if k in columns.members()]
VOLUMES = [k for k, o in columns.members().items() if o.dimensions == 3]
WIDTHS = Widths(pooled=16, tokens=8, maps=((4, 1), (8, 2)))


def features(rows: int, dimensions: int = 2) -> Features:
    torch.manual_seed(0)
    maps = (torch.randn(rows, 4, 8, 8), torch.randn(rows, 8, 4, 4))
    if dimensions == 3:  # of the volumes that examples are: four slices of 8 x 8
        maps = (torch.randn(rows, 4, 4, 8, 8), torch.randn(rows, 8, 2, 4, 4))
    real, pixels = torch.ones(rows, 5, dtype=torch.bool), torch.randn(rows, 3, 8, 8)
    return Features(torch.randn(rows, 16), torch.randn(rows, 5, 8), real, maps, pixels=pixels)


def read_by(decoder: Any, rows: int, kind: str = "") -> Any:
    """What a decoder reads: fused features; or those of inputs that hold the examples, with their ids."""
    if decoder.reads is None:
        return features(rows, 3 if kind in VOLUMES else 2)
    torch.manual_seed(0)
    cells = batch_of({n: fitted("text", n, tokeniser="words") for n in decoder.reads}, rows=rows)
    ids = {n: cells[n]["ids"] for n in decoder.reads}
    return {
        n: Features(torch.randn(rows, 16), torch.randn(*i.shape, 8), cells[n]["mask"], ids=i) for n, i in ids.items()
    }


def decoder_of(kind: str, tag: str, loss: str | None = None, widths: Widths = WIDTHS):
    member = decoders.members()[tag]
    inputs: dict[str, Any] = {}
    further: dict[str, Any] = {}
    if member.unfused:
        inputs = {"a": fitted("text", "a", tokeniser="words")}
        further = {"like": inputs["a"]} if kind == "text" else {}
        inputs["b"] = fitted("text", "b", tokeniser="words", **further)
    column = fitted(kind, "y", target=True, decoder={"type": tag}, **({"loss": loss} if loss else {}), **further)
    options: Any = column.options
    reads = options.decoder.reads(column, inputs)
    given = widths if reads is None else dict.fromkeys(reads, widths)
    built = options.decoder.build(column, given, Tables(), getattr(options, "loss", None))
    return column, built, batch_of({}, {"y": column})["y"]


@pytest.mark.parametrize(("kind", "tag"), DECODERS)
def test_a_decoder_loses_a_sum_a_row_that_is_zero_where_the_target_is_missing(kind: str, tag: str) -> None:
    _, decoder, target = decoder_of(kind, tag)
    loss = decoder.loss(read_by(decoder, 8, kind), target)
    assert loss.shape == (8,)
    assert torch.isfinite(loss).all()
    assert target.present is not None, "the examples must have a missing cell"
    assert not target.present.all()
    assert (loss[~target.present] == 0).all()
    count = decoder.count(target)
    assert not isinstance(count, int)
    assert (count[~target.present] == 0).all()


@pytest.mark.parametrize(("kind", "tag"), DECODERS)
def test_a_decoder_is_built_without_memory(kind: str, tag: str) -> None:
    column, decoder, _ = decoder_of(kind, tag)
    options: Any = column.options
    with torch.device("meta"):
        given = WIDTHS if decoder.reads is None else dict.fromkeys(decoder.reads, WIDTHS)
        planned = options.decoder.build(column, given, Tables(), getattr(options, "loss", None))
    shapes = [p.shape for p in decoder.parameters()]
    assert [p.shape for p in planned.parameters()] == shapes
    assert all(p.device.type == "meta" for p in planned.parameters())


@pytest.mark.parametrize(("kind", "tag"), DECODERS)
def test_a_prediction_has_the_layout_of_its_column(kind: str, tag: str) -> None:
    column, decoder, _ = decoder_of(kind, tag)
    found = column.to_units(decoder.eval().predict(read_by(decoder, 3, kind), 3))
    wanted = column.predictions()
    assert set(found) == set(wanted)
    for name, dims in wanted.items():
        if not dims.ragged:
            assert tuple(found[name].shape) == dims.sizes(B=3)
        assert torch.isfinite(found[name]).all()


def pooled(tag: str) -> bool:
    """Whether a decoder can do with pooled features alone."""
    member = decoders.members()[tag]
    return not member.unfused and (member.alone or member.needs == {"pooled"})


@pytest.mark.parametrize(("kind", "tag"), [(k, t) for k, t in DECODERS if pooled(t)])
def test_members_of_an_ensemble_are_averaged(kind: str, tag: str) -> None:
    column, decoder, target = decoder_of(kind, tag, widths=Widths(pooled=16, members=4))
    several = Features(torch.randn(8, 4, 16))
    assert decoder.loss(several, target).shape == (8,)
    for name, tensor in column.to_units(decoder.predict(several, 8)).items():
        assert tensor.shape[0] == 8, name


@pytest.mark.parametrize(("kind", "tag"), LOSSES)
def test_a_loss_is_finite_for_each_row_and_has_a_gradient(kind: str, tag: str) -> None:
    decoder_tag = next(t for k, t in DECODERS if k == kind)
    _, decoder, target = decoder_of(kind, decoder_tag, tag)
    whole = Cells(target.tensors, None)
    loss = decoder.loss(features(8), whole)
    assert loss.shape == (8,)
    loss.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in decoder.parameters())


@pytest.mark.parametrize("tag", sorted(optimisers.members()))
def test_an_optimiser_goes_downhill_and_resumes_from_its_state(tag: str) -> None:
    from dapeng.train.state import _flat, _unflat

    def run(steps: int, start=None):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 4.0]]))
        optimiser = optimisers.members()[tag]().build([{"params": [weight]}], 0.05)
        if start is not None:
            weight.data.copy_(start[0])
            optimiser.load_state_dict(_unflat(start[1], optimiser.state_dict()))
        for _ in range(steps):
            (weight**2).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        return weight.detach().clone(), _flat(optimiser.state_dict())

    whole, _ = run(20)
    assert (whole**2).sum() < 30 * 0.9
    half = run(10)
    torch.testing.assert_close(run(10, half)[0], whole, rtol=0, atol=0)


@pytest.mark.parametrize("tag", sorted(schedules.members()))
def test_a_schedule_stays_between_nothing_and_the_peak(tag: str) -> None:
    schedule = schedules.members()[tag]()
    factors = [schedule.factor(p) for p in np.linspace(0, 1, 201)]
    assert min(factors) >= 0
    assert max(factors) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("tag", sorted(t for t, m in transforms.members().items() if not m.mixes))
def test_a_transform_changes_rows_alike_whatever_the_batch(tag: str) -> None:
    member = transforms.members()[tag]
    kind = member.fits[0]
    column = fitted(kind, "x")
    step = member().build(column)
    batch = batch_of({"x": column}, rows=8)
    together = step(batch, "x", (0, 3, 1))
    for row in range(8):
        alone = step(batch.take(slice(row, row + 1)), "x", (0, 3, 1))
        for name, tensor in alone["x"].tensors.items():
            torch.testing.assert_close(tensor[0], together["x"][name][row])
            assert tensor.dtype == batch["x"][name].dtype
    again = [step(batch, "x", (0, epoch, 1))["x"] for epoch in range(8)]
    assert any(not torch.equal(a[n], batch["x"][n]) for a in again for n in a.tensors)


@pytest.mark.parametrize("tag", sorted(t for t, m in transforms.members().items() if m.mixes))
def test_what_mixes_rows_does_it_alike_each_time_whatever_their_order(tag: str) -> None:
    member = transforms.members()[tag]
    column = fitted(member.fits[0], "x")
    step = member(probability=1.0).build(column)
    batch = batch_of({"x": column}, rows=8)
    order = torch.tensor([3, 0, 7, 5, 1, 6, 2, 4])
    once, turned = step(batch, "x", (0, 3, 1))["x"], step(batch.take(order), "x", (0, 3, 1))["x"]
    for name, tensor in once.tensors.items():
        torch.testing.assert_close(turned[name], tensor[order])
        assert tensor.dtype == batch["x"][name].dtype
    assert any(not torch.equal(once[n], batch["x"][n]) for n in once.tensors)
    later = step(batch, "x", (0, 4, 1))["x"]
    assert any(not torch.equal(once[n], later[n]) for n in once.tensors)


@pytest.mark.parametrize("tag", sorted(fusions.members()))
def test_a_fusion_hides_what_is_absent(tag: str) -> None:
    widths = {"a": Widths(pooled=16, tokens=8), "b": Widths(pooled=16, tokens=8)}
    fusion = fusions.members()[tag]().build(widths, {"b"})
    here = torch.tensor([True, False, True, False])
    parts = {
        "a": Features(torch.randn(4, 16), torch.randn(4, 3, 8)),
        "b": Features(torch.randn(4, 16), torch.randn(4, 5, 8), present=here),
    }
    noise = torch.where(here[:, None], torch.zeros(4, 16), torch.randn(4, 16))
    other = {**parts, "b": Features(parts["b"].pooled + noise, parts["b"].tokens, present=here)}
    fused, changed = fusion(parts), fusion(other)
    torch.testing.assert_close(fused.pooled, changed.pooled)
    assert fused.mask is not None
    assert not fused.mask[1, 3:].any()
    assert fused.mask[0].all()


def table(kind: str, rows: int = 240) -> tuple[Inputs, Target]:
    """Two number columns that decide the target of a type."""
    generator = np.random.default_rng(0)
    inputs = {n: fitted("number", n) for n in ("a", "b")}
    values = {n: generator.normal(size=(rows, 1)).astype(np.float32) for n in inputs}
    target = fitted(kind, "y", target=True)
    score = values["a"][:, 0] - values["b"][:, 0]
    wanted = (score > 0).astype(np.int64) if kind == "category" else score.astype(np.float64)
    return Inputs(inputs, values), Target(target, wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "kind"), [(t, k) for t, m in learners.members().items() for k in m.fits if k in ("category", "number")]
)
def test_a_learner_beats_the_constant_and_is_the_same_after_saving(tag: str, kind: str, tmp_path) -> None:
    inputs, target = table(kind)
    options = learners.members()[tag]()
    if not options.reads(inputs, target):
        pytest.skip(f"{tag} does not read numbers")
    train, test = np.arange(160), np.arange(160, 240)
    fitted_one = options.fit(inputs.take(train), target.take(train), None, 5.0, 0)
    found = fitted_one.learner.predict(inputs.take(test))
    ((name, dims),) = target.column.predictions().items()
    assert found[name].shape == dims.sizes(B=80)
    wanted = target.values[test]
    if kind == "category":
        np.testing.assert_allclose(found[name].sum(1), 1, atol=1e-4)
        right = (found[name].argmax(1) == wanted).mean()
        assert right > 0.8 or tag == "constant"
    else:
        assert ((found[name] - wanted) ** 2).mean() < 0.5 * wanted.var() or tag == "constant"
    if options.product:
        fitted_one.learner.save(tmp_path)
        again = type(fitted_one.learner).load(tmp_path, dict(inputs.columns), target.column)
        np.testing.assert_allclose(again.predict(inputs.take(test))[name], found[name], rtol=1e-5)
        assert not list(tmp_path.rglob("*.pkl"))
