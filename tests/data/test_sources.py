"""Addresses of every kind become the rows that they hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dapeng.core.errors import DapengError, DataError
from dapeng.core.spec import Data
from dapeng.data.open import Opened, open_data
from dapeng.data.table import Frame


def opened(path: object, **options: object) -> Opened:
    return open_data(Data(path=str(path), **options))


def rows(path: object, **options: object) -> list[dict]:
    return opened(path, **options).whole().read().to_pylist()


def pictures(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(root / path)
    return root


def test_parquet_keeps_its_types_and_reads_the_columns_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [1, 2, 3], "y": ["a", None, "c"]}), path, row_group_size=2)
    source = opened(path).whole()
    assert source.rows == 3
    assert source.read().schema.types == [pa.int64(), pa.string()]
    blocks = list(source.blocks(["y"], rows=2))
    assert [(b.start, len(b)) for b in blocks] == [(0, 2), (2, 1)]
    assert blocks[0].columns.column_names == ["y"]


def test_json_lines_and_a_json_list_give_the_same_rows(tmp_path: Path) -> None:
    records = [{"x": i, "y": f"t{i}", "z": [i, i + 1]} for i in range(20_000)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(r) for r in records))
    (tmp_path / "u.json").write_text(json.dumps(records, indent=1))
    (tmp_path / "v.jsonl.gz").write_bytes(gzip.compress("\n".join(json.dumps(r) for r in records).encode()))
    for name in ("t.jsonl", "u.json", "v.jsonl.gz"):
        assert rows(tmp_path / name) == records


def test_json_of_mixed_types_becomes_text_and_missing_keys_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"x": 1}\n{"x": "n/a", "y": true}\n')
    assert rows(path) == [{"x": "1", "y": None}, {"x": "n/a", "y": True}]


def test_whole_numbers_beyond_64_bits_stay_exact_in_json(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"x": 123456789012345678901234}\n')
    assert rows(path) == [{"x": "123456789012345678901234"}]


def test_a_number_that_turns_up_late_as_text_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"x": 1}\n' * 70_000 + '{"x": "two"}\n')
    table = opened(path).whole().read()
    assert table.column("x")[0].as_py() == "1"
    assert table.column("x")[-1].as_py() == "two"


def test_a_folder_of_pictures_takes_labels_from_its_folders(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets", "cat/1.png", "cat/2.png", "dog/1.png")
    (root / "dog" / "notes.txt").write_text("not a picture")
    (root / ".DS_Store").write_text("junk")
    found = opened(root)
    assert found.whole().base == root
    assert rows(root) == [
        {"image": "cat/1.png", "label": "cat"},
        {"image": "cat/2.png", "label": "cat"},
        {"image": "dog/1.png", "label": "dog"},
    ]
    assert [n.count for n in found.notes()] == [1]


def test_train_and_test_folders_are_given_parts(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets", "train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "test/dog/1.png")
    found = opened(root)
    assert set(found.parts) == {"train", "validation", "test"}
    assert found.given().tolist() == [0, 0, 1, 2]
    whole = found.whole().read().to_pylist()
    assert all(Path(r["image"]).is_file() for r in whole), (
        "paths of parts start from different folders, so they are whole"
    )


def test_a_flat_folder_has_paths_alone(tmp_path: Path) -> None:
    assert rows(pictures(tmp_path / "flat", "1.png", "2.png")) == [{"image": "1.png"}, {"image": "2.png"}]


def test_a_folder_of_tables_is_its_tables(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/train.csv", "a/test.csv", "b/jan.csv", "b/feb.csv"):
        (tmp_path / name).write_text(f"x,y\n1,{name[0]}\n")
    assert set(opened(tmp_path / "a").parts) == {"train", "test"}
    assert len(rows(tmp_path / "b")) == 2


def test_a_pattern_reads_all_files_in_order_and_names_the_file_of_a_row(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{name},1\n")
    source = opened(tmp_path / "*.csv").whole()
    assert source.read().column("x").to_pylist() == ["a", "b"]
    assert source.where(1) == "b.csv:2"
    assert [b.start for b in source.blocks()] == [0, 1]


def test_files_of_a_pattern_must_agree_and_the_error_names_what_differs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv: has no column 'y'; has a column more: 'z', unlike a\.csv"):
        opened(tmp_path / "*.csv")


def test_parts_may_have_columns_more_but_none_less(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("q,y,x\n0,2,1\n")
    found = open_data(Data(train="a.csv", test="b.csv"), tmp_path)
    assert found.whole().read().to_pylist() == [{"x": "1", "y": "2"}] * 2
    assert "q" in found.notes()[0].what
    with pytest.raises(DataError, match="has no column 'q'"):
        open_data(Data(train="b.csv", test="a.csv"), tmp_path)


def test_max_rows_stops_reading(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "1\n" * 100)
    source = opened(path, max_rows=7).whole()
    assert source.read().num_rows == 7
    assert source.rows == 7


@pytest.mark.parametrize(
    "thing",
    [
        pd.DataFrame({"x": [1, 2], "y": ["a", None]}),
        pa.table({"x": [1, 2], "y": ["a", None]}),
        {"x": [1, 2], "y": ["a", None]},
        [{"x": 1, "y": "a"}, {"x": 2}],
        pa.record_batch({"x": [1, 2], "y": ["a", None]}),
    ],
    ids=lambda t: type(t).__name__,
)
def test_rows_in_memory(thing: object) -> None:
    source = open_data(Data(), objects={"all": thing}).whole()
    assert source.read().to_pylist() == [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
    assert source.rows == 2


def test_anything_that_streams_arrow_is_a_frame() -> None:
    class Other:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"x": [1]}).__arrow_c_stream__(requested_schema)

    assert open_data(Data(), objects={"all": Other()}).whole().read().to_pylist() == [{"x": 1}]


def test_equal_frames_have_equal_fingerprints_however_they_are_cut() -> None:
    table = pa.table({"x": list(range(100)), "y": [str(i) for i in range(100)]})
    pieces = pa.concat_tables([table.slice(0, 30), table.slice(30)])
    assert Frame(table).fingerprint() == Frame(pieces).fingerprint() == Frame(pieces.slice(0)).fingerprint()
    assert Frame(table).fingerprint() != Frame(table.slice(1)).fingerprint()


@pytest.mark.parametrize(
    ("address", "options", "what", "hint"),
    [
        ("reveiws.csv", {}, "no such file", "did you mean 'reviews.csv'?"),
        ("https://example.org/x.csv", {}, "no https:// address", "download"),
        ("s4://bucket/x.csv", {}, "no s4:// address", "download"),
        ("sample:digts", {}, "no such sample", "did you mean sample:digits?"),
        ("*.parquet", {}, "no file fits the pattern", "looked in"),
        ("reviews.csv", {"format": "cvs"}, "unknown format 'cvs'", "did you mean 'csv'?"),
        ("reviews.csv", {"encoding": "utf-9"}, "unknown encoding 'utf-9'", "gb18030"),
        ("nowhere/x.csv", {}, "there is no folder", "working folder"),
    ],
)
def test_what_is_not_there_is_an_error_with_a_next_step(
    tmp_path: Path, address: str, options: dict, what: str, hint: str
) -> None:
    (tmp_path / "reviews.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DapengError) as caught:
        open_data(Data(path=address, **options), tmp_path).whole().read()
    assert what in str(caught.value)
    assert hint in str(caught.value)


def test_files_without_an_ending_are_known_by_their_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "one")
    (tmp_path / "two").write_text('{"x": 1}\n')
    (tmp_path / "three").write_text("x\n1\n")
    assert [rows(tmp_path / n) for n in ("one", "two", "three")] == [[{"x": 1}], [{"x": 1}], [{"x": "1"}]]


@pytest.mark.parametrize(
    ("magic", "what"), [(b"PK\x03\x04zip", "Excel workbook"), (b"\x80\x04\x95pickle", "pickle"), (b"%PDF-1.7", "PDF")]
)
def test_other_kinds_of_files_named_csv_are_refused_by_name(tmp_path: Path, magic: bytes, what: str) -> None:
    (tmp_path / "t.csv").write_bytes(magic)
    with pytest.raises(DataError, match=what):
        opened(tmp_path / "t.csv")
