"""Where positives are rare, the verdict, the threshold and every way of asking speak of them; elsewhere nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import dapeng
from dapeng.api import compare
from dapeng.columns.category import Category
from dapeng.columns.thresholds import steady_threshold
from dapeng.core.errors import DapengError
from dapeng.core.kinds import exporters, samples
from dapeng.data.table import Frame
from dapeng.export.run_standalone import run as run_standalone
from dapeng.serve.engine import Engine

INPUTS = ("LIMIT_BAL", "AGE", "PAY_0", "PAY_2", "BILL_AMT1", "PAY_AMT1", "PAY_AMT2")


def credit(share: float, rows: int) -> pa.Table:
    """Real rows of which about this share defaults."""
    try:
        table = samples.members()["credit"]().load()["all"].read([*INPUTS, "default"])
    except DapengError as error:
        pytest.skip(f"sample:credit is not here: {error}")
    yes = np.array(table.column("default").to_pylist()) == "yes"
    draw = np.random.RandomState(0)
    positives = draw.permutation(np.flatnonzero(yes))[: round(share * rows)]
    others = draw.permutation(np.flatnonzero(~yes))[: rows - len(positives)]
    return table.take(pa.array(draw.permutation(np.concatenate([positives, others]))))


def train(table: pa.Table, tmp_path: Path, output: Any = "category", **spec: Any) -> Any:
    asked = {
        "model": "trees",
        "inputs": dict.fromkeys(INPUTS, "number"),
        "evaluate": {"baselines": ["constant"], "resamples": 100},
    }
    return dapeng.train(table, outputs={"default": output}, runs=tmp_path, **{**asked, **spec})


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Any]:
    table = credit(0.04, 8_000)
    return table, train(table, tmp_path_factory.mktemp("rare"))


def test_average_precision_leads_the_verdict_beside_the_share_of_positives(rare: tuple[pa.Table, Any]) -> None:
    metrics = rare[1].folder.read_json("metrics.json")
    found = metrics["outputs"]["default"]
    assert metrics["headline"]["metric"] == "auprc"
    assert "AUPRC (average precision)" in metrics["verdict"]
    assert "Any order by chance (the share of 'yes')" in metrics["verdict"]
    floor = next(r for r in found["leaderboard"] if r["name"] == "constant")
    share = found["distribution"]["truth"][1] / found["rows"]
    assert floor["metrics"]["auprc"]["value"] == pytest.approx(share, abs=1e-6)
    assert {"ks", "lift_10", "auprc"} <= set(found["metrics"])


def test_the_threshold_is_what_predictions_the_metrics_the_report_and_the_card_go_by(
    rare: tuple[pa.Table, Any],
) -> None:
    table, run = rare
    product = run.product
    column = product.outputs["default"]
    cut = column.cut
    assert cut is not None
    assert 0 < cut < 0.5
    assert run.folder.read_json("columns.json")["outputs"]["default"]["state"]["threshold"] == cut
    answer = product.predict(Frame(table))
    said = np.array(answer.values["default"]) == "yes"
    np.testing.assert_array_equal(said, answer.tensors["default"]["probabilities"][:, column.positive] >= cut)
    assert said.any()
    assert said.mean() < 0.3
    found = run.folder.read_json("metrics.json")["outputs"]["default"]
    assert found["threshold"]["by"] == "validation"
    assert found["threshold"]["value"] == cut
    assert found["distribution"]["predicted"][1] > 0
    assert found["threshold"]["recall"] == pytest.approx(found["per_class"][1]["recall"])
    for name in ("report.html", "MODEL_CARD.md"):
        assert f"from a probability of {cut:.3g}" in (run.folder.path / name).read_text(encoding="utf-8"), name
    assert any("chosen on the validation rows" in n for n in run.folder.read_json("metrics.json")["notes"])


def test_more_positives_are_found_than_by_the_likelier_label(rare: tuple[pa.Table, Any]) -> None:
    run = rare[1]
    import pyarrow.parquet as pq

    tested = pq.read_table(run.folder.path / "predictions.parquet")
    p, truth = (
        np.array(tested.column("default.probabilities").to_pylist())[:, 1],
        tested.column("default.truth").to_numpy() == 1,
    )
    said = tested.column("default.said").to_numpy() == 1

    def f1(flags: np.ndarray) -> float:
        return 2 * (flags & truth).sum() / max(flags.sum() + truth.sum(), 1)

    assert f1(said) > f1(p >= 0.5) + 0.05


def test_a_standalone_export_says_the_same(rare: tuple[pa.Table, Any], tmp_path: Path) -> None:
    table, run = rare
    exporters.members()["standalone"]().export(run.product, tmp_path / "out", Frame(table.slice(0, 50)))
    some = table.slice(0, 400).select(list(INPUTS))
    out = run_standalone(tmp_path / "out", some.to_pylist())
    assert [r["default"] for r in out] == run.product.predict(Frame(some)).values["default"]
    assert "yes" in {r["default"] for r in out}


def test_a_server_says_the_same(rare: tuple[pa.Table, Any]) -> None:
    table, run = rare
    some = table.slice(0, 400).select(list(INPUTS))
    engine = Engine(run.product, "rare")
    said = [a["default"]["value"] for a in engine.answers(engine.check(some.to_pylist()).rows)]
    assert said == run.product.predict(Frame(some)).values["default"]
    assert "yes" in said


def test_balanced_classes_are_judged_and_decided_as_before(tmp_path: Path) -> None:
    run = train(credit(0.22, 4_000), tmp_path)
    metrics = run.folder.read_json("metrics.json")
    assert metrics["headline"]["metric"] == "accuracy"
    assert "notes" not in metrics
    column = run.product.outputs["default"]
    assert column.cut is None
    assert "threshold" not in column.state
    assert "Always answering the most frequent label" in metrics["verdict"]


def test_a_threshold_of_the_spec_is_obeyed(tmp_path: Path) -> None:
    table = credit(0.22, 3_000)
    run = train(table, tmp_path, {"type": "category", "threshold": 0.3})
    answer = run.product.predict(Frame(table))
    said = np.array(answer.values["default"]) == "yes"
    np.testing.assert_array_equal(said, answer.tensors["default"]["probabilities"][:, 1] >= 0.3)
    found = run.folder.read_json("metrics.json")["outputs"]["default"]["threshold"]
    assert found["by"] == "spec"
    assert found["value"] == 0.3


def test_with_costs_the_report_says_both_thresholds(tmp_path: Path) -> None:
    costs = {"default": [[0.0, 1.0], [10.0, 0.0]]}
    evaluate = {"baselines": [], "resamples": 0, "costs": costs}
    run = train(credit(0.06, 3_000), tmp_path, evaluate=evaluate)
    found = run.folder.read_json("metrics.json")["outputs"]["default"]
    assert found["threshold"]["by"] == "costs"
    assert found["threshold"]["value"] == pytest.approx(1 / 11)
    assert found["cut"] == run.product.outputs["default"].cut
    report = (run.folder.path / "report.html").read_text(encoding="utf-8")
    assert "it follows from the costs" in report
    assert f"Predictions go by {found['cut']:.3g}" in report


def test_two_runs_are_compared_by_what_they_say(tmp_path: Path) -> None:
    table = credit(0.06, 3_000)
    first, second = train(table, tmp_path), train(table, tmp_path, model="linear")
    found = compare(first.folder.path, second.folder.path)["outputs"]["default"]
    assert next(iter(found["metrics"])) == "auprc"
    assert found["mcnemar"]["only_first"] + found["mcnemar"]["only_second"] > 0


def test_a_threshold_for_three_labels_is_an_error(tmp_path: Path) -> None:
    rows = [{"x": float(i), "y": "abc"[i % 3]} for i in range(60)]
    with pytest.raises(DapengError, match="a threshold is for two labels"):
        dapeng.train(rows, outputs={"y": {"type": "category", "threshold": 0.3}}, runs=tmp_path)


def test_folds_agree_on_one_threshold(tmp_path: Path) -> None:
    run = train(credit(0.06, 1_500), tmp_path)
    column = run.product.outputs["default"]
    assert column.rare
    assert 0 < column.cut < 0.6
    assert run.folder.read_json("metrics.json")["rows"] == 1_500


def fitted(positives: int, others: int, **options: Any) -> Any:
    state = {"labels": ["no", "yes"], "counts": [others, positives], "missing": 0}
    return Category(**options).fitted("y", state, True)


def test_with_a_handful_of_positives_as_many_are_said_as_training_has() -> None:
    p = np.linspace(0, 1, 1000)
    wanted = np.zeros(1000, np.int64)
    wanted[-3:] = 1
    settings = fitted(50, 950).settle({"probabilities": np.stack([1 - p, p], 1)}, wanted)
    assert (p >= settings["threshold"]).mean() == pytest.approx(0.05, abs=0.002)


def test_probabilities_that_tell_nothing_lead_to_no_threshold() -> None:
    wanted = (np.arange(1000) < 40).astype(np.int64)
    same = {"probabilities": np.tile([0.96, 0.04], (1000, 1))}
    assert fitted(40, 960).settle(same, wanted) == {}
    assert fitted(40, 960).settle(same, np.zeros(1000, np.int64)) == {}
    assert fitted(9, 960).settle({"probabilities": np.random.RandomState(0).dirichlet([9, 1], 1000)}, wanted) == {}


def test_a_tenth_is_not_rare() -> None:
    assert fitted(99, 901).rare
    assert not fitted(100, 900).rare
    assert not fitted(99, 901, positive="no").rare
    assert fitted(100, 900).settle({"probabilities": np.ones((5, 2)) / 2}, np.zeros(5, np.int64)) == {}


def test_the_threshold_is_steady_where_one_row_would_move_the_best_cut() -> None:
    draw = np.random.RandomState(1)
    flags = draw.rand(2000) < 0.02
    p = 1 / (1 + np.exp(-(draw.normal(size=2000) + 1.5 * flags - 3)))
    cuts = [steady_threshold(np.delete(p, r), np.delete(flags, r)) for r in np.flatnonzero(flags)[:8]]
    assert np.ptp(cuts) < 0.5 * np.mean(cuts)
    assert p.min() < min(cuts)
    assert max(cuts) < p.max()


def test_an_explanation_is_of_what_is_said(rare: tuple[pa.Table, Any]) -> None:
    from dapeng.explain.rows import explain_rows

    table, run = rare
    cut = run.product.outputs["default"].cut
    p = run.product.predict(Frame(table)).tensors["default"]["probabilities"][:, 1]
    at = np.flatnonzero((p >= cut) & (p < 0.5))[:2]
    assert len(at)
    for row in explain_rows(run.product, Frame(table.take(pa.array(at))), 2, 20.0):
        found = row["outputs"]["default"]
        assert found["prediction"] == "yes"
        assert cut <= found["probability"] < 0.5
