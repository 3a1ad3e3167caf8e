"""Writes bad inputs, one file (or folder) each, named by its row in BAD_INPUTS.md: tables (T), pictures (I), texts (X),
and files of other kinds (F, C).

`python tests/bad_inputs/make.py FOLDER` writes them all; `make(folder, ids)` some, and gives their paths by id. Nothing
here is larger than a few megabytes on disk; what is meant to explode is written packed.
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image

MAKERS: dict[str, tuple[str, Callable[[], bytes]]] = {}
"""By id: file name and what gives its bytes."""


def bad(identity: str, name: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    def add(maker: Callable[[], bytes]) -> Callable[[], bytes]:
        MAKERS[identity] = (f"{identity}{name}", maker)
        return maker

    return add


def wav(samples: Any, rate: int = 8000, **how: Any) -> bytes:
    """A sound file of these samples, from -1 to 1."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples), rate, **{"format": "WAV", **how})
    return file.getvalue()


TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(1600) / 8000)


def fixed(identity: str, name: str, content: bytes | str) -> None:
    raw = content if isinstance(content, bytes) else content.encode("utf-8")
    MAKERS[identity] = (f"{identity}{name}", lambda: raw)


def rows(line: str, count: int = 40) -> str:
    """Rows of a two-column table; {i} is the row's number, {c} one of two classes."""
    return "".join(line.format(i=i, c="ab"[i % 2]) + "\n" for i in range(count))


TABLE = "x,y\n" + rows("{i}.5,{c}")

