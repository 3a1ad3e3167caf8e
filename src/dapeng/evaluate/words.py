"""The verdict in plain words: what is reached, what costs nothing, and whether something simpler does as well."""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.evaluate.bootstrap import FEWEST

SHIPPED = ("trees", "linear", "mixed")
"""Learners that `model:` can ask for alone."""
NAMES = {
    "linear": "a linear model",
    "mixed": "a mixed-effects model",
    "trees": "gradient-boosted trees",
    "network": "the network",
    "svm": "a support vector machine",
    "forest": "a random forest",
    "hog": "a linear model on oriented gradients (HOG)",
    "constant": "a constant answer",
    "usual_boxes": "the most frequent boxes",
    "blobs": "thresholded blobs (Otsu)",
    "otsu": "a threshold (Otsu)",
    "one_label": "one label for every pixel",
    "usual_picture": "the mean picture",
    "training_pictures": "real training pictures",
    "nearest_text": "the answer of the nearest training row",
    "nearest_picture": "the answer of the training row that looks or sounds most alike",
    "nearest_patch": "the nearest patch of raw pixels",
    "usual_text": "the most frequent text",
    "by_chance": "chance",
    "first_sentence": "the first sentence",
    "textrank": "the central sentence (TextRank)",
    "best_sentence": "the best sentence (BM25)",
    "phrases": "a phrase lookup",
    "ngram_1": "a unigram model",
    "ngram_2": "a bigram model",
    "ngram_3": "a trigram model",
    "ngram_5": "a 5-gram model",
}
SEVERAL = ("trees", "usual_boxes", "blobs", "training_pictures")
"""Of which one speaks in the plural."""
ALIKE = (
    "no interval, as every resample of these rows gives the same: what other rows would reach can't be told from them"
)
"""What a figure without an interval is told with, where there were resamples enough."""
FEW_ROWS = 100
SMALL = 0.1
"""The share of what the product gains that may be lost, at worst, by what does as well as it."""


def words_of(name: str, floor: str, found: dict[str, Any], confidence: float) -> str:
    """A few sentences on one output. floor: what reaches the floor. found: its part of metrics.json, so far as it is made."""
    sentences = [_reached(name, found, confidence), _floor(found, floor), _rival(found), _parts(found)]
    sentences.append(_doubt(found))
    return " ".join(s for s in sentences if s)


def _doubt(found: dict[str, Any]) -> str:
    """What so few rows leave open, and that there is no interval where every resample of them is alike."""
    few = f"{found['rows']:,} rows are few"
    if all_alike(found["metrics"][found["headline"]]):
        few = few if found["rows"] < FEW_ROWS else f"There are {found['rows']:,} rows"
        return f"{few}, and drawn again they always give the same: what other rows would reach can't be told from them."
    return f"{few}: take the interval seriously." if found["rows"] < FEW_ROWS else ""


def all_alike(figure: dict[str, Any]) -> bool:
    """True of a figure that has no interval although there were resamples enough: each came out as the figure itself."""
    return figure.get("low") is None and figure.get("resamples", 0) >= FEWEST


def shown(metric: str, value: float) -> str:
    """A value of the headline metric as people write it."""
    if metric == "accuracy":
        return f"{value:.1%}"
    return rounded(value) if abs(value) < 0.001 and without_unit(metric) else f"{value:.4g}"


def without_unit(metric: str) -> bool:
    """True if a metric is a share, a correlation or the like: its third decimal is as much as anyone wants to know."""
    found = metrics.members().get(metric)
    return found is not None and not getattr(found, "in_units", False)


