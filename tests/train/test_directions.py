"""What a column promises (`monotone`) holds for every prediction, and is refused where it has no meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import samples
from dapeng.data.table import Frame

ROWS = 4_000


def credit() -> pa.Table:
    """Some real rows with what is known before the next month."""
    try:
        table = samples.members()["credit"]().load()["all"].read()
    except dapeng.DapengError as error:
        pytest.skip(f"sample:credit is not here: {error}")
    return table.take(pa.array(np.random.RandomState(0).permutation(len(table))[:ROWS]))


def train(table: pa.Table, tmp_path: Path, model: str, output: dict, **promises: str) -> object:
    inputs = {
        n: {"type": "number", "monotone": promises.get(n, "none")}
        for n in ("LIMIT_BAL", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1")
    }
    spec = {"model": model, "inputs": inputs, "evaluate": {"baselines": [], "resamples": 0}}
    return dapeng.train(table, outputs=output, runs=tmp_path, **spec)


def answers(run: object, table: pa.Table, column: str, values: np.ndarray, output: str) -> np.ndarray:
    """(rows, values) what is predicted where a column of every row is set to each value."""
    product = run.product  # type: ignore[attr-defined]
    at, out = table.column_names.index(column), []
    for value in values:
        changed = table.set_column(at, column, pa.array(np.full(len(table), value)))
        tensors = product.predict(Frame(changed)).tensors[output]
        fitted = product.outputs[output]
        out.append(tensors["mean"] if "mean" in tensors else tensors["probabilities"][:, fitted.positive])
    return np.stack(out, 1).astype(np.float64)


@pytest.mark.parametrize("model", ["trees", "linear"])
@pytest.mark.parametrize("positive", ["yes", "no"])
def test_a_probability_never_falls_where_a_column_that_may_only_rise_with_it_rises(
    model: str, positive: str, tmp_path: Path
) -> None:
    table = credit()
    rises, falls = ("increasing", "decreasing") if positive == "yes" else ("decreasing", "increasing")
    output = {"default": {"type": "category", "positive": positive}}
    run = train(table, tmp_path, model, output, PAY_0=rises, LIMIT_BAL=falls, PAY_AMT1=falls)
    some = table.slice(0, 200)
    for column, way in (("PAY_0", 1), ("LIMIT_BAL", -1), ("PAY_AMT1", -1)):
        grid = np.unique(np.quantile(table.column(column).to_numpy(), np.linspace(0, 1, 25)))
        found = answers(run, some, column, grid, "default") * way * (1 if positive == "yes" else -1)
        assert np.diff(found, axis=1).min() >= -1e-6, column
        assert np.ptp(found, axis=1).max() > 1e-3, f"{column} has no effect: the promise is kept by saying nothing"


@pytest.mark.parametrize("model", ["trees", "linear"])
def test_a_number_never_rises_where_a_column_that_may_only_lower_it_rises(model: str, tmp_path: Path) -> None:
    table = credit()
    run = train(table, tmp_path, model, {"BILL_AMT2": "number"}, BILL_AMT1="increasing", PAY_AMT1="decreasing")
    some = table.slice(0, 200)
    for column, way in (("BILL_AMT1", 1), ("PAY_AMT1", -1)):
        grid = np.unique(np.quantile(table.column(column).to_numpy(), np.linspace(0, 1, 25)))
        found = answers(run, some, column, grid, "BILL_AMT2") * way
        assert np.diff(found, axis=1).min() >= -1e-4 * np.ptp(found), column


def test_without_a_promise_trees_do_fall_somewhere_so_that_the_test_above_can_fail(tmp_path: Path) -> None:
    table = credit()
    run = train(table, tmp_path, "trees", {"default": "category"})
    grid = np.unique(np.quantile(table.column("LIMIT_BAL").to_numpy(), np.linspace(0, 1, 25)))
    found = answers(run, table.slice(0, 200), "LIMIT_BAL", grid, "default")
    assert np.diff(found, axis=1).min() < -1e-3
    assert np.diff(found, axis=1).max() > 1e-3


def test_the_network_is_left_out_and_the_reason_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(credit().slice(0, 2500), tmp_path, "auto", {"default": "category"}, PAY_0="increasing")
    assert "no network is trained" in capsys.readouterr().err
    assert "network" not in run.product.members("default")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("output", "model", "what"),
    [
        ({"MARRIAGE": "category"}, "auto", "labels"),
        ({"default": "category"}, "network", "network can't promise"),
    ],
)
def test_a_promise_that_has_no_meaning_is_an_error_of_the_spec(
    output: dict, model: str, what: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=what):
        train(credit(), tmp_path, model, output, PAY_0="increasing")


def test_a_direction_is_for_inputs_alone() -> None:
    with pytest.raises(SpecError, match="for inputs only"):
        dapeng.train(credit(), outputs={"AGE": {"type": "number", "monotone": "increasing"}})


def test_a_promise_says_nothing_of_values_that_count_as_missing() -> None:
    inputs = {"AGE": {"type": "number", "monotone": "increasing", "outliers": "missing"}}
    with pytest.raises(SpecError, match="would count as missing"):
        dapeng.train(credit(), outputs={"default": "category"}, inputs=inputs)


def test_folds_keep_promises_too(tmp_path: Path) -> None:
    table = credit().slice(0, 1_200)
    run = train(table, tmp_path, "auto", {"default": "category"}, PAY_0="increasing", LIMIT_BAL="decreasing")
    grid = np.unique(np.quantile(table.column("PAY_0").to_numpy(), np.linspace(0, 1, 25)))
    found = answers(run, table.slice(0, 200), "PAY_0", grid, "default")
    assert np.diff(found, axis=1).min() >= -1e-6
    assert np.ptp(found) > 1e-3
