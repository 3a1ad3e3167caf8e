"""Explanations add up, and find what really counts."""

from __future__ import annotations

import base64
import io

import numpy as np
import pyarrow as pa
import pytest

from dapeng.columns.category import Category
from dapeng.compress.compress import compress
from dapeng.core.run import RunFolder
from dapeng.data.table import Frame
from dapeng.explain.explain import explain
from dapeng.explain.importance import Answered, Draws, _listed, importance
from dapeng.explain.pictures import agreement, heat
from dapeng.product.files import load
from trained import blend_run, digits_run, iris_run, linear_run, make, mixed_run, reviews_run, trees_run


@pytest.mark.parametrize(
    "what",
    [iris_run, blend_run, digits_run, reviews_run, lambda: reviews_run("transformer"), lambda: reviews_run("text_cnn")],
)
def test_what_the_elements_add_sums_to_the_difference(what):
    folder, product, _ = what()
    facts = explain(folder, product, None, 3).plain()
    found = [o for row in facts["rows"] for o in row["outputs"].values()]
    assert found
    for one in found:
        assert one["error"] <= 0.05
        total = sum(c["adds"] for c in one["columns"])
        assert total == pytest.approx(
            one["of"] - one["baseline"], abs=max(0.06 * abs(one["of"] - one["baseline"]), 1e-3)
        )


def test_importance_finds_the_column_that_counts(tmp_path):
    draw = np.random.default_rng(0)
    x, noise = draw.normal(size=400), draw.normal(size=400)
    table = pa.table({"x": x, "noise": noise, "y": np.where(x > 0, "high", "low")})
    folder, product, _ = make("signal", table, {"x": "number", "noise": "number"}, {"y": "category"}, None, 10)
    facts = explain(folder, product, None, 2).plain()
    first, second = facts["importance"]["y"]
    assert (first["column"], second["column"]) == ("x", "noise")
    assert first["importance"] > 0.3
    assert abs(second["importance"]) < 0.1
    assert folder.read_json("explain.json")["importance"]["y"][0]["column"] == "x"


def test_importance_has_an_interval_that_tells_signal_from_noise(monkeypatch):
    draw = np.random.default_rng(0)
    x, noise = draw.normal(size=1500), draw.normal(size=1500)
    table = pa.table({"x": x, "noise": noise, "y": np.where(x > 0, "high", "low")})
    _, product, _ = make("doubt", table, {"x": "number", "noise": "number"}, {"y": "category"}, None, 5)
    found = {
        rows: importance(product, Frame(table.slice(0, rows)), 60.0) for rows in (100, 1500)
    }  # also fewer rows: more doubt
    for answer in found.values():
        first, second = answer["importance"]["y"]
        assert 0 < first["low"] < first["importance"] < first["high"]
        assert second["low"] <= 0.01
        assert second["high"] < first["low"]
    few, many = (found[rows]["importance"]["y"][0] for rows in (100, 1500))
    assert many["high"] - many["low"] < 0.6 * (few["high"] - few["low"])
    assert found[100]["measured"]["resamples"] == 200
    monkeypatch.setattr("dapeng.explain.importance.SHARE", 0.0)  # no time for intervals
    hurried = importance(product, Frame(table), 60.0)
    assert hurried["importance"]["y"][0]["low"] is None
    assert hurried["measured"]["resamples"] == 0


def test_the_interval_of_a_drop_holds_the_truth_about_as_often_as_it_says():
    # one column decides 80 % of the labels: shuffled, half of the answers are right, and the true drop is 0.3
    column = Category().fitted("y", {"labels": ["a", "b"], "counts": [10, 10], "missing": 0}, True)
    held, trials = 0, 60
    for seed in range(trials):
        draw = np.random.default_rng(seed)
        codes = draw.integers(0, 2, 300)
        said = np.where(draw.random(300) < 0.8, codes, 1 - codes)
        deals = [draw.permutation(300) for _ in range(3)]
        whole, *dealt = (
            Answered(column, {"probabilities": np.eye(2)[s]}, codes, np.arange(300))
            for s in (said, *(said[d] for d in deals))
        )
        (found,) = _listed(whole, {"x": dealt}, Draws(300, 3, seed))
        held += found["low"] <= 0.3 <= found["high"]
    assert held / trials >= 0.85


