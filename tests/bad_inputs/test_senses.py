"""Every row of BAD_INPUTS.md on pictures (I), sounds (A), boxes and masks (D), for every kind of column that reads such files.

A row ends as the table there says: quarantined with its reason, refused by a cap before anything is decoded, or read; never with a
traceback, in 2 CPU seconds, with 200 MB more at most.
"""

from __future__ import annotations

import gzip
import json
import resource
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from make import MAKERS, TONE, encoded, make, photo, wav  # type: ignore[import-not-found]
from PIL import Image

from dapeng.cli.main import main
from dapeng.columns.pictures import Unreadable, counted, labels_in, open_picture
from dapeng.core.kinds import columns

LABELS = np.zeros((24, 32), np.uint8)
LABELS[:5] = 1
GOOD_MASK = encoded(Image.fromarray(LABELS), "PNG")
READ = ""
NOT_ONE = "not a picture that can be read"
PICTURES: dict[str, dict[str, str]] = {
    "I01": {"all": "the file is empty"},
    "I02": {"all": "damaged"},
    "I03": {"all": "13000 x 13000 pixels are over the cap of 40,000,000"},
    "I04": {"all": "65000 x 65000 pixels are over the cap of 40,000,000"},
    "I05": {"image": READ, "mask": "no training mask has", "anomaly": READ},
    "I06": {"all": NOT_ONE},
    "I07": {"image": READ, "mask": "no training mask has", "anomaly": READ},
    "I08": {"image": READ, "mask": "no training mask has", "anomaly": READ},
    "I10": {"image": READ, "mask": "no training mask has", "anomaly": READ},
    "I12": {"image": "1 x 1 pixels are under the smallest side", "mask": READ, "anomaly": READ},
    "I14": {"all": "damaged"},
    "I15": {"all": NOT_ONE},
}
"""By row and type of column what is said of the cell. A mask of one pixel may lie on a picture of one pixel: the picture is what is refused."""
KINDS = [("image", False), ("image", True), ("mask", True), ("anomaly", True)]


def fitted(tag: str, cells: list[bytes], target: bool, **options: Any) -> tuple[Any, Any]:
    chosen = columns.members()[tag].model_validate({"type": tag, **options})
    summary = chosen.summary(target)
    summary.add(pa.array(cells, pa.binary()))
    return chosen, chosen.fitted("x", summary.result(), target)


def picture_column(tag: str, target: bool) -> tuple[Any, Any]:
    cells = [encoded(photo(), "PNG")] * 4 if tag == "image" else [GOOD_MASK] * 4
    chosen, column = fitted(tag, cells, target)
    column.encode(pa.array(cells, pa.binary()))  # what is imported at first use counts no more
    return chosen, column


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("pictures"), [i for i in MAKERS if i[0] == "I"])


