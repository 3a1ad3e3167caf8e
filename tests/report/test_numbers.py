"""Figures as people round them: thousandths are enough for what has no unit; units keep the size that they have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dapeng.evaluate.words import rounded, shown, words_of
from dapeng.report.html import decimals_of, figure_of, size

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))


@pytest.mark.parametrize(
    ("metric", "value", "report", "verdict"),
    [
        ("r2", -1.13e-05, "0.000", "0.000"),
        ("r2", 1.13e-05, "0.000", "0.000"),
        ("r2", -0.0031, "-0.003", "-0.0031"),
        ("r2", -12.3456, "-12.35", "-12.35"),
        ("auroc", 0.98765, "0.988", "0.9877"),
        ("ece", 0.00042, "0.000", "0.000"),
        ("accuracy", 0.98765, "98.8%", "98.8%"),
        ("rmse", 533.03, "533", "533"),
        ("rmse", 123456.7, "123,457", "1.235e+05"),
        ("rmse", 0.00012, "0.00012", "0.00012"),
        ("mse", 0.000012, "1.2e-05", "1.2e-05"),
        ("mae", 0.0, "0.000", "0"),
    ],
)
def test_a_figure(metric, value, report, verdict):
    assert figure_of(metric, value) == report
    assert shown(metric, value) == verdict


def test_zero_has_no_sign():
    assert [rounded(v) for v in (-0.0001, 0.0, -0.0006)] == ["0.000", "0.000", "-0.001"]


def test_decimals_and_sizes():
    assert [decimals_of(v) for v in ([], [0.0], [0.5, 0.001], [2500.0, 3.0], [0.00123])] == [3, 3, 3, 0, 5]
    assert [size(v) for v in (None, 5, 999, 2000, 999_900, 1_234_567, 5.4e10)] == [
        "–", "5 B", "999 B", "2 kB", "1,000 kB", "1.23 MB", "54 GB",
    ]  # fmt: skip


def test_a_verdict_on_almost_nothing_has_no_powers_of_ten():
    def figure(value, low=None, high=None):
        return {"value": value, "low": low, "high": high}

    tiny = figure(1.13e-05, -2.2e-05, 3.1e-05)
    metrics = {"r2": tiny}
    constant = {"name": "constant", "role": "baseline", "metrics": {"r2": figure(-1e-05)}, "share": 0.0, "same": False}
    linear = {**constant, "name": "linear", "role": "learner"}
    board = [{**r, "difference": tiny} for r in (linear, constant)]
    found = {"headline": "r2", "metrics": metrics, "titles": {"r2": "R2"}, "rows": 500, "leaderboard": board}
    said = words_of("y", "the mean", found, 0.95)
    assert "e-0" not in said
    assert "r2 0.000 [0.000, 0.000]" in said
