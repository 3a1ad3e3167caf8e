"""COCO, Pascal VOC and YOLO: three ways to write the same boxes, and what is wrong with them in words."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import scenes  # type: ignore[import-not-found]

from dapeng.api import init, train
from dapeng.columns.boxes import boxes_of
from dapeng.core.errors import DataError
from dapeng.core.spec import Data
from dapeng.data.open import open_data

NAMES = ["bar", "square"]


def rows(count: int = 6) -> list[tuple[bytes, list[dict[str, Any]]]]:
    table = scenes(count, seed=2)
    return [(p, json.loads(b)) for p, b in zip(table.column("photo").to_pylist(), table.column("things").to_pylist())]


def write_coco(folder: Path, change: Any = None) -> Path:
    images, annotations = [], []
    (folder / "images").mkdir()
    for i, (picture, boxes) in enumerate(rows()):
        (folder / "images" / f"{i}.png").write_bytes(picture)
        images.append({"id": 10 + i, "file_name": f"{i}.png", "width": 64, "height": 48})
        for b in boxes:
            place = [b["x1"], b["y1"], b["x2"] - b["x1"], b["y2"] - b["y1"]]
            one = {
                "id": len(annotations),
                "image_id": 10 + i,
                "category_id": 1 + NAMES.index(b["label"]),
                "bbox": place,
            }
            annotations.append({**one, "iscrowd": 0, "area": place[2] * place[3]})
    found = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES, 1)],
    }
    if change is not None:
        change(found)
    (folder / "things.json").write_text(json.dumps(found))
    return folder / "things.json"


def write_voc(folder: Path, lists: bool = True) -> Path:
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for i, (picture, boxes) in enumerate(rows()):
        (folder / "JPEGImages" / f"{i}.png").write_bytes(picture)
        things = "".join(
            f"<object><name>{b['label']}</name><bndbox><xmin>{b['x1']}</xmin><ymin>{b['y1']}</ymin>"
            f"<xmax>{b['x2']}</xmax><ymax>{b['y2']}</ymax></bndbox></object>"
            for b in boxes
        )
        (folder / "Annotations" / f"{i}.xml").write_text(
            f"<annotation><filename>{i}.png</filename>{things}</annotation>"
        )
    if lists:
        (folder / "ImageSets/Main/train.txt").write_text("0\n1\n2\n3\n")
        (folder / "ImageSets/Main/test.txt").write_text("4\n5\n")
    return folder


def write_yolo(folder: Path, line: str = "") -> Path:
    for part in ("train", "val"):
        for name in ("images", "labels"):
            (folder / name / part).mkdir(parents=True)
    for i, (picture, boxes) in enumerate(rows()):
        part = "train" if i < 4 else "val"
        (folder / "images" / part / f"{i}.png").write_bytes(picture)
        said = [
            f"{NAMES.index(b['label'])} {(b['x1'] + b['x2']) / 128} {(b['y1'] + b['y2']) / 96} "
            f"{(b['x2'] - b['x1']) / 64} {(b['y2'] - b['y1']) / 48}"
            for b in boxes
        ]
        (folder / "labels" / part / f"{i}.txt").write_text("\n".join([*said, line] if i == 0 and line else said))
    (folder / "data.yaml").write_text("names:\n  0: bar\n  1: square\n")
    return folder


def same(source: Any, wanted: list[tuple[bytes, list[dict[str, Any]]]]) -> None:
    assert source.names == ["image", "boxes"]
    table = source.read()
    for path, cell, (picture, boxes) in zip(
        table.column("image").to_pylist(), table.column("boxes").to_pylist(), wanted
    ):
        assert (source.base / path).read_bytes() == picture
        places, labels = boxes_of(cell)  # type: ignore[misc]
        assert labels == [b["label"] for b in boxes]
        np.testing.assert_allclose(places, [[b[k] for k in ("x1", "y1", "x2", "y2")] for b in boxes], atol=1e-4)


def test_coco_is_told_from_other_json_and_read(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    same(open_data(Data(path=str(path))).whole(), rows())
    (tmp_path / "list.json").write_text('[{"a": 1}, {"a": 2}]')
    assert open_data(Data(path=str(tmp_path / "list.json"))).whole().names == ["a"]


def test_a_folder_with_a_coco_file_is_read_as_it(tmp_path: Path) -> None:
    write_coco(tmp_path)
    same(open_data(Data(path=str(tmp_path))).whole(), rows())
    assert "boxes: boxes" in init(tmp_path)
    assert str(tmp_path) in init(tmp_path).splitlines()[0]


@pytest.mark.parametrize(
    "names",
    [
        ("annotations/instances_train2017", "annotations/instances_val2017"),
        ("train/_a", "valid/_a"),
        ("Train/_a", "Validation/_a"),
        ("annotations/train", "annotations/validation"),
    ],
)
def test_coco_files_of_parts_are_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    whole = write_coco(tmp_path).read_bytes()
    (tmp_path / "things.json").unlink()
    for name in names:
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole)
        if "annotations" not in name:
            shutil.copytree(tmp_path / "images", path.parent / "images")
        elif "instances" in name:
            (path.parent / "captions_train2017.json").write_text('{"images": [], "annotations": []}')
    opened = open_data(Data(path=str(tmp_path)))
    assert {n: s.count() for n, s in opened.parts.items()} == {"train": 6, "validation": 6}
    same(opened.parts["validation"], rows())


def of_classes(folder: Path) -> Path:
    """Pictures in a folder for each class."""
    for i, (picture, _) in enumerate(rows(4)):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (folder / "ab"[i % 2] / f"{i}.png").write_bytes(picture)
    return folder


STRAY = [
    ("info.json", '{"name": "pets", "categories": ["a", "b"]}'),
    ("meta.json", '{"images": ["a/0.png"], "annotations": []}'),
    ("more.json", '{"images": [{"id": 1, "file_name": "0.png"}]}'),
    ("0.xml", "<metadata/>"),
]


@pytest.mark.parametrize(("name", "text"), STRAY)
def test_what_else_lies_in_a_folder_of_classes_changes_nothing(tmp_path: Path, name: str, text: str) -> None:
    folder = of_classes(tmp_path)
    for place in (folder, folder / "a"):
        (place / name).write_text(text)
    assert open_data(Data(path=str(folder))).whole().names == ["image", "label"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_links_that_lead_nowhere_hidden_files_and_folders_called_like_files_are_passed_over(tmp_path: Path) -> None:
    folder = of_classes(tmp_path / "classes")
    (folder / "x.json").mkdir()
    assert open_data(Data(path=str(folder))).whole().names == ["image", "label"]
    (folder / "labels.json").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"is a link to .*, which isn't there"):
        open_data(Data(path=str(folder)))
    pairs = beside(tmp_path / "pairs", [""])
    (pairs / ".#0.xml").symlink_to(tmp_path / "gone")
    (pairs / "._0.xml").write_bytes(b"\0\5\x16\7")
    same(open_data(Data(path=str(pairs))).whole(), rows())


def test_a_folder_with_several_coco_files_of_no_part_is_no_coco_folder(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    (tmp_path / "more.json").write_bytes(path.read_bytes())
    assert "boxes" not in open_data(Data(path=str(tmp_path))).whole().names
    with pytest.raises(DataError, match="several that are not one for each part"):
        open_data(Data(path=str(tmp_path), format="coco"))


def beside(folder: Path, parts: list[str]) -> Path:
    """Pictures with an annotation beside each, in folders of these names."""
    voc = write_voc(folder.with_name(f"{folder.name}-voc"))
    for part in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
        for path in [*(voc / "JPEGImages").iterdir(), *(voc / "Annotations").iterdir()]:
            shutil.copy(path, folder / part)
    return folder


@pytest.mark.parametrize("parts", [[""], ["train", "valid"], ["Train", "Validation"]])
def test_annotations_beside_their_pictures_are_read_and_pictures_without_one_counted(
    tmp_path: Path, parts: list[str]
) -> None:
    folder = beside(tmp_path / "beside", parts)
    for part in parts:
        (folder / part / "unseen.png").write_bytes(rows()[0][0])
    opened = open_data(Data(path=str(folder)))
    assert list(opened.parts) == (["all"] if parts == [""] else ["train", "validation"])
    for source in opened.parts.values():
        same(source, rows())
        assert source.notes[0].what == "1 pictures have no annotation of their own beside them and are left out"
    assert "boxes: boxes" in init(folder)


def test_a_note_of_a_source_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = beside(tmp_path / "beside", ["train", "val", "test"])
    (folder / "train" / "unseen.png").write_bytes(rows()[0][0])
    train(folder, target=["boxes"], overrides=["train.steps=1", "evaluate.resamples=0"], runs=tmp_path / "runs")
    said = [line for line in capsys.readouterr().err.splitlines() if "have no annotation" in line]
    assert said == ["warning: beside train: 1 pictures have no annotation of their own beside them and are left out"]


def test_pairs_beside_the_folders_of_parts_are_left_out_and_said(tmp_path: Path) -> None:
    opened = open_data(Data(path=str(beside(tmp_path / "beside", ["", "train", "val"]))))
    assert list(opened.parts) == ["train", "validation"]
    assert "6 pictures beside the folders of the parts are left out" in [n.what for n in opened.notes()]


def test_the_picture_beside_an_annotation_counts_whatever_the_annotation_calls_it(tmp_path: Path) -> None:
    folder = beside(tmp_path / "beside", [""])
    (folder / "0.png").rename(folder / "0.PNG")
    (folder / "0.xml").rename(folder / "0.XML")
    (folder / "1.xml").write_text((folder / "1.xml").read_text().replace("1.png", "2.jpg"))
    same(open_data(Data(path=str(folder))).whole(), rows())


def test_a_voc_folder_with_a_pair_beside_its_folders_stays_one(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc", lists=False)
    shutil.copy(folder / "JPEGImages" / "0.png", folder)
    shutil.copy(folder / "Annotations" / "0.xml", folder)
    same(open_data(Data(path=str(folder))).whole(), rows())


def test_coco_crowds_are_left_out_and_said(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["annotations"][0]["iscrowd"] = 1

    source = open_data(Data(path=str(write_coco(tmp_path, change)))).whole()
    assert "1 boxes around crowds" in source.notes[0].what


def test_voc_lists_are_parts(tmp_path: Path) -> None:
    opened = open_data(Data(path=str(write_voc(tmp_path / "voc"))))
    assert {n: s.count() for n, s in opened.parts.items()} == {"train": 4, "test": 2}
    same(opened.parts["train"], rows()[:4])
    same(opened.parts["test"], rows()[4:])


def test_voc_without_lists_is_one_table(tmp_path: Path) -> None:
    same(open_data(Data(path=str(write_voc(tmp_path / "voc", lists=False)))).whole(), rows())


def test_yolo_shares_become_pixels_and_folders_parts(tmp_path: Path) -> None:
    opened = open_data(Data(path=str(write_yolo(tmp_path / "yolo"))))
    assert {n: s.count() for n, s in opened.parts.items()} == {"train": 4, "validation": 2}
    same(opened.parts["train"], rows()[:4])


def test_d02_an_unknown_class_id_is_refused_with_the_id(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["annotations"][1]["category_id"] = 77

    with pytest.raises(DataError, match="annotation 1: class id 77 is none of those that are named: 1 bar, 2 square"):
        open_data(Data(path=str(write_coco(tmp_path, change))))
    with pytest.raises(DataError, match=r"0\.txt:\d+: class id 9 is none"):
        open_data(Data(path=str(write_yolo(tmp_path / "yolo", "9 0.5 0.5 0.1 0.1"))))


@pytest.mark.parametrize("line", ["0 0.5 0.5", "cat 0.1 0.1 0.1 0.1", "0 a b c d"])
def test_a_line_that_is_no_box_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"0\.txt:\d+: is not a class and four numbers"):
        open_data(Data(path=str(write_yolo(tmp_path, line))))


def test_xml_with_entities_or_cut_off_is_refused(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc")
    path = folder / "Annotations" / "1.xml"
    whole = path.read_text()
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]>' + whole)
    with pytest.raises(DataError, match="declares a document type"):
        open_data(Data(path=str(folder)))
    path.write_text(whole[:-20])
    with pytest.raises(DataError, match="not whole XML"):
        open_data(Data(path=str(folder)))


def test_a_list_can_t_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc")
    (folder / "ImageSets/Main/train.txt").write_text("../../secret\n")
    (tmp_path / "secret.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match="no such annotation"):
        open_data(Data(path=str(folder)))
