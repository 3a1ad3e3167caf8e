"""Volumes: networks and losses in three dimensions, and the whole way to NIfTI files."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from dapeng import api
from dapeng.cli.main import main
from dapeng.columns.mask import VOID
from dapeng.columns.volume import ROWS, sized
from dapeng.columns.volumes import Space
from dapeng.core.errors import DataError, SpecError
from dapeng.core.kinds import columns, norms, samples, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.metrics.masks import MaskView, outlines_apart
from dapeng.models.windows import Windows
from dapeng.nn.volumes import Residual3d, kernel, moved_labels, steps

nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel: pip install 'dapeng[medical]'")

TURNED = np.array([[0, 0, -2.0, 30], [-0.5, 0, 0, 10], [0, 3.0, 0, -5], [0, 0, 0, 1]])
"""Stored back to front, from below, right to left."""


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_values_come_to_size_and_back() -> None:
    block = np.zeros((6, 12, 12), np.uint8)
    block[2:4, 3:9, 3:9] = 240
    assert np.array_equal(sized(block, (6, 12, 12)), block)
    small, large = sized(block, (3, 6, 6)), sized(block, (12, 24, 24))
    assert small.shape == (3, 6, 6)
    assert abs(float(small.mean()) - block.mean()) < 4
    assert abs(float(large.mean()) - block.mean()) < 4
    assert large[6, 12, 12] == 240


def test_axes_are_halved_where_voxels_lie_close() -> None:
    assert steps((50.0, 4.0, 4.0), (16, 64, 64), 4) == [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)]
    assert steps((2.0, 1.0, 1.0), (16, 64, 64), 3) == [(1, 1, 1), (1, 2, 2), (2, 2, 2)]
    assert steps((1.0, 1.0, 1.0), (3, 64, 64), 2) == [(1, 1, 1), (1, 2, 2)]
    assert kernel((50.0, 4.0, 4.0)) == (1, 3, 3)
    assert kernel((1.0, 1.0, 1.0)) == (3, 3, 3)


def test_a_residual_block_is_that_of_plain_convolutions() -> None:
    torch.manual_seed(0)
    block = Residual3d(2, 3, norms.members()["none"](), (3, 3, 3), (1, 2, 2))
    x = torch.randn(2, 2, 4, 6, 6)
    conv = torch.nn.functional.conv3d
    y = conv(x, block.conv1.weight, block.conv1.bias, (1, 2, 2), 1).relu()
    y = conv(y, block.conv2.weight, block.conv2.bias, 1, 1) + conv(x, block.skip.weight, None, (1, 2, 2))
    torch.testing.assert_close(block(x), y.relu(), rtol=1e-4, atol=1e-5)
    normed = Residual3d(2, 4, norms.members()["batch"](), (1, 3, 3))
    reference = torch.nn.BatchNorm3d(4)
    torch.testing.assert_close(
        torch.relu(reference(normed.conv1(x))),
        torch.relu(normed.norm1(normed.conv1(x).flatten(2, 3)).unflatten(2, (4, 6))),
    )


def test_labels_follow_their_volume_through_flips_and_crops() -> None:
    draw = np.random.default_rng(0)
    codes = torch.from_numpy(draw.integers(0, 5, (3, 6, 8, 10)).astype(np.uint8))
    affine = torch.zeros(3, ROWS, 4)
    affine[:, :3, :3] = torch.eye(3)
    batch = Batch({"x": Cells({"pixels": codes[:, None], "affine": affine})}, torch.arange(3))
    for asked in (
        [{"type": "flip_volume", "axis": a, "probability": 1.0} for a in "xyz"],
        [{"type": "crop_volume", "size": [4, 5, 6]}, {"type": "flip_volume", "probability": 0.5}],
        [{"type": "flip_volume", "axis": "y"}, {"type": "crop_volume"}],
    ):
        moved = batch
        for number, one in enumerate(asked):
            moved = transforms.members()[one["type"]].model_validate(one).build(None)(moved, "x", (0, number, 3))
        pixels = moved["x"]["pixels"][:, 0]
        found = moved_labels(codes, affine[:, :3], moved["x"]["affine"][:, :3], tuple(pixels.shape[1:]), VOID)
        torch.testing.assert_close(found, pixels.long())
    beyond = affine.clone()
    beyond[:, 0, 3] = 4.0
    found = moved_labels(codes, affine[:, :3], beyond[:, :3], (6, 8, 10), VOID)
    assert (found[..., :4] == VOID).all()
    torch.testing.assert_close(found[..., 4:], codes[..., :6].long())


def test_windows_cover_a_volume_and_join() -> None:
    windows = Windows("x", (4, 16, 16))
    pixels = torch.rand(2, 1, 7, 30, 20)
    batch = Batch({"x": Cells({"pixels": pixels, "affine": torch.zeros(2, ROWS, 4)})}, torch.arange(2))
    places = windows.places(batch)
    parts = [windows.cut(batch, p)["x"] for p in places]
    assert all(tuple(p["pixels"].shape[2:]) == (4, 16, 16) for p in parts)
    assert parts[-1]["affine"][0, :3, 3].tolist() == [-4, -14, -3]
    torch.testing.assert_close(windows.joined([p["pixels"] for p in parts], places), pixels, rtol=1e-4, atol=1e-5)


def test_distances_between_outlines_are_in_millimetres_along_each_axis() -> None:
    one, other = np.zeros((6, 9, 9), bool), np.zeros((6, 9, 9), bool)
    one[1:3, 2:6, 2:6], other[3:5, 2:6, 2:6] = True, True
    spacing = np.array([5.0, 1.0, 2.0])

    def outline(part: np.ndarray) -> np.ndarray:
        from scipy import ndimage

        return np.argwhere(part & ~ndimage.binary_erosion(part, border_value=1)) * spacing

    a, b = outline(one), outline(other)
    far = np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))
    wanted = max(np.quantile(far.min(1), 0.95), np.quantile(far.min(0), 0.95))
    assert outlines_apart(one, other, spacing=spacing) == pytest.approx(wanted)
    view = MaskView(one[None].astype(int), other[None].astype(int), 2, 0, spacing[None])
    assert view.apart[0, 1] == pytest.approx(wanted)


def test_what_lies_in_a_volume_is_no_picture_s_and_the_other_way_round(tmp_path: Path) -> None:
    from dapeng.api.columns import Chosen, settle
    from dapeng.core.loader import load_spec

    def settled(inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        spec = load_spec({"data": "none.csv", "inputs": inputs, "outputs": outputs}).spec
        settle(Chosen(dict(spec.inputs), dict(spec.outputs)), None)

    with pytest.raises(SpecError, match="type volume_mask lies in a volume, and none is read"):
        settled({"p": {"type": "image"}}, {"m": {"type": "volume_mask"}})
    with pytest.raises(SpecError, match="type boxes lies in a picture, and none is read"):
        settled({"p": {"type": "volume"}}, {"m": {"type": "boxes"}})
    with pytest.raises(SpecError, match="'p' is no picture that is read"):
        settled({"p": {"type": "volume"}}, {"m": {"type": "mask", "of": "p"}})


AFFINE = np.array([[-64 / 3, 0, 0, 2000], [0, 64 / 3, 0, -500], [0, 0, 50.0, 40], [0, 0, 0, 1]])
"""Nanometres, told as millimetres: slices lie farther apart than lines; lines are stored right to left."""
BLOCKS = 5
"""Parts of the stack, of six slices each."""


def write_blocks(folder: Path) -> list[dict[str, str]]:
    """The stack of the ISBI 2012 challenge at a fifth of its resolution, as 20 NIfTI volumes of 6 x 48 x 48 voxels, and their labels."""
    try:
        parts = samples.members()["isbi2012"]().load()
    except DataError as error:
        pytest.skip(f"the stack is not on this machine: {str(error)[:100]}")
    tables = [parts[n].read() for n in ("train", "test")]
    rows = []
    shown = {
        column: np.stack(
            [
                np.asarray(Image.open(io.BytesIO(c)).resize((96, 96), kind))
                for t in tables
                for c in t.column(column).to_pylist()
            ]
        )
        for column, kind in (("slice", Image.Resampling.BOX), ("membranes", Image.Resampling.NEAREST))
    }
    for number in range(BLOCKS * 4):
        z, y, x = 6 * (number // 4), 48 * (number // 2 % 2), 48 * (number % 2)
        row = {"block": str(number // 4)}
        for column, values in shown.items():
            part = values[z : z + 6, y : y + 48, x : x + 48]
            space = Space(AFFINE, (48, 48, 6))
            row[column] = f"{column}{number}.nii.gz"
            write(folder / row[column], space.store(part), AFFINE)
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("volumes")
    rows = write_blocks(folder)
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {
        "data": {"path": str(folder / "rows.jsonl"), "split": {"by": "group", "column": "block"}},
        "columns": {"block": "group"},
        "inputs": {
            "slice": {
                "type": "volume",
                "encoder": {"type": "volume_cnn", "width": 8, "stages": 3},
                "augment": ["flip_volume", {"type": "crop_volume", "size": [4, 32, 32]}],
                "window": [4, 32, 32],
            }
        },
        "outputs": {"membranes": {"type": "volume_mask", "labels": ["membrane", "cell"], "background": "cell"}},
        "model": "network",
        "train": {"epochs": 10, "batch_size": 2, "learning_rate": 5e-3, "threads": 1, "precision": "fp32"},
        "evaluate": {"resamples": 60},
    }
    return folder, api.train(spec, runs=folder / "runs")


def test_real_volumes_are_learnt_judged_by_volume_and_reported(made: Any) -> None:
    _, run = made
    found = run.metrics["outputs"]["membranes"]
    assert found["rows"] == 4  # one block of four volumes
    assert found["unit"] == "mm"
    names = {r["name"]: r for r in found["leaderboard"]}
    assert {"one_label", "otsu"} <= set(names)
    assert found["metrics"]["dice"]["value"] > names["one_label"]["metrics"]["dice"]["value"] + 0.15
    assert [r["label"] for r in found["masks_by_label"]] == ["membrane", "cell"]
    assert found["masks_by_label"][0]["hd95"] > 0
    text = (run.path / "report.html").read_text()
    assert "HD95 (mm)" in text
    assert "data:image/" in text


def test_no_volume_and_no_block_is_on_two_sides(made: Any) -> None:
    folder, run = made
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert run.product.inputs["slice"].frame == (6, 48, 48)
    np.testing.assert_allclose(run.product.inputs["slice"].spacing, (50, 21.3333, 21.3333), rtol=1e-4)
    assert len(rows) == 20
    assert run.metrics["outputs"]["membranes"]["rows"] == 4


def test_predict_leaves_nifti_files_that_lie_where_their_volumes_do(made: Any, tmp_path: Path) -> None:
    folder, run = made
    assert main(["predict", str(run.path), str(folder / "rows.jsonl"), "--to", str(tmp_path / "out.csv")]) == 0
    files = sorted((tmp_path / "out").rglob("*.nii.gz")) or sorted(tmp_path.rglob("*.nii.gz"))
    assert len(files) == 20
    right = []
    for number, file in enumerate(files):
        scan = nibabel.load(file)
        assert scan.shape == (48, 48, 6)
        np.testing.assert_allclose(scan.affine, AFFINE)
        assert set(np.unique(scan.dataobj)) <= {0, 255}
        true = np.asarray(nibabel.load(folder / f"membranes{number}.nii.gz").dataobj)
        right.append(float((np.asarray(scan.dataobj) == true).mean()))
    assert np.mean(right) > 0.8
    assert min(right) > 0.7


def test_a_server_takes_the_bytes_of_a_volume_and_answers_with_those_of_its_labels(made: Any) -> None:
    import base64

    from dapeng.serve.cells import Unfit
    from dapeng.serve.engine import Engine

    folder, run = made
    engine = Engine(run.product, "membranes")
    content = (folder / "slice3.nii.gz").read_bytes()
    answers = engine.answers(engine.check([{"slice": base64.b64encode(content).decode()}]).rows)
    said = nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(answers[0]["membranes"]["value"])))
    assert said.shape == (48, 48, 6)
    np.testing.assert_allclose(said.affine, AFFINE)
    with pytest.raises(Unfit, match="not a volume that can be read"):
        engine.readers[0].check(base64.b64encode(b"no volume").decode(), [])


def test_a_mask_of_another_shape_or_place_is_quarantined(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 4), np.uint8)
    values[:3] = 1
    cells = [str(write(tmp_path / f"{i}.nii", values, np.diag([1.0, 1, 1, 1]))) for i in range(2)]
    cells.append(str(write(tmp_path / "flat.nii", values[:, :, :2], np.eye(4))))
    cells.append(str(write(tmp_path / "far.nii", values, np.diag([1.0, 1, 4, 1]))))
    chosen: Any = columns.members()["volume_mask"].model_validate({"type": "volume_mask"})
    summary = chosen.summary(True)
    summary.add(pa.array(cells))
    column = chosen.fitted("m", summary.result(), True)
    read: Any = columns.members()["volume"].model_validate({"type": "volume", "size": [4, 8, 8]})
    whole = read.summary(False)
    whole.followed = True
    whole.add(pa.array(cells[:1]))
    picture = read.fitted("p", whole.result(), False).encode(pa.array(cells[:1] * 4))
    found = column.placed(column.encode(pa.array(cells)), picture)
    assert found.bad.rows == [2, 3]
    assert "2 x 8 x 8" in found.bad.reasons[0]
    assert "lies elsewhere" in found.bad.reasons[1]


def test_volumes_are_guessed_by_their_names_and_slices_are_not(tmp_path: Path) -> None:
    from dapeng.data.infer import guess

    names = pa.chunked_array([[f"a/{i}.nii.gz" for i in range(30)]])
    assert guess("scan", names, False).options == {"type": "volume"}
    assert guess("scan", names, True).options == {"type": "volume_mask"}
    slices = pa.chunked_array([[f"a/b.nii.gz#{i}" for i in range(30)]])
    assert guess("scan", slices, False).options.get("type") != "volume"
