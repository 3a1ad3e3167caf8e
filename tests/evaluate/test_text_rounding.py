"""The leaderboard of the console has no powers of ten for what is nothing."""

from dapeng.evaluate.text import Verdict


def figure(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def test_what_rounds_to_nothing_is_zero_and_units_stay():
    tiny, unit = figure(-1.13e-05, -2.2e-05, 3.1e-05), figure(0.00012)
    row = {"role": "learner", "metrics": {"r2": tiny}, "share": 0.0, "cpu_seconds": 1.0, "difference": tiny}
    board = [{**row, "name": n} for n in ("linear", "trees")]
    output = {"metrics": {"r2": tiny, "rmse": unit}, "titles": {}, "rows": 9, "headline": "r2", "leaderboard": board}
    said = Verdict({"verdict": "", "outputs": {"y": output}}).text()
    assert "e-05" not in said
    assert "0.000" in said
    assert "0.00012" in said
