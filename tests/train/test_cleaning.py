"""What a spec cleans: outliers of numbers, forms of labels, repeated rows and wrong labels; and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import dapeng
from dapeng.columns.category import Category
from dapeng.columns.category_reader import CategoryReader
from dapeng.columns.fences import fences
from dapeng.columns.number import Number
from dapeng.columns.number_reader import NumberReader
from dapeng.columns.text import Text, TextReader
from dapeng.core.errors import DapengError, SpecError
from dapeng.core.kinds import samples

RANDOM = np.random.default_rng(0)


def number(values: Any, **options: Any) -> Any:
    asked = Number(**options)
    summary = asked.summary(False)
    summary.add(pa.array(values))
    return asked.fitted("x", summary.result(), False)


def sample(name: str) -> pa.Table:
    try:
        return next(iter(samples.members()[name]().load().values())).read()
    except DapengError as error:
        pytest.skip(f"sample:{name} is not here: {error}")


def test_fences_do_not_move_when_one_value_in_twenty_is_wild() -> None:
    usual = np.sort(RANDOM.normal(size=10_000))
    wild = np.sort(np.concatenate([usual, np.full(500, 1e9)]))
    clean, spoilt = fences(usual), fences(wild)
    assert clean is not None
    assert spoilt is not None
    assert 5 < clean[1] < 7
    assert spoilt[1] < 2 * clean[1]
    assert fences(np.zeros(50)) is None


@pytest.mark.parametrize("scale", ["standard", "log", "none"])
@pytest.mark.parametrize("how", ["clip", "missing"])
def test_outliers_are_treated_alike_in_tensors_matrices_and_the_portable_reader(how: str, scale: str) -> None:
    values = [*RANDOM.normal(50, 5, 500).tolist(), 1e7, -1e7]
    column = number(values, outliers=how, scale=scale)
    low, high = column.state["fences"]
    assert 0 < low < 50 < high < 120
    assert column.state["outside"] == 2
    asked = pa.array([50.0, 1e9, None, low, -5e8])
    encoded, matrix = column.encode(asked), column.matrix(asked)[:, 0]
    reader = NumberReader(**column.reader()[1]).encode(asked.to_pylist())
    np.testing.assert_allclose(encoded.tensors["values"], reader["values"], rtol=1e-6)
    np.testing.assert_array_equal(encoded.present, reader["present"])
    wanted = [50, high, np.nan, low, low] if how == "clip" else [50, np.nan, np.nan, low, np.nan]
    np.testing.assert_allclose(matrix, wanted, rtol=1e-6)
    assert np.abs(encoded.tensors["values"]).max() < 200


def test_outliers_no_longer_spoil_the_scale_and_are_counted() -> None:
    values = [*RANDOM.normal(size=500).tolist(), 1e9]
    assert number(values).state["std"] > 1e6
    column = number(values, outliers="clip")
    assert 0.9 < column.state["std"] < 1.2
    assert column.remarks()[0].startswith("1 cells outside")
    assert number(values, outliers="missing").state["missing"] == 1
    assert "fences" not in number(values).state, "a column that keeps them is as it was"


def test_outliers_that_count_as_missing_are_the_same_however_the_rows_are_cut() -> None:
    values = [*RANDOM.normal(size=500).tolist(), 1e9]
    asked = Number(outliers="missing")
    one, total = asked.summary(False), asked.summary(False)
    one.add(pa.array(values))
    for start in range(0, len(values), 100):
        part = asked.summary(False)
        part.add(pa.array(values[start : start + 100]))
        total.merge(part)
    first, second = one.result(), total.result()
    assert first["fences"] == second["fences"]
    assert first["outside"] == second["outside"] == 1
    assert first["std"] == pytest.approx(second["std"])


def test_outliers_of_an_output_are_an_error() -> None:
    with pytest.raises(SpecError, match="for inputs only"):
        dapeng.train([{"x": 1.0, "y": 2.0}] * 20, outputs={"y": {"type": "number", "outliers": "clip"}})


@pytest.mark.parametrize(("form", "labels"), [("NFC", 3), ("NFKC", 2), ("none", 4)])
def test_labels_are_compared_in_the_form_that_is_asked_for(form: Any, labels: int) -> None:
    cells = pa.array(["café", "cafe\u0301", "Ａ１", "A1"])
    asked = Category(normalise=form)
    summary = asked.summary(False)
    summary.add(cells)
    column = asked.fitted("c", summary.result(), False)
    assert len(column.labels) == labels
    codes = CategoryReader(**column.reader()[1]).encode(cells.to_pylist())["codes"]
    np.testing.assert_array_equal(codes, column.encode(cells).tensors["codes"])


SPELT = ["café ﬁn", "cafe\u0301 fin", "Ａ１ bar", "A1 bar"]


@pytest.mark.parametrize("tokeniser", ["words", "characters", "ngrams", "bpe"])
@pytest.mark.parametrize(("form", "same"), [("NFC", {}), ("NFKC", {(0, 1), (2, 3)}), ("none", {})])
def test_texts_are_read_in_the_form_that_is_asked_for(tokeniser: Any, form: Any, same: Any) -> None:
    asked = Text(normalise=form, tokeniser=tokeniser)
    summary = asked.summary(False)
    summary.add(pa.array(SPELT))
    column = asked.fitted("t", summary.result(), False)
    tokens = [column.tokens(t) for t in SPELT]
    assert {(a, b) for a in range(4) for b in range(a + 1, 4) if tokens[a] == tokens[b]} == set(same)
    accents = column.tokens("café") == column.tokens("cafe\u0301")
    assert accents == (form != "none")
    read = TextReader(**column.reader()[1]).encode(SPELT)
    stored = column.encode(pa.array(SPELT))
    assert stored.lengths is not None
    np.testing.assert_array_equal(read["ids"][read["mask"]], stored.tensors["ids"])
    np.testing.assert_array_equal(read["mask"].sum(1), stored.lengths)


@pytest.mark.parametrize(("form", "learnt"), [("NFKC", False), ("none", True)])
@pytest.mark.parametrize("model", ["linear", "network"])
def test_what_only_the_form_tells_is_learnt_where_the_form_is_kept_and_leaves_with_the_exports(
    model: Any, form: Any, learnt: bool, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    words = [" ".join(draw.choice(["bar", "tea", "cup", "inn", "pub"], 3)) for _ in range(120)]
    rows = [{"t": f"{w} {'Ａ１' if n % 2 else 'A1'}", "y": "wide" if n % 2 else "plain"} for n, w in enumerate(words)]
    asked = {"inputs": {"t": {"type": "text", "normalise": form}}, "outputs": {"y": "category"}, "model": model}
    run = dapeng.train(rows, **asked, train={"epochs": 40}, runs=tmp_path)
    right = np.mean([p == r["y"] for p, r in zip(run.predict(rows).column("y").to_pylist(), rows)])
    assert (right == 1.0) == learnt
    found = run.export("standalone", tmp_path / "alone")
    assert found["largest_difference"] < 1e-5


def planted(share: float = 0.1, seed: int = 0) -> tuple[dict[str, pa.Table], np.ndarray]:
    """Real digits, every fifth a test row; a share of the labels that train is wrong."""
    table = sample("digits")
    labels, test = np.array(table.column("label").to_pylist()), np.arange(len(table)) % 5 == 0
    draw, train = np.random.default_rng(seed), np.flatnonzero(np.arange(len(table)) % 5)
    wrong = np.sort(draw.choice(len(train), int(share * len(train)), replace=False))
    for row in train[wrong]:
        labels[row] = draw.choice(np.setdiff1d(np.unique(labels), [labels[row]]))
    table = table.set_column(table.column_names.index("label"), "label", pa.array(labels.tolist()))
    return {"train": table.filter(pa.array(~test)), "test": table.filter(pa.array(test))}, wrong


def trained(parts: Any, tmp_path: Path, **data: Any) -> Any:
    from dapeng.api.start import started
    from dapeng.core.loader import load_spec

    asked = {"data": data, "inputs": {"image": "image"}, "outputs": {"label": "category"}, "model": "linear"}
    loaded = load_spec({**asked, "evaluate": {"baselines": [], "resamples": 0}})
    return started(loaded, None, parts, tmp_path, "run")


def test_dropping_labels_that_are_called_wrong_helps_and_leaves_validation_and_test_alone(tmp_path: Path) -> None:
    gains = []
    for seed in (0, 1):
        parts, wrong = planted(0.2, seed)
        kept, dropped = trained(parts, tmp_path), trained(parts, tmp_path, label_errors="drop")
        before, after = (r.read_json("metrics.json") for r in (kept, dropped))
        gains.append(after["headline"]["value"] - before["headline"]["value"])
        assert before["rows"] == after["rows"] == len(parts["test"])
        found = dropped.read_json("dropped.json")["all"]["label_errors"]["label"]
        assert np.isin(found["rows"], wrong).mean() > 0.8
        assert len(found["rows"]) > 0.5 * len(wrong)
        assert len(found["where"]) == len(found["likely"]) == len(found["rows"])
        assert max(found["rows"]) < len(parts["train"]), "no row of test"
        assert not (kept.path / "dropped.json").exists()
        assert "their label is called wrong" in (dropped.path / "report.html").read_text(encoding="utf-8")
    assert min(gains) > 0
    assert np.mean(gains) > 0.004


def test_repeated_rows_are_dropped_from_training_alone_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = RANDOM.permutation(3000) - 1500.0
    table = pa.table({"x": x, "y": np.where(x > 0, "a", "b").tolist()})
    twice = pa.concat_tables([table, table.slice(0, 500)])
    asked = {"inputs": {"x": "number"}, "model": "linear", "evaluate": {"baselines": [], "resamples": 0}}
    parts = {"train": twice, "validation": table.slice(100, 50), "test": table.slice(200, 100)}
    from dapeng.api.start import started
    from dapeng.core.loader import load_spec

    loaded = load_spec({**asked, "outputs": {"y": "category"}, "data": {"duplicates": "drop"}})
    run = started(loaded, None, parts, tmp_path, "run")
    assert run.read_json("dropped.json")["all"]["duplicates"] == list(range(3000, 3500))
    said = capsys.readouterr().err
    assert "500 rows that train equal another" in said
    assert "100 rows of test (100.0%) have the inputs of a row of train" in said
    assert run.read_json("metrics.json")["rows"] == 100


def test_every_fold_drops_from_its_own_training_rows(tmp_path: Path) -> None:
    table = sample("digits").slice(0, 400)
    both = pa.concat_tables([table, table.slice(0, 40)])
    asked = {"inputs": {"image": "image"}, "model": "linear", "evaluate": {"baselines": [], "resamples": 0}}
    data = {"duplicates": "drop", "split": {"by": "cross_validation", "folds": 2}}
    run = folds(both, tmp_path, asked, data)
    found = run.read_json("dropped.json")
    assert set(found) == {"fold 0", "fold 1", "fold 2"}
    assert len(found["fold 2"]["duplicates"]) == 40, "the last trains on every row"
    assert run.read_json("metrics.json")["rows"] == 440, "every row still tests once"


def folds(table: pa.Table, tmp_path: Path, asked: dict[str, Any], data: dict[str, Any]) -> Any:
    from dapeng.api.start import started
    from dapeng.core.loader import load_spec

    return started(
        load_spec({**asked, "outputs": {"label": "category"}, "data": data}), None, {"all": table}, tmp_path, "run"
    )


@pytest.mark.parametrize("model", ["trees", "network"])
@pytest.mark.parametrize("how", ["clip", "missing"])
def test_a_server_a_standalone_export_and_predict_treat_an_outlier_alike(how: str, model: str, tmp_path: Path) -> None:
    from dapeng.core.kinds import exporters
    from dapeng.data.table import Frame
    from dapeng.export.run_standalone import run as run_standalone
    from dapeng.serve.engine import Engine

    x = RANDOM.normal(50, 5, 600)
    y = np.where(x + RANDOM.normal(0, 1, 600) > 52, "a", "b")
    x[::100] = 1e6
    table = pa.table({"x": x, "c": np.where(np.arange(600) % 2, "Ａ", "B").tolist(), "y": y.tolist()})
    inputs = {"x": {"type": "number", "outliers": how}, "c": {"type": "category", "normalise": "NFKC"}}
    few = {"epochs": 2, "batch_size": 64}
    asked = {"inputs": inputs, "model": model, "evaluate": {"baselines": [], "resamples": 0}, "train": few}
    product = dapeng.train(table, outputs="y", runs=tmp_path, data={"split": {"by": "random"}}, **asked).product
    rows = [{"x": v, "c": c} for v in (50.0, 1e9, -1e9, 62.0) for c in ("A", "Ａ", "B")]
    some = Frame(pa.table({"x": [r["x"] for r in rows], "c": [r["c"] for r in rows]}))
    wanted = product.predict(some).tensors["y"]["probabilities"]
    engine = Engine(product, "run")
    answers = engine.answers(engine.check(rows).rows)
    served = [[a["y"]["probabilities"][v] for v in product.outputs["y"].labels] for a in answers]
    np.testing.assert_allclose(served, wanted, atol=1e-5)
    exporters.members()["standalone"]().export(product, tmp_path / "out", some)
    alone = [[r[f"y.{v}"] for v in product.outputs["y"].labels] for r in run_standalone(tmp_path / "out", rows)]
    np.testing.assert_allclose(alone, wanted, atol=1e-5)
    np.testing.assert_allclose(wanted[0], wanted[1], atol=1e-7)  # Ａ is A


def test_whole_numbers_past_what_a_float_holds_and_infinite_labels_are_read() -> None:
    assert number([10**17 + i for i in range(50)]).state["count"] == 50
    cells = pa.array([float("inf"), 1.0, 2.5])
    asked = Category()
    summary = asked.summary(False)
    summary.add(cells)
    column = asked.fitted("c", summary.result(), False)
    assert set(column.labels) == {"inf", "1", "2.5"}
    codes = CategoryReader(**column.reader()[1]).encode(cells.to_pylist())["codes"]
    np.testing.assert_array_equal(codes, column.encode(cells).tensors["codes"])
