"""Every metric equals scikit-learn's, with and without weights of rows, and does not depend on how rows are batched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from dapeng.core.kinds import metrics
from dapeng.metrics.base import ClassView, Drawn, NumberView, value_of
from dapeng.metrics.costs import by_costs, by_f1, cheapest

seeds = st.integers(0, 2**31)


def class_rows(seed: int, classes: int) -> tuple[ClassView, np.ndarray]:
    """Rows with ties among the probabilities, and weights that are counts."""
    random = np.random.default_rng(seed)
    rows = int(random.integers(30, 120))
    probabilities = np.round(random.dirichlet(np.ones(classes), rows), 2) + 1e-3
    probabilities /= probabilities.sum(1, keepdims=True)
    codes = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    counts = random.integers(0, 4, rows).astype(float)
    counts[:classes] += 1  # every class keeps a row
    return ClassView(probabilities, codes), counts


def number_rows(seed: int) -> tuple[NumberView, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = int(random.integers(5, 120))
    values = random.normal(50, 5, rows)
    counts = random.integers(0, 4, rows).astype(float)
    counts[:2] += 1
    return NumberView(values + random.normal(0, 2, rows), values), counts


def found(name: str, view, counts) -> float:
    return float(metrics.members()[name]().values(Drawn(view, counts[None]))[0])


CLASS_METRICS = {
    "accuracy": lambda v, w: sk.accuracy_score(v.codes, v.predicted, sample_weight=w),
    "balanced_accuracy": lambda v, w: sk.balanced_accuracy_score(v.codes, v.predicted, sample_weight=w),
    "precision_macro": lambda v, w: sk.precision_score(
        v.codes, v.predicted, average="macro", sample_weight=w, zero_division=0
    ),
    "recall_macro": lambda v, w: sk.recall_score(
        v.codes, v.predicted, average="macro", sample_weight=w, zero_division=0
    ),
    "f1_macro": lambda v, w: sk.f1_score(v.codes, v.predicted, average="macro", sample_weight=w, zero_division=0),
    "f1_micro": lambda v, w: sk.f1_score(v.codes, v.predicted, average="micro", sample_weight=w),
    "precision_micro": lambda v, w: sk.precision_score(v.codes, v.predicted, average="micro", sample_weight=w),
    "recall_micro": lambda v, w: sk.recall_score(v.codes, v.predicted, average="micro", sample_weight=w),
    "mcc": lambda v, w: sk.matthews_corrcoef(v.codes, v.predicted, sample_weight=w),
    "log_loss": lambda v, w: sk.log_loss(v.codes, v.probabilities, sample_weight=w, labels=range(v.classes)),
}


@pytest.mark.parametrize("name", CLASS_METRICS)
@pytest.mark.parametrize("classes", [2, 3, 7])
@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_a_class_metric_equals_scikit_learn(name, classes, seed):
    view, counts = class_rows(seed, classes)
    assert found(name, view, counts) == pytest.approx(CLASS_METRICS[name](view, counts), abs=1e-9)
    assert value_of(metrics.members()[name](), view) == pytest.approx(CLASS_METRICS[name](view, None), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_ranking_metrics_of_two_classes_equal_scikit_learn(seed):
    view, counts = class_rows(seed, 2)
    scores, positive = view.probabilities[:, 1], view.codes == 1
    assert found("auroc", view, counts) == pytest.approx(sk.roc_auc_score(positive, scores, sample_weight=counts))
    assert found("auprc", view, counts) == pytest.approx(
        sk.average_precision_score(positive, scores, sample_weight=counts)
    )
    alarms, hits, _ = sk.roc_curve(positive, scores, sample_weight=counts, drop_intermediate=False)
    assert found("ks", view, counts) == pytest.approx(np.abs(hits - alarms).max())
    assert found("brier", view, counts) == pytest.approx(sk.brier_score_loss(positive, scores, sample_weight=counts))
    fine = sk.precision_score(view.codes, view.predicted, sample_weight=counts, zero_division=np.nan)
    assert found("ppv", view, counts) == pytest.approx(fine, nan_ok=True)
    assert found("sensitivity", view, counts) == pytest.approx(
        sk.recall_score(view.codes, view.predicted, sample_weight=counts)
    )
    assert found("f1", view, counts) == pytest.approx(sk.f1_score(view.codes, view.predicted, sample_weight=counts))
    spec = sk.recall_score(view.codes, view.predicted, pos_label=0, sample_weight=counts)
    assert found("specificity", view, counts) == pytest.approx(spec)
    npv = sk.precision_score(view.codes, view.predicted, pos_label=0, sample_weight=counts, zero_division=np.nan)
    assert found("npv", view, counts) == pytest.approx(npv, nan_ok=True)


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_ranking_metrics_of_many_classes_are_the_mean_over_classes(seed):
    view, counts = class_rows(seed, 4)
    area = sk.roc_auc_score(view.codes, view.probabilities, multi_class="ovr", sample_weight=counts)
    assert found("auroc", view, counts) == pytest.approx(area)
    each = [
        sk.average_precision_score(view.codes == c, view.probabilities[:, c], sample_weight=counts) for c in range(4)
    ]
    assert found("auprc", view, counts) == pytest.approx(np.mean(each))


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_number_metrics_equal_scikit_learn(seed):
    view, counts = number_rows(seed)
    truth, said = view.values, view.predicted
    assert found("mae", view, counts) == pytest.approx(sk.mean_absolute_error(truth, said, sample_weight=counts))
    assert found("rmse", view, counts) == pytest.approx(sk.root_mean_squared_error(truth, said, sample_weight=counts))
    assert found("r2", view, counts) == pytest.approx(sk.r2_score(truth, said, sample_weight=counts))
    share = sk.mean_absolute_percentage_error(truth, said, sample_weight=counts)
    assert found("mape", view, counts) == pytest.approx(share)
    repeated = np.repeat(np.arange(view.rows), counts.astype(int))
    assert found("median_ae", view, counts) == pytest.approx(sk.median_absolute_error(truth[repeated], said[repeated]))


@settings(deadline=None, max_examples=20)
@given(seed=seeds, classes=st.sampled_from([2, 5]))
def test_counting_a_row_twice_equals_having_it_twice(seed, classes):
    view, counts = class_rows(seed, classes)
    repeated = np.repeat(np.arange(view.rows), counts.astype(int))
    longer = ClassView(view.probabilities[repeated], view.codes[repeated])
    for name, cls in metrics.fitting("category").items():
        metric = cls()
        if metric.applies(view):
            assert found(name, view, counts) == pytest.approx(value_of(metric, longer), nan_ok=True), name


def test_calibration_error_of_an_example_worked_by_hand():
    # bins of 1/15: 0.9 and 0.9 fall into (13/15, 14/15], 0.6 into (8/15, 9/15]
    view = ClassView(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]), np.array([0, 1, 0]))
    assert value_of(metrics.members()["ece"](), view) == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3)


def test_lift_of_a_perfect_and_of_a_random_order():
    codes = np.array([1] * 10 + [0] * 90)
    perfect = np.linspace(1, 0, 100)
    view = ClassView(np.stack([1 - perfect, perfect], 1), codes)
    assert value_of(metrics.members()["lift_10"](), view) == pytest.approx(10)
    tied = ClassView(np.full((100, 2), 0.5), codes)
    assert value_of(metrics.members()["lift_10"](), tied) == pytest.approx(1)


def test_a_class_that_does_not_occur_leaves_ranking_metrics_defined():
    random = np.random.default_rng(0)
    view = ClassView(random.dirichlet(np.ones(3), 50), random.integers(0, 2, 50))
    assert np.isfinite(value_of(metrics.members()["auroc"](), view))


def test_costs_move_the_decision_and_the_threshold():
    random = np.random.default_rng(0)
    p = random.random(2000)
    view = ClassView(np.stack([1 - p, p], 1), (random.random(2000) < p).astype(int))
    costs = np.array([[0.0, 1.0], [9.0, 0.0]])  # missing a positive costs nine times a false alarm
    chosen = by_costs(view, costs)
    assert chosen["value"] == pytest.approx(0.1)
    assert chosen["cost_cheapest"] < chosen["cost_likeliest"]
    assert (cheapest(view.probabilities, costs) == (p > 0.1)).all()


def test_the_threshold_by_f1_is_the_best_one():
    view, _ = class_rows(3, 2)
    best = by_f1(view)
    every = [sk.f1_score(view.codes, view.probabilities[:, 1] >= t, zero_division=0) for t in view.probabilities[:, 1]]
    assert best["f1"] == pytest.approx(max(every))


def test_percentages_are_left_out_where_the_truth_is_near_zero():
    mape = metrics.members()["mape"]()
    assert not mape.applies(NumberView(np.ones(3), np.array([0.0, 1.0, 2.0])))
    assert mape.applies(NumberView(np.ones(3), np.array([1.0, 1.5, 2.0])))
