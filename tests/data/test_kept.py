"""Rows that are kept on disk: found again, never half there, made anew when anything changes, and bounded in size."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dapeng.columns.image import Image as ImageOptions
from dapeng.columns.number import Number
from dapeng.columns.text import Text
from dapeng.core.errors import DataError
from dapeng.core.spec import Data
from dapeng.data import held, kept
from dapeng.data.feed import STRETCH, WINDOW, Windows
from dapeng.data.held import Held, OnDisk, hold
from dapeng.data.kept import MANY
from dapeng.data.open import open_data
from dapeng.data.positions import BLOCK, counts, on_side
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.splits.given import GivenSplit
from dapeng.data.splits.random import RandomSplit
from dapeng.data.table import Frame, Source

EVERY = np.empty(0, np.int64)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def entries(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.iterdir())


def write_csv(path: Path, rows: int = 3_000, last: str = "7.5") -> Source:
    lines = ["x,t", *(f"{i * 0.5},w{i % 7} of row {i}" for i in range(rows - 1)), f"{last},last"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return open_data(Data(path=str(path))).whole()


def prepared(source: Source) -> Prepared:
    wanted: dict[str, Any] = {"x": (Number(), True), "t": (Text(), False)}
    columns = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    return Prepared({"t": columns["t"]}, {"x": columns["x"]}, None, 0.01)


def test_prepared_rows_are_found_again_and_hold_the_same(tmp_path: Path, cache: Path) -> None:
    source = write_csv(tmp_path / "t.csv", last="no number")
    first = prepared(source).store(source, source.fingerprint(), 0)
    assert first.folder is not None
    assert entries(cache) == [first.folder.name]
    stamp = (first.folder / "store.json").stat().st_mtime_ns
    again = prepared(source).store(source, source.fingerprint(), 0)
    whole = prepared(source).store(source)
    assert again.folder == first.folder
    assert (first.folder / "store.json").stat().st_mtime_ns == stamp
    assert whole.folder is None
    assert again.quarantined == first.quarantined == whole.quarantined
    assert len(whole.quarantined) == 1
    assert again.left_out.tolist() == whole.left_out.tolist() == [2_999]
    for key, stored in whole.stored.items():
        other = again.stored[key]
        assert other.group == stored.group
        assert other.layout == stored.layout
        assert list(other.tensors) == list(stored.tensors)
        for name, array in stored.tensors.items():
            assert np.array_equal(other.tensors[name], array, equal_nan=array.dtype.kind == "f")
        for a, b in ((other.offsets, stored.offsets), (other.present, stored.present)):
            assert (a is None) == (b is None)
            assert a is None or b is None or np.array_equal(a, b)


@pytest.mark.parametrize("change", ["cell", "setting", "truncated"])
def test_prepared_rows_are_made_anew_when_something_differs(tmp_path: Path, cache: Path, change: str) -> None:
    source = write_csv(tmp_path / "t.csv")
    first = prepared(source).store(source, source.fingerprint(), 0)
    assert first.folder is not None
    if change == "cell":
        source = write_csv(tmp_path / "t.csv", last="8.5")
        again = prepared(source).store(source, source.fingerprint(), 0)
        assert again.folder != first.folder
        assert again.stored["x"].tensors["values"][-1] != first.stored["x"].tensors["values"][-1]
    elif change == "setting":
        other = fit_columns(source, {"x": (Number(scale="log"), True)}, lambda start, count: np.ones(count, bool))
        again = Prepared({}, other, None, 0.01).store(source, source.fingerprint(), 0)
        assert again.folder != first.folder
    else:
        file = next(f for f in first.folder.iterdir() if f.suffix == ".bin")
        before = file.read_bytes()
        file.write_bytes(before[:-8])
        again = prepared(source).store(source, source.fingerprint(), 0)
        assert again.folder == first.folder
        assert file.read_bytes() == before


def test_prepared_pictures_are_made_anew_when_a_file_changes(tmp_path: Path) -> None:
    for name in "abcdefgh":
        Image.fromarray(np.full((16, 16), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    table = Frame(pa.table({"p": [f"{n}.png" for n in "abcdefgh"]}), base=tmp_path)
    columns = fit_columns(table, {"p": (ImageOptions(), False)}, lambda start, count: np.ones(count, bool))
    how = Prepared(columns, {}, None, 0.01)
    first = how.store(table, table.fingerprint(), 0)
    assert how.store(table, table.fingerprint(), 0).folder == first.folder
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    again = how.store(table, table.fingerprint(), 0)
    assert again.folder != first.folder
    assert int(again.stored["p"].tensors["pixels"][0].max()) == 200


def test_a_table_that_is_slow_to_read_is_parsed_once(tmp_path: Path, cache: Path, monkeypatch: Any) -> None:
    source = write_csv(tmp_path / "t.csv", 200_000)
    small, count = hold(source, ["x", "t"])
    assert isinstance(small, Held)
    assert count == 200_000
    assert not cache.exists()
    large, count = hold(source, ["x", "t"], 100_000)
    assert isinstance(large, OnDisk)
    assert count == 200_000
    assert large.read().equals(small.read())
    assert large.read(["t"]).equals(small.read(["t"]))
    assert [b.start for b in large.blocks(rows=50_000)][:2] == [0, 50_000]
    assert large.where(7) == small.where(7) == "t.csv:9"
    fresh = open_data(Data(path=str(tmp_path / "t.csv"))).whole()
    monkeypatch.setattr(type(fresh), "blocks", lambda *_: pytest.fail("the original was read again"))
    again, count = hold(fresh, ["x", "t"], 100_000)
    assert isinstance(again, OnDisk)
    assert count == 200_000


def test_what_was_repaired_is_said_again_when_the_rows_are_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,t\n" + "1,some text\n" * 5_000 + "2,a,b,c\n" + "3,x\n" * 5_000, encoding="utf-8")
    source = open_data(Data(path=str(path), bad_rows="quarantine")).whole()
    hold(source, ["x", "t"], 20_000)
    fresh = open_data(Data(path=str(path), bad_rows="quarantine")).whole()
    assert isinstance(hold(fresh, ["x", "t"], 20_000)[0], OnDisk)
    said = [(n.kind, n.where) for n in source.all_notes()]
    assert ("quarantine", "t.csv:5002") in said
    assert said == [(n.kind, n.where) for n in fresh.all_notes()]


@pytest.mark.parametrize("damage", ["rows.arrow", "facts.json", "fit.json"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, cache: Path, damage: str) -> None:
    source = write_csv(tmp_path / "t.csv", 20_000)
    wanted: dict[str, Any] = {"x": (Number(), True)}

    def go() -> tuple[Source, Any]:
        held, _ = hold(source, ["x", "t"], 10_000)
        return held, fit_columns(held, wanted, lambda start, count: np.ones(count, bool), "these rows")["x"].state

    _, before = go()
    file = next(cache.glob(f"*/{damage}"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    held, after = go()
    assert isinstance(held, OnDisk)
    assert after == before
    assert next(cache.glob(f"*/{damage}")).read_bytes() == whole
    file.unlink()
    assert go()[1] == before


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "file"))
    source = write_csv(tmp_path / "t.csv", 20_000)
    same, count = hold(source, ["x", "t"], 10_000)
    assert same is source
    assert count == 20_000
    wanted: dict[str, Any] = {"x": (Number(), True)}
    assert fit_columns(same, wanted, lambda start, count: np.ones(count, bool), "rows")["x"].state["count"] == 20_000


@pytest.mark.parametrize("setting", [{"max_bad": 0.2}, {"limits": {"rows": 30_000}}, {"bad_rows": "quarantine"}])
def test_settings_that_change_what_is_read_change_the_address(tmp_path: Path, setting: dict[str, Any]) -> None:
    write_csv(tmp_path / "t.csv")
    usual = open_data(Data(path=str(tmp_path / "t.csv"))).whole().fingerprint()
    assert open_data(Data.model_validate({"path": str(tmp_path / "t.csv"), **setting})).whole().fingerprint() != usual


def test_without_room_the_original_is_read_again(tmp_path: Path, cache: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(held, "ROOM", 1e12)
    source = write_csv(tmp_path / "t.csv", 20_000)
    same, count = hold(source, ["x"], 10_000)
    assert same is source
    assert count == 20_000
    assert entries(cache) == []


def test_nothing_half_written_is_left_and_what_the_dead_left_is_removed(cache: Path) -> None:
    def stopped() -> None:
        with kept.filling("k") as folder:
            (folder / "a.bin").write_bytes(b"1")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stopped()
    assert entries(cache) == []
    dead = cache / ".writing-dead"
    dead.mkdir()
    (dead / "a.bin").write_bytes(b"1")
    for path in (dead / "a.bin", dead):
        os.utime(path, (1, 1))
    with kept.filling("k") as folder:
        (folder / "a.bin").write_bytes(b"1")
    assert entries(cache) == ["k"]


def fill(key: str) -> None:
    with kept.filling(key) as folder:
        (folder / "x.bin").write_bytes(bytes(1_000))


def test_the_least_recently_used_go_first_and_what_may_be_in_use_stays(cache: Path, monkeypatch: Any) -> None:
    for number, key in enumerate("abc"):
        fill(key)
        os.utime(cache / key, (number + 1, number + 1))
    monkeypatch.setenv("DAPENG_CACHE_SIZE", "0.000003")
    fill("d")
    assert entries(cache) == ["a", "b", "c", "d"], "this process uses all of them"
    monkeypatch.setattr(kept, "_ours", set())
    assert kept.found("a") is not None
    assert (cache / "a").stat().st_mtime > time.time() - 60
    fill("e")
    assert entries(cache) == ["a", "d", "e"], "d was used a moment ago: another process may be reading it"
    monkeypatch.setenv("DAPENG_CACHE_SIZE", "much")
    with pytest.raises(DataError, match="expected a number of GB, found 'much'"):
        kept.tidy(cache)


def test_a_training_whose_rows_are_larger_than_the_cache_may_be_keeps_them(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DAPENG_CACHE_SIZE", "0.000001")
    source, count = hold(write_csv(tmp_path / "t.csv", 20_000), ["x", "t"], 10_000)
    assert isinstance(source, OnDisk)
    how = prepared(source)
    store = how.store(source, source.fingerprint(), 0)
    assert store.folder is not None
    assert count == store.rows == sum(len(b) for b in source.blocks())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    source = write_csv(tmp_path / "t.csv")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    how = prepared(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dapeng.data.stored.Gathering._write", full)
        with pytest.raises(DataError, match="can't keep prepared data: No space left"):
            how.store(source, source.fingerprint(), 0)
    assert entries(cache) == []


def test_sides_of_many_rows_take_no_memory_and_are_those_of_the_split(cache: Path) -> None:
    rows = MANY + BLOCK + 17
    sides = RandomSplit(train=0.9, validation=0.04, test=0.06).assign(rows, lambda name: pytest.fail(name), 3)
    assert isinstance(sides, np.memmap)
    assert entries(cache) == []
    plain = np.asarray(sides)
    assert counts(sides) == tuple((plain == s).sum() for s in range(3))
    left = np.array([0, 5, BLOCK, rows - 1])
    train = on_side(sides, 0, left)
    assert isinstance(train, np.memmap)
    assert np.array_equal(train, np.setdiff1d(np.flatnonzero(plain == 0), left))
    some = on_side(sides, 2, EVERY, 10_000, seed=1)
    assert set(some.tolist()) <= set(np.flatnonzero(plain == 2).tolist())
    assert abs(len(some) - 10_000) < 500
    assert not np.array_equal(some, on_side(sides, 2, EVERY, 10_000, seed=2))


def test_parts_taken_from_very_many_training_rows_have_the_size_that_was_asked() -> None:
    given = np.zeros(MANY + 1, np.int8)
    sides = GivenSplit().assign(len(given), lambda name: pytest.fail(name), 0, given=given, notes=[])
    assert counts(sides)[1:] == (10_000, 10_000)


def test_windows_give_every_row_once_whatever_the_slices() -> None:
    positions = np.arange(2 * WINDOW * STRETCH + 1_234) * 3
    order = Windows(positions, 1, 0)
    cuts = [0, 10, STRETCH, WINDOW * STRETCH + 5, 2 * WINDOW * STRETCH - 1, len(positions)]
    pieces = [order[a:b] for a, b in itertools.pairwise(cuts)]
    assert [len(p) for p in pieces] == [b - a for a, b in itertools.pairwise(cuts)]
    whole = np.concatenate(pieces)
    assert np.array_equal(np.sort(whole), positions)
    assert not np.array_equal(whole, positions)
    assert np.array_equal(Windows(positions, 1, 0)[50:50_000], whole[50:50_000])
    assert not np.array_equal(Windows(positions, 1, 1)[0:100], whole[:100])
    assert len(np.unique(whole[: WINDOW * STRETCH] // (3 * STRETCH))) == WINDOW, "a window reads whole stretches"
