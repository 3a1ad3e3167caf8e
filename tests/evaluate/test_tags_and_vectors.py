"""Metrics of sets and vectors equal scikit-learn's, weighted rows included; the verdict on them says what it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from dapeng.columns.set import Set
from dapeng.columns.vector import Vector
from dapeng.core.spec import Evaluate
from dapeng.evaluate.blend import blend_shares
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.verdict import Judged, judge
from dapeng.evaluate.views import metrics_for
from dapeng.metrics.base import Drawn, value_of
from dapeng.metrics.tags import SetView
from dapeng.metrics.vectors import VectorView

LABELS = ["a", "b", "c", "d"]


def set_column(**state: Any) -> Any:
    counts = {"labels": LABELS, "counts": [50, 40, 20, 5], "separator": ";", "rows": 100, "missing": 0, "most": 3}
    return Set().fitted("y", {**counts, **state}, True)


def vector_column(size: int = 3) -> Any:
    state = {"size": size, "mean": [0.0] * size, "std": [1.0, 10.0, 0.1][:size], "count": 9, "otherwise": 0}
    return Vector().fitted("y", state, True)


def tagged(rows: int = 300, skill: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random((rows, 4)) < [0.5, 0.4, 0.2, 0.05]
    margins = skill * truth - 1 + random.normal(size=truth.shape)
    return 1 / (1 + np.exp(-margins)), truth


def test_metrics_of_sets_are_those_of_scikit_learn() -> None:
    p, truth = tagged()
    said = p >= 0.5
    view = SetView(p, truth, said)
    wanted = {
        "f1_micro": sk.f1_score(truth, said, average="micro"),
        "f1_macro": sk.f1_score(truth, said, average="macro"),
        "f1_samples": sk.f1_score(truth, said, average="samples", zero_division=1),
        "precision_micro": sk.precision_score(truth, said, average="micro"),
        "recall_macro": sk.recall_score(truth, said, average="macro"),
        "subset_accuracy": sk.accuracy_score(truth, said),
        "hamming": sk.hamming_loss(truth, said),
        "auprc": sk.average_precision_score(truth, p, average="macro"),
        "auroc": sk.roc_auc_score(truth, p, average="macro"),
        "log_loss": np.mean([sk.log_loss(truth[:, c], p[:, c]) for c in range(4)]),
    }
    every = metrics_for(view)
    assert list(every)[:5] == list(task_of("set").beside)
    for name, value in wanted.items():
        assert value_of(every[name], view) == pytest.approx(value, abs=1e-9), name


def test_a_resample_of_sets_is_as_if_its_rows_were_repeated() -> None:
    p, truth = tagged(120)
    view = SetView(p, truth, p >= 0.4)
    counts = np.random.default_rng(1).integers(0, 4, (3, 120)).astype(float)
    for name, metric in metrics_for(view).items():
        found = metric.values(Drawn(view, counts))
        for weights, value in zip(counts, found):
            repeated = view.take(np.repeat(np.arange(120), weights.astype(int)))
            assert value == pytest.approx(value_of(metric, repeated), abs=1e-9), name


def test_metrics_of_vectors_are_those_of_scikit_learn_and_weigh_rows() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 3)) * [1, 10, 0.1]
    view = VectorView(values + random.normal(size=values.shape), values)
    every = metrics_for(view)
    assert value_of(every["rmse_elements"], view) == pytest.approx(
        np.sqrt(sk.mean_squared_error(view.values, view.predicted))
    )
    assert value_of(every["mae_elements"], view) == pytest.approx(sk.mean_absolute_error(view.values, view.predicted))
    r2 = 1 - ((view.values - view.predicted) ** 2).sum() / ((view.values - view.values.mean(0)) ** 2).sum()
    assert value_of(every["r2_elements"], view) == pytest.approx(r2)
    cosines = np.diag(sk.pairwise.cosine_similarity(view.values, view.predicted))
    assert value_of(every["cosine"], view) == pytest.approx(cosines.mean())
    counts = random.integers(0, 3, (2, 200)).astype(float)
    for metric in every.values():
        for weights, value in zip(counts, metric.values(Drawn(view, counts))):
            repeated = view.take(np.repeat(np.arange(200), weights.astype(int)))
            assert value == pytest.approx(value_of(metric, repeated), abs=1e-9)


def test_the_verdict_on_sets_ranks_members_and_lists_every_label() -> None:
    good, truth = tagged(skill=3)
    poor, _ = tagged(skill=1, seed=2)
    rates = np.tile(truth.mean(0), (300, 1))
    members = [
        Judged("product", "product", {"y": {"probabilities": good}}, 0.0, {"y": 1.0}),
        Judged("linear", "learner", {"y": {"probabilities": poor}}, 1.0, {"y": 0.0}),
        Judged("constant", "baseline", {"y": {"probabilities": rates}}, 0.0, {"y": 0.0}),
    ]
    outputs, truths = {"y": set_column()}, {"y": (truth, np.ones(300, bool))}
    found = judge(Evaluate(resamples=200), outputs, truths, members, "made up", 0)["outputs"]["y"]
    assert found["headline"] == "f1_micro"
    assert [r["name"] for r in found["leaderboard"]] == ["product", "linear", "constant"]
    assert [r["label"] for r in found["per_class"]] == LABELS
    assert [r["rows"] for r in found["per_class"]] == truth.sum(0).tolist()
    assert found["sizes"]["truth"] == np.bincount(truth.sum(1)).tolist()
    assert "Always answering the most frequent labels reaches" in found["words"]
    assert "It beats the best classical baseline, a linear model" in found["words"]
    assert found["metrics"]["subset_accuracy"]["low"] < found["metrics"]["subset_accuracy"]["value"]


def test_thresholds_of_each_member_stand_beside_its_prediction() -> None:
    p, truth = tagged()
    column = set_column()
    settings = column.settle({"probabilities": p}, truth)
    column.keep(settings)
    task = task_of("set")
    own = task.view(
        column, column.settled({"probabilities": p}, {**settings, "thresholds": dict.fromkeys(LABELS, 0.9)}), truth
    )
    assert (own.said == (p >= 0.9)).all()  # type: ignore[attr-defined]
    kept = task.view(column, {"probabilities": p}, truth)
    assert (kept.said == (p >= [settings["thresholds"][v] for v in LABELS])).all()  # type: ignore[attr-defined]
    assert value_of(metrics_for(kept)["f1_macro"], kept) >= value_of(
        metrics_for(kept)["f1_macro"], SetView(p, truth, p >= 0.5)
    )


def test_two_runs_are_paired_by_label_whichever_they_saw() -> None:
    p, truth = tagged()
    few = Set().fitted("y", {**set_column().state, "labels": LABELS[:3], "counts": [50, 40, 20]}, True)
    task = task_of("set")
    first = (set_column(), {"probabilities": p}, truth)
    second = (few, {"probabilities": p[:, :3]}, truth[:, :3])
    one, other = task.paired(first, second)
    assert one.classes == other.classes == 4  # type: ignore[attr-defined]
    assert (other.truth == truth).all()  # type: ignore[attr-defined]
    assert not other.said[:, 3].any()  # type: ignore[attr-defined]


def test_blending_is_by_log_loss_for_sets_and_in_deviations_for_vectors() -> None:
    p, truth = tagged(500, 3)
    shares = blend_shares(set_column(), {"good": {"probabilities": p}, "bad": {"probabilities": 1 - p}}, truth)
    assert shares == {"good": 1.0}
    random = np.random.default_rng(0)
    values = random.normal(size=(500, 3)) * [1, 10, 0.1]
    off = {n: values + random.normal(size=values.shape) * [1, 10, 0.1] for n in ("one", "two")}
    shares = blend_shares(vector_column(), {n: {"mean": x} for n, x in off.items()}, values)
    assert min(shares.values()) == pytest.approx(0.5, abs=0.1)


def test_the_worst_errors_name_labels_and_how_sure_the_wrong_one_was() -> None:
    column = set_column()
    p = np.array([[0.9, 0.1, 0.1, 0.1], [0.9, 0.95, 0.1, 0.1], [0.2, 0.1, 0.1, 0.1]])
    truth = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], bool)
    task = task_of("set")
    found = task.details(Evaluate(), "y", column, task.view(column, {"probabilities": p}, truth), 0)
    wrong, count = task.worst(found, np.array([10, 11, 12]), {"probabilities": p, "truth": truth}, 5)
    assert count == 2
    assert [(w.row, w.truth, w.said) for w in wrong] == [(11, "a", "a, b"), (12, "a", "none")]
    assert wrong[0].surety == pytest.approx(0.95)
