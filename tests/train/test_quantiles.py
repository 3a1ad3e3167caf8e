"""Quantiles as an answer: they cover what they say, stand in the table of predictions, and classical learners keep out of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import losses


def test_pinball_is_its_formula_and_its_minimum_is_the_quantile() -> None:
    criterion = losses.members()["quantile"](quantiles=[0.25, 0.75]).build(None)
    predicted, target = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0])
    assert float(criterion(predicted, target)) == pytest.approx((0.25 * 1 + 0.25 * 1) / 2)
    values = torch.linspace(0, 1, 1001)
    guesses = torch.linspace(0, 1, 201)
    upper = [float(criterion(torch.stack([g * 0 + values, g.expand(1001)], 1), values).mean()) for g in guesses]
    assert float(guesses[int(np.argmin(upper))]) == pytest.approx(0.75, abs=0.01)


def test_quantiles_must_rise_between_0_and_1() -> None:
    for wrong in ([0.5, 0.1], [0.0, 0.5], [0.5, 0.5]):
        with pytest.raises(SpecError, match="must rise"):
            losses.members()["quantile"](quantiles=wrong)


def test_an_interval_covers_what_it_says_where_the_noise_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 4, 3000)
    y = 10 * x + draw.normal(size=3000) * (1 + 4 * x)
    run = dapeng.train(
        {"x": x[:2000], "y": y[:2000]},
        outputs={"y": {"type": "number", "loss": {"type": "quantile", "quantiles": [0.1, 0.5, 0.9]}}},
        inputs={"x": "number"},
        train={"threads": 1, "epochs": 30},
        data={"split": {"by": "random"}},
        evaluate={"baselines": [], "resamples": 0},
    )
    assert run.product.members("y") == ["network"], "a mean is no part of a quantile"
    found = run.answer({"x": x[2000:]}).tensors["y"]["quantiles"]
    assert (np.diff(found, axis=1) >= 0).all()
    inside = (y[2000:] >= found[:, 0]) & (y[2000:] <= found[:, 2])
    assert 0.74 < inside.mean() < 0.86
    width = found[:, 2] - found[:, 0]
    far = x[2000:] > 3
    assert width[far].mean() > 2 * width[x[2000:] < 1].mean(), "the interval does not follow the noise"
    table = run.predict({"x": [1.0, 2.0]})
    names = table.column_names if hasattr(table, "column_names") else list(table)
    assert {"y", "y.0.1", "y.0.5", "y.0.9"} <= set(names)
    again = dapeng.load(str(run.path)).answer({"x": x[2000:2100]}).tensors["y"]["quantiles"]
    np.testing.assert_allclose(again, found[:100], rtol=1e-5)
