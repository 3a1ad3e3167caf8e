"""Boxes as cells: what is read, what is refused, and where they lie once their picture is known."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image as Pillow

from dapeng.api.columns import Chosen, settle
from dapeng.columns.boxes import boxes_of, found_in
from dapeng.columns.image import ImageReader
from dapeng.columns.pictures import fit_size, placement
from dapeng.core.errors import DataError, SpecError
from dapeng.core.loader import load_spec
from dapeng.data.feed import Rows
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.table import Frame
from dapeng.nn.boxes import inverse, moved

BOX = {"label": "a", "x1": 2, "y1": 3, "x2": 12, "y2": 9}


def picture(width: int = 40, height: int = 20) -> bytes:
    out = io.BytesIO()
    Pillow.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "PNG")
    return out.getvalue()


def prepared(cells: list[Any], photo: dict[str, Any] | None = None, **boxes: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Store, its rows, and the fitted columns of pictures and boxes."""
    spec = load_spec(
        {
            "data": "none.csv",
            "inputs": {"photo": {"type": "image", "size": [16, 16], **(photo or {})}},
            "outputs": {"things": {"type": "boxes", **boxes}},
        }
    ).spec
    chosen = Chosen(dict(spec.inputs), dict(spec.outputs))
    settle(chosen, None)
    texts = [c if isinstance(c, (str, type(None))) else json.dumps(c) for c in cells]
    source = Frame(pa.table({"photo": pa.array([picture()] * len(cells), pa.binary()), "things": pa.array(texts)}))
    wanted = {"photo": (chosen.inputs["photo"], False), "things": (chosen.outputs["things"], True)}
    columns = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    made = Prepared({"photo": columns["photo"]}, {"things": columns["things"]}, None, 1.0)
    return made.store(source), source, columns


@pytest.mark.parametrize("form", ["json", "structs", "sizes"])
def test_boxes_come_as_json_as_structs_and_with_width_and_height(form: str) -> None:
    value: Any = [BOX, {**BOX, "label": "b"}]
    if form == "sizes":
        value = [{"label": c, "x": 2, "y": 3, "width": 10, "height": 6} for c in "ab"]
    if form == "json":
        value = json.dumps(value)
    boxes, labels = boxes_of(value)  # type: ignore[misc]
    assert boxes.tolist() == [[2, 3, 12, 9]] * 2
    assert labels == ["a", "b"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_empty_cell_is_no_answer_and_an_empty_list_is_one(value: Any) -> None:
    assert boxes_of(value) is None
    assert boxes_of("[]")[1] == []  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"x2": 2}, "box 1 has no area: 0 wide"),
        ({"y2": 1}, "has no area: 10 wide, -2 high"),
        ({"x1": float("nan")}, "finite"),
        ({"x2": float("inf")}, "finite"),
        ({"x2": "wide"}, "not of numbers"),
        ({"label": ""}, "box 1 has no label"),
        ({"x2": 46}, "lies outside of its picture of 40 x 20 pixels"),
        ({"y1": -5}, "lies outside of its picture"),
    ],
)
def test_d01_a_box_without_area_or_outside_is_quarantined_with_its_row(change: dict[str, Any], why: str) -> None:
    store, _, _ = prepared([[BOX], [{**BOX, **change}], [BOX], []])
    assert store.left_out.tolist() == [1]
    assert why in store.quarantined[0].reason
    assert store.stored["things"].present.tolist() == [True, False, True, True]


def test_d01_a_box_that_is_hardly_out_is_cut_at_the_border() -> None:
    store, _, _ = prepared([[{**BOX, "x1": -0.2, "y2": 20.5, "y1": 4}]] * 2)
    assert not len(store.left_out)
    np.testing.assert_allclose(store.stored["things"].tensors["boxes"][0], [0, 4, 12, 20])


def test_d02_a_label_that_is_none_of_those_named_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="the label 'zebra' is none of a, b"):
        prepared([[BOX], [{**BOX, "label": "zebra"}]], labels=["a", "b"])


def test_too_many_bad_rows_are_an_error_with_the_limit() -> None:
    spec_rows = [[BOX]] * 3 + [[{**BOX, "x2": 0}]]
    _, source, columns = prepared(spec_rows)
    with pytest.raises(DataError, match="max_bad is 0"):
        Prepared({"photo": columns["photo"]}, {"things": columns["things"]}, None, 0.01).store(source)