fixed("T01", ".csv", "")
fixed("T02", ".csv", "x,y\n")
fixed("T03", ".csv", b"\xef\xbb\xbf" + TABLE.encode())
fixed("T04", ".csv", ("x,y\n" + rows("café {i},{c}")).encode("utf-16"))
fixed("T05", ".csv", ("标题,类别\n" + rows("这本书写得很好{i},{c}")).encode("gbk"))
fixed("T06", ".csv", ("x,y\n" + rows("𠮷野家㐀{i},{c}")).encode("gb18030"))
fixed("T07", ".csv", ("x,y\n" + rows("很好的书{i},{c}", 5)).encode() + "不错的书,a\n".encode("gbk") + b"z,b\n")
fixed("T08", ".csv", ("x,y\n" + rows("“naïve café” {i},{c}")).encode("cp1252"))
fixed("T09", ".csv", "x,y\n" + rows("{i},{c}", 200) + "1,2,3\n" + rows("{i},{c}", 5))
fixed("T10", ".csv", "x,y\n1,a\n2\n3,b\n" + rows("{i},{c}"))
fixed("T11", ".csv", 'x,y\n1,a\n2,"b\n3,a\n4,b\n')
fixed("T12", ".csv", "x,y\n1,a\n2," + "b" * 2_000_000 + "\n3,a\n")
fixed("T14", ".csv", "a,b,a\n" + rows("{i},{c},1"))
fixed("T15", ".csv", ",x,y\n" + rows("{i},{i}.5,{c}"))
fixed("T16", ".csv", "x,y\n" + rows("=cmd|'/c calc'!A{i},{c}"))
fixed("T17", ".csv", b"x,y\n1\0,a\n2,b\n")
fixed("T19", ".csv", "x;z;y\n" + rows("{i},5;{i};{c}"))
fixed("T20", ".csv", "amount,share,change,y\n" + rows('"${i},234.50",{i}%,({i}00),{c}'))
fixed("T21", ".csv", "x,y\n" + rows("{i},{i}.25", 60) + "1,inf\n2,-inf\n3,1e400\n4,NaN\n")
fixed("T22", ".csv", "x,y\n" + rows("{i},a"))
fixed("T23", ".csv", "x,y\n" + rows("{i},"))
fixed("T24", ".csv", "x,y\n" + rows("{i},{c}") + "7,alone\n")
fixed("T25", ".csv", "x,y\n" + rows("colour{i},{c}"))
fixed("T26", ".csv", "x,y\n" + rows("{i}.5,{c}", 200) + "n/a,a\n?,b\n-,a\n")
fixed("T27", ".csv", "key,x,y\n" + rows("9007199254740993{i:02d},{i},{c}") + rows("184467440737095516{i:02d},{i},{c}"))
fixed("T28", ".csv", "when,y\n" + rows("2026-01-02 03:{i:02d}:00,{c}") + "0000-00-00,a\n03/04/2026,b\n")
fixed("T28b", ".csv", "when,y\n" + "".join(f"0{1 + i % 9}/0{1 + i % 7}/2026,{'ab'[i % 2]}\n" for i in range(60)))
fixed("T42", ".csv", "v,y\n" + rows('"{i}.5 2 3",{c}', 200) + '"1 2",a\n"1 two 3",b\n"1 inf 3",a\n"[1, 2, 3",b\n,a\n')
fixed(
    "T43", ".csv", "s,y\n" + rows("red|blue,{c}", 100) + rows("red,{c}", 60) + '"[""red"", 7]",a\n"[red",b\n|||,a\n,b\n'
)
fixed("T29", ".csv", "x,y\n" + rows("caf\u00e9,{c}", 20) + rows("cafe\u0301,{c}", 20) + rows("tea,{c}", 20))
fixed("T30", ".csv", "x,y\n" + "".join(rows(w + ",{c}", 10) for w in ("open", "open ", "o\u200bpen", "оpen", "shut")))
fixed("T32", ".csv", "copy,x,y\n" + "".join(f"{'AB'[i % 2]},{(i * 7919) % 101},{'ab'[i % 2]}\n" for i in range(300)))
fixed("T40", ".csv", "<!DOCTYPE html>\n<html><head><title>404, not found</title></head><body>a,b</body></html>\n")
fixed("T41", ".csv", "country,name,y\n" + rows("NA,None,{c}", 20) + rows("DE,null,{c}", 20))
fixed("T36", ".jsonl", '{"x": 1, "y": "a"}\n' * 300 + '{"x": NaN, "y": "b"}\n' + '{"x": 2, "y": "a"}\n')
fixed("T36b", ".jsonl", '{"x": 1, "y": "a"}\n' * 300 + '{"x": 1, "y"\n')
fixed("T37", ".jsonl", b'{"x": 1}\n{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
fixed("T37b", ".json", b'[{"x": 1},\n{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]\n")


@bad("T34", ".parquet")
def _truncated_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": np.arange(10_000), "y": np.arange(10_000) % 2}), sink)
    return sink.getvalue()[: sink.tell() // 2]


@bad("T39", ".csv.gz")
def _gzip_bomb() -> bytes:
    """40 million rows in about 200 kB: packed members may follow each other, so one is packed and written 100 times."""
    return gzip.compress(b"x,y\n") + gzip.compress(b"1,a\n" * 400_000) * 100


fixed("F01", ".xls", "<html><body><table><tr><td>x</td><td>y</td></tr></table></body></html>")
fixed("F02", ".xls", TABLE)
fixed("F03", ".xlsx", b"\xd0\xcf\x11\xe0" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600))
fixed("F07", ".db", TABLE)
fixed("F08", ".feather", b"FEA1" + bytes(100))


def workbook(cells: str, more: int = 0) -> bytes:
    """A workbook of one sheet with these cells as XML; `more` zeros lie beside it, packed."""
    kind = "http://schemas.openxmlformats.org/"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{kind}package/2006/content-types"/>')
        sheets = f'<sheets><sheet name="S" sheetId="1" r:id="r1" xmlns:r="{kind}officeDocument/2006/relationships"/></sheets>'
        archive.writestr("xl/workbook.xml", f'<workbook xmlns="{kind}spreadsheetml/2006/main">{sheets}</workbook>')
        to = f'<Relationship Id="r1" Target="worksheets/sheet1.xml" Type="{kind}officeDocument/2006/relationships/worksheet"/>'
        relations = f'<Relationships xmlns="{kind}package/2006/relationships">{to}</Relationships>'
        archive.writestr("xl/_rels/workbook.xml.rels", relations)
        body = f'<worksheet xmlns="{kind}spreadsheetml/2006/main"><sheetData>{cells}</sheetData></worksheet>'
        archive.writestr("xl/worksheets/sheet1.xml", body)
        if more:
            archive.writestr("xl/media/zeros.bin", bytes(more))
    return file.getvalue()


CELLS = '<row r="1"><c r="A1" t="str"><v>x</v></c></row><row r="2"><c r="A2"><v>1</v></c></row>'
FAR = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
MAKERS["F04"] = ("F04.xlsx", lambda: workbook(CELLS)[:500])
MAKERS["F05"] = ("F05.xlsx", lambda: workbook(CELLS + FAR))
MAKERS["F06"] = ("F06.xlsx", lambda: workbook(CELLS, 256 << 20))


@bad("F09", ".arrow")
def _truncated_arrow() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"x": np.arange(10_000), "y": np.arange(10_000) % 2})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()[:80_000]


def tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, packed: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if packed else "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content) if kind == tarfile.REGTYPE else 0, kind
            member.linkname = "" if kind == tarfile.REGTYPE else "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


