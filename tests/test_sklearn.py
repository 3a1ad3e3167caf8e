"""The estimators keep scikit-learn's contract, and train what `dapeng.train` trains."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import dapeng
from dapeng.core.errors import DapengError
from dapeng.sklearn import DapengClassifier, DapengRegressor

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "some rows validate: a row that is there twice may lie on both sides of "
    "the split, one that weighs two lies on one"
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", [DapengClassifier("linear"), DapengRegressor("linear")], ids=lambda e: type(e).__name__
)
def test_scikit_learns_own_checks_pass(estimator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None)
    wrong = {r["check_name"]: str(r["exception"]) for r in found if r["status"] == "failed"}
    assert wrong == {}
    assert sum(r["status"] == "passed" for r in found) > 50
    assert {r["check_name"] for r in found if r["status"] == "skipped"} <= {"check_array_api_input"}


@pytest.mark.parametrize("model", ["linear", "trees", "network"])
def test_a_classifier_learns_and_a_pickled_one_predicts_the_same(model: str) -> None:
    X, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = DapengClassifier(model, epochs=20 if model == "network" else None).fit(X, names)
    assert fitted.score(X, names) > 0.9
    assert list(fitted.classes_) == ["setosa", "versicolor", "virginica"]
    assert fitted.n_features_in_ == 4
    assert list(fitted.feature_names_in_) == list(X.columns)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_allclose(again.predict_proba(X).sum(1), 1)


def test_a_pickle_holds_the_files_of_a_run_and_no_module() -> None:
    X, y = load_iris(return_X_y=True)
    fitted = DapengClassifier("network", epochs=1).fit(X, y)
    fitted.predict(X)
    named = {
        str(arg) for op, arg, _ in pickletools.genops(pickle.dumps(fitted)) if op.name in ("SHORT_BINUNICODE", "GLOBAL")
    }
    assert not [n for n in named if n.startswith(("torch", "lightgbm", "dapeng.")) and n != "dapeng.sklearn"]
    assert {"weights.safetensors", "columns.json", "product.json"} <= set(fitted.files_)


def test_it_trains_the_very_model_that_dapeng_train_trains(tmp_path: Path) -> None:
    data = load_breast_cancer(as_frame=True)
    fitted = DapengClassifier("linear").fit(data.data, data.target)
    table = data.data.assign(target=data.target.astype(str))
    inputs = dict.fromkeys(data.data.columns, "number")
    overrides = ["model=linear", "evaluate.baselines=[constant]", "evaluate.resamples=0"]
    run = dapeng.train(table, {"target": "category"}, inputs=inputs, overrides=overrides, runs=tmp_path)
    expected = np.stack([run.predict(data.data)[f"target.{i}"].to_numpy() for i in range(2)], 1)
    np.testing.assert_allclose(fitted.predict_proba(data.data), expected, atol=1e-6)


def test_a_rare_label_is_said_as_the_product_says_it(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(3000, 2))
    y = np.where(X[:, 0] + draw.normal(size=3000) > 2.6, "fraud", "fine")
    assert 0.01 < np.mean(y == "fraud") < 0.1
    fitted = DapengClassifier("linear").fit(X, y)
    fitted.export(tmp_path / "run")
    said = fitted.predict(X)
    own = dapeng.load(tmp_path / "run").predict(pd.DataFrame(X, columns=["x0", "x1"]))["target"].to_pylist()
    assert list(said) == [fitted.classes_[int(label)] for label in own]
    likeliest = fitted.classes_[fitted.predict_proba(X).argmax(1)]
    assert np.sum(said == "fraud") > np.sum(likeliest == "fraud"), "no threshold was chosen: the test proves nothing"


def test_a_regressor_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    assert DapengRegressor("linear").fit(X, y).score(X, y) > 0.4


def test_it_works_in_pipelines_searches_and_cross_validation() -> None:
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), DapengClassifier("linear"))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"dapengclassifier__model": ["linear", "trees"]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert clone(pipeline.steps[1][1]).get_params() == DapengClassifier("linear").get_params()


def test_a_data_frame_of_mixed_columns_is_read_as_it_is() -> None:
    rng = np.random.default_rng(0)
    good = rng.random(300) < 0.5
    words = np.where(good, "a fine and lovely film to see", "a dull and boring film to miss")
    frame = pd.DataFrame(
        {
            "review": [f"{w} {i}" for i, w in enumerate(words)],
            "city": pd.Categorical(rng.choice(["Rom", "Bonn"], 300)),
            "price": np.where(rng.random(300) < 0.2, np.nan, rng.random(300)),
            "seen": rng.random(300) < 0.5,
        }
    )
    fitted = DapengClassifier("linear", inputs={"review": "text"}).fit(frame, good)
    assert fitted.score(frame, good) == 1
    assert list(fitted.feature_names_in_) == ["review", "city", "price", "seen"]
    assert {n: c.type for n, c in fitted.product_.inputs.items()}["review"] == "text"
    assert fitted.predict(frame.head(1)).dtype == bool
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["city", "review", "price", "seen"]])
    with pytest.raises(DapengError, match="X has no column 'title'"):
        DapengClassifier("linear", inputs={"title": "text"}).fit(frame, good)


def test_weights_count_and_rows_of_weight_zero_are_left_out() -> None:
    X = np.linspace(0, 1, 200)[:, None]
    y = np.where(np.arange(200) % 2, 10.0, 0.0)
    even = DapengRegressor("linear").fit(X, y).predict(X).mean()
    heavy = DapengRegressor("linear").fit(X, y, sample_weight=np.where(y > 0, 9.0, 1.0)).predict(X).mean()
    alone = DapengRegressor("linear").fit(X, y, sample_weight=(y > 0).astype(float)).predict(X).mean()
    assert even == pytest.approx(5, abs=0.7)
    assert heavy == pytest.approx(9, abs=0.7)
    assert alone == pytest.approx(10, abs=0.1)
    with pytest.raises(ValueError, match="at least one non-zero"):
        DapengRegressor("linear").fit(X, y, sample_weight=np.zeros(200))


def test_it_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    X, y = load_iris(return_X_y=True)
    DapengClassifier("linear").fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")
    DapengClassifier("linear", verbose=True).fit(X, y)
    assert "training" in capfd.readouterr().err


def test_the_run_folder_is_kept_where_a_place_is_named_and_can_be_written_anew(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True, as_frame=True)
    fitted = DapengClassifier("linear", runs=tmp_path / "runs", overrides=["evaluate.resamples=20"]).fit(X, y)
    assert (Path(fitted.run_path_) / "report.html").is_file()
    folder = fitted.export(tmp_path / "written")
    folder.verify()
    for path in (fitted.run_path_, tmp_path / "written"):
        assert dapeng.load(path).predict(X)["target"].to_pylist() == [str(v) for v in fitted.predict(X)]


def test_the_same_seed_gives_the_same_model() -> None:
    X, y = load_iris(return_X_y=True)
    one, two = (DapengClassifier("network", epochs=3, seed=5).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_errors_of_the_data_and_of_the_parameters_are_value_errors() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError):
        DapengClassifier().predict(X)
    with pytest.raises(ValueError, match="model"):
        DapengClassifier("linaer").fit(X, y)
    with pytest.raises(ValueError, match="of one class"):
        DapengClassifier("linear").fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="infinity"):
        DapengRegressor("linear").fit(np.where(X > 7, np.inf, X), y)
    with pytest.raises(ValueError, match="rows are too few"):
        DapengRegressor("linear").fit(X[:4], y[:4])


def test_importing_dapeng_loads_neither_scikit_learn_nor_torch() -> None:
    code = "import sys, dapeng; print([m for m in ('sklearn', 'torch', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
