"""The two readers of CSV give the same rows, stream in bounded memory, and know the line of every row."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dapeng.core.errors import DataError
from dapeng.core.spec import Data
from dapeng.data.sources.csv import CsvSource

CELL = st.text(st.sampled_from(list('ab1 ,;"\n\r\té大🐦\u2028')), max_size=6)
TABLES = st.integers(1, 4).flatmap(lambda k: st.lists(st.lists(CELL, min_size=k, max_size=k), min_size=1, max_size=12))


def write(path: Path, rows: list[list[str]], delimiter: str, end: str, last: bool) -> None:
    text = io.StringIO()
    header = [f"column{i}" for i in range(len(rows[0]))]
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    raw = text.getvalue() if last else text.getvalue()[: -len(end)]
    path.write_bytes(raw.encode())


def cells(source: CsvSource, careful: bool, rows: int = 65_536) -> list[list[str]]:
    source.careful = careful
    return [list(r.values()) for block in source.blocks(rows=rows) for r in block.columns.to_pylist()]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TABLES, delimiter=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans())
def test_both_readers_give_back_what_was_written(
    tmp_path: Path, rows: list[list[str]], delimiter: str, end: str, last: bool
) -> None:
    path = tmp_path / "t.csv"
    write(path, rows, delimiter, end, last)
    source = CsvSource(path, Data(delimiter=delimiter))
    assert cells(source, careful=False) == rows
    assert not source.careful, "the fast reader gave up on a good file"
    assert cells(source, careful=True, rows=3) == rows


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from(list('ab,"\n ')), max_size=40))
def test_both_readers_agree_on_unquoted_and_odd_texts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + text, newline="")

    def outcome(careful: bool) -> object:
        try:
            return cells(CsvSource(path, Data(delimiter=",")), careful)
        except DataError as error:
            return str(error)

    assert outcome(False) == outcome(True)


def test_the_careful_reader_takes_over_in_the_middle_without_losing_or_repeating_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    count = 600_000
    with path.open("w") as file:
        file.write("x,y\n")
        file.writelines(f"{i},some words to fill the line\n" if i != 500_000 else f"{i}\n" for i in range(count))
    source = CsvSource(path, Data())
    seen = 0
    for block in source.blocks(["x"]):
        assert block.start == seen
        assert block.columns.column("x")[0].as_py() == str(seen)
        seen += len(block)
    assert seen == count
    assert source.careful
    assert source.where(500_001) == "t.csv:500003"


def test_where_counts_lines_within_quotes_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x,y\n1,"two\nlines"\n\n2,b\n3,c\n')
    source = CsvSource(path, Data())
    assert [source.where(i) for i in range(3)] == ["t.csv:2", "t.csv:5", "t.csv:6"]


def test_where_skips_rows_that_were_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\n1,2,3\n2,b\n")
    source = CsvSource(path, Data(bad_rows="quarantine", max_bad=0.5))
    assert source.where(1) == "t.csv:4"
    assert source.read().num_rows == 2


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [("a,b\n1,2\n", ","), ("a;b\n1,5;2\n", ";"), ("a\tb\n1,2\t3\n", "\t"), ("a|b\n1|2\n", "|"), ("a\nx\n", ",")],
)
def test_the_separator_is_found(tmp_path: Path, head: str, delimiter: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(head)
    assert CsvSource(path, Data()).dialect.delimiter == delimiter


def test_english_thousands_are_no_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x,y\n"1,234",a\n"12,500",b\n')
    assert CsvSource(path, Data()).decimal == "."


def test_an_encoding_that_shows_late_is_still_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,y\n" + b"plain ascii,a\n" * 200_000 + ("很好的一本书,b\n" * 50).encode("gbk"))
    source = CsvSource(path, Data())
    assert source.read(["x"]).column("x")[-1].as_py() == "很好的一本书"
    assert any("GB18030" in n.what for n in source.notes)


def test_an_invalid_byte_far_into_a_file_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    good = "很好,a\n".encode() * 300_000
    path.write_bytes(b"x,y\n" + good + b"\xff\xff,b\n" + good)
    with pytest.raises(DataError, match=r"t\.csv:300002: byte 0xff"):
        CsvSource(path, Data()).read()


def test_a_packed_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(b"x,y\n1,a\n"))
    assert CsvSource(path, Data()).read().to_pylist() == [{"x": "1", "y": "a"}]


def test_a_gzip_file_that_is_cut_short_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" + bytes(str(list(range(9999))), "ascii"))[:-100])
    with pytest.raises(DataError, match="damaged or cut short"):
        CsvSource(path, Data()).read()


def test_the_fingerprint_follows_content_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\n")
    first = CsvSource(path, Data()).fingerprint()
    assert first == CsvSource(path, Data()).fingerprint()
    assert first != CsvSource(path, Data(delimiter=";")).fingerprint()
    path.write_text("x,y\n1,b\n")
    assert first != CsvSource(path, Data()).fingerprint()
