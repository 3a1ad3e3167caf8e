"""Outlines as COCO has them: polygons and run lengths against faster-coco-eval's, what is wrong in words, and the whole way to masks."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Pillow
from scenes import scenes, spec_of  # type: ignore[import-not-found]

from dapeng import api
from dapeng.columns.mask import VOID
from dapeng.columns.pictures import Unreadable, labels_in
from dapeng.columns.segments import NOTHING, drawn, fill, run_lengths, unpacked
from dapeng.core.errors import DataError
from dapeng.core.kinds import columns
from dapeng.core.spec import Data
from dapeng.data.open import open_data

NAMES = {3: "square", 7: "bar"}


def plain_fill(polygon: list[float], height: int, width: int) -> np.ndarray:
    """Whether the middle of each pixel lies in a polygon, pixel by pixel and edge by edge."""
    out = np.zeros((height, width), bool)
    points = list(zip(polygon[::2], polygon[1::2]))
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
                if (ay < y) != (by < y) and x > ax + (y - ay) * (bx - ax) / (by - ay):
                    out[row, column] ^= True
    return out


def star(draw: np.random.Generator, points: int, spread: float = 60.0) -> list[float]:
    turns = np.sort(draw.uniform(0, 2 * np.pi, points))
    far = draw.uniform(8, spread / 2, points)
    return np.stack([40 + far * np.cos(turns), 30 + far * np.sin(turns)], 1).ravel().tolist()


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_has_the_pixels_whose_middles_lie_in_it(seed: int) -> None:
    draw = np.random.default_rng(seed)
    polygon = draw.uniform(-9, 40, 2 * (3 + seed)).tolist()  # edges cross each other and the border
    out = np.zeros((28, 31), bool)
    fill(out, polygon)
    np.testing.assert_array_equal(out, plain_fill(polygon, 28, 31))


def test_corners_at_whole_pixels_make_whole_pixels() -> None:
    out = np.zeros((9, 9), bool)
    fill(out, [2, 3, 6, 3, 6, 8, 2, 8])
    wanted = np.zeros((9, 9), bool)
    wanted[3:8, 2:6] = True
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_those_of_faster_coco_eval_and_polygons_nearly(seed: int) -> None:
    library: Any = pytest.importorskip("faster_coco_eval.core.mask", reason="pip install faster-coco-eval")
    draw = np.random.default_rng(seed)
    polygon = star(draw, 12)
    packed = library.frPyObjects([polygon], 60, 80)[0]
    theirs = library.decode(packed).astype(bool)
    letters = packed["counts"].decode() if isinstance(packed["counts"], bytes) else packed["counts"]
    np.testing.assert_array_equal(run_lengths(letters, 60, 80), theirs)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], theirs.T.ravel().astype(int), [2]]))))
    counts = [*([0] if theirs[0, 0] else []), *runs.tolist()]
    assert unpacked(letters) == counts
    np.testing.assert_array_equal(run_lengths(counts, 60, 80), theirs)
    ours = np.zeros((60, 80), bool)
    fill(ours, polygon)
    assert (ours & theirs).sum() / (
        ours | theirs
    ).sum() > 0.97  # theirs is drawn in fifths of a pixel, and a little wider


def test_noise_has_long_run_lengths_and_they_come_back() -> None:
    library: Any = pytest.importorskip("faster_coco_eval.core.mask", reason="pip install faster-coco-eval")
    noise = np.random.default_rng(0).random((200, 300)) < 0.4
    packed = library.encode(np.asfortranarray(noise.astype(np.uint8)))
    began = time.process_time()
    np.testing.assert_array_equal(run_lengths(packed["counts"].decode(), 200, 300), noise)
    assert time.process_time() - began < 1


def cell(*segments: dict[str, Any], size: Any = (10, 12)) -> str:
    return json.dumps({"size": list(size), "segments": list(segments)})


def rectangle(x1: float, y1: float, x2: float, y2: float) -> list[list[float]]:
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def test_small_ones_lie_above_large_ones_and_crowds_below_all() -> None:
    large = {"value": 1, "polygons": rectangle(0, 0, 8, 8)}
    small = {"value": 2, "polygons": rectangle(2, 2, 4, 4)}
    crowd = {"crowd": True, "counts": [0, 120]}
    found = drawn(cell(small, large, crowd), 1000)
    assert found[3, 3] == 2
    assert found[6, 6] == 1
    assert found[9, 9] == NOTHING
    two = {"value": 5, "polygons": [*rectangle(0, 0, 2, 2), *rectangle(1, 1, 4, 4)]}  # a union: no hole where they meet
    assert (drawn(cell(two), 1000)[:4, :4] == 5).sum() == 4 + 9 - 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not segments in JSON"),
        ("{" * 100_000, "not segments in JSON"),
        (cell(size=[10]), r"without a size of \[height, width\]"),
        (cell(size=[0, 12]), "without a size"),
        (cell(size=[100_000, 100_000]), "100000 x 100000 pixels are over the cap"),
        (cell({"value": 1}), "segment 1: it has neither polygons nor counts"),
        (cell({"value": 0, "polygons": rectangle(0, 0, 3, 3)}), "segment 1 has no whole number above 0"),
        (cell({"value": "cat", "polygons": rectangle(0, 0, 3, 3)}), "no whole number above 0"),
        (cell({"value": 1, "polygons": [[1, 2, 3, 4]]}), "a polygon of 2 points has no area"),
        (cell({"value": 1, "polygons": [[1, 2, 3, 4, 5]]}), "no list of x, y"),
        (cell({"value": 1, "polygons": [[1, 2, 3, "a", 5, 6]]}), "no list of x, y"),
        (cell({"value": 1, "polygons": [[1, 2, 3, 1e300, 5, 6]]}), "points that are no places"),
        (cell({"value": 1, "polygons": 7}), "neither polygons nor counts"),
        (cell({"value": 1, "counts": [5, 7]}), "runs of 12 pixels on a picture of 120"),
        (cell({"value": 1, "counts": [-5, 125]}), "no lengths of runs"),
        (cell({"value": 1, "counts": [10**12]}), "runs of 1,000,000,000,000 pixels"),
        (cell({"value": 1, "counts": "a b"}), "no compressed run lengths"),
        (cell({"value": 1, "counts": "o" * 40}), "no compressed run lengths"),
        (cell({"value": 1, "counts": "0o"}), "end too early"),
        (cell({"value": 1, "counts": {"a": 1}}), "no lengths of runs"),
    ],
)
def test_what_is_no_outline_says_why(text: str, why: str) -> None:
    began = time.process_time()
    with pytest.raises(Unreadable, match=why):
        labels_in(text, None)
    assert time.process_time() - began < 2


def test_a_polygon_of_very_many_edges_is_refused_before_memory_is_taken() -> None:
    zigzag = np.stack([np.arange(20_000) % 5000, np.arange(20_000) % 2 * 6000], 1).ravel().tolist()
    with pytest.raises(Unreadable, match="cross more than 20,000,000 lines"):
        labels_in(cell({"value": 1, "polygons": [zigzag]}, size=[6000, 6000]), None)


def write(folder: Path, count: int, change: Any = None, first_id: int = 0) -> Path:
    """Scenes as COCO: squares as polygons, bars as run lengths, as numbers and as letters in turn."""
    images, annotations = [], []
    (folder / "images").mkdir(exist_ok=True)
    table = scenes(count, seed=3)
    for i, (picture, boxes) in enumerate(zip(table.column("photo").to_pylist(), table.column("things").to_pylist())):
        (folder / "images" / f"{i}.png").write_bytes(picture)
        images.append({"id": 100 + i, "file_name": f"{i}.png", "width": 64, "height": 48})
        for b in json.loads(boxes):
            x1, y1, x2, y2 = (b[k] for k in ("x1", "y1", "x2", "y2"))
            code = next(k for k, v in NAMES.items() if v == b["label"])
            place = {"polygons": rectangle(x1, y1, x2, y2)}
            if b["label"] == "bar":
                place = {"counts": runs_of(x1, y1, x2, y2, i % 2 == 0)}
            one = {"id": len(annotations), "image_id": 100 + i, "category_id": code, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            segmentation = place["polygons"] if "polygons" in place else {"size": [48, 64], "counts": place["counts"]}
            annotations.append({**one, "iscrowd": 0, "segmentation": segmentation})
    categories = [{"id": k, "name": v} for k, v in NAMES.items()]
    found = {"images": images, "annotations": annotations, "categories": categories}
    if change is not None:
        change(found)
    (folder / "things.json").write_text(json.dumps(found))
    return folder / "things.json"


def runs_of(x1: int, y1: int, x2: int, y2: int, packed: bool) -> Any:
    inside = np.zeros((48, 64), np.uint8)
    inside[y1:y2, x1:x2] = 1
    if packed:
        library: Any = pytest.importorskip("faster_coco_eval.core.mask", reason="pip install faster-coco-eval")
        return library.encode(np.asfortranarray(inside))["counts"].decode()
    return np.diff(np.flatnonzero(np.diff(np.concatenate([[2], inside.T.ravel().astype(int), [2]])))).tolist()


def test_masks_out_of_a_coco_file_are_those_that_were_drawn(tmp_path: Path) -> None:
    source = open_data(Data(path=str(write(tmp_path, 6)))).whole()
    assert source.names == ["image", "boxes", "mask"]
    for text, true in zip(source.read().column("mask").to_pylist(), scenes(6, seed=3).column("mask").to_pylist()):
        wanted = np.array([0, 3, 7])[np.asarray(Pillow.open(io.BytesIO(true)))]
        np.testing.assert_array_equal(labels_in(text, None), wanted)


def test_crowds_are_void_and_pictures_with_things_that_have_no_outline_have_no_mask(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": [48, 64], "counts": [0, 48 * 64]}}
        other = next(a for a in found["annotations"] if a["image_id"] == 101)
        other["segmentation"] = []

    source = open_data(Data(path=str(write(tmp_path, 4, change)))).whole()
    assert "1 boxes around crowds are left out; their pixels are neither learnt nor judged" in source.notes[0].what
    cells = source.read().column("mask")
    assert [c is None for c in cells.to_pylist()] == [False, True, False, False]
    chosen = columns.members()["mask"].model_validate({"type": "mask"})
    summary = chosen.summary(True)
    summary.add(cells)
    made = chosen.fitted("m", summary.result(), True)
    assert made.labels == ["background", "square", "bar"]
    assert made.values == [0, 3, 7]
    encoded = made.encode(cells)
    assert not encoded.bad.rows
    assert encoded.present.tolist() == [True, False, True, True]
    assert set(np.unique(encoded.tensors["codes"][0])) <= {1, 2, VOID}
    assert list(made.files(cells)) == []


def test_a_class_zero_is_not_taken_for_the_background(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        for one in [*found["annotations"], *found["categories"]]:
            key = "category_id" if "category_id" in one else "id"
            one[key] = {3: 0, 7: 1}[one[key]]

    source = open_data(Data(path=str(write(tmp_path, 2, change)))).whole()
    values = {int(v) for c in source.read().column("mask").to_pylist() for v in np.unique(labels_in(c, None))}
    assert values <= {0, 1, 2}
    assert 2 in values


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f["images"][1].pop("width"), "image 101: has outlines, and no height and width"),
        (lambda f: [a.update(category_id="x") for a in f["annotations"]], "class id x is none of those that are named"),
        (lambda f: f["categories"].append({"id": "z", "name": "z"}), "class ids that are no whole numbers"),
    ],
)
def test_d02_what_is_wrong_with_the_file_is_refused(change: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why):
        open_data(Data(path=str(write(tmp_path, 2, change))))


def test_outlines_are_guessed_as_a_target_and_never_read_as_an_input(tmp_path: Path) -> None:
    from dapeng.data.infer import infer

    source = open_data(Data(path=str(write(tmp_path, 20)))).whole()
    found = {g.name: (g.options.get("type"), g.role) for g in infer(source, ["mask"])}
    assert found == {"image": ("image", None), "boxes": (None, "ignore"), "mask": ("mask", None)}
    found = {g.name: (g.options.get("type"), g.role) for g in infer(source, ["boxes"])}
    assert found == {"image": ("image", None), "boxes": ("boxes", None), "mask": (None, "ignore")}


def test_a_coco_file_is_learnt_from_and_masks_are_predicted(tmp_path: Path) -> None:
    spec = spec_of({"mask": {"type": "mask"}}, 8, "none", str(write(tmp_path, 48)))
    spec["inputs"] = {"image": spec["inputs"]["photo"]}
    run = api.train(spec, runs=tmp_path)
    found = run.metrics["outputs"]["mask"]
    assert found["labels"] == ["background", "square", "bar"]
    assert found["metrics"]["dice"]["value"] > 0.7
    answer = run.predict(pa.table({"image": [str(tmp_path / "images" / "0.png")]}))
    assert {"mask.square", "mask.bar"} <= set(answer.column_names)
    said = np.asarray(Pillow.open(io.BytesIO(answer.column("mask")[0].as_py())))
    assert said.shape == (48, 64)
    assert set(np.unique(said)) <= {0, 3, 7}
