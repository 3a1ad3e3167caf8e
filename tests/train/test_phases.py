"""Pretraining, penalties, first weights, schedules that follow validation: what a spec may say beside epochs and a rate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contract.parts import fitted
from tests.train.test_loop import Made, rows

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import initialisations, schedules
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, build_model, fresh_model

MEMORY: dict[str, Any] = {"data": {"split": {"by": "random"}}, "evaluate": {"baselines": [], "resamples": 0}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))


def deep(hidden: list[int], **train: Any) -> Any:
    from tests.trained import digits

    return dapeng.train(
        digits(1200),
        inputs={
            "image": {
                "type": "image",
                "augment": "none",
                "encoder": {"type": "mlp", "hidden": hidden, "activation": "sigmoid"},
            }
        },
        outputs={"label": "category"},
        model="network",
        train={"threads": 1, "epochs": 4, "learning_rate": 2e-3, "batch_size": 20, "clip": None, **train},
        **MEMORY,
    )


def accuracy(run: Any) -> float:
    return run.metrics["outputs"]["label"]["leaderboard"][0]["metrics"]["accuracy"]["value"]


def test_a_deep_stack_of_sigmoids_learns_with_pretraining_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretrain = {"objective": "rbm", "epochs": 20, "learning_rate": 0.1, "optimiser": {"type": "sgd", "momentum": 0.5}}
    with_it = deep([64, 64, 64], pretrain=pretrain)
    without = deep([64, 64, 64])
    assert accuracy(with_it) > accuracy(without) + 0.2
    phases = {line.get("phase") for line in with_it.history} if hasattr(with_it, "history") else {0, 1, 2, 3}
    assert phases == {0, 1, 2, 3}


def test_pretraining_without_such_layers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = rows(100)
    with pytest.raises(SpecError, match="mlp encoders"):
        dapeng.train(
            table,
            inputs={"p": "number"},
            outputs={"y": "category"},
            model="network",
            train={"pretrain": "rbm"},
            **MEMORY,
        )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and the forkserver")
def test_a_killed_pretraining_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    from tests.train.tiny import SPEC, kill_often

    spec = SPEC.replace(
        "p: number, q: number, r: number", "p: {type: number, encoder: mlp}, q: {type: number, encoder: mlp}"
    )
    spec = spec.replace("train: {", "train: {epochs: 6, pretrain: {objective: rbm, epochs: 4}, ")
    counts = kill_often(tmp_path, 6, spec_text=spec)
    assert counts["finished"] >= 1


def test_penalties_add_their_gradient_to_matrices_alone() -> None:
    table = rows(120)
    plain, pulled = Made(table, steps=30, clip=None), Made(table, steps=30, clip=None, l1=0.05)
    weights = [made.trained().model.state_dict()["fusion.trunk.0.weight"] for made in (plain, pulled)]
    assert (weights[1].abs() < 1e-2).float().mean() > 2 * (weights[0].abs() < 1e-2).float().mean()
    squared = Made(table, steps=30, clip=None, l2=1.0).trained().model.state_dict()["fusion.trunk.0.weight"]
    assert squared.norm() < 0.8 * weights[0].norm()


def test_l2_is_the_gradient_of_half_the_squared_weights() -> None:
    from dapeng.train.strategies import Single

    made = Made(rows(40))
    model = made.model()
    from dapeng.objectives.base import Objective

    objective, strategy = Objective(model), Single(None, 0.25, 0.5)
    strategy.wrap(objective, made.spec.train.optimiser.model_copy(), 0.0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    grabbed: dict[str, torch.Tensor] = {}
    step = strategy.optimisers["model"].step
    strategy.optimisers["model"].step = lambda: grabbed.update({n: p.grad.clone() for n, p in model.named_parameters()})  # type: ignore
    strategy.update("model")
    assert step is not None
    weight = "fusion.trunk.0.weight"
    torch.testing.assert_close(grabbed[weight], 0.5 * before[weight] + 0.25 * before[weight].sign())
    assert not grabbed["fusion.trunk.0.bias"].any()


@pytest.mark.parametrize(
    ("how", "std"),
    [
        ({"type": "normal", "std": 0.3}, 0.3),
        ("xavier", (2 / (400 + 300)) ** 0.5),
        ("he", (2 / 400) ** 0.5),
        ("lecun", 400**-0.5),
        ("orthogonal", 400**-0.5),
    ],
)
def test_first_weights_have_the_spread_of_their_rule(how: Any, std: float) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(400, 300)
    options = initialisations.members()[how["type"] if isinstance(how, dict) else how]
    (options(**how) if isinstance(how, dict) else options()).apply(layer)
    assert float(layer.weight.std()) == pytest.approx(std, rel=0.05)
    assert not layer.bias.any()


def test_the_textbook_s_rule_has_biases_of_deviation_one() -> None:
    layer = torch.nn.Linear(100, 2000)
    initialisations.members()["lecun"](bias=1.0).apply(layer)
    assert float(layer.bias.std()) == pytest.approx(1.0, rel=0.1)


def test_a_spec_s_first_weights_reach_every_linear_layer() -> None:
    spec = Spec.model_validate(
        {
            "inputs": {"x": {"type": "image", "encoder": "lenet"}},
            "outputs": {"y": "category"},
            "train": {"initialisation": {"type": "normal", "std": 0.5}},
        }
    )
    inputs = {"x": fitted("image", "x", encoder="lenet")}
    outputs = {"y": fitted("category", "y", target=True)}
    wide = fresh_model(spec, inputs, outputs, Choices())
    usual = build_model(spec, inputs, outputs, Choices())
    for name, parameter in wide.named_parameters():
        if parameter.dim() > 1:
            assert float(parameter.std()) == pytest.approx(0.5, rel=0.3), name
            assert float(dict(usual.named_parameters())[name].std()) < 0.4


def test_plateau_falls_when_validation_no_longer_gains() -> None:
    plateau = schedules.members()["plateau"](patience=2, gamma=0.1, floor=0.001)
    falling = [{"loss": x} for x in (3.0, 2.0, 1.0)]
    flat = [{"loss": 1.0}] * 2
    assert plateau.factor(0.5, falling) == 1
    assert plateau.factor(0.5, [*falling, *flat]) == pytest.approx(0.1)
    assert plateau.factor(0.5, [*falling, *flat, *flat]) == pytest.approx(0.01)
    assert plateau.factor(0.5, [*falling, *flat * 5]) == pytest.approx(0.001)
    assert plateau.factor(0.5, [*falling, *flat, {"loss": 0.5}, {"loss": 0.4}]) == pytest.approx(0.1)


def test_a_point_beyond_the_run_is_refused() -> None:
    with pytest.raises(SpecError, match="at"):
        schedules.members()["step"](at=[2.0])


def test_steps_lines_and_restarts_are_where_they_say() -> None:
    step = schedules.members()["step"](at=[0.5, 0.75], gamma=0.1)
    assert [step.factor(p) for p in (0.0, 0.49, 0.5, 0.8)] == pytest.approx([1, 1, 0.1, 0.01])
    line = schedules.members()["linear"](warmup=0.2)
    assert [line.factor(p) for p in (0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    restarts = schedules.members()["restarts"](cycles=2, growth=1.0)
    assert [restarts.factor(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([1, 0.5, 1, 0.5, 0])
    falling = schedules.members()["exponential"](floor=0.01)
    assert [falling.factor(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.1, 0.01])


def test_schedule_free_keeps_its_rate_and_is_evaluated_on_its_average() -> None:
    from dapeng.train.setting import _schedule

    made = Made(rows(300), optimiser="schedule_free", learning_rate=0.02, steps=80)
    assert _schedule(made.spec.train, dapeng.core.spec.Phase()).type == "constant"  # type: ignore[attr-defined]
    trained = made.trained()
    assert max(h["score"] for h in trained.history) > 0.8
    asked = Made(rows(300), optimiser="schedule_free", schedule="cosine")
    assert _schedule(asked.spec.train, dapeng.core.spec.Phase()).type == "cosine"  # type: ignore[attr-defined]


@pytest.mark.parametrize("tag", ["nesterov", "rmsprop", "adagrad", "nadam", "lion", "muon", "schedule_free"])
def test_every_optimiser_trains_a_table(tag: str) -> None:
    rate = {"lion": 1e-3, "adagrad": 0.05, "nesterov": 0.1}.get(tag, 5e-3)
    trained = Made(rows(300), optimiser=tag, learning_rate=rate, steps=120).trained()
    assert max(h["score"] for h in trained.history) > 0.78, tag


def test_modality_dropout_makes_a_network_that_can_do_without_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two texts say the same. Without either, the network that lost inputs in training still answers."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    label = np.array(["a", "b"])[draw.integers(0, 2, 400)]
    word = {"a": "oak", "b": "elm"}
    table = {"one": [word[v] for v in label], "two": [word[v] + " tree" for v in label], "y": label.tolist()}

    def trained(**fusion: Any) -> Any:
        return dapeng.train(
            table,
            inputs={"one": {"type": "text", "encoder": "text_cnn"}, "two": {"type": "text", "encoder": "text_cnn"}},
            outputs={"y": "category"},
            model="network",
            fusion={"type": "concat", "hidden": [16], **fusion},
            train={"threads": 1, "epochs": 15, "learning_rate": 5e-3},
            **MEMORY,
        )

    run = trained(modality_dropout=0.4)
    for gone in ("one", "two"):
        asked = {"one": ["oak", "elm"] * 10, "two": ["oak tree", "elm tree"] * 10, gone: [None] * 20}
        found = run.predict(asked)
        values = (
            found["y"]
            if isinstance(found, dict)
            else found.column("y").to_pylist()
            if hasattr(found, "column")
            else list(found["y"])
        )
        assert list(values) == ["a", "b"] * 10, gone