def judged(chosen: Any, column: Any, cell: Any, target: bool) -> str:
    """What is said of a cell, "" where it is read, by all that reads it: within the time and the memory."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    cells = cell if isinstance(cell, pa.Array) else pa.array([cell])
    summary = chosen.summary(target)
    summary.add(cells)
    found = column.encode(cells)
    column.matrix(cells)
    list(column.files(cells))
    assert time.process_time() - began < 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 200
    if not found.bad.rows:
        return READ
    assert not found.present.any()
    return str(found.bad.reasons[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k[0]}-{'out' if k[1] else 'in'}")
@pytest.mark.parametrize("identity", sorted(PICTURES))
def test_a_picture_ends_as_its_row_says_as_a_file_and_as_bytes(
    identity: str, kind: tuple[str, bool], paths: dict[str, Path]
) -> None:
    tag, target = kind
    chosen, column = picture_column(tag, target)
    said_of = PICTURES[identity]
    wanted = said_of[tag] if tag in said_of else said_of["all"]
    for cell in (str(paths[identity]), paths[identity].read_bytes()):
        said = judged(chosen, column, cell, target)
        assert (said == READ) if wanted == READ else (wanted in said), said


NO_FILES: dict[str, tuple[pa.Array, str]] = {
    "a folder": (pa.array(["/"]), "no such file: /"),
    "a device": (pa.array(["/dev/zero"]), "no such file"),
    "a name longer than names can be": (pa.array(["x" * 5000 + ".png"]), "no such file: xxx"),
    "a name with a NUL": (pa.array(["a\0b.png"]), "no such file"),
    "numbers": (pa.array([1, 2]), "neither a path nor the bytes of a picture, but int"),
    "lists": (pa.array([[1.0]]), "neither a path nor the bytes of a picture, but list"),
    "other structs": (pa.array([{"address": "a.png"}]), "no such file: {'address'"),
    "bytes of nothing": (pa.array([b""], pa.binary()), "the file is empty"),
}


@pytest.mark.parametrize("name", sorted(NO_FILES))
@pytest.mark.parametrize("kind", [("image", False), ("mask", True)], ids=lambda k: k[0])
def test_a_cell_that_is_no_file_is_quarantined(name: str, kind: tuple[str, bool]) -> None:
    cells, wanted = NO_FILES[name]
    if (kind[0], name) == ("mask", "other structs"):  # a mask's cell may be outlines, as COCO says them
        wanted = "not segments in JSON"
    said = judged(*picture_column(*kind), cells, kind[1])
    assert wanted in said
    assert len(said) < 300


@pytest.mark.parametrize("cell", ["x" * 5000 + ".wav", "a\0b.wav", "/", 7])
@pytest.mark.parametrize("tag", ["audio", "video"])
def test_a_cell_that_is_no_sound_or_video_is_quarantined(tag: str, cell: Any) -> None:
    if tag == "video":
        pytest.importorskip("av", reason="videos are read with PyAV: pip install 'dapeng[video]'")
    chosen = columns.members()[tag].model_validate({"type": tag})
    good = pa.array([c for c in chosen.examples() if c is not None][:2], pa.binary())
    summary = chosen.summary(False)
    summary.add(good)
    found = chosen.fitted("x", summary.result(), False).encode(pa.array([cell]))
    assert found.bad.rows == [0]


def header(rate: int, size: int = 0) -> bytes:
    """A 16-bit WAV of this many bytes of silence."""
    fields = (b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *fields) + bytes(size)


SOUNDS = {
    "A01": (b"", "the file is empty"),
    "A02": (header(8000), "holds no samples"),
    "A04": (header(0, 400), "0 samples a second|not a sound"),
    "A06": (wav(np.where(np.arange(900) == 450, np.nan, 0.1), subtype="FLOAT"), "not every sample is a finite number"),
    "A07": (encoded(photo(), "JPEG"), "not a sound that can be read"),
    "A08": (wav(TONE)[:30], "not a sound that can be read"),
}


@pytest.mark.parametrize("target", [False, True], ids=["in", "out"])
@pytest.mark.parametrize("identity", sorted(SOUNDS))
def test_a_sound_ends_as_its_row_says_as_a_file_and_as_bytes(identity: str, target: bool, tmp_path: Path) -> None:
    content, wanted = SOUNDS[identity]
    chosen, column = fitted("audio", [wav(TONE)] * 3, target)
    column.matrix(pa.array([wav(TONE)], pa.binary()))
    (tmp_path / "a.wav").write_bytes(content)
    for cell in (str(tmp_path / "a.wav"), content):
        said = judged(chosen, column, cell, target)
        assert any(part in said for part in wanted.split("|")), said


def test_a_packed_scan_that_says_it_is_huge_is_refused_before_it_is_unpacked() -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    head = nibabel.Nifti1Header()
    head.set_data_dtype(np.float64)
    head.set_data_shape((512, 512, 30_000))
    content = gzip.compress(head.binaryblock + bytes(4) + bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match="bytes of values are over the cap of 536,870,912"):
        open_picture(content, None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_masks_in_colour_of_many_lines_are_read_line_by_line(tmp_path: Path) -> None:
    pixels = np.zeros((700, 40, 3), np.uint8)
    pixels[300:] = (255, 0, 0)
    pixels[600, 7] = (0, 1, 2)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = labels_in("a.png", tmp_path)
    assert found[299, 0] == 0
    assert found[300, 0] == 255 * 65536
    assert found[600, 7] == 258
    assert counted(found) == {0: 300 * 40, 258: 1, 255 * 65536: 400 * 40 - 1}
    grey = np.repeat((np.arange(700) % 3).astype(np.uint8)[:, None, None], 3, 2).repeat(9, 1)
    assert counted(labels_in(encoded(Image.fromarray(grey), "PNG"), None)) == {0: 234 * 9, 1: 233 * 9, 2: 233 * 9}


def pages(bright: int) -> bytes:
    """A volume of 4 x 8 x 8 voxels: a block in the dark."""
    values = np.zeros((4, 8, 8), np.uint8)
    values[1:3, 2:6, 2:6] = bright
    first, *rest = (Image.fromarray(v) for v in values)
    return encoded(first, "TIFF", save_all=True, append_images=rest)


BOX = {"label": "a", "x1": 1, "y1": 1, "x2": 9, "y2": 9}
WHOLE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, list[Any]], str]] = {
    "drawn": ({"kind": "category"}, {"f": {"type": "image"}}, {"f": ["good.png"], "kind": ["a", "b"]}, "image"),
    "mask": ({"p": {"type": "image"}}, {"f": {"type": "mask"}}, {"f": ["mask.png"], "p": ["good.png"]}, "mask"),
    "picture of boxes": (
        {"f": {"type": "image"}},
        {"b": {"type": "boxes"}},
        {"f": ["good.png"], "b": [json.dumps([BOX])]},
        "image",
    ),
    "anomaly": (
        {"p": {"type": "image"}},
        {"f": {"type": "anomaly"}},
        {"f": ["mask.png"], "p": ["good.png"]},
        "anomaly",
    ),
    "volume": ({"f": {"type": "volume"}}, {"kind": "category"}, {"f": ["good.tif"], "kind": ["a", "b"]}, "volume"),
    "label volume": (
        {"p": {"type": "volume"}},
        {"f": {"type": "volume_mask"}},
        {"f": ["labels.tif"], "p": ["good.tif"]},
        "volume_mask",
    ),
    "sound": ({"f": {"type": "audio"}}, {"kind": "category"}, {"f": ["good.wav"], "kind": ["a", "b"]}, "audio"),
    "made sound": ({"kind": "category"}, {"f": {"type": "audio"}}, {"f": ["good.wav"], "kind": ["a", "b"]}, "audio"),
}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_too_many_bad_files_end_a_training_with_status_two_and_their_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs, outputs, cells, kind = WHOLE[name]
    monkeypatch.chdir(tmp_path)
    files = {"good.png": encoded(photo(), "PNG"), "mask.png": GOOD_MASK, "good.wav": wav(TONE)}
    files |= {"good.tif": pages(200), "labels.tif": pages(1)}
    for file, content in files.items():
        Path(file).write_bytes(content)
    Path("empty.png").write_bytes(b"")
    rows = [{n: c[i % len(c)] for n, c in cells.items()} for i in range(40)]
    rows[7]["f"] = rows[30]["f"] = "empty.png"
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    Path("spec.yaml").write_text(json.dumps({"data": "data.jsonl", "inputs": inputs, "outputs": outputs}))
    assert main(["train", "spec.yaml"]) == 2
    said = capfd.readouterr().err
    assert f"2 of 40 cells can't be read as {kind}" in said
    assert "the file is empty" in said
    assert "data.max_bad=0.1" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ([{**BOX, "x2": 1}], "box 1 has no area: 0 wide"),
        ([{**BOX, "y2": -3}], "box 1 has no area"),
        ([{**BOX, "x1": "NaN"}], "finite"),
        ([{**BOX, "x2": 900}], "lies outside of its picture"),
        ([{**BOX, "y1": None}], "not of numbers"),
        ("[{", "not a list of boxes in JSON"),
        ("[" * 100_000, "not a list of boxes in JSON"),
        ("7", "not a list of boxes"),
        ('["a"]', "not a list of boxes"),
        ([BOX] * 10_001, "10,001 boxes are over the cap"),
    ],
)
def test_d01_boxes_that_are_none_end_with_status_two_and_their_row(
    cell: Any, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.png").write_bytes(encoded(photo(), "PNG"))
    texts = [json.dumps([BOX])] * 20
    texts[4] = cell if isinstance(cell, str) else json.dumps(cell)
    Path("data.jsonl").write_text("".join(json.dumps({"p": "good.png", "b": t}) + "\n" for t in texts))
    spec = {"data": "data.jsonl", "inputs": {"p": {"type": "image"}}, "outputs": {"b": {"type": "boxes"}}}
    Path("spec.yaml").write_text(json.dumps(spec))
    assert main(["train", "spec.yaml"]) == 2
    said = capfd.readouterr().err
    assert wanted in said
    assert "data.jsonl:5" in said
    assert "Traceback" not in said


def test_checking_finds_masks_and_scans_that_cant_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    monkeypatch.chdir(tmp_path)
    Path("mask.png").write_bytes(GOOD_MASK)
    Path("bad.png").write_bytes(GOOD_MASK[:40])
    nibabel.save(nibabel.Nifti1Image(np.arange(32 * 24 * 2, dtype=np.int16).reshape(32, 24, 2), np.eye(4)), "s.nii.gz")
    rows = [{"p": f"s.nii.gz#{i % 2}", "m": "mask.png" if i else "bad.png"} for i in range(40)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {"data": "data.jsonl", "inputs": {"p": {"type": "image"}}, "outputs": {"m": {"type": "mask"}}}
    Path("spec.yaml").write_text(json.dumps(spec))
    assert main(["check", "spec.yaml"]) == 2, "training would refuse it too"
    said = "".join(capfd.readouterr())
    assert "m: 1 of 40 cells can't be read as mask" in said
    assert "p: " not in "".join(line for line in said.splitlines() if "can't be read" in line)


def test_checking_finds_volumes_and_label_volumes_that_cant_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    monkeypatch.chdir(tmp_path)
    values = (np.arange(8 * 8 * 4) % 5).reshape(8, 8, 4).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), "scan.nii")
    nibabel.save(nibabel.Nifti1Image((values > 2).astype(np.uint8), np.eye(4)), "labels.nii")
    nibabel.save(nibabel.Nifti1Image(np.stack([values] * 3, 3), np.eye(4)), "times.nii.gz")
    Path("cut.nii").write_bytes(Path("scan.nii").read_bytes()[:600])
    Path("text.nii").write_text("no scan")
    colours = np.zeros((8, 8, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), "colours.nii")
    rows = [{"scan": "scan.nii", "organs": "labels.nii"} for _ in range(20)]
    rows[1]["scan"], rows[2]["scan"], rows[3]["scan"], rows[4]["scan"] = "cut.nii", "times.nii.gz", "times.nii.gz#1", ""
    rows[5]["organs"], rows[6]["organs"] = "text.nii", "gone.nii"
    rows[7]["scan"] = rows[8]["organs"] = "colours.nii"
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {
        "data": "data.jsonl",
        "inputs": {"scan": {"type": "volume"}},
        "outputs": {"organs": {"type": "volume_mask"}},
    }
    Path("spec.yaml").write_text(json.dumps(spec))
    assert main(["check", "spec.yaml"]) == 2, "training would refuse it too"
    said = "".join(capfd.readouterr())
    assert "scan: 3 of 20 cells can't be read as volume" in said
    assert "organs: 3 of 20 cells can't be read as volume_mask" in said
    for why in (
        "shorter than its header says",
        "name one as PATH#NUMBER",
        "no such file: gone.nii",
        "colours or complex",
    ):
        assert why in said
    assert "Traceback" not in said
    assert main(["train", "spec.yaml"]) == 2
    said = "".join(capfd.readouterr())
    assert "3 of 20 cells can't be read as volume" in said
    assert "Traceback" not in said


TORN = "are volumes of a file of which train has others"


@pytest.mark.parametrize(
    ("more", "torn"),
    [
        ({}, True),
        ({"columns": {"patient": "group"}}, False),
        ({"data": {"path": "data.jsonl", "split": {"by": "group", "column": "patient"}}}, False),
    ],
    ids=["no group", "a group", "a split by group"],
)
def test_checking_finds_volumes_of_one_file_on_two_sides_of_the_split(
    more: dict[str, Any], torn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        values = np.random.default_rng(number).integers(0, 9, (4, 4, 4, 5)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), f"{number}.nii")
    rows = [{"scan": f"{i // 5}.nii#{i % 5}", "patient": f"p{i // 5}", "y": "ab"[i % 2]} for i in range(40)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {"data": "data.jsonl", "inputs": {"scan": {"type": "volume"}}, "outputs": {"y": "category"}, **more}
    Path("spec.yaml").write_text(json.dumps(spec))
    assert main(["check", "spec.yaml", "--fast"]) == 0
    said = "".join(capfd.readouterr())
    assert (TORN in said) == torn, said
    assert ("columns: {patient: group}" in said) == torn


@pytest.mark.parametrize("size", ["-3", "0", "[40, -48]", "[40, 48, 3]", "[40]", "70000"])
@pytest.mark.parametrize("tag", ["image", "video"])
def test_a_size_that_is_none_is_refused_with_its_place(
    tag: str, size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "a.yaml"
    spec.write_text(f"data: t.csv\ninputs:\n  x: {{type: {tag}, size: {size}}}\noutputs: {{y: category}}\n")
    assert main(["check", str(spec)]) == 2
    said = capsys.readouterr().err
    assert "a.yaml:3: inputs.x.size: expected one side, or height and width, from 1 to 65,536 pixels" in said
