"""Run folders, checkpoints and archives: what is damaged or unsafe is found before it is used."""

import io
import json
import multiprocessing
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dapeng.core import console
from dapeng.core.archive import safetensors_header, unpack
from dapeng.core.errors import RunError
from dapeng.core.run import Checkpoints, RunFolder, runs_in


def made(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "runs", "reviews")
    save_file({"w": np.arange(64, dtype=np.float32).reshape(8, 8)}, folder.path / "weights.safetensors")
    folder.write_json("columns.json", {"a": 1})
    (folder.path / "metrics.jsonl").write_text('{"step": 1}\n')
    folder.mark("done", headline="accuracy 0.91")
    folder.manifest()
    return folder


def test_names_are_numbered_and_safe_for_every_file_system(tmp_path):
    assert RunFolder.create(tmp_path, "reviews").name == "reviews-0001"
    (tmp_path / "reviews-0041").mkdir()
    assert RunFolder.create(tmp_path, "reviews").name == "reviews-0042"
    assert RunFolder.create(tmp_path, "../../<script>大鹏").name == "script-大鹏-0001"
    assert RunFolder.create(tmp_path, "con").name == "run-con-0001"
    assert RunFolder.create(tmp_path, "/").name == "run-0001"
    assert len(RunFolder.create(tmp_path, "大" * 300).name.encode()) < 100


def _create(parent: Path) -> None:
    for _ in range(10):
        RunFolder.create(parent, "r")