def test_a_mixed_model_tells_what_columns_add():
    folder, product, table = mixed_run()
    one = explain(folder, product, Frame(table.slice(0, 50)), 1).plain()
    assert {c["column"] for c in one["rows"][0]["outputs"]["sold"]["columns"]} == {"shop", "day", "heat"}
    assert one["importance"]["sold"][0]["column"] == "shop"


def test_contributions_of_trees_and_linear_models():
    for what in (trees_run, linear_run):
        folder, product, _ = what()
        facts = explain(folder, product, None, 2).plain()
        (name,) = product.outputs
        columns = facts["rows"][0]["outputs"][name]["columns"]
        assert {c["column"] for c in columns} == set(product.inputs)
        assert columns[0]["adds"] > 0


def test_words_count_for_a_learner_by_being_left_out():
    folder, product, table = linear_run()
    one = explain(folder, product, Frame(table.slice(0, 1)), 1).plain()["rows"][0]["outputs"]["mood"]
    words = one["tokens"]["review"]
    assert [w["token"] for w in words] == ["a", "wonderful", ",", "moving", "film"]
    without = table.slice(0, 1).set_column(0, "review", pa.array(["a , moving film"]))
    seen = [product.matrices(t) for t in (table.slice(0, 1), without)]
    label = product.outputs["mood"].labels.index(one["prediction"])  # type: ignore[attr-defined]
    whole, less = (product.learners["mood"]["linear"].predict(s)["probabilities"][0, label] for s in seen)
    assert words[1]["weight"] == pytest.approx(whole - less, abs=1e-6)


def test_trees_add_up_to_the_margin():
    from dapeng.explain.learners import contributions
    from dapeng.learners.trees import table_of

    _, product, table = trees_run()
    learner = product.learners["species"]["trees"]
    rows = table.slice(0, 5)
    seen = product.matrices(rows)
    x = table_of(seen, learner.names, learner.contrasts)[0]  # type: ignore[attr-defined]
    raw = learner.booster.predict(x, raw_score=True)  # type: ignore[attr-defined]
    every = learner.booster.predict(x, pred_contrib=True).reshape(5, 3, -1)  # type: ignore[attr-defined]
    found = contributions(product, rows, None, "species", "trees", np.zeros(5, int))
    assert found is not None
    assert [sum(f.values()) for f in found] == pytest.approx((raw[:, 0] - every[:, 0, -1]).tolist(), abs=1e-6)


def test_tokens_are_those_of_the_text():
    folder, product, table = reviews_run("transformer")
    one = explain(folder, product, Frame(table.slice(0, 1)), 1).plain()["rows"][0]["outputs"]["mood"]
    assert [t["token"] for t in one["tokens"]["review"]] == ["a", "wonderful", ",", "moving", "film"]


def test_pictures_lie_in_json_as_small_png():
    from PIL import Image

    folder, product, _ = digits_run()
    one = explain(folder, product, None, 1).plain()["rows"][0]["outputs"]["label"]["pictures"]["image"]
    for name in ("picture", "heat", "occlusion"):
        assert Image.open(io.BytesIO(base64.b64decode(one[name]))).size == (8, 8)
    assert -1 <= one["agreement"] <= 1


def test_maps_agree_with_themselves():
    values = np.random.default_rng(0).normal(size=(32, 32))
    assert agreement(values, values) == pytest.approx(1.0)
    assert agreement(values, np.zeros((32, 32))) == 0.0
    assert heat(np.zeros((4, 4)))


def test_rows_without_true_answers_are_explained_without_importance():
    folder, product, table = iris_run()
    found = explain(folder, product, Frame(table.drop_columns(["species"]).slice(0, 5)), 2)
    assert "no importance" in found.text()
    assert len(found.plain()["rows"]) == 2
    assert "truth" not in found.plain()["rows"][0]["outputs"]["species"]


def test_time_is_kept():
    folder, product, _ = reviews_run()
    facts = explain(folder, product, None, 24, seconds=0.05).plain()
    assert facts["cpu_seconds"] < 3
    assert facts["rows"]


def test_layers_in_int8_are_explained_too(tmp_path):
    folder, product, _ = iris_run()
    compress(folder, product, "int8_dynamic", tmp_path / "small")
    small = RunFolder.open(tmp_path / "small")
    facts = explain(small, load(small), None, 2).plain()
    assert facts["importance"]["species"]
    assert all(r["outputs"]["species"]["error"] < 0.2 for r in facts["rows"])
