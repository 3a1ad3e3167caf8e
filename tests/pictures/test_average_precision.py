"""Average precision is COCO's: equal to faster-coco-eval's on random boxes, by label, by size, with ties and empty pictures."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from dapeng.columns.average_precision import average_precision, matches, overlaps
from dapeng.metrics.base import Drawn, value_of
from dapeng.metrics.boxes import Ap, Ap50, ApLarge, ApMedium, ApSmall, BoxesView

LABELS = 3


def random_boxes(draw: np.random.Generator, count: int) -> np.ndarray:
    corner, size = draw.uniform(0, 300, (count, 2)), np.exp(draw.uniform(2.0, 5.2, (count, 2)))
    return np.concatenate([corner, corner + size], 1)


def world(seed: int, rows: int = 24) -> tuple[list[Any], list[Any]]:
    """True boxes, and found ones: some near them, some of another label, some anywhere; scores with ties."""
    draw = np.random.default_rng(seed)
    found, true = [], []
    for row in range(rows):
        count = int(draw.integers(0, 9)) if row % 7 else 0
        boxes, codes = random_boxes(draw, count), draw.integers(0, LABELS, count)
        near = boxes + draw.normal(0, 6, boxes.shape) * draw.choice([0.2, 1, 3], (count, 1))
        near = np.concatenate([near, near[:2] + 2, random_boxes(draw, 4)])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        said = np.concatenate([codes, codes[:2], draw.integers(0, LABELS, 4)])
        said = np.where(draw.random(len(said)) < 0.15, draw.integers(0, LABELS, len(said)), said)
        scores = np.round(draw.random(len(near)) * np.where(np.arange(len(near)) < count, 1, 0.4), 2) + 0.001
        found.append((near, scores, said))
        true.append((boxes, codes))
    return found, true


def by_library(found: list[Any], true: list[Any]) -> np.ndarray:
    """The first six figures of COCO's summary, by faster-coco-eval."""
    library = pytest.importorskip("faster_coco_eval")
    annotations = [
        {"id": 0, "image_id": row + 1, "category_id": int(c) + 1, "iscrowd": 0, "bbox": [*b[:2], *(b[2:] - b[:2])]}
        for row, (boxes, codes) in enumerate(true)
        for b, c in zip(boxes, codes)
    ]
    for number, one in enumerate(annotations, 1):
        one |= {"id": number, "area": float(one["bbox"][2] * one["bbox"][3])}
    said = [
        {"image_id": row + 1, "category_id": int(c) + 1, "bbox": [*b[:2], *(b[2:] - b[:2])], "score": float(s)}
        for row, (boxes, scores, codes) in enumerate(found)
        for b, s, c in zip(boxes, scores, codes)
    ]
    data = {
        "images": [{"id": r + 1} for r in range(len(true))],
        "categories": [{"id": c + 1, "name": str(c)} for c in range(LABELS)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth = library.COCO(data)
        judge = library.COCOeval_faster(truth, truth.loadRes(said), iouType="bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return np.asarray(judge.stats[:6])


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_faster_coco_eval(seed: int) -> None:
    found, true = world(seed)
    view = BoxesView(found, true, LABELS, 0.3)
    ours = [value_of(m, view) for m in (Ap(), Ap50(), ApSmall(), ApMedium(), ApLarge())]
    wanted = by_library(found, true)[[0, 1, 3, 4, 5]]
    np.testing.assert_allclose(ours, wanted, atol=1e-9)
    assert 0.1 < ours[1] < 0.95


def test_a_resample_is_the_figure_of_the_pictures_that_were_drawn() -> None:
    found, true = world(7)
    view = BoxesView(found, true, LABELS, 0.3)
    chosen = np.arange(5, 20)
    counts = np.zeros((1, len(true)))
    counts[0, chosen] = 1
    wanted = value_of(Ap(), view.take(chosen))
    assert Ap().values(Drawn(view, counts))[0] == pytest.approx(wanted)
    one = BoxesView([found[i] for i in chosen], [true[i] for i in chosen], LABELS, 0.3)
    assert value_of(Ap50(), one) == pytest.approx(average_precision(one.found, one.true, LABELS, (0.5,)))


def test_overlaps_are_areas_counted_cell_by_cell() -> None:
    draw = np.random.default_rng(0)
    a, b = (np.sort(draw.integers(0, 20, (6, 2, 2)), 1).reshape(6, 4).astype(float) for _ in range(2))

    def cells(box: np.ndarray) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = box.astype(int)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    for i in range(6):
        for j in range(6):
            both, either = cells(a[i]) & cells(b[j]), cells(a[i]) | cells(b[j])
            assert overlaps(a, b)[i, j] == pytest.approx(len(both) / len(either) if either else 0.0)


def test_the_surest_box_takes_the_true_one_and_the_next_goes_empty() -> None:
    over = np.array([[0.6, 0.0], [0.9, 0.55], [0.8, 0.1]])
    assert matches(over, np.zeros(2, bool), (0.5, 0.7)).tolist() == [[0, 1, -1], [-1, 0, -1]]


def test_nothing_found_is_nothing_and_no_true_box_is_no_figure() -> None:
    none = (np.empty((0, 4)), np.empty(0), np.empty(0, int))
    true = (np.array([[0.0, 0, 5, 5]]), np.array([1]))
    assert value_of(Ap50(), BoxesView([none], [true], LABELS, 0.3)) == 0
    empty = BoxesView([none], [(np.empty((0, 4)), np.empty(0, int))], LABELS, 0.3)
    assert not Ap50().applies(empty)
