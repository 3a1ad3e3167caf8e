"""The loop: what a step is, what an epoch is, what is kept; the same from memory and from disk, and the same twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from dapeng.core.errors import SpecError, TrainingError
from dapeng.core.files import Lines, read_lines
from dapeng.core.spec import Spec, Train
from dapeng.data.feed import STRETCH, TableFeed
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.stored import Store
from dapeng.data.table import Frame
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.objectives.base import Objective
from dapeng.train import machine
from dapeng.train.ema import Average
from dapeng.train.loop import Fit, fit
from dapeng.train.network import Trained, train_network
from dapeng.train.setting import Setting
from dapeng.train.state import Progress, State
from dapeng.train.strategies import Single


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))


def rows(count: int = 300, noise: float = 0.3, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 3))
    label = np.where(x[:, 0] + x[:, 1] / 2 + noise * draw.normal(size=count) > 0, "a", "b")
    text = [" ".join(draw.choice(["oak", "elm", "ash", "fir"], int(draw.integers(1, 9)))) for _ in range(count)]
    return pa.table({"p": x[:, 0], "q": x[:, 1], "r": x[:, 2], "t": text, "y": label})


class Made:
    """A spec, its columns, its store and a fresh model."""

    def __init__(self, table: pa.Table, on_disk: bool = False, text: bool = False, **train: Any):
        inputs: dict[str, Any] = {"p": "number", "q": "number", "r": "number"}
        if text:
            inputs["t"] = "text"
        self.spec = Spec.model_validate(
            {
                "inputs": inputs,
                "outputs": {"y": "category"},
                "fusion": {"type": "concat", "hidden": [32], "dropout": 0.0},
                "train": {"threads": 1, **train},
            }
        )
        source = Frame(table)
        wanted: dict[str, Any] = {n: (o, False) for n, o in self.spec.inputs.items()}
        wanted["y"] = (self.spec.outputs["y"], True)
        fitted = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
        self.choices = Choices()
        self.inputs = with_encoders({n: fitted[n] for n in inputs}, table.num_rows, self.choices)
        self.outputs = {"y": fitted["y"]}
        prepared = Prepared(self.inputs, self.outputs, None, 0.01)
        self.store: Store = prepared.store(source, source.fingerprint(), 0) if on_disk else prepared.store(source)
        self.rows = np.arange(table.num_rows)

    def model(self) -> Any:
        torch.manual_seed(0)
        return build_model(self.spec, self.inputs, self.outputs, self.choices)

    def trained(self, validation: int = 60, **more: Any) -> Trained:
        cut = len(self.rows) - validation
        return train_network(
            self.spec,
            self.model(),
            self.inputs,
            self.outputs,
            self.store,
            self.rows[:cut],
            self.rows[cut:],
            Choices(),
            **more,
        )

    def state(self, objective: Any = Objective, ema: float | None = None, clip: float | None = None) -> State:
        made, strategy = objective(self.model()), Single(clip)
        wrapped = strategy.wrap(made, self.spec.train.optimiser, 1e-2)
        return State(made, strategy, Average(made.model, ema), Progress(), wrapped)


def how(steps: int, **more: Any) -> Fit:
    from dapeng.train.schedules.constant import Constant

    return Fit(steps, 10_000, 1e-2, Constant(), **more)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([t.detach().float().flatten() for t in model.state_dict().values()])


def test_micro_batches_that_are_accumulated_equal_the_large_batch() -> None:
    made = Made(rows())
    out = []
    for size, accumulate in ((60, 1), (20, 3)):
        state = made.state(clip=1.0)
        feed = TableFeed(made.store, made.rows, size, accumulate)
        assert feed.per_step == 60
        fit(state, feed, how(20), None)
        out.append(weights(state.objective.model))
    assert torch.allclose(out[0], out[1], atol=2e-5)
    assert not torch.allclose(out[0], weights(made.model()), atol=1e-2)


def test_the_same_seed_twice_gives_the_same_bits_and_another_seed_does_not() -> None:
    first, second = (weights(Made(rows(), epochs=3, seed=7).trained().model) for _ in range(2))
    other = weights(Made(rows(), epochs=3, seed=8).trained().model)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("text", [False, True])
def test_batches_are_a_function_of_seed_and_position_alone(text: bool) -> None:
    made = Made(rows(), text=text)
    whole = TableFeed(made.store, made.rows, 32, seed=3).steps(0)
    seen = [next(whole)[0].rows for _ in range(40)]
    for position in (0, 1, 9, 10, 37):
        again = next(TableFeed(made.store, made.rows, 32, seed=3).steps(position))[0].rows
        assert torch.equal(again, seen[position])
    other = next(TableFeed(made.store, made.rows, 32, seed=4).steps(0))[0].rows
    assert not torch.equal(other, seen[0])


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("disk", [False, True])
def test_each_row_comes_exactly_once_an_epoch_and_epochs_differ(
    tmp_path: Path, disk: bool, text: bool, accumulate: int
) -> None:
    made = Made(rows(311), disk, text=text)
    assert (made.store.folder is not None) == disk
    some = np.flatnonzero(made.rows % 7 != 3)
    feed = TableFeed(made.store, some, 16, accumulate, seed=1)
    steps = feed.steps(0)
    epochs = [
        np.concatenate([b.rows.numpy() for _ in range(feed.steps_per_epoch) for b in next(steps)]) for _ in range(3)
    ]
    for epoch in epochs:
        assert Counter(epoch.tolist()) == Counter(some.tolist())
    assert not np.array_equal(epochs[0], epochs[1])


def test_windows_of_a_store_on_disk_hold_every_row_once_where_there_are_many_stretches() -> None:
    count = 40 * STRETCH + 17
    made = Made(
        pa.table(
            {
                "p": np.arange(count) * 1.0,
                "q": np.zeros(count),
                "r": np.ones(count),
                "y": ["a", "b"] * (count // 2) + ["a"],
            }
        ),
        on_disk=True,
    )
    feed = TableFeed(made.store, made.rows, 1024, seed=1)
    order = feed.order(0)[:]
    assert np.array_equal(np.sort(order), made.rows)
    assert not np.array_equal(order[:100], order[0] + np.arange(100)), "rows are not shuffled"


class InOrder(TableFeed):
    """Rows in one fixed order, to compare stores."""

    def _shuffled(self, epoch: int) -> np.ndarray:
        return self.positions


@pytest.mark.parametrize("text", [False, True])
def test_a_store_on_disk_trains_to_the_same_weights_as_one_in_memory(tmp_path: Path, text: bool) -> None:
    out = []
    for on_disk in (False, True, True):  # the third finds the second's files
        made = Made(rows(), on_disk, text=text)
        assert (made.store.folder is not None) == on_disk
        state = made.state()
        log = Lines(tmp_path / f"{len(out)}.jsonl")
        fit(state, InOrder(made.store, made.rows, 32), how(30), None, None, log)
        out.append((weights(state.objective.model), read_lines(log.path)[-1]["train_loss"]))
    assert torch.equal(out[0][0], out[1][0])
    assert torch.equal(out[0][0], out[2][0])
    assert out[0][1] == out[1][1] == out[2][1]


def test_the_average_of_the_weights_is_what_the_recurrence_says_and_is_kept() -> None:
    made = Made(rows())
    plain, averaged = made.state(), made.state(ema=0.9)
    values, expected = [], weights(made.model())
    feed = TableFeed(made.store, made.rows, 32)
    for step in range(1, 13):
        plain.progress.planned = step
        fit(plain, feed, how(12), None)
        values.append(weights(plain.objective.model))
        decay = min(0.9, step / (step + 10))
        expected = decay * expected + (1 - decay) * values[-1]
    fit(averaged, feed, how(12), None)
    assert torch.equal(weights(averaged.objective.model), values[-1]), "averaging must not change the training"
    kept = torch.cat([t.float().flatten() for t in averaged.best.values()])
    assert torch.allclose(kept, expected, atol=1e-5)
    assert not torch.allclose(kept, values[-1], atol=1e-4)


def test_training_ends_early_without_gain_and_keeps_the_best_weights() -> None:
    made = Made(rows(), epochs=300, patience=3, learning_rate=0.05)
    trained = made.trained()
    best = max(trained.history, key=lambda e: (e["score"], -e["loss"]))
    assert len(trained.history) < 30
    assert [e["step"] for e in trained.history].index(best["step"]) == len(trained.history) - 4
    rescored = float(
        (trained.validation["y"]["probabilities"].argmax(1) == made.store.stored["y"].tensors["codes"][-60:]).mean()
    )
    assert rescored == pytest.approx(best["score"])


def test_bfloat16_trains_keeps_fp32_weights_and_comes_near() -> None:
    half, full = (Made(rows(), epochs=5, precision=p, batch_size=32).trained() for p in ("bf16", "fp32"))
    assert half.autocast is torch.bfloat16
    assert {t.dtype for t in half.model.parameters()} == {torch.float32}
    assert not torch.equal(weights(half.model), weights(full.model))
    assert abs(half.history[-1]["loss"] - full.history[-1]["loss"]) < 0.05


def test_out_of_memory_halves_the_micro_batch_and_ends_with_the_same_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(rows(316), epochs=4)
    expected = weights(made.trained().model)
    sizes: list[int] = []
    forward = Objective.forward

    def greedy(self: Objective, batch: Any, turn: str) -> Any:
        sizes.append(batch.size)
        if batch.size > 20:
            raise torch.OutOfMemoryError("no room")
        return forward(self, batch, turn)

    monkeypatch.setattr(Objective, "forward", greedy)
    found = weights(made.trained().model)
    assert sizes[0] > 20
    assert max(sizes[1:]) <= 20
    assert "out of memory: going on with 2 micro-batches of 16 rows a step" in capsys.readouterr().err
    assert torch.allclose(found, expected, atol=2e-5)


def test_out_of_memory_with_a_size_that_was_asked_for_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: Objective, batch: Any, turn: str) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Objective, "forward", greedy)
    with pytest.raises(TrainingError, match=r"train\.batch_size=16 train\.accumulate=2"):
        Made(rows(), epochs=1, batch_size=32).trained()


def test_checkpoint_every_is_steps_for_a_whole_number_and_a_time_otherwise() -> None:
    made = Made(rows())
    feed = TableFeed(made.store, made.rows, 32)

    def asked(value: Any) -> tuple[Any, Any]:
        spec = Spec.model_validate({"outputs": {"y": "category"}, "train": {"checkpoint_every": value}})
        setting = Setting(spec.train, {}, {}, made.store, made.rows, Single(None, 0, 0), None, None, "cpu", None)
        found = setting.how((spec.train.phases or [_phase()])[0], 3, feed, 1e-3)
        return found.checkpoint_steps, found.checkpoint_seconds

    assert asked(5) == (5, None)
    assert asked("50ms") == (None, 0.05)
    assert asked(0.5) == (None, 0.5)
    assert asked("60s") == (None, 60.0)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "cpu:7", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    with pytest.raises(SpecError, match=r"train\.device: expected auto\W.*cpu") as caught:
        Made(rows(), epochs=1, device=device).trained()
    assert f"found {device!r}" in str(caught.value)
    assert caught.value.problems[0].hint == "train.device=auto"
    assert machine.device_for(Train(device="cpu")) == ("cpu", "as asked")


def _phase() -> Any:
    from dapeng.core.spec import Phase

    return Phase()