def test_concurrent_starts_get_different_numbers(tmp_path):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = [context.Process(target=_create, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(f.name for f in runs_in(tmp_path)) == [f.name for f in runs_in(tmp_path)]
    assert len(runs_in(tmp_path)) == 30


def test_a_whole_folder_verifies_and_says_what_it_is(tmp_path):
    folder = RunFolder.open(made(tmp_path).path)
    folder.verify()
    about = folder.about()
    assert (about["contracts"], about["status"], about["headline"]) == (1, "done", "accuracy 0.91")
    folder.write_json("explain.json", {"x": 1})
    folder.verify()
    assert "explain.json" in json.loads((folder.path / "MANIFEST.json").read_text())["files"]


# ---- killed between the writes of a file and of the manifest


def dies(work: Callable[[], object], moment: int, after: bool) -> bool:
    """Do work in a process that ends, as if killed, at the n-th file that takes its name: before, or after it. True if it died."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    replace, count = os.replace, 0

    def replaced(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == moment and not after:
            os._exit(9)
        replace(source, target)
        if count == moment:
            os._exit(9)

    os.replace = replaced
    work()
    os._exit(0)


def every_flipped_byte_is_found(folder: RunFolder) -> None:
    for name in folder_files(folder):
        file = folder.path / name
        whole = file.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(RunError, match=name):
                folder.verify()
        file.write_bytes(whole)


def folder_files(folder: RunFolder) -> list[str]:
    return [f.name for f in folder.path.iterdir() if not f.name.startswith(".") and f.name != "MANIFEST.json"]


WRITES = {
    "marked": (lambda f: f.mark("failed", error="x" * 100), "run.json"),
    "written anew": (lambda f: f.write_json("columns.json", {"a": 2, "b": [1, 2, 3]}), "columns.json"),
    "new": (lambda f: f.write_json("explain.json", {"x": 1}), "explain.json"),
    "text": (lambda f: f.write_text("report.html", "<p>"), "report.html"),
}


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", WRITES)
def test_killed_at_any_moment_of_a_write_the_folder_is_as_before_or_as_after_and_verifies(tmp_path, what, after):
    write, name = WRITES[what]
    moment, seen, died = 0, set(), True
    while died:
        moment += 1
        folder = made(tmp_path / str(moment))
        died = dies(lambda folder=folder: write(folder), moment, after)
        now = RunFolder.open(folder.path)
        now.verify()
        now.about()
        seen.add((now.path / name).stat().st_size if now.has(name) else None)
        every_flipped_byte_is_found(now)
        write(now)  # as the next process does
        now.verify()
        assert "before" not in (now.path / "MANIFEST.json").read_text()
    assert moment >= 3
    assert len(seen) == 2, "as before, and as after"


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_killed_while_others_write_into_a_folder_below_the_run_still_verifies(tmp_path):
    folder = made(tmp_path)

    def export(text: str, dead: bool = False) -> None:
        with folder.changing("export/onnx"):
            (folder.path / "export" / "onnx").mkdir(parents=True, exist_ok=True)
            (folder.path / "export" / "onnx" / "model.onnx").write_text(text)
            if dead:
                os._exit(9)

    export("first")
    folder.verify()
    (folder.path / "export" / "onnx" / "model.onnx").write_text("frist")
    with pytest.raises(RunError, match=r"model.onnx is damaged"):
        folder.verify()
    assert dies(lambda: export("hal", dead=True), 99, False)
    folder.verify()
    export("second")
    (folder.path / "export" / "onnx" / "model.onnx").write_text("secnod")
    with pytest.raises(RunError, match=r"model.onnx is damaged"):
        folder.verify()


def test_an_export_does_not_bless_what_was_damaged_meanwhile(tmp_path):
    folder = made(tmp_path)
    with folder.changing("export/onnx"):
        file = folder.path / "weights.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match=r"weights.safetensors is damaged"):
        folder.verify()


def test_a_damaged_file_is_not_what_it_was_before(tmp_path):
    folder = made(tmp_path)
    (folder.path / "columns.json").write_text("damaged")
    if os.name == "posix":
        assert dies(lambda: folder.write_json("columns.json", {"a": 2}), 1, True)
    with pytest.raises(RunError, match=r"columns.json has 7 bytes"):
        folder.verify()


def test_a_run_that_was_not_trained_to_its_end_says_so(tmp_path):
    folder = made(tmp_path)
    folder.reopen()
    with pytest.raises(RunError, match="not trained to its end"):
        folder.verify()


def test_any_flipped_bit_of_the_manifest_is_found(tmp_path):
    folder = made(tmp_path)
    file = folder.path / "MANIFEST.json"
    whole = file.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises(RunError):
            folder.verify()
    file.write_bytes(whole)
    folder.verify()


def test_a_folder_moved_elsewhere_still_verifies(tmp_path):
    folder = made(tmp_path)
    moved = tmp_path / "elsewhere"
    folder.path.rename(moved)
    RunFolder.open(moved).verify()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-1] + b"\x01"), "weights.safetensors is damaged"),
        (lambda f: f.write_bytes(f.read_bytes()[:100]), "weights.safetensors has 100 bytes"),
        (lambda f: f.unlink(), "weights.safetensors is missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, harm, words):
    folder = made(tmp_path)
    harm(folder.path / "weights.safetensors")
    with pytest.raises(RunError, match=words):
        folder.verify()


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_links_that_lead_out_are_refused(tmp_path):
    folder = made(tmp_path)
    (tmp_path / "secret").write_text("x")
    (folder.path / "link.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match="leads out"):
        folder.verify()
    with pytest.raises(RunError, match="leads out"):
        folder.read_json("link.json")
    with pytest.raises(RunError, match="leads out"):
        folder.file("../../secret")


@pytest.mark.parametrize("name", ["weights.pt", "model.pkl", "m.joblib", "pytorch_model.bin", "x.npz", "objects.npy"])
def test_what_could_run_code_is_never_loaded_C01(tmp_path, name):
    folder = made(tmp_path)
    np.save(folder.path / "objects.npy", np.array([{}, None], dtype=object))
    np.save(folder.path / "plain.npy", np.arange(3))
    (folder.path / name).touch()
    with pytest.raises(RunError, match="is never loaded"):
        folder.file(name)
    with pytest.raises(RunError, match="is never loaded"):
        RunFolder.open(folder.path / name)
    assert folder.file("plain.npy").exists()


def test_what_is_no_run_folder_is_refused_in_words(tmp_path):
    with pytest.raises(RunError, match="there is no run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder.open(tmp_path)
    folder = made(tmp_path)
    folder.mark("done", contracts=99)
    with pytest.raises(RunError, match="later release"):
        RunFolder.open(folder.path)


# ---- checkpoints


def three(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (100, 200, 300):
        checkpoints.save(
            step, lambda folder, step=step: (folder / "weights").write_bytes(bytes([step % 251]) * 5000) and None
        )
    return checkpoints


def test_older_checkpoints_are_removed_after_the_new_one_is_there(tmp_path):
    checkpoints = three(tmp_path)
    assert checkpoints.steps() == [200, 300]
    assert checkpoints.latest() == tmp_path / "checkpoints" / "00000300"
    assert Checkpoints(tmp_path / "none").latest() is None


def test_any_flipped_bit_of_a_checkpoint_is_found_C02(tmp_path, monkeypatch, capsys):
    checkpoints = three(tmp_path)
    newest = tmp_path / "checkpoints" / "00000300"
    monkeypatch.setattr(console, "_warned", set())
    draw = random.Random(0)
    whole = (newest / "weights").read_bytes()
    for _ in range(50):
        bit = draw.randrange(len(whole) * 8)
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (newest / "weights").write_bytes(flipped)
        assert checkpoints.latest() == tmp_path / "checkpoints" / "00000200"
    said = capsys.readouterr().err
    assert said.count("checkpoint 00000300 can't be used") == 1
    assert "weights is damaged" in said


def test_a_truncated_checkpoint_falls_back_to_the_one_before_C03(tmp_path):
    checkpoints = three(tmp_path)
    newest = tmp_path / "checkpoints" / "00000300"
    whole, manifest = (newest / "weights").read_bytes(), (newest / "MANIFEST.json").read_bytes()
    for length in (0, 1, 2500, 4999):
        (newest / "weights").write_bytes(whole[:length])
        assert checkpoints.latest().name == "00000200"
    (newest / "weights").write_bytes(whole)
    for length in (0, 10, len(manifest) - 5):
        (newest / "MANIFEST.json").write_bytes(manifest[:length])
        assert checkpoints.latest().name == "00000200"
    (newest / "MANIFEST.json").unlink()
    assert checkpoints.latest().name == "00000200"


def test_a_checkpoint_that_fails_leaves_those_before(tmp_path):
    checkpoints = three(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "weights").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="disk full"):
        checkpoints.save(400, fail)
    assert checkpoints.steps() == [200, 300]
    assert checkpoints.latest().name == "00000300"


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_while_a_step_is_saved_again_that_step_is_not_lost(tmp_path, after):
    moment, died = 0, True
    while died:
        moment += 1
        checkpoints = three(tmp_path / str(moment))
        again = lambda folder: (folder / "weights").write_bytes(b"again" * 1000) and None  # noqa: E731
        died = dies(lambda c=checkpoints, w=again: c.save(300, w), moment, after)
        latest = checkpoints.latest()
        assert latest is not None
        assert latest.name == "00000300"
        checkpoints.save(400, again)
        assert checkpoints.steps() == [300, 400]
        assert [f.name for f in checkpoints.folder.glob(".*")] == []
    assert moment >= 3


# ---- what comes from others


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "a\nb"])
def test_a_zip_that_leads_out_is_refused_C07(tmp_path, name):
    archive = zipped(tmp_path / "r.zip", {"run/run.json": b"{}", name: b"x"})
    with pytest.raises(RunError, match="not safe to unpack"):
        unpack(archive, tmp_path / "to")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["r.zip"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    archive = zipped(tmp_path / "r.zip", {"a": bytes(120_000_000)})
    with pytest.raises(RunError, match="would unpack to"):
        unpack(archive, tmp_path / "to")


def tarred(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for member in members:
            packed.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    "members",
    [
        (info("../evil"),),
        (info("/tmp/evil"),),
        (info("a", tarfile.SYMTYPE, "/etc"), info("a/evil")),
        (info("a", tarfile.LNKTYPE, "../../etc/passwd"),),
        (info("a", tarfile.FIFOTYPE),),
        (info("a"), info("a")),
    ],
)
def test_a_tar_with_links_or_ways_out_is_refused_C08(tmp_path, members):
    archive = tarred(tmp_path / "r.tar.gz", *members)
    with pytest.raises(RunError, match="not safe to unpack"):
        unpack(archive, tmp_path / "to")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["r.tar.gz"]


def test_a_good_archive_is_unpacked_to_its_run_folder(tmp_path):
    folder = made(tmp_path)
    with tarfile.open(tmp_path / "r.tgz", "w:gz") as packed:
        packed.add(folder.path, arcname=folder.name)
    RunFolder.open(unpack(tmp_path / "r.tgz", tmp_path / "a")).verify()
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as packed:
        for file in folder.path.iterdir():
            packed.write(file, file.name)
    RunFolder.open(unpack(tmp_path / "r.zip", tmp_path / "b")).verify()
    with pytest.raises(RunError, match="neither a zip nor a tar"):
        unpack(folder.path / "weights.safetensors", tmp_path / "c")


def test_a_safetensors_header_is_read_without_the_tensors(tmp_path):
    header = safetensors_header(made(tmp_path).path / "weights.safetensors")
    assert header.tensors == {"w": ("F32", (8, 8))}


def described(**changes: object) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    head = json.dumps({"w": entry}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2**63) + b"{}",
        b"",
        b"\x80\x04\x95",
        struct.pack("<Q", 4) + b"[[[[",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 2) + b"[]",
        described(shape=[2**40]),
        described(shape=[-2]),
        described(dtype="OBJECT"),
        described(data_offsets=[0, 2**50]),
        described(data_offsets=[4, 12]),
        described() + b"more",
    ],
)
def test_a_header_that_lies_is_refused_C06(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(RunError):
        safetensors_header(path)
