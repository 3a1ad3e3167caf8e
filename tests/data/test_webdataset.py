"""Shards of a WebDataset: samples by name, columns by ending, re-read by an index, and no attack or damage passes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from small_pictures import digits  # type: ignore[import-not-found]

from dapeng.core.errors import DapengError, DataError, LimitError
from dapeng.core.spec import Data
from dapeng.data.infer import infer
from dapeng.data.open import open_data
from dapeng.data.shards import expanded
from dapeng.data.table import Source


def shard(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def samples(start: int, stop: int) -> list[tuple[str, bytes]]:
    pictures, labels = digits()
    out = []
    for i in range(start, stop):
        record = json.dumps({"ink": i * 0.5, "by": "me"}).encode()
        out += [(f"d/{i:04d}.png", pictures[i]), (f"d/{i:04d}.cls", b"%d\n" % labels[i]), (f"d/{i:04d}.json", record)]
    return out


def source(address: object, **options: object) -> Source:
    return open_data(Data(path=str(address), **options)).whole()


@pytest.fixture(params=["tar", "tar.gz", "tgz"])
def three(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    for i in range(3):
        shard(tmp_path / f"s-{i:03d}.{request.param}", samples(i * 100, i * 100 + 100))
    return str(tmp_path / f"s-{{000..002}}.{request.param}")


def test_endings_are_columns_and_the_keys_of_json_too(three: str) -> None:
    found = source(three)
    table = found.read()
    assert dict(zip(table.column_names, table.schema.types)) == {
        "png": pa.binary(),
        "cls": pa.string(),
        "ink": pa.float64(),
        "by": pa.string(),
    }
    pictures, labels = digits()
    assert table.column("png").to_pylist() == list(pictures[:300])
    assert table.column("cls").to_pylist() == [str(n) for n in labels[:300]]
    assert table.column("ink")[299].as_py() == 149.5
    assert found.count() == 300
    assert found.all_notes() == []
    assert found.where(150).endswith("sample 'd/0150'")
    assert [(b.start, len(b)) for b in found.blocks(["cls"], rows=70)][-1] == (280, 20)
    assert found.read(["by", "cls"]).column_names == ["by", "cls"]


def test_a_pattern_gives_the_same_rows_as_a_range(three: str) -> None:
    pattern = three.replace("{000..002}", "*")
    assert source(pattern).read().equals(source(three).read())
    assert source(pattern).fingerprint() == source(three).fingerprint()


def test_ranges_start_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    shard(tmp_path / "a-0.tar", samples(0, 3))
    assert open_data(Data(path="a-{0..0}.tar"), tmp_path).whole().count() == 3


def test_columns_are_guessed_as_pictures_labels_and_numbers(three: str) -> None:
    guesses = {g.name: g for g in infer(source(three), ["cls"])}
    assert guesses["png"].options == {"type": "image"}
    assert guesses["cls"].options == {"type": "category"}
    assert guesses["ink"].options == {"type": "number"}


def test_labels_are_read_without_the_pictures(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", samples(0, 100))
    found = source(path)
    raw = bytearray(path.read_bytes())
    for i in range(100):  # pictures that are gone from the file are not missed
        raw = raw.replace(digits()[0][i], bytes(len(digits()[0][i])))
    path.write_bytes(raw)
    assert found.read(["cls"]).column("cls").to_pylist() == [str(n) for n in digits()[1][:100]]


def test_pictures_of_several_formats_are_one_column(tmp_path: Path) -> None:
    picture = digits()[0][0]
    found = source(
        shard(tmp_path / "a.tar", [("1.png", picture), ("1.cls", b"a"), ("2.jpg", picture), ("2.cls", b"b")])
    )
    assert found.read().to_pylist() == [{"image": picture, "cls": "a"}, {"image": picture, "cls": "b"}]
    both = source(shard(tmp_path / "b.tar", [("1.png", picture), ("1.jpg", picture)]))
    assert both.names == ["png", "jpg"]


def test_what_a_sample_lacks_is_missing_and_other_files_are_said(tmp_path: Path) -> None:
    members = [("readme", b"hi"), ("1.txt", b"one\n"), ("1.seg.png", b"P"), ("2.cls", b"b"), ("2.pyd", b"\x80\x04")]
    found = source(shard(tmp_path / "a.tar", members))
    assert found.read().to_pylist() == [
        {"txt": "one", "seg.png": b"P", "cls": None},
        {"txt": None, "seg.png": None, "cls": "b"},
    ]
    said = [n.what for n in found.all_notes()]
    assert any(".pyd are not read" in s for s in said)
    assert any("1 files that belong to no sample" in s for s in said)


def test_keys_of_json_that_bear_the_name_of_a_column_get_its_ending(tmp_path: Path) -> None:
    found = source(
        shard(tmp_path / "a.tar", [("1.cls", b"a"), ("1.json", b'{"cls": 5}'), ("2.cls", b"b"), ("2.json", b"{}")])
    )
    assert found.read().to_pylist() == [{"cls": "a", "json.cls": 5}, {"cls": "b", "json.cls": None}]


def test_texts_that_are_not_utf8_are_mended_and_that_is_said(tmp_path: Path) -> None:
    found = source(shard(tmp_path / "a.tar", [("1.txt", b"caf\xe9")]))
    assert found.read().to_pylist() == [{"txt": "caf\ufffd"}]
    assert found.notes[0].kind == "repair"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        archive.addfile(info, io.BytesIO())
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (member("../up.txt"), "leads out of the archive"),
        (member("a/../../up.txt"), "leads out of the archive"),
        (member("/etc/passwd.txt"), "leads out of the archive"),
        (member("..\\up.txt"), "leads out of the archive"),
        (member("C:up.txt"), "leads out of the archive"),
        (member("a.txt", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("a.txt", tarfile.LNKTYPE, "b.txt"), "is a link"),
        (member("a.txt", tarfile.FIFOTYPE), "is not a plain file"),
        (member("a.txt", tarfile.CHRTYPE), "is not a plain file"),
        (b"", "the file is empty"),
        (bytes(10240), "the archive is empty"),
        (b"<html>404</html>", "looks like HTML"),
        (b"x,y\n1,2\n" * 1000, "is not a whole tar archive"),
        (member("readme"), "no rows: no file has an ending"),
    ],
)
def test_attacks_and_what_is_no_archive_are_refused(tmp_path: Path, raw: bytes, what: str) -> None:
    (tmp_path / "t.tar").write_bytes(raw)
    with pytest.raises(DataError, match=what) as caught:
        source(tmp_path / "t.tar")
    assert caught.value.problems[0].hint
    assert [p.name for p in tmp_path.iterdir()] == ["t.tar"]


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([("1.txt", b"a"), ("1.txt", b"b")], r"'1' has two files that end in \.txt"),
        ([("1.txt", b"a"), ("1.TXT", b"b")], r"'1' has two files that end in \.txt"),
        ([("1.txt", b"a"), ("2.txt", b"b"), ("1.cls", b"c")], "'1' don't lie next to each other"),
        ([("1.json", b'{"a": NaN}')], "sample '1': its JSON can't be read"),
        ([("1.pyd", b"\x80\x04")], "no file has an ending that is read"),
    ],
)
def test_samples_that_can_not_be_told_apart_or_read_are_refused_by_name(tmp_path: Path, members, what: str) -> None:
    with pytest.raises(DataError, match=what):
        source(shard(tmp_path / "t.tar", members)).read()


@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_shard_that_is_cut_short_is_refused(tmp_path: Path, name: str, share: float) -> None:
    raw = shard(tmp_path / name, samples(0, 50)).read_bytes()
    (tmp_path / name).write_bytes(raw[: int(share * len(raw)) // 512 * 512 + 100])
    with pytest.raises(DataError, match="cut short"):
        source(tmp_path / name).read()


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_is_damaged_in_the_middle_does_not_end_the_data_in_silence(tmp_path: Path, packed: bool) -> None:
    raw = bytearray(shard(tmp_path / "t.tar", samples(0, 50)).read_bytes())
    at = raw.index(b"d/0025.png")
    raw[at + 148 : at + 156] = b"00000000"  # its checksum
    path = tmp_path / ("u.tar.gz" if packed else "u.tar")
    path.write_bytes(gzip.compress(bytes(raw)) if packed else raw)
    with pytest.raises(DataError, match="is not a whole tar archive"):
        source(path)


def test_an_archive_that_ends_between_two_files_is_said(tmp_path: Path) -> None:
    raw = shard(tmp_path / "t.tar", samples(0, 50)).read_bytes()
    (tmp_path / "u.tar").write_bytes(raw[: raw.index(b"d/0025.png")])
    assert any("has no end mark" in n.what for n in source(tmp_path / "u.tar").all_notes())


def test_a_bomb_is_refused_by_its_growth(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="unpacks to more than 100 times"):
        source(shard(tmp_path / "t.tar.gz", [("1.bin", bytes(200 << 20)), ("1.txt", b"a")]))


def test_a_text_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "t.tar", [("1.txt", b"a" * 2_000_000)])
    with pytest.raises(LimitError, match=r"its .txt has 2,000,000 bytes, more than 1,000,000"):
        source(path).read()


def test_a_missing_shard_of_a_range_is_named(tmp_path: Path) -> None:
    shard(tmp_path / "s-0.tar", samples(0, 2))
    shard(tmp_path / "s-2.tar", samples(2, 4))
    with pytest.raises(DataError, match=r"s-1\.tar: no such file"):
        source(tmp_path / "s-{0..2}.tar")
    with pytest.raises(DataError, match="no file fits the pattern"):
        source(tmp_path / "x-*.tar")


def test_braces_stand_for_ranges_and_lists() -> None:
    assert expanded("s-{08..10}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert expanded("{a,b}-{0..1}") == ["a-0", "a-1", "b-0", "b-1"]
    for wrong in ("s-{3..1}.tar", "s-{0..99999999}.tar", "s-{5..2}"):
        with pytest.raises(DapengError, match="is no range of shards"):
            expanded(wrong)


def test_shards_called_train_and_test_are_parts(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", samples(0, 20))
    shard(tmp_path / "test.tar", samples(20, 30))
    found = open_data(Data(path=str(tmp_path)))
    assert {p: s.count() for p, s in found.parts.items()} == {"train": 20, "test": 10}
