"""Bad pictures end as BAD_INPUTS.md says: quarantined with the reason, refused by a cap before decoding, or converted."""

from __future__ import annotations

import io
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from make import MAKERS, encoded, make, photo, strange_names  # type: ignore[import-not-found]
from PIL import Image as Pillow

import dapeng
from dapeng.columns.image import Image, ImageReader
from dapeng.core.errors import DataError
from dapeng.core.spec import Data
from dapeng.data.open import open_data

GOOD = pa.array([encoded(photo(), "PNG")] * 4, pa.binary())
QUARANTINE = {
    "I01": "the file is empty",
    "I02": "damaged",
    "I03": "13000 x 13000 pixels are over the cap of 40,000,000",
    "I04": "65000 x 65000 pixels are over the cap of 40,000,000",
    "I06": "not a picture that can be read",
    "I12": "1 x 1 pixels are under the smallest side",
    "I14": "damaged",
    "I15": "not a picture that can be read",
}
ACCEPT = ("I05", "I07", "I08", "I10")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("pictures"), [i for i in MAKERS if i[0] == "I"])


def column(**options: Any) -> Any:
    chosen = Image(**options)
    summary = chosen.summary(False)
    summary.add(GOOD)
    return chosen.fitted("image", summary.result(), False)


def warm() -> Any:
    made = column()
    made.encode(GOOD)
    return made


@pytest.mark.parametrize("identity", sorted(QUARANTINE))
def test_it_is_quarantined_with_its_reason_within_two_seconds_and_200_megabytes(
    identity: str, paths: dict[str, Path]
) -> None:
    made = warm()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = made.encode(pa.array([str(paths[identity])]))
    seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert found.bad.rows == [0]
    assert QUARANTINE[identity] in found.bad.reasons[0]
    assert found.present.tolist() == [False]
    assert not found.tensors["pixels"].any()
    assert seconds < 2
    assert grown < 200


@pytest.mark.parametrize("identity", sorted(QUARANTINE))
def test_bytes_are_judged_like_files(identity: str, paths: dict[str, Path]) -> None:
    found = column().encode(pa.array([paths[identity].read_bytes()], pa.binary()))
    assert found.bad.rows == [0]


@pytest.mark.parametrize("identity", ACCEPT)
def test_it_is_read(identity: str, paths: dict[str, Path]) -> None:
    found = column().encode(pa.array([str(paths[identity])]))
    assert not found.bad.rows
    assert found.tensors["pixels"].any()


def test_i07_the_colours_of_cmyk_come_out_as_rgb(paths: dict[str, Path]) -> None:
    made = column(channels=3)
    wanted = np.asarray(photo(), np.float32).transpose(2, 0, 1)
    found = made.encode(pa.array([str(paths["I07"])])).tensors["pixels"][0]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 12


def test_i05_and_i07_wrong_endings_and_colour_spaces_are_said_once_with_their_number(paths: dict[str, Path]) -> None:
    summary = Image().summary(False)
    for identity in ("I05", "I07", "I07", "I10"):
        part = Image().summary(False)
        part.add(pa.array([str(paths[identity])]))
        summary.merge(part)
    made = Image().fitted("p", summary.result(), False)
    assert made.remarks() == [
        "1 files are PNG named .jpg: read by what they hold",
        "2 pictures are CMYK: converted to RGB",
    ]


def sixteen(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(values.astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("top", [65_535, 20_000, 200])
def test_i08_sixteen_bits_are_scaled_by_257_and_never_cut(top: int) -> None:
    values = np.linspace(0, top, 24 * 32).reshape(24, 32)
    made = column(channels=1)
    found = made.encode(pa.array([sixteen(values)], pa.binary())).tensors["pixels"][0, 0]
    assert np.abs(found - values.astype(np.uint16) / 257).max() <= 0.5
    shipped = ImageReader(1, 24, 32, "stretch").encode([sixteen(values)])["pixels"][0, 0]
    assert np.array_equal(shipped, found)


def test_i10_a_turned_photograph_is_put_upright(paths: dict[str, Path]) -> None:
    made = column(size=[64, 32], channels=3)
    found = made.encode(pa.array([str(paths["I10"])])).tensors["pixels"][0].astype(int)
    lying = np.asarray(photo(64, 32)).astype(int)
    upright = np.rot90(lying, -1).transpose(2, 0, 1)  # orientation 6: turn right by 90 degrees
    assert np.abs(found - upright).mean() < 8


def folder(tmp_path: Path, bad: dict[str, bytes], good: int = 12) -> Path:
    root = tmp_path / "pictures"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for i in range(good):
            (root / label / f"{i}.png").write_bytes(encoded(photo(16 + (label == "cat"), 16), "PNG"))
    for name, raw in bad.items():
        (root / "cat" / name).write_bytes(raw)
    return root


FAST: dict[str, Any] = {
    "model": "network",
    "inputs": {"image": {"type": "image", "size": 8}},
    "train": {"epochs": 1, "threads": 1},
    "evaluate": {"baselines": [], "resamples": 0},
}


def test_pictures_that_cannot_be_read_stop_training_past_max_bad_and_are_left_out_by_name_below_it(
    tmp_path: Path, paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {f"bad{i}{paths[i].suffix}": paths[i].read_bytes() for i in ("I01", "I02", "I06", "I12", "I14")}
    root = folder(tmp_path, bad)
    data = {"path": str(root), "split": {"by": "random"}}
    with pytest.raises(DataError, match="5 of 29 cells can't be read as image"):
        dapeng.train(str(root), outputs={"label": "category"}, data=data, runs=tmp_path / "runs", **FAST)
    more = {**data, "max_bad": 0.5}
    run = dapeng.train(str(root), outputs={"label": "category"}, data=more, runs=tmp_path / "runs", **FAST)
    assert "5 rows are left out because a cell can't be read" in capsys.readouterr().err
    answer = run.product.predict(_frame([str(root / "dog" / "1.png"), str(paths["I02"]), str(paths["I03"])]))
    assert answer.rows.tolist() == [0]
    assert [r for r, _, _ in answer.left_out] == [1, 2]


def _frame(cells: list[str]) -> Any:
    from dapeng.data.table import Frame

    return Frame(pa.table({"image": cells}))


def test_i18_names_with_line_breaks_markup_and_emoji_train_and_are_escaped_in_the_report(tmp_path: Path) -> None:
    root = strange_names(tmp_path)
    for i in range(16):
        (root / "🐱" / f"<b>{i}\n😀.png").write_bytes(encoded(photo(), "PNG"))
    (root / "<script>").mkdir()
    for i in range(16):
        (root / "<script>" / f"{i}.png").write_bytes(encoded(photo(), "PNG"))
    data = {"path": str(root), "split": {"by": "random"}, "max_bad": 0.5}
    opened = open_data(Data(path=str(root)))
    names = opened.whole().read(["image"]).column("image").to_pylist()
    if (Path(str(root / "🐱")) / os.fsdecode(b"\xff.png")).exists():
        assert "🐱/%FF.png" in names
        assert any("is not valid UTF-8: called" in n.what for n in opened.notes())
        made = column()
        assert not made.encode(pa.array(["🐱/%FF.png"]), root).bad.rows
        assert made.encode(pa.array(["🐱/%FE.png"]), root).bad.rows == [0]
    run = dapeng.train(str(root), outputs={"label": "category"}, data=data, runs=tmp_path / "runs", **FAST)
    assert sorted(run.product.outputs["label"].labels) == ["<script>", "🐱"]
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page.replace("&lt;script&gt;", "")
    assert "<b>0" not in page
