"""Masks: what is read, the U-Net's parts against plain torch, metrics against plain forms, windows, and the whole way."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from browsing import answered  # type: ignore[import-not-found]
from PIL import Image as Pillow
from scenes import encoded, scenes, spec_of  # type: ignore[import-not-found]

from dapeng import api
from dapeng.columns.mask import VOID, confusions, dice
from dapeng.columns.pictures import fit_nearest, labels_in, placement
from dapeng.core.errors import DataError, SpecError
from dapeng.core.kinds import columns, norms
from dapeng.data.batch import Batch, Cells
from dapeng.data.table import Frame
from dapeng.learners.threshold import otsu
from dapeng.metrics.base import value_of
from dapeng.metrics.masks import Dice, MaskView, OutlinesApart, Overlap, outlines_apart
from dapeng.models.windows import Windows
from dapeng.nn.unet import UpPath, warped


def column(cells: list[Any], **options: Any) -> Any:
    chosen = columns.members()["mask"].model_validate({"type": "mask", **options})
    summary = chosen.summary(True)
    summary.add(pa.array(cells, pa.binary()))
    return chosen.fitted("m", summary.result(), True)


def test_grey_values_palettes_and_colours_are_labels() -> None:
    grey = np.array([[0, 3], [7, 3]], np.uint8)
    assert labels_in(encoded(grey), None).tolist() == grey.tolist()
    out = io.BytesIO()
    palette = Pillow.fromarray(grey).convert("P")
    palette.putdata([0, 1, 2, 1])
    palette.save(out, "PNG")
    assert sorted(set(labels_in(out.getvalue(), None).ravel().tolist())) == [0, 1, 2]
    colours = np.array([[[255, 0, 0], [0, 0, 1]]], np.uint8)
    assert labels_in(encoded(colours), None).tolist() == [[255 * 65536, 1]]
    out = io.BytesIO()
    Pillow.fromarray(np.array([[1, 700]], np.uint16)).save(out, "PNG")
    assert labels_in(out.getvalue(), None).tolist() == [[1, 700]]


def test_values_are_coded_in_order_and_ignored_ones_are_void() -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:2], pixels[2:4] = 200, 255
    made = column([encoded(pixels)] * 3, ignore=[255], labels=["ground", "tree"])
    codes = made.encode(pa.array([encoded(pixels)], pa.binary())).tensors["codes"][0]
    assert codes[0, 0] == 1
    assert codes[3, 0] == VOID
    assert codes[7, 7] == 0
    assert made.labels == ["ground", "tree"]


def test_d02_a_value_that_is_none_of_those_named_is_refused_and_others_are_quarantined() -> None:
    good, bad = np.zeros((8, 8), np.uint8), np.full((8, 8), 9, np.uint8)
    good[:3] = 1
    with pytest.raises(DataError, match="holds the value 9, which is none of 0, 1"):
        column([encoded(good)], values=[0, 1]).encode(pa.array([encoded(bad)], pa.binary()))
    found = column([encoded(good)] * 2).encode(pa.array([encoded(good), encoded(bad)], pa.binary()))
    assert found.bad.rows == [1]
    assert "100% of its pixels have values that no training mask has, such as 9" in found.bad.reasons[0]


@pytest.mark.parametrize(
    ("labels", "hint"),
    [(["a", "b"], "ignore=[9] if 9 means nothing"), (["a", "b", "c", "d"], "leave out labels that no mask has")],
)
def test_labels_that_are_more_or_fewer_than_values_are_refused(labels: list[str], hint: str, tmp_path: Path) -> None:
    rows = []
    for i in range(12):
        mask = np.zeros((16, 16), np.uint8)
        mask[:, 8:], mask[0, i % 2] = 1, 9
        rows.append({"p": encoded(np.full((16, 16), i, np.uint8)), "m": encoded(mask)})
    with pytest.raises(DataError, match=r"values: 0 .*, 1 .*, 9 ") as told:
        api.train(
            rows,
            inputs={"p": {"type": "image", "size": 16}},
            outputs={"m": {"type": "mask", "labels": labels}},
            runs=tmp_path / "runs",
        )
    assert hint in str(told.value.problems[0].hint)


def test_a_photograph_is_no_label_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    made = column([encoded(noise)])
    assert made.hopeless() is not None
    assert "no label pictures" in made.remarks()[0]


def test_a_mask_of_another_size_than_its_picture_is_quarantined() -> None:
    made = column([encoded(np.eye(8, dtype=np.uint8))] * 2)
    own = made.encode(pa.array([encoded(np.eye(8, dtype=np.uint8)), encoded(np.eye(6, dtype=np.uint8))], pa.binary()))
    from dapeng.columns.base import Encoded

    placed = made.placed(own, Encoded({}, extents=np.array([[8, 8], [8, 8]], np.float32)))
    assert placed.bad.rows == [1]
    assert placed.bad.reasons == ["a mask of 6 x 6 pixels on a picture of 8 x 8"]


@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
def test_labels_come_to_size_and_back(how: str) -> None:
    codes = np.zeros((30, 20), np.uint8)
    codes[8:20, 5:14] = 1
    seen = fit_nearest(codes, 48, 48, how, VOID)
    assert set(np.unique(seen)) <= {0, 1, VOID}
    assert (VOID in seen) == (how == "pad")
    from dapeng.columns.mask import _at_first_size

    back = _at_first_size(seen, placement(20, 30, 48, 48, how).astype(np.float64))
    assert back.shape == (30, 20)
    assert (back[8:20, 5:14] == 1).mean() > 0.95
    assert (back == codes).mean() > (0.98 if how != "crop" else 0.9)


def test_otsu_cuts_between_two_heaps() -> None:
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(20, 3, 900), draw.normal(80, 5, 300)])
    found = otsu(values)
    best = min(
        np.linspace(values.min(), values.max(), 400),
        key=lambda t: sum(((p - p.mean()) ** 2).sum() for p in (values[values <= t], values[values > t]) if len(p)),
    )
    assert ((values > found) == (values > best)).all()


def test_the_way_up_is_that_of_plain_convolutions() -> None:
    torch.manual_seed(0)
    norm = norms.members()["none"]()
    path = UpPath([(4, 2), (8, 4), (6, 8)], [5, 7], 3, norm, 0.0)
    maps = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4), torch.randn(2, 6, 2, 2)]

    def residual(block: Any, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1))
        y = F.conv2d(y, block.conv2.weight, block.conv2.bias, padding=1)
        skip = x if isinstance(block.skip, torch.nn.Identity) else F.conv2d(x, block.skip.weight, block.skip.bias)
        return F.relu(y + skip)

    x = residual(path.bottom, maps[2])
    for up, fine in zip(path.ups, (maps[1], maps[0])):
        x = F.interpolate(F.conv2d(x, up.narrow.weight, up.narrow.bias), scale_factor=2, mode="bilinear")
        x = residual(up.join, torch.cat([x, fine], 1))
    x = F.conv2d(x, path.head.weight, path.head.bias, padding=1)
    wanted = torch.zeros(2, 3, 16, 16)
    for a in range(3):
        for dy in range(2):
            for dx in range(2):
                wanted[:, a, dy::2, dx::2] = x[:, 4 * a + 2 * dy + dx]
    torch.testing.assert_close(path(maps), wanted, rtol=1e-4, atol=1e-5)


def test_a_mask_is_warped_pixel_by_pixel() -> None:
    codes = torch.arange(24, dtype=torch.uint8).view(1, 4, 6)
    still = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    assert torch.equal(warped(codes, still, 4, 6, VOID), codes.long())
    mirrored = torch.tensor([[[-1.0, 0, 6], [0, 1, 0]]])
    assert torch.equal(warped(codes, mirrored, 4, 6, VOID), codes.flip(2).long())
    moved = warped(codes, torch.tensor([[[1.0, 0, 2], [0, 1, -1]]]), 4, 6, VOID)
    assert torch.equal(moved[0, :3, 2:], codes[0, 1:, :4].long())
    assert (moved[0, 3] == VOID).all()
    assert (moved[0, :, :2] == VOID).all()


def test_dice_and_iou_are_those_of_sets_of_pixels() -> None:
    draw = np.random.default_rng(0)
    said, true = draw.integers(0, 3, (4, 9, 9)), draw.integers(0, 3, (4, 9, 9))
    true[0, 0] = VOID
    view = MaskView(said, true, 3, 0, np.ones(4))
    counted = true != VOID
    each, overlap = [], []
    for code in (1, 2):
        a = {tuple(i) for i in np.argwhere((said == code) & counted)}
        b = {tuple(i) for i in np.argwhere(true == code)}
        each.append(2 * len(a & b) / (len(a) + len(b)))
        overlap.append(len(a & b) / len(a | b))
    assert value_of(Dice(), view) == pytest.approx(np.mean(each))
    assert value_of(Overlap(), view) == pytest.approx(np.mean(overlap))
    assert np.isnan(dice(confusions(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), 2))[0, 1])


def test_hd95_is_the_percentile_of_all_distances_between_outlines() -> None:
    draw = np.random.default_rng(1)
    one, other = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    one[5:15, 6:20], other[8:22, 4:17] = True, True
    one[draw.integers(0, 30, 5), draw.integers(0, 30, 5)] = True

    def outline(part: np.ndarray) -> np.ndarray:
        inside = np.pad(part, 1, constant_values=True)
        around = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        return np.argwhere(part & ~around)

    a, b = outline(one), outline(other)
    far = np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))
    wanted = max(np.quantile(far.min(1), 0.95), np.quantile(far.min(0), 0.95))
    assert outlines_apart(one, other) == pytest.approx(wanted)
    assert np.isnan(outlines_apart(one, np.zeros_like(one)))
    view = MaskView(one[None].astype(int), other[None].astype(int), 2, 0, np.array([2.0]))
    assert value_of(OutlinesApart(), view) == pytest.approx(2 * wanted)


def test_windows_cover_the_picture_and_what_they_say_is_joined() -> None:
    windows = Windows("photo", 32)
    pixels = torch.arange(2 * 70 * 50, dtype=torch.float32).view(2, 1, 70, 50)
    batch = Batch({"photo": Cells({"pixels": pixels, "affine": torch.eye(2, 3).expand(2, 2, 3)})}, torch.arange(2))
    places = windows.places(batch)
    covered = torch.zeros(70, 50)
    for (top, height), (left, width) in places:
        covered[top : top + height, left : left + width] += 1
    assert covered.min() >= 1
    parts = [windows.cut(batch, p) for p in places]
    assert parts[-1]["photo"]["affine"][0].tolist() == [[1, 0, -18], [0, 1, -38]]
    joined = windows.joined([p["photo"]["pixels"] for p in parts], places)
    torch.testing.assert_close(joined, pixels, rtol=1e-5, atol=1e-2)
    assert Windows("photo", 128).places(batch) == [((0, 70), (0, 50))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("masks")
    pq.write_table(scenes(60), folder / "scenes.parquet")
    outputs = {"mask": {"type": "mask", "labels": ["ground", "square", "bar"]}}
    augment = ["flip", {"type": "crop", "size": 32}]
    return api.train(spec_of(outputs, 12, augment, str(folder / "scenes.parquet"), window=32), runs=folder)


def test_it_learns_from_patches_to_outline_things(run: Any) -> None:
    found = run.metrics["outputs"]["mask"]
    assert found["headline"] == "dice"
    assert found["metrics"]["dice"]["value"] > 0.8
    assert found["metrics"]["dice"]["low"] is not None
    assert {"one_label", "otsu"} <= {r["name"] for r in found["leaderboard"]}
    assert [r["label"] for r in found["masks_by_label"]] == ["ground", "square", "bar"]
    text = (run.path / "report.html").read_text()
    assert "where they differ" in text
    assert "data:image/" in text


def test_a_predicted_mask_has_the_size_and_values_of_its_picture(run: Any) -> None:
    table = scenes(3, seed=8)
    found = run.predict(table)
    assert {"mask", "mask.square", "mask.bar"} <= set(found.column_names)
    for cell, true in zip(found.column("mask").to_pylist(), table.column("mask").to_pylist()):
        said = np.asarray(Pillow.open(io.BytesIO(cell)))
        assert said.shape == (48, 64)
        assert (said == np.asarray(Pillow.open(io.BytesIO(true)))).mean() > 0.9


def test_windows_stay_in_the_export(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert run.product.model.windows == Windows("photo", 32)
    facts = run.export("onnx", tmp_path)
    assert facts["largest_difference"] < 1e-4
    assert facts["outputs"][0]["shape"][1:] == [48, 64]


def test_windows_are_for_masks_alone(tmp_path: Path) -> None:
    pq.write_table(scenes(12), tmp_path / "s.parquet")
    with pytest.raises(SpecError, match="things is not answered pixel by pixel"):
        api.train(
            spec_of({"things": {"type": "boxes"}}, 1, "none", str(tmp_path / "s.parquet"), window=32), runs=tmp_path
        )


def test_it_is_judged_on_other_rows(run: Any) -> None:
    from dapeng.evaluate.again import evaluate_on

    found = evaluate_on(run.product, Frame(scenes(10, seed=9)))
    assert found["outputs"]["mask"]["metrics"]["dice"]["value"] > 0.75


def test_a_server_answers_with_a_picture(run: Any) -> None:
    import base64

    from dapeng.serve import protocol
    from dapeng.serve.engine import Engine

    engine = Engine(run.product, "mask")
    row = {"photo": base64.b64encode(scenes(1, seed=9).column("photo")[0].as_py()).decode()}
    answers = engine.answers(engine.check([row]).rows)
    said = Pillow.open(io.BytesIO(base64.b64decode(answers[0]["mask"]["value"])))
    assert said.size == (64, 48)
    (sent,) = protocol.answer(engine, answers, None)["outputs"]
    assert sent["datatype"] == "BYTES"


@pytest.mark.browser
def test_labels_are_laid_over_the_picture_that_was_dropped_on_the_page(run: Any) -> None:
    picture = scenes(1, seed=9).column("photo")[0].as_py()
    said = np.asarray(Pillow.open(io.BytesIO(run.predict(scenes(1, seed=9)).column("mask")[0].as_py())))
    plain = np.asarray(Pillow.open(io.BytesIO(picture)).convert("RGB")).astype(float)
    with answered(run.path, picture) as page:
        canvas = page.locator(".answer canvas")
        canvas.wait_for()
        assert re.match(r"mask: square: [\d.]+ %, bar: [\d.]+ %", canvas.get_attribute("aria-label"))
        data = canvas.evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
        seen = np.array(data, float).reshape(48, 64, 4)[..., :3]
        colours = [page.locator(".key rect").nth(i).get_attribute("fill") for i in (0, 1)]
    np.testing.assert_allclose(seen[said == 0], plain[said == 0], atol=1)
    for label, colour in enumerate(colours, 1):
        tone = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (said == label).any() or label == 2
        np.testing.assert_allclose(seen[said == label], 0.45 * plain[said == label] + 0.55 * tone, atol=1.5)
