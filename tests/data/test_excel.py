"""Workbooks give typed columns; what is hidden, merged, broken, locked or in disguise is said."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import pytest

from dapeng.core.errors import DataError, LimitError, MissingExtra
from dapeng.core.spec import Data
from dapeng.data.open import open_data
from dapeng.data.table import Source

openpyxl = pytest.importorskip("openpyxl", reason="openpyxl writes the workbooks that are read here")
pytest.importorskip("python_calamine", reason="the extra excel is not installed")


def book(path: Path, rows: list[list], title: str = "First", **others: list[list]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.active.title = title
    for name, some in {title: rows, **others}.items():
        sheet = workbook[name] if name in workbook.sheetnames else workbook.create_sheet(name)
        for row in some:
            sheet.append(row)
    workbook.save(path)
    return path


def source(address: object, **options: object) -> Source:
    return open_data(Data(path=str(address), **options)).whole()


def said(found: Source) -> str:
    return "\n".join(f"{n.where}: {n.what}" for n in found.all_notes())


def test_cells_keep_their_types_and_whole_numbers_are_whole(tmp_path: Path) -> None:
    rows = [["n", "x", "when", "day", "ok", "word", "mixed"]]
    rows += [[i, i + 0.5, dt.datetime(2026, 1, 1, i), dt.date(2026, 1, 2), i % 2 == 0, f"w{i}", 1] for i in range(1, 3)]
    rows.append([3, None, None, None, None, None, "a"])
    table = source(book(tmp_path / "t.xlsx", rows)).read()
    assert [str(t) for t in table.schema.types] == [
        "int64",
        "double",
        "timestamp[us]",
        "date32[day]",
        "bool",
        "string",
        "string",
    ]
    assert table.column("mixed").to_pylist() == ["1", "1", "a"], "a label 1 is not called 1.0"
    assert table.to_pylist()[2]["x"] is None


def test_a_sheet_is_named_after_a_hash_and_the_first_is_read_else(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", [["a"], [1]], Second=[["b"], [2]])
    assert source(path).names == ["a"]
    assert "the sheet 'First' is read; there are more: Second" in said(source(path))
    found = source(f"{path}#Second")
    assert found.names == ["b"]
    assert said(found) == ""
    assert found.where(0) == "t.xlsx#Second:2"
    assert source(path).fingerprint() != found.fingerprint()
    with pytest.raises(DataError, match=r"no sheet 'Secnd'(.|\n)*did you mean t\.xlsx#Second"):
        source(f"{path}#Secnd")
    with pytest.raises(DataError, match=r"did you mean 't.xlsx'"):
        source(f"{tmp_path}/tt.xlsx#Second")


def test_a_sheet_is_found_from_the_folder_of_its_spec(tmp_path: Path) -> None:
    book(tmp_path / "t.xlsx", [["a"], [1]], Second=[["b"], [2]])
    assert open_data(Data(path="t.xlsx#Second"), tmp_path).names == ["b"]


def test_hidden_sheets_are_read_only_by_name(tmp_path: Path) -> None:
    workbook = openpyxl.load_workbook(book(tmp_path / "t.xlsx", [["a"], [1]], Second=[["b"], [2]]))
    workbook["First"].sheet_state = "hidden"
    workbook.active = 1
    workbook.save(tmp_path / "t.xlsx")
    assert source(tmp_path / "t.xlsx").names == ["b"]
    assert source(f"{tmp_path / 't.xlsx'}#First").names == ["a"]


def test_titles_empty_lines_and_empty_columns_do_not_disturb(tmp_path: Path) -> None:
    rows = [["Sales of 2026"], [], [None, "city", None, "amount"], [None, "Rom", None, 3], [], [None, "Bonn", None, 4]]
    found = source(book(tmp_path / "t.xlsx", rows))
    assert found.read().to_pylist() == [{"city": "Rom", "amount": 3}, {"city": "Bonn", "amount": 4}]
    assert found.where(1) == "t.xlsx#First:6"
    assert "stand in line 3; 1 lines above them are not read" in said(found)
    assert "1 empty lines" in said(found)


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    found = source(book(tmp_path / "t.xlsx", [["a", None], [1, 5]]))
    assert found.names == ["a", "unnamed 2"]
    assert "1 columns have no name" in said(found)


def test_cells_below_a_merged_one_get_its_value(tmp_path: Path) -> None:
    workbook = openpyxl.load_workbook(
        book(tmp_path / "t.xlsx", [["city", "x"], ["Rom", 1], [None, 2], [None, 3], ["Bonn", 4]])
    )
    workbook.active.merge_cells("A2:A4")
    workbook.save(tmp_path / "t.xlsx")
    found = source(tmp_path / "t.xlsx")
    assert found.read().column("city").to_pylist() == ["Rom", "Rom", "Rom", "Bonn"]
    assert "2 cells below a merged one get its value" in said(found)


def test_error_cells_and_formulas_without_a_value_are_missing_and_counted(tmp_path: Path) -> None:
    workbook = openpyxl.load_workbook(book(tmp_path / "t.xlsx", [["x", "y"], [1, 2], [3, None], [None, 5]]))
    sheet = workbook.active
    sheet["B3"] = "#N/A"
    sheet["A4"] = "=A2+A3"
    workbook.save(tmp_path / "t.xlsx")
    found = source(tmp_path / "t.xlsx")
    assert found.read().to_pylist() == [{"x": 1, "y": 2}, {"x": 3, "y": None}, {"x": None, "y": 5}]
    assert "1 cells hold an error such as #N/A" in said(found)
    assert "1 formulas have no stored value" in said(found)


def test_a_formula_is_its_stored_value(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", [["x"], [1], ["=A2+41"]])
    with zipfile.ZipFile(path) as archive:
        members = {m: archive.read(m) for m in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            content = content.replace(b"<f>A2+41</f><v></v>", b"<f>A2+41</f><v>42</v>")
            archive.writestr(name, content.replace(b"<f>A2+41</f><v />", b"<f>A2+41</f><v>42</v>"))
    found = source(path)
    assert found.read().column("x").to_pylist() == [1, 42]
    assert said(found) == ""


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns are called 'a'"):
        source(book(tmp_path / "t.xlsx", [["a", "a"], [1, 2]]))


def test_an_empty_sheet_and_a_header_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the sheet is empty"):
        source(book(tmp_path / "t.xlsx", []))
    with pytest.raises(DataError, match=r"no (rows|columns)"):
        source(book(tmp_path / "u.xlsx", [["a", "b"]]))


def opendocument(path: Path, rows: str) -> Path:
    office = "urn:oasis:names:tc:opendocument:xmlns"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{office}:manifest:1.0"></m:manifest>')
        spaces = f'xmlns:office="{office}:office:1.0" xmlns:table="{office}:table:1.0" xmlns:text="{office}:text:1.0"'
        body = f'<table:table table:name="S">{rows}</table:table>'
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>{body}</office:spreadsheet></office:body></office:document-content>",
        )
    return path


def cell(value: float | str, times: str = "") -> str:
    if isinstance(value, str):
        return f'<table:table-cell office:value-type="string"{times}><text:p>{value}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{value}"{times}><text:p>1</text:p></table:table-cell>'


def test_opendocument_is_read_and_its_million_empty_rows_at_the_end_are_nothing(tmp_path: Path) -> None:
    rows = f"<table:table-row>{cell('a')}{cell('b')}</table:table-row><table:table-row>{cell(1)}{cell(2.5)}</table:table-row>"
    rows += '<table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="1024"/></table:table-row>'
    assert source(opendocument(tmp_path / "t.ods", rows)).read().to_pylist() == [{"a": 1, "b": 2.5}]


def test_repeated_cells_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    times = ' table:number-columns-repeated="16384"'
    rows = f'<table:table-row table:number-rows-repeated="1000000">{cell(1, times)}</table:table-row>'
    with pytest.raises(LimitError, match="almost all of them empty"):
        source(opendocument(tmp_path / "t.ods", rows))


def test_two_cells_in_far_corners_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active["A1"] = "a"
    workbook.active["XFD1048576"] = 1
    workbook.save(tmp_path / "t.xlsx")
    with pytest.raises(LimitError, match=r"\d cells are spread over 1,048,576 rows and 16,384 columns"):
        source(tmp_path / "t.xlsx")


def test_a_bomb_is_refused_by_its_growth(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", [["a"], [1]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("xl/media/x.bin", b"\0" * (64 << 20))
    with pytest.raises(LimitError, match="unpacks to more than 100 times its size"):
        source(path)


def test_a_damaged_or_truncated_workbook_is_refused_in_plain_words(tmp_path: Path) -> None:
    raw = book(tmp_path / "t.xlsx", [["a"], [1]]).read_bytes()
    for share in (0.2, 0.6, 0.95):
        (tmp_path / "u.xlsx").write_bytes(raw[: int(share * len(raw))])
        with pytest.raises(DataError, match=r"u\.xlsx: is not a whole workbook"):
            source(tmp_path / "u.xlsx")
    flipped = bytearray(raw)
    at = raw.index(b"xl/worksheets/sheet1.xml") + 60
    flipped[at : at + 20] = bytes(20)
    (tmp_path / "v.xlsx").write_bytes(flipped)
    with pytest.raises(DataError, match="is not a whole workbook"):
        source(tmp_path / "v.xlsx")


def test_a_zip_archive_called_a_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="is not a whole workbook"):
        source(tmp_path / "t.xlsx")


def test_a_password_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(
        b"\xd0\xcf\x11\xe0" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    )
    with pytest.raises(DataError, match="is protected by a password"):
        source(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("page.xls", b"<html><table><tr><td>1</td></tr></table></html>", "is a web page that is called a workbook"),
        ("page.xls", b"<table border=1><tr><td>a", "is a web page that is called a workbook"),
        ("text.xls", b"a,b\n1,2\n", "is text, not a workbook"),
        (
            "old.xls",
            b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
            "XML of 2003",
        ),
        ("none.xlsx", b"", "the file is empty"),
        ("doc.xlsx", b"%PDF-1.7", "a PDF document"),
        ("bytes.xls", bytes(range(256)), "is not a workbook"),
        ("cut.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "is not a whole workbook"),
    ],
)
def test_other_things_in_the_clothes_of_a_workbook_are_named(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        source(tmp_path / name)
    assert caught.value.problems[0].hint


def test_a_workbook_without_an_ending_is_known_by_its_content(tmp_path: Path) -> None:
    assert source(book(tmp_path / "t.xlsx", [["a"], [1]]).rename(tmp_path / "t")).names == ["a"]


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    with pytest.raises(MissingExtra, match=r"pip install 'dapeng\[excel\]'"):
        source(book(tmp_path / "t.xlsx", [["a"], [1]]))