@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(40, 20), (20, 40), (33, 57), (16, 16)])
def test_the_affine_says_where_a_pixel_of_the_picture_went(how: str, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 2 - 3 : height // 2 + 3, width // 2 : width // 2 + 6] = 255
    seen = np.asarray(fit_size(Pillow.fromarray(pixels), 24, 32, how), np.float64)
    affine = placement(width, height, 24, 32, how)
    rows, columns = np.mgrid[:24, :32] + 0.5
    middle = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
    wanted = affine[:, :2] @ [width // 2 + 3, height // 2] + affine[:, 2]
    np.testing.assert_allclose(middle, wanted, atol=0.3)
    reader = ImageReader(1, 24, 32, how, followed=True)
    np.testing.assert_allclose(reader.affine(width, height), affine, rtol=1e-6)


def test_boxes_are_padded_and_masked_in_a_batch_and_the_picture_has_its_affine() -> None:
    store, _, _ = prepared([[BOX, BOX], [], [BOX], None])
    batch = Rows(store).batch(np.arange(4))
    assert batch["things"]["boxes"].shape == (4, 2, 4)
    assert batch["things"]["mask"].tolist() == [[True, True], [False, False], [True, False], [False, False]]
    assert batch["things"].present.tolist() == [True, True, True, False]  # type: ignore[union-attr]
    np.testing.assert_allclose(batch["photo"]["affine"][0], [[0.4, 0, 0], [0, 0.8, 0]], rtol=1e-6)


def test_a_moved_box_moves_back() -> None:
    torch.manual_seed(0)
    affine = torch.tensor([[[-0.5, 0, 30], [0, 2.0, -3]], [[1.5, 0, 1], [0, -1, 9]]])
    boxes = torch.rand(2, 5, 4) * 10
    boxes[..., 2:] += boxes[..., :2]
    torch.testing.assert_close(moved(moved(boxes, affine), inverse(affine)), boxes)


def test_a_picture_is_asked_for_and_named_where_there_are_several() -> None:
    outputs = {"things": {"type": "boxes"}}
    photo = {"type": "image", "size": 16}

    def settled(inputs: dict[str, Any], outputs: dict[str, Any] = outputs) -> None:
        spec = load_spec({"data": "none.csv", "inputs": inputs, "outputs": outputs}).spec
        settle(Chosen(dict(spec.inputs), dict(spec.outputs)), None)

    with pytest.raises(SpecError, match="lies in a picture, and none is read"):
        settled({"n": {"type": "number"}})
    with pytest.raises(SpecError, match="there are several pictures: a, b"):
        settled({"a": photo, "b": photo})
    with pytest.raises(SpecError, match="'n' is no picture"):
        settled({"a": photo, "n": {"type": "number"}}, {"things": {"type": "boxes", "of": "n"}})
    with pytest.raises(SpecError, match="rand_augment moves the picture"):
        settled({"a": {**photo, "augment": ["rand_augment"]}})
    with pytest.raises(SpecError, match="answers for several views"):
        settled({"a": {**photo, "views": "mirror"}})


def test_what_is_told_has_a_label_a_score_and_places() -> None:
    _, _, columns = prepared([[BOX, {**BOX, "label": "b"}]] * 2)
    column = columns["things"]
    found = {
        "boxes": np.array([[[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]], np.float32),
        "scores": np.array([[0.9, 0.1, 0.0]], np.float32),
        "codes": np.array([[1, 0, 0]]),
    }
    assert column.decode(found) == [[{"label": "b", "score": 0.9, "x1": 1, "y1": 2, "x2": 3, "y2": 4}]]
    assert len(found_in(found)[0][1]) == 2


def test_boxes_are_guessed_from_what_cells_hold() -> None:
    from scenes import scenes  # type: ignore[import-not-found]

    from dapeng.data.infer import infer

    found = {g.name: g.options.get("type") for g in infer(Frame(scenes(20).select(["photo", "things"])), ["things"])}
    assert found == {"photo": "image", "things": "boxes"}


def test_a_prediction_by_another_fit_is_told_in_this_one_s_labels() -> None:
    _, _, one = prepared([[BOX, {**BOX, "label": "b"}, {**BOX, "label": "b"}]] * 2)
    _, _, other = prepared([[BOX, BOX, {**BOX, "label": "c"}]] * 2)
    here, there = one["things"], other["things"]
    assert (here.labels, there.labels) == (["b", "a"], ["a", "c"])
    said = {"boxes": np.ones((1, 3, 4)), "scores": np.array([[0.9, 0.8, 0.0]]), "codes": np.array([[1, 0, 0]])}
    boxes, scores, codes = found_in(here.aligned(said, there))[0]
    assert scores.round(2).tolist() == [0.8]
    assert codes.tolist() == [1]
    assert len(boxes) == 1


def test_two_runs_with_labels_in_another_order_are_compared_label_by_label() -> None:
    from dapeng.evaluate.tasks.boxes import BoxesTask
    from dapeng.metrics.base import value_of
    from dapeng.metrics.boxes import Ap50

    told = []
    for order in ([BOX, {**BOX, "label": "b", "x1": 20, "x2": 30}], [{**BOX, "label": "b", "x1": 20, "x2": 30}, BOX]):
        _, _, columns = prepared([order, [order[0]]])
        column = columns["things"]
        cell = pa.array([json.dumps(order)])
        encoded = column.encode(cell)
        truth = column.truth({n: np.array([a], object) if n == "x" else [a] for n, a in encoded.tensors.items()})
        boxes, codes = encoded.tensors["boxes"], encoded.tensors["codes"]
        said = {"boxes": boxes[None], "scores": np.full((1, len(codes)), 0.9), "codes": codes[None]}
        told.append((column, said, truth))
    assert told[0][0].labels != told[1][0].labels
    first, second = BoxesTask().paired(*told)
    assert value_of(Ap50(), first) == value_of(Ap50(), second) == 1
    assert {tuple(c.tolist()) for _, c in first.true} != set()
    crossed = [(b, np.sort(c).tolist()) for b, c in first.true], [(b, np.sort(c).tolist()) for b, c in second.true]
    assert crossed[0][0][1] == crossed[1][0][1] == [0, 1]


def test_where_nothing_right_is_found_no_score_is_called_the_best() -> None:
    from dapeng.columns.boxes import best_cut

    true = (np.array([[0.0, 0.0, 8.0, 8.0]]), np.array([0]))
    wrong = (np.array([[20.0, 20.0, 30.0, 30.0]]), np.array([0.7]), np.array([0]))
    right = (true[0], np.array([0.7]), true[1])
    assert best_cut([wrong], [true]) is None
    found = best_cut([right], [true])
    assert found is not None
    assert found <= 0.7
