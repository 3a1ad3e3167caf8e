"""Arrow and Feather files give their rows as they are, and what is damaged is refused in plain words."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather

from dapeng.core.errors import DataError
from dapeng.core.spec import Data
from dapeng.data.open import open_data
from dapeng.data.table import Source

TABLE = pa.table({"x": list(range(1000)), "d": pa.array(["u", "v"] * 500).dictionary_encode(), "s": ["a", None] * 500})


def source(path: Path, **options: object) -> Source:
    return open_data(Data(path=str(path), **options)).whole()


def stream(path: Path, table: pa.Table = TABLE, rows: int = 300) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, rows)
    return path


def file_format(path: Path, table: pa.Table = TABLE) -> Path:
    feather.write_feather(table, path, chunksize=300)
    return path


@pytest.mark.parametrize("write", [stream, file_format])
@pytest.mark.parametrize("name", ["t.arrow", "t.feather", "t.ipc", "without_ending"])
def test_stream_and_file_format_keep_types_and_dictionaries_become_values(tmp_path: Path, write, name: str) -> None:
    found = source(write(tmp_path / name))
    table = found.read()
    assert table.schema.types == [pa.int64(), pa.string(), pa.string()]
    assert table.to_pylist() == TABLE.to_pylist()
    assert found.count() == 1000
    assert [(b.start, len(b)) for b in found.blocks(["s"], rows=200)][:3] == [(0, 200), (200, 100), (300, 200)]


def test_the_number_of_rows_of_the_file_format_is_known_without_reading(tmp_path: Path) -> None:
    assert source(file_format(tmp_path / "t.arrow")).rows == 1000
    assert source(stream(tmp_path / "u.arrow")).rows is None


@pytest.mark.parametrize("write", [stream, file_format])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused_in_plain_words(tmp_path: Path, write, share: float) -> None:
    raw = write(tmp_path / "t.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(DataError, match=r"cut\.arrow: (is not a whole Arrow file|the file is empty)") as caught:
        source(tmp_path / "cut.arrow").read()
    assert caught.value.problems[0].hint


def test_offsets_that_lie_outside_the_file_are_refused_and_end_no_process(tmp_path: Path) -> None:
    table = pa.table({"s": ["abc"] * 100})
    raw = bytearray(stream(tmp_path / "t.arrow", table).read_bytes())
    at = raw.index((3).to_bytes(4, "little") + (6).to_bytes(4, "little"))  # the offsets of the strings: 0, 3, 6, ...
    raw[at + 4 : at + 8] = (0x7FFFFFF0).to_bytes(4, "little")
    (tmp_path / "bad.arrow").write_bytes(raw)
    with pytest.raises(DataError, match="is not a whole Arrow file"):
        source(tmp_path / "bad.arrow").read()


def test_the_first_feather_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.feather").write_bytes(b"FEA1" + b"\0" * 100)
    with pytest.raises(DataError, match="Feather of version 1"):
        source(tmp_path / "old.feather")


def test_two_columns_of_one_name_and_no_rows_are_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(DataError, match="two columns are called 'a'"):
        source(stream(tmp_path / "t.arrow", twice))
    with pytest.raises(DataError, match="no rows"):
        source(file_format(tmp_path / "u.arrow", TABLE.slice(0, 0)))
    with pytest.raises(DataError, match="no rows"):
        source(stream(tmp_path / "v.arrow", TABLE.slice(0, 0))).read()


def test_train_and_test_files_in_a_folder_are_parts(tmp_path: Path) -> None:
    stream(tmp_path / "train.arrow")
    file_format(tmp_path / "test.feather")
    assert set(open_data(Data(path=str(tmp_path))).parts) == {"train", "test"}


def test_the_fingerprint_changes_with_the_content(tmp_path: Path) -> None:
    one, two = stream(tmp_path / "a.arrow"), stream(tmp_path / "b.arrow", TABLE.slice(1))
    assert source(one).fingerprint() == source(one).fingerprint() != source(two).fingerprint()


def test_a_stream_that_ends_between_two_batches_is_said(tmp_path: Path) -> None:
    raw = stream(tmp_path / "t.arrow").read_bytes()
    assert source(tmp_path / "t.arrow").all_notes() == []
    last = raw.rindex(b"\xff\xff\xff\xff", 0, len(raw) - 8)  # where the last batch begins
    (tmp_path / "u.arrow").write_bytes(raw[:last])
    found = source(tmp_path / "u.arrow")
    assert found.read().num_rows == 900
    assert [n.what for n in found.all_notes()] == ["the stream has no end mark: it may be cut short"]
