"""Every table of BAD_INPUTS.md that concerns reading ends in its named way, with the line that the file has."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from make import IDS, make  # type: ignore[import-not-found]

from dapeng.checks.look import check
from dapeng.core.errors import DapengError, DataError, LimitError
from dapeng.core.spec import Data
from dapeng.data.infer import Guess, infer
from dapeng.data.open import Opened, open_data

REJECT = {
    "T01": "T01.csv: the file is empty",
    "T02": "T02.csv: no rows",
    "T07": "T07.csv:7: byte",
    "T09": "T09.csv:202: 3 cells where the header has 2",
    "T11": "T11.csv:3: a quote",
    "T14": "T14.csv:1: the column name 'a' stands in columns 1 and 3",
    "T34": "T34.parquet: is not a whole Parquet file",
    "T36": "T36.jsonl:301: NaN is not JSON",
    "T36b": "T36b.jsonl:301: ",
    "T40": "T40.csv: looks like HTML",
    "C08": "C08.tar: '../../up.txt': leads out of the archive",
    "C08b": "C08b.tar: '1.txt': is a link",
    "F01": "F01.xls: is a web page that is called a workbook",
    "F02": "F02.xls: is text, not a workbook",
    "F03": "F03.xlsx: is protected by a password",
    "F04": "F04.xlsx: is not a whole workbook",
    "F07": "F07.db: is not an SQLite database",
    "F08": "F08.feather: is Feather of version 1",
    "F09": "F09.arrow: is not a whole Arrow file",
    "F10": "F10.tar: the sample '1' has two files that end in .txt",
    "F11": "F11.tar: is not a whole tar archive",
    "F13": "F13.tar: is not a whole tar archive",
}
NEEDS = {".xls": "python_calamine", ".xlsx": "python_calamine", ".db": "sqlalchemy"}
LIMIT = {
    "T12": "T12.csv:3: a cell is larger than 1,000,000 bytes",
    "T37": "T37.jsonl:2: nested more than 64 deep",
    "T37b": "T37b.json:record 2: nested more than 64 deep",
    "T39": "unpacks to more than 100 times its size",
    "X02": "X02.csv:2: a cell is larger than 1,000,000 bytes",
    "F05": "almost all of them empty",
    "F06": "unpacks to more than 100 times its size",
    "F12": "unpacks to more than 100 times its size",
}
REPAIR = {
    "T04": "read as UTF-16",
    "T05": "read as GB18030",
    "T06": "read as GB18030",
    "T08": "read as Windows-1252",
    "T10": "1 row has too few cells: left empty at their end (y)",
    "T15": "the header leaves 1 column without a name",
    "T17": "1 NUL byte was left out",
    "T19": "read with semicolon as separator and decimal comma",
    "X01": "read as Windows-1252",
    "X01b": "half a surrogate pair is replaced by U+FFFD",
}
QUARANTINE = {"T09": "T09.csv:202", "T36": "T36.jsonl:301", "T36b": "T36b.jsonl:301"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("bad"))


def read(path: Path, **options: object) -> tuple[Opened, list[dict]]:
    opened = open_data(Data(path=str(path), **options))
    return opened, opened.whole().read().to_pylist()


def guesses(path: Path, target: str = "y") -> dict[str, Guess]:
    opened = open_data(Data(path=str(path)))
    return {g.name: g for g in infer(opened.whole(), [target])}


@pytest.mark.parametrize("identity", sorted(REJECT | LIMIT))
def test_it_is_refused_with_file_and_line_within_two_seconds_and_200_megabytes(
    identity: str, paths: dict[str, Path]
) -> None:
    pytest.importorskip(NEEDS.get(paths[identity].suffix, "json"), reason="the extra that reads it is not installed")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(DapengError) as caught:
        read(paths[identity])
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (
        1024 if sys.platform != "darwin" else 1 << 20
    )
    assert (REJECT | LIMIT)[identity] in str(caught.value)
    assert isinstance(caught.value, LimitError) == (identity in LIMIT)
    assert isinstance(caught.value, DataError)
    assert all(p.hint for p in caught.value.problems), "what to do next is missing"
    assert seconds < 2
    assert grown < 200


@pytest.mark.parametrize("identity", sorted(REPAIR))
def test_it_is_mended_and_said_once(identity: str, paths: dict[str, Path]) -> None:
    opened, _ = read(paths[identity])
    opened.whole().read()
    said = [n for n in opened.notes() if REPAIR[identity] in n.what]
    assert len(said) == 1, opened.notes()


@pytest.mark.parametrize("identity", sorted(QUARANTINE))
def test_a_bad_row_is_left_out_and_named_if_asked(identity: str, paths: dict[str, Path]) -> None:
    opened, rows = read(paths[identity], bad_rows="quarantine")
    left_out = [n for n in opened.notes() if n.kind == "quarantine"]
    assert [n.where for n in left_out] == [QUARANTINE[identity]]
    assert len(rows) >= 200


def test_quarantine_past_max_bad_is_an_error(paths: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="max_bad"):
        read(paths["T09"], bad_rows="quarantine", max_bad=0.001)


def test_t03_a_byte_order_mark_vanishes_in_silence(paths: dict[str, Path]) -> None:
    opened, rows = read(paths["T03"])
    assert opened.names == ["x", "y"]
    assert rows[0] == {"x": "0.5", "y": "a"}
    assert opened.notes() == []


def test_texts_of_other_encodings_arrive_as_written(paths: dict[str, Path]) -> None:
    assert read(paths["T04"])[1][0]["x"] == "café 0"
    assert read(paths["T05"])[1][0] == {"标题": "这本书写得很好0", "类别": "a"}
    assert read(paths["T06"])[1][1]["x"] == "𠮷野家㐀1"
    assert read(paths["T08"])[1][0]["x"] == "“naïve café” 0"


def test_t07_goes_on_where_replacing_is_allowed(paths: dict[str, Path]) -> None:
    opened, rows = read(paths["T07"], encoding_errors="replace")
    assert len(rows) == 7
    assert "\ufffd" in rows[5]["x"]
    assert any("replaced by U+FFFD" in n.what for n in opened.notes())


def test_t10_the_short_row_is_filled_and_its_line_named(paths: dict[str, Path]) -> None:
    opened, rows = read(paths["T10"])
    assert rows[1] == {"x": "2", "y": ""}
    assert [n.where for n in opened.notes()] == ["T10.csv:3"]


def test_t15_a_saved_index_is_not_read(paths: dict[str, Path]) -> None:
    assert guesses(paths["T15"])["unnamed 1"].role == "ignore"


def test_t16_formulas_are_text(paths: dict[str, Path]) -> None:
    assert read(paths["T16"])[1][0]["x"].startswith("=cmd")


def test_t17_the_number_stays_a_number(paths: dict[str, Path]) -> None:
    assert read(paths["T17"])[1][0]["x"] == "1"


def test_t19_decimal_commas_reach_the_number_column(paths: dict[str, Path]) -> None:
    assert guesses(paths["T19"])["x"].options == {"type": "number", "decimal": ","}


@pytest.mark.parametrize("column", ["amount", "share", "change"])
def test_t20_amounts_are_numbers(column: str, paths: dict[str, Path]) -> None:
    assert guesses(paths["T20"])[column].options == {"type": "number"}


def test_t26_words_for_missing_leave_a_number_column(paths: dict[str, Path]) -> None:
    guess = guesses(paths["T26"])["x"]
    assert guess.options == {"type": "number"}
    assert "3 cells say that there is none" in guess.reason


def test_t27_long_integers_are_names(paths: dict[str, Path]) -> None:
    assert guesses(paths["T27"])["key"].role == "id"


def test_t30_lookalikes_and_variants_are_found(paths: dict[str, Path]) -> None:
    opened = open_data(Data(path=str(paths["T30"])))
    kinds = {f.kind for f in check(opened, infer(opened.whole(), ["y"]))}
    assert {"variants", "lookalike"} <= kinds


def test_t32_a_copy_of_the_target_is_a_leak(paths: dict[str, Path]) -> None:
    opened = open_data(Data(path=str(paths["T32"])))
    leaks = [f for f in check(opened, infer(opened.whole(), ["y"])) if f.kind == "leak"]
    assert [f.columns for f in leaks] == [("copy", "y")]


def test_t41_countries_and_names_that_look_missing_stay(paths: dict[str, Path]) -> None:
    _, rows = read(paths["T41"])
    assert rows[0] == {"country": "NA", "name": "None", "y": "a"}
    found = guesses(paths["T41"])
    assert found["country"].options == {"type": "category"}
    assert found["name"].options == {"type": "category"}


def test_i17_a_link_out_of_the_folder_is_refused_unless_allowed(paths: dict[str, Path]) -> None:
    assert len(read(paths["I17"])[1]) == 2
    with pytest.raises(DataError, match="link out of the data folder"):
        read(paths["I17"], allow_symlinks=False)


def test_i18_strange_names_are_read(paths: dict[str, Path]) -> None:
    opened, rows = read(paths["I18"])
    assert {r["label"] for r in rows} == {"🐱"}
    assert "🐱/a\nb.png" in {r["image"] for r in rows}
    assert len(rows) + sum(n.kind == "quarantine" for n in opened.notes()) >= 4


@pytest.mark.parametrize("identity", IDS)
def test_every_bad_input_is_written_and_opening_it_never_shows_a_traceback(
    identity: str, paths: dict[str, Path]
) -> None:
    path = paths[identity]
    if path.suffix in (".jpg", ".png", ".svg"):
        assert path.exists()
        return
    with suppress(DapengError):
        opened = open_data(Data(path=str(path)))
        infer(opened.whole())