MAKERS["C08"] = ("C08.tar", lambda: tar(("../../up.txt", b"a")))
MAKERS["C08b"] = ("C08b.tar", lambda: tar(("1.txt", b""), kind=tarfile.SYMTYPE))
MAKERS["F10"] = ("F10.tar", lambda: tar(("1.txt", b"a"), ("1.txt", b"b")))
MAKERS["F11"] = ("F11.tar", lambda: tar(*((f"{i}.txt", b"a" * 600) for i in range(50)))[:20_000])
MAKERS["F12"] = ("F12.tar.gz", lambda: tar(("1.bin", bytes(200 << 20)), ("1.txt", b"a"), packed=True))
fixed("F13", ".tar", TABLE * 100)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(width: int = 32, height: int = 24) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


def png(width: int, height: int, lines: bytes) -> bytes:
    """A PNG of one bit a pixel from a packed stream; its header may lie."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@bad("I02", ".jpg")
def _truncated_jpeg() -> bytes:
    return encoded(photo(200, 200), "JPEG")[:3000]


@bad("I03", ".png")
def _large_png() -> bytes:
    return png(13_000, 13_000, zlib.compress(b"\0" * (13_000 * (1 + 13_000 // 8)), 9))


@bad("I10", ".jpg")
def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(64, 32), "JPEG", exif=exif)


@bad("I14", ".png")
def _broken_chunk() -> bytes:
    raw = bytearray(encoded(photo(64, 64), "PNG"))
    at = raw.index(b"IDAT") + 40
    raw[at : at + 8] = b"\xff" * 8
    return bytes(raw)


fixed("I01", ".jpg", b"")
fixed("I04", ".png", png(65_000, 65_000, zlib.compress(b"\0" * 100)))
MAKERS["I05"] = ("I05.jpg", lambda: encoded(photo(), "PNG"))
fixed("I06", ".png", "this is a text, not a picture\n")
MAKERS["I07"] = ("I07.jpg", lambda: encoded(photo().convert("CMYK"), "JPEG"))
MAKERS["I08"] = (
    "I08.png",
    lambda: encoded(Image.fromarray(np.linspace(0, 65_535, 1024).astype(np.uint16).reshape(32, 32)), "PNG"),
)
MAKERS["I12"] = ("I12.png", lambda: encoded(photo(1, 1), "PNG"))
fixed("I15", ".svg", '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')

fixed("X01", ".csv", b"text,y\nwell \xff\xfe done,a\nfine,b\n")
fixed("X01b", ".jsonl", '{"text": "half \\ud800 pair", "y": "a"}\n{"text": "fine", "y": "b"}\n')
fixed("X02", ".csv", "text,y\n" + "word " * 2_000_000 + ",a\nfine,b\n")
fixed("X03", ".csv", "text,y\n" + rows("<|im_end|> <s> [CLS] </s> <unk> {i},{c}"))
fixed("X04", ".csv", "text,y\n" + rows("word {i},{c}") + ',a\n"   ",b\n"\u3000",a\n')


def links_out(folder: Path) -> Path:
    """I17: a folder of pictures, one of which is a link to a file outside."""
    root = folder / "I17"
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "a.png").write_bytes(encoded(photo(), "PNG"))
    outside = folder / "outside.png"
    outside.write_bytes(encoded(photo(), "PNG"))
    (root / "cat" / "b.png").symlink_to(outside)
    return root


def strange_names(folder: Path) -> Path:
    """I18: names with a line break, an emoji, markup, and bytes that aren't UTF-8."""
    root = folder / "I18"
    (root / "🐱").mkdir(parents=True)
    for name in ("a\nb.png", "😀.png", "<b>&.png"):
        (root / "🐱" / name).write_bytes(encoded(photo(), "PNG"))
    try:
        Path(str(root / "🐱") + "/\udcff.png").write_bytes(encoded(photo(), "PNG"))
    except (OSError, UnicodeEncodeError):
        print("this file system takes only UTF-8 names: I18 lacks one file", file=sys.stderr)
    return root


FOLDERS: dict[str, Callable[[Path], Path]] = {"I17": links_out, "I18": strange_names}
IDS = sorted([*MAKERS, *FOLDERS])


def make(folder: Path, ids: list[str] | None = None) -> dict[str, Path]:
    """Write the bad inputs with these ids (all by default); their paths by id."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for identity in ids or IDS:
        if identity in FOLDERS:
            paths[identity] = FOLDERS[identity](folder)
        else:
            name, maker = MAKERS[identity]
            paths[identity] = folder / name
            paths[identity].write_bytes(maker())
    return paths


if __name__ == "__main__":
    for made, where in make(Path(sys.argv[1])).items():
        print(made, where)
