"""The verdict: intervals hold the truth, are the same again, and the words say plainly who wins."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dapeng.columns.anomaly import FAULTY
from dapeng.core.errors import SpecError
from dapeng.core.files import json_text
from dapeng.core.spec import Evaluate
from dapeng.evaluate.bootstrap import counts_of, draw, figure, interval, share_interval
from dapeng.evaluate.text import Verdict
from dapeng.evaluate.verdict import Judged, judge
from dapeng.evaluate.views import metrics_for
from dapeng.evaluate.words import words_of
from dapeng.metrics.anomalies import AnomalyView, FalseAlarms
from dapeng.metrics.base import ClassView, value_of
from dapeng.metrics.texts import TextView
from dapeng.metrics.transcripts import LetterErrors, WordErrors

sys.path.insert(0, str(Path(__file__).parent))
from judging import judged_classes, labels_column, number_column, probabilities


def test_resamples_are_the_same_whatever_the_size_of_the_chunks(monkeypatch):
    one = np.concatenate(list(counts_of(50, 30, 7)))
    monkeypatch.setattr("dapeng.evaluate.bootstrap.CHUNK", 200)
    assert (np.concatenate(list(counts_of(50, 30, 7))) == one).all()
    assert (one.sum(1) == 50).all()


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held, trials, truth = 0, 120, 0.8
    for seed in range(trials):
        random = np.random.default_rng(seed)
        codes = random.integers(0, 2, 200)
        right = random.random(200) < truth
        said = np.where(right, codes, 1 - codes)
        view = ClassView(np.eye(2)[said] * 0.8 + 0.1, codes)
        metrics = {"accuracy": metrics_for(view)["accuracy"]}
        draws = draw({"m": (view, metrics)}, 300, seed)["m"]["accuracy"]
        found = interval(value_of(metrics["accuracy"], view), draws, 0.95)
        held += found.low <= truth <= found.high
    assert held / trials >= 0.88


def test_a_perfect_score_still_has_doubt():
    found = share_interval(1.0, 30, np.ones(500), 0.95)
    assert found.low == pytest.approx(0.8865, abs=1e-3)  # Wilson, 30 of 30
    assert found.high == 1.0


def test_a_word_error_rate_of_nothing_has_the_doubt_of_so_many_words():
    texts = np.array(["eins zwei drei", "vier fuenf", "sechs"] * 3, object)
    view = TextView(texts, texts, np.zeros(9), np.ones(9), heard=True)
    for metric in (WordErrors(), LetterErrors()):
        found = figure(metric, view, np.zeros(500), 0.95)
        assert (found.value, found.low) == (0.0, 0.0)
        assert found.high == pytest.approx(0.1759, abs=1e-3)  # Wilson, none of 18


def test_errors_beyond_every_word_keep_what_resampling_says():
    texts, said = np.array(["eins", "zwei"], object), np.array(["eins", "zwei drei vier"], object)
    view = TextView(said, texts, np.zeros(2), np.ones(2), heard=True)
    draws = np.repeat([0.0, 1.0, 1.0, 2.0], 50)
    assert value_of(WordErrors(), view) == 1.0
    assert (figure(WordErrors(), view, draws, 0.95).low, figure(WordErrors(), view, draws, 0.95).high) == (0.0, 2.0)


def test_false_alarms_of_nothing_have_the_doubt_of_so_many_good_rows():
    codes = np.zeros((6, 1, 1), np.int64)
    codes[4:] = FAULTY
    view = AnomalyView(np.arange(6.0), np.zeros((6, 1, 1)), codes, 4.0)
    found = figure(FalseAlarms(), view, np.zeros(500), 0.95)
    assert found.value == found.low == 0.0
    assert found.high == pytest.approx(0.4899, abs=1e-3)  # Wilson, none of 4


@pytest.mark.parametrize(("rows", "words"), [(6, "6 rows are few, and"), (200, "There are 200 rows, and")])
def test_where_every_resample_is_alike_there_is_no_interval_and_it_is_said(rows, words):
    values = np.arange(float(rows))
    members = [Judged("product", "product", {"y": {"mean": values + 0.5}}, 0.0, {"y": 0.0})]
    found = judge(Evaluate(), {"y": number_column()}, {"y": (values, np.ones(rows, bool))}, members, "", 0)
    assert (found["headline"]["value"], found["headline"]["low"]) == (0.5, None)
    assert "[" not in found["verdict"]
    assert f"{words} drawn again they always give the same" in found["verdict"]
    assert "take the interval seriously" not in found["verdict"]


def test_the_same_seed_gives_the_same_verdict():
    assert json_text(judged_classes(2, 2)) == json_text(judged_classes(2, 2))


def test_the_words_say_that_the_baseline_wins():
    found = judged_classes(product=0.5, linear=3)
    assert "The baseline wins: a linear model reaches" in found["verdict"]
    assert "model: linear" in found["verdict"]
    linear = next(r for r in found["outputs"]["y"]["leaderboard"] if r["name"] == "linear")
    assert linear["difference"]["high"] < 0
    assert found["outputs"]["y"]["leaderboard"][0]["name"] == "linear"


def test_the_words_say_that_the_product_wins():
    found = judged_classes(product=4, linear=1)
    assert "It beats the best classical baseline, a linear model" in found["verdict"]
    assert "Always answering the most frequent label reaches" in found["verdict"]


def test_the_words_say_that_a_linear_model_does_as_well():
    found = judged_classes(product=2.0, linear=2.0)
    assert "A linear model does as well" in found["verdict"]
    assert "use model: linear" in found["verdict"]


def compared(value: float, rival: float, low: float, high: float, rows: int = 6, floor: float | None = None) -> str:
    """The words on a product that is better than a threshold by an interval; floor: what a constant answer reaches."""
    figures = {"product": value, "otsu": rival} | ({} if floor is None else {"constant": floor})
    gaps = {n: {"value": value - v, "low": value - v, "high": value - v} for n, v in figures.items()}
    gaps["otsu"] |= {"low": low, "high": high}
    board = [
        {"name": n, "role": "baseline", "share": 0.0, "same": False, "difference": gaps[n]} | told("dice", v)
        for n, v in figures.items()
        if n != "product"
    ]
    found = {"headline": "dice", "titles": {"dice": "Dice"}, "rows": rows, "leaderboard": board} | told("dice", value)
    return words_of("y", "one label", found, 0.95)


def told(metric: str, value: float) -> dict[str, Any]:
    return {"metrics": {metric: {"value": value, "low": value - 0.01, "high": value + 0.01, "resamples": 1000}}}


def test_a_baseline_that_is_far_behind_does_not_do_as_well_because_rows_are_few():
    said = compared(0.9991, 0.4546, -0.0012, 0.64)
    assert "6 test rows can't tell it from a threshold (Otsu), which reaches 0.4546" in said
    assert "between -0.0012 and +0.64" in said
    assert "as well" not in said
    assert "can't be kept" not in said


@pytest.mark.parametrize(
    ("value", "rival", "low", "high", "floor", "as_well"),
    [
        (0.90, 0.89, -0.01, 0.03, None, True),  # little, of the values' size
        (0.90, 0.80, -0.01, 0.20, None, False),
        (0.90, 0.89, -0.01, 0.03, 0.85, False),  # little of the values' size, and much of what is gained
        (0.90, 0.91, -0.30, 0.30, 0.85, True),  # no worse
    ],
)
def test_as_well_is_a_small_difference_or_a_value_that_is_no_worse(value, rival, low, high, floor, as_well):
    said = compared(value, rival, low, high, 200, floor)
    assert ("does as well" in said) == as_well
    assert ("can't tell it from" in said) != as_well


def test_simpler_is_not_advised_where_it_is_only_not_shown_to_be_worse():
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, 12)
    right = np.eye(3)[codes] * 0.8 + 0.05
    wrong = right.copy()
    wrong[:3] = np.roll(right[:3], 1, 1)
    members = [
        Judged("product", "product", {"y": {"probabilities": right}}, 1.0, {"y": 0.0}),
        Judged("svm", "learner", {"y": {"probabilities": right * 0.99}}, 1.0, {"y": 0.0}),
        Judged("linear", "learner", {"y": {"probabilities": wrong}}, 1.0, {"y": 0.0}),
    ]
    found = judge(Evaluate(), {"y": labels_column(["a", "b", "c"])}, {"y": (codes, codes >= 0)}, members, "", 0)
    assert "A support vector machine does as well: 100.0%." in found["verdict"]
    assert "model: linear" not in found["verdict"]


def test_few_rows_can_not_tell_that_the_inputs_say_little():
    codes = np.arange(12) % 3
    some = np.where(np.arange(12) < 3, codes, 0)
    members = [
        Judged("product", "product", {"y": {"probabilities": np.eye(3)[some] * 0.8 + 0.05}}, 1.0, {"y": 0.0}),
        Judged("constant", "baseline", {"y": {"probabilities": np.eye(3)[codes * 0] * 0.8 + 0.05}}, 0.0, {}),
    ]
    found = judge(Evaluate(), {"y": labels_column(["a", "b", "c"])}, {"y": (codes, codes >= 0)}, members, "", 0)
    assert "12 rows can't tell whether anything here is better." in found["verdict"]


def test_the_words_say_that_the_inputs_say_little():
    assert "nothing here is clearly better" in judged_classes(product=0.0, linear=0.0, rows=150)["verdict"]


def test_rows_without_the_truth_are_left_out_and_counted():
    codes = np.zeros(10, np.int64)
    there = np.arange(10) < 4
    members = [Judged("product", "product", probabilities(codes, 2, 9, 0), 0.0, {})]
    found = judge(Evaluate(), {"y": labels_column(["a", "b"])}, {"y": (codes, there)}, members, "", 0)["outputs"]["y"]
    assert (found["rows"], found["missing"]) == (4, 6)
    none = judge(Evaluate(), {"y": labels_column(["a", "b"])}, {"y": (codes, there & False)}, members, "", 0)
    assert none["verdict"] == "no test row has the true answer"


def test_a_number_output_is_judged_in_its_units():
    random = np.random.default_rng(0)
    values = random.normal(100, 10, 500)
    near, mean = values + random.normal(0, 1, 500), np.full(500, 100.0)
    members = [
        Judged("product", "product", {"y": {"mean": near}}, 0.0, {"y": 0.0}),
        Judged("constant", "baseline", {"y": {"mean": mean}}, 0.0, {}),
    ]
    found = judge(Evaluate(), {"y": number_column()}, {"y": (values, np.ones(500, bool))}, members, "", 0)
    assert found["headline"]["metric"] == "rmse"
    assert found["headline"]["low"] < 1.0 < found["headline"]["high"] * 1.1
    assert "Always answering the mean reaches" in found["verdict"]
    assert sum(found["outputs"]["y"]["distribution"]["truth"]) == 500


def test_costs_of_the_wrong_shape_name_the_order_of_labels():
    with pytest.raises(SpecError, match="3 x 3") as error:
        judged_classes(1, 1, costs={"y": [[0.0, 1.0], [1.0, 0.0]]})
    assert "a, b, c" in str(error.value)


def test_the_text_is_aligned_and_plain_values_are_json():
    verdict = Verdict(judged_classes(2, 2))
    assert "Balanced accuracy" in verdict.text()
    assert "leaderboard" in json_text(verdict.plain())


def test_no_resamples_give_values_without_intervals():
    found = judged_classes(2, 2, resamples=0)
    assert found["headline"]["low"] is None
    assert "interval" not in found["verdict"]


def test_twenty_thousand_rows_of_ten_classes_take_a_few_seconds():
    began = time.process_time()
    judged_classes(3, 2, rows=20_000, labels=list("abcdefghij"))
    assert time.process_time() - began < 8  # about 2 on an idle machine
