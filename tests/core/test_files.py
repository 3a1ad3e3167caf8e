"""Nothing that is written is ever half there."""

import errno
import json
import math
import multiprocessing
import os
from pathlib import Path

import pytest

from dapeng.core import files
from dapeng.core.errors import RunError
from dapeng.core.files import (
    Lines,
    atomic_folder,
    atomic_open,
    atomic_path,
    in_words,
    lock,
    read_json,
    read_lines,
    write_json,
    write_text,
    write_yaml,
)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})

    def write_half() -> None:
        with atomic_open(target) as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert read_json(target) == {"a": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_said_in_words_and_the_old_file_stays(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match=r"disk full while writing .*a\.txt"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("write", [lambda p: write_text(p, "a"), Lines, lambda p: atomic_folder(p, lambda f: None)])
@pytest.mark.parametrize("place", ["file", "file/deeper", "link"])
def test_a_file_in_the_way_of_a_folder_is_said_in_words(tmp_path, place, write):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(
        RunError, match=r"can't write .*x\.csv: .*(file|link) is no folder\n  hint: choose another place"
    ):
        write(tmp_path / place / "x.csv")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc here")
@pytest.mark.parametrize("place", ["/proc/x.csv", "/proc/sub/x.csv"])
def test_a_folder_that_takes_no_files_is_said_in_words(place):
    with pytest.raises(RunError, match=f"can't write {place}: nothing can be made in /proc\n  hint"):
        write_text(place, "a")


def test_a_folder_of_the_name_is_said_in_words_and_other_errors_stay_what_they_are(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(RunError, match=r"can't write .*x\.csv: it is a folder"):
        write_text(tmp_path / "x.csv", "a")
    with pytest.raises(FileNotFoundError), atomic_open(tmp_path / "y.csv"):
        (tmp_path / "elsewhere" / "z").read_text()


def test_an_error_about_something_else_is_not_laid_on_the_folder_that_is_there(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "other").touch()
    (tmp_path / "x" / "in the way").touch()
    with pytest.raises(FileNotFoundError, match="elsewhere"), in_words(tmp_path / "x"):
        (tmp_path / "elsewhere").read_text()
    with pytest.raises(FileNotFoundError, match="gone"), in_words(tmp_path / "x"):
        os.replace(tmp_path / "gone", tmp_path / "x")
    with pytest.raises(FileExistsError, match="other"), in_words(tmp_path / "x"):
        (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match=r"can't write .*x: File exists: .*x/in the way\n"), in_words(tmp_path / "x"):
        (tmp_path / "x" / "in the way").mkdir()
    with pytest.raises(RunError, match="it is a folder"), in_words(tmp_path / "x"):
        os.replace(tmp_path / "other", tmp_path / "x")


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "link").symlink_to(Path("..") / "real")
    atomic_folder(tmp_path / "links" / "link", lambda f: (f / "new").touch())
    assert os.readlink(tmp_path / "links" / "link") == "../real"
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "links",
        "links/link",
        "real",
        "real/new",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    for name, writer in {"a": atomic_open, "b": atomic_path}.items():
        (tmp_path / name).write_text("old")
        (tmp_path / name).chmod(mode)
        with writer(tmp_path / name) as new:
            new.write(b"new") if name == "a" else new.write_text("new")
        assert (tmp_path / name).stat().st_mode & 0o777 == mode
        assert (tmp_path / name).read_text() == "new"


def test_a_full_disk_is_recognised_in_errors_of_other_writers(tmp_path):
    def write(folder: Path) -> None:
        raise RuntimeError("Error while serializing: IoError(Os { code: 28, message: No space left on device })")

    with pytest.raises(RunError, match="disk full"):
        atomic_folder(tmp_path / "f", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_a_run_error():
    with pytest.raises(RunError, match="disk full"):
        Lines("/dev/full").add({"a": 1})


def test_json_has_null_for_numbers_that_are_not_finite(tmp_path):
    import numpy as np

    write_json(
        tmp_path / "a.json",
        {"a": math.nan, "b": [math.inf, 1.5], "c": Path("x/y"), "d": np.float32(2), "e": np.arange(2)},
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "a": None,
        "b": [None, 1.5],
        "c": "x/y",
        "d": 2,
        "e": [0, 1],
    }
    with pytest.raises(TypeError):
        write_json(tmp_path / "b.json", {"a": object()})


def test_broken_json_names_the_file_and_the_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1,\n}')
    with pytest.raises(RunError, match=r"a\.json:2 is not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match="is not valid JSON"):
        read_json(tmp_path / "deep.json")


def test_yaml_has_its_head_as_comments(tmp_path):
    write_yaml(tmp_path / "a.yaml", {"lr": 3e-4, "label": "no", "名": "大鹏"}, head="made by\n\nme")
    assert (tmp_path / "a.yaml").read_text("utf-8") == "# made by\n#\n# me\nlr: 0.0003\nlabel: 'no'\n名: 大鹏\n"


def test_lines_survive_a_crash_in_the_middle_of_one(tmp_path):
    path = tmp_path / "m.jsonl"
    with Lines(path, sync=True) as lines:
        lines.add({"step": 1})
    with open(path, "ab") as stream:
        stream.write(b'{"step": 2, "lo')
    assert read_lines(path) == [{"step": 1}]
    with Lines(path) as lines:
        lines.add({"step": 2})
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def bad(folder: Path) -> None:
        (folder / "a").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_folder(tmp_path / "f", bad)
    assert list(tmp_path.iterdir()) == []
    for name in ("a", "b"):
        atomic_folder(tmp_path / "f", lambda folder, name=name: (folder / name).touch())
    assert [f.name for f in (tmp_path / "f").iterdir()] == ["b"]
    assert [f.name for f in tmp_path.iterdir()] == ["f"]


def test_files_have_the_permissions_that_the_user_asked_for(tmp_path):
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(old)


def _count(path: Path, times: int) -> None:
    for _ in range(times):
        with lock(path.with_suffix(".lock")):
            path.write_text(str(int(path.read_text()) + 1))


def test_the_lock_keeps_processes_apart(tmp_path):
    path = tmp_path / "n"
    path.write_text("0")
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = [context.Process(target=_count, args=(path, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert path.read_text() == "150"


def test_a_lock_that_is_held_is_an_error_after_the_timeout(tmp_path):
    with (
        lock(tmp_path / "l"),
        pytest.raises(RunError, match="another process holds"),
        lock(tmp_path / "l", timeout=0.1),
    ):
        pass