def rounded(value: float, digits: int = 3) -> str:
    """Ordinary rounding, without a sign before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def between(metric: str, figure: dict[str, Any]) -> str:
    """Its interval in brackets, or nothing where there is none."""
    if figure.get("low") is None:
        return ""
    return f" [{shown(metric, figure['low'])}, {shown(metric, figure['high'])}]"


def _reached(name: str, found: dict[str, Any], confidence: float) -> str:
    metric = found["headline"]
    figure = found["metrics"][metric]
    title = metric if metric == "accuracy" else in_a_sentence(found["titles"][metric])
    bounds = between(metric, figure)
    level = f" ({confidence:.0%} interval)" if bounds else ""
    explained = next((m for m in ("r2", "r2_elements") if m in found["metrics"] and _known(found, m)), None)
    beside = f", R2 {rounded(found['metrics'][explained]['value'])}" if explained else ""
    return f"{name}: {title} {shown(metric, figure['value'])}{bounds}{level}{beside} on {found['rows']:,} {found.get('rows_are', 'test rows')}."


def in_a_sentence(title: str) -> str:
    """A metric's title where it doesn't stand first: words with large letters inside stay as they are (AUROC, chrF2, dB)."""
    return " ".join(w if any(c.isupper() for c in w[1:]) else w.lower() for w in title.split())


def _known(found: dict[str, Any], metric: str) -> bool:
    value = found["metrics"][metric]["value"]
    return value is not None and bool(np.isfinite(value))


def _floor(found: dict[str, Any], what: str) -> str:
    row = _row(found, "constant")
    if row is None:
        return ""
    metric = found["headline"]
    reached = shown(metric, row["metrics"][metric]["value"])
    better = row["difference"]
    if better["low"] is not None and better["low"] > 0:
        return f"{what} reaches {reached}."
    if better["value"] > 0 and found["rows"] < FEW_ROWS:
        return f"{what} reaches {reached}, and {found['rows']} rows can't tell whether anything here is better."
    return f"{what} reaches {reached}, and nothing here is clearly better: the inputs say little about it."


def _row(found: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((r for r in found["leaderboard"] if r["name"] == name), None)


def best_rival(found: dict[str, Any]) -> dict[str, Any] | None:
    """The best classical learner beside the product, whether it is part of the product or not."""
    return next(
        (r for r in found["leaderboard"] if r["role"] in ("learner", "baseline") and r["name"] != "constant"), None
    )


def _rival(found: dict[str, Any]) -> str:
    row = best_rival(found)
    if row is None:
        return ""
    metric = found["headline"]
    name: str = row["name"]
    called = NAMES.get(name, name)
    reached = shown(metric, row["metrics"][metric]["value"])
    if row["same"]:
        return f"The product is {called} alone: nothing that was tried did better in validation."
    gap: dict[str, Any] = row["difference"]
    do, reach = ("do", "reach") if row["name"] in SEVERAL else ("does", "reaches")
    by = f"{_gap(metric, abs(gap['value']))}{_bounds(metric, gap)}"
    if gap["low"] is None:
        return f"The best classical baseline, {called}, {reach} {reached}."
    if gap["low"] > 0:
        return f"It beats the best classical baseline, {called} ({reached}), by {by}."
    if gap["high"] < 0:
        who = "A part of it wins alone" if row["share"] > 0 else "The baseline wins"
        return f"{who}: {called} {reach} {reached}, better by {by}.{_advice(row)}"
    if not does_as_well(row, found):
        return f"{found['rows']:,} test rows can't tell it from {called}, which {reach} {reached}: the difference is{_bounds(metric, gap)}."
    simple = next((r for r in found["leaderboard"] if r["name"] in SHIPPED and does_as_well(r, found)), row)
    other = (
        "" if simple is row else f" ({shown(metric, simple['metrics'][metric]['value'])}, no clear difference either)"
    )
    bounds = _bounds(metric, gap)
    told = f"; the difference is{bounds}" if bounds else ""
    return f"{called[:1].upper()}{called[1:]} {do} as well: {reached}{told}.{_advice(simple, other)}"


def does_as_well(row: dict[str, Any], found: dict[str, Any]) -> bool:
    """True of a row of the leaderboard that is not clearly worse than the product and, more, may be called as good.

    That is where its value is no worse, or where the product is better by little even at the far end of the interval: by less than a
    tenth of what it gains over a constant answer, or of the larger of the two values where no constant was judged. Few rows leave a
    baseline that is far behind within the interval; that alone does not make it as good.
    """
    gap = row.get("difference", {})
    if gap.get("low") is None or gap["low"] > 0:
        return False
    return gap["value"] <= 0 or gap["high"] <= SMALL * _scale(row, found)


def _scale(row: dict[str, Any], found: dict[str, Any]) -> float:
    """What a difference between the product and a rival is held against."""
    floor = _row(found, "constant")
    if floor is not None:
        return float(floor["difference"]["value"])
    metric = found["headline"]
    return max(abs(each["metrics"][metric]["value"]) for each in (found, row))


def _gap(metric: str, value: float) -> str:
    if metric == "accuracy":
        return f"{value * 100:.2g} points"
    return f"{settled(metric, value):.3g}"


def _bounds(metric: str, gap: dict[str, Any]) -> str:
    if gap["low"] is None:
        return ""
    factor, unit = (100, " points") if metric == "accuracy" else (1, "")
    sure = gap["low"] > 0 or gap["high"] < 0
    low, high = (settled(metric, gap[k] * factor) for k in ("low", "high"))
    if low == high:  # all resamples are alike: what they know nothing of is no doubt
        return ""
    if not sure:
        return f" between {low:+.2g} and {high:+.2g}{unit}"
    near, far = sorted((abs(low), abs(high)))
    return f" [{near:.2g}, {far:.2g}]"


def settled(metric: str, value: float) -> float:
    """0 for what no one would tell from it."""
    return 0.0 if abs(value) < 1e-4 and without_unit(metric) else value


def _advice(row: dict[str, Any], what: str = "") -> str:
    if row["name"] in SHIPPED:
        return f" Where simpler is better, use model: {row['name']}{what}."
    return " It is a baseline here and can't be kept as the model."


def _parts(found: dict[str, Any]) -> str:
    shares = {r["name"]: r["share"] for r in found["leaderboard"] if r["share"] > 0.005 and r["role"] != "product"}
    if len(shares) < 2:
        return ""
    ranked = sorted(shares.items(), key=lambda i: -i[1])
    return (
        "The product is "
        + " and ".join([", ".join(f"{s:.0%} {n}" for n, s in ranked[:-1]), "{1:.0%} {0}".format(*ranked[-1])])
        + "."
    )
