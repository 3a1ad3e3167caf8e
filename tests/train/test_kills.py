"""Killed, ended, and out of disk: what was saved stays, and a resumed run ends with the same bits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import FOLDED, checkpoints_are_whole, die, finish, kill_often, start, validations, write_table  # type: ignore

from dapeng.api.run import Run
from dapeng.core.checkpoints import Checkpoints
from dapeng.core.files import read_json, read_lines
from dapeng.core.run import RunFolder

KILLS = int(os.environ.get("DAPENG_KILLS", "20"))
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, SIGTERM and the forkserver")


@pytest.mark.slow
def test_killed_at_random_moments_no_checkpoint_is_lost_and_the_resumed_weights_are_bit_identical(
    tmp_path: Path,
) -> None:
    counts = kill_often(tmp_path, KILLS)
    assert counts["kills"] == KILLS
    assert counts["after a checkpoint"] >= KILLS // 5, (
        "hardly any kill came after a checkpoint: the test proves nothing"
    )
    assert counts["finished"] >= 1


@pytest.mark.slow
def test_a_cross_validation_that_is_killed_goes_on_with_the_fold_it_was_in_and_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    counts = kill_often(tmp_path, KILLS // 2, spec_text=FOLDED)
    assert counts["after a checkpoint"] >= KILLS // 10, "hardly any kill came after a checkpoint"
    assert counts["finished"] >= 1


@pytest.mark.slow
def test_killed_before_any_of_its_last_writes_a_run_is_whole_or_goes_on_to_its_end(tmp_path: Path) -> None:
    spec, said = str(write_table(tmp_path, spec=FOLDED)), tmp_path / "said.txt"
    words = ["train", spec, "train.epochs=1", "--runs"]
    moments = die([*words, str(tmp_path / "whole")], said, -1)
    weights = (next((tmp_path / "whole").iterdir()) / "weights.safetensors").read_bytes()
    ended = []
    for moment in range(moments - 24, moments + 1):
        runs = tmp_path / str(moment)
        assert die([*words, str(runs)], said, moment) == moment
        run = next(runs.iterdir())
        ended.append(read_json(run / "run.json")["status"])
        if ended[-1] != "done":
            assert finish(["train", "--resume", str(run)], said) == 0, said.read_text()
        Run(RunFolder.open(run)).product  # noqa: B018 - it is loaded, every file checked
        assert (run / "weights.safetensors").read_bytes() == weights
    assert set(ended) == {"running", "done"}, "the moments are not those around the end"


def wait_for_checkpoint(runs: Path, process: object, seconds: float = 60) -> Path:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for run in runs.glob("*"):
            if Checkpoints(run).steps():
                return run
        time.sleep(0.01)
    raise AssertionError("no checkpoint was written")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_says_so_ends_with_2_and_the_resumed_run_is_identical(
    tmp_path: Path, number: signal.Signals
) -> None:
    spec = str(write_table(tmp_path))
    said = tmp_path / "said.txt"
    assert finish(["train", spec, "--runs", str(tmp_path / "whole")], said) == 0
    reference = next((tmp_path / "whole").iterdir())
    words = [sys.executable, "-m", "dapeng", "train", spec, "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    run = wait_for_checkpoint(tmp_path / "runs", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert "stopped; a checkpoint is safe in" in errors
    assert f"dapeng train --resume {run}" in errors
    assert read_json(run / "run.json")["status"] == "stopped"
    other = [sys.executable, "-m", "dapeng", "train", "--resume", str(run), "train.learning_rate=0.5"]
    refused = subprocess.run(other, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "a run that goes on keeps its settings" in refused.stderr
    last = [e for e in read_lines(run / "metrics.jsonl") if "checkpoint" in e][-1]
    assert checkpoints_are_whole(run) == last["checkpoint"]
    assert finish(["train", "--resume", str(run)], said) == 0, said.read_text()
    assert (run / "weights.safetensors").read_bytes() == (reference / "weights.safetensors").read_bytes()
    assert validations(run) == validations(reference)


def test_a_run_does_not_go_on_with_other_rows_nor_beside_itself(tmp_path: Path) -> None:
    said, runs = tmp_path / "said.txt", tmp_path / "runs"
    spec = str(write_table(tmp_path, spec=FOLDED))
    process = start(["train", spec, "--runs", str(runs), "train.epochs=200", "train.patience=null"], said)
    end = time.monotonic() + 60
    while time.monotonic() < end and not list(runs.glob("*/folds/*/checkpoints")):
        time.sleep(0.01)
    run = next(runs.iterdir())
    other = tmp_path / "other.txt"
    assert finish(["train", "--resume", str(run)], other) == 2
    assert "is being trained by another process" in other.read_text()
    process.kill()
    process.join()
    table = tmp_path / "t.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(rows)]) + "\n")
    changed = tmp_path / "changed.txt"
    assert finish(["train", "--resume", str(run)], changed) == 2
    assert "the data has changed since" in changed.read_text()
    table.write_text("\n".join([head, *rows]) + "\n")
    assert finish(["train", "--resume", str(run), "train.time_limit=5s"], changed) == 0, changed.read_text()


def test_a_loss_that_is_not_finite_ends_with_2_a_hint_and_the_checkpoint_from_before(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    words = ["train", str(write_table(tmp_path)), "--runs", str(tmp_path / "runs")]
    wild = ["train.learning_rate=1000", "train.optimiser=sgd", "train.clip=null", "train.checkpoint_every=1"]
    assert finish([*words, *wild, "train.schedule={type: cosine, warmup: 0.5}", "train.epochs=400"], said) == 2
    text = said.read_text()
    assert "Traceback" not in text
    assert "is not finite" in text
    assert "hint: train.learning_rate=" in text
    run = next((tmp_path / "runs").iterdir())
    assert checkpoints_are_whole(run) is not None
    assert read_json(run / "run.json")["status"] == "failed"


def _limited(words: list[str], output: str, largest: int) -> None:
    from tiny import _main  # type: ignore

    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    _main(words, output)


@pytest.mark.parametrize("full", ["checkpoint", "weights"])
def test_a_full_disk_is_said_in_words_and_the_old_checkpoint_stays(tmp_path: Path, full: str) -> None:
    from tiny import _context  # type: ignore

    said = tmp_path / "said.txt"
    spec = str(write_table(tmp_path))
    runs = tmp_path / "runs"
    process = start(["train", spec, "--runs", str(runs), "train.epochs=60", "train.patience=null"], said)
    run = wait_for_checkpoint(runs, process)
    process.kill()
    process.join()
    before = checkpoints_are_whole(run)
    size = max(f.stat().st_size for f in (run / "checkpoints").rglob("*") if f.is_file())
    more = (
        [] if full == "checkpoint" else ["train.checkpoint_every=1h"]
    )  # then the weights at the end are what is refused
    largest = size * 2 // 5
    limited = _context().Process(target=_limited, args=(["train", "--resume", str(run), *more], str(said), largest))
    limited.start()
    limited.join(100)
    text = said.read_text()
    assert limited.exitcode == 2, text
    assert "Traceback" not in text
    assert "disk full" in text or "can't write" in text
    assert "unexpected" not in text
    assert checkpoints_are_whole(run) == before


@pytest.mark.parametrize(("limit", "epochs"), [(4.0, 100_000), (8.0, 100_000)])
@pytest.mark.slow
def test_a_time_limit_is_kept_to_a_second_or_5_percent(tmp_path: Path, limit: float, epochs: int) -> None:
    table = str(write_table(tmp_path))
    more = [f"train.time_limit={limit}", f"train.epochs={epochs}", "train.patience=null", "train.checkpoint_every=60s"]
    for attempt in range(3):
        said, runs = tmp_path / f"said{attempt}.txt", tmp_path / f"runs{attempt}"
        assert finish(["train", table, "--runs", str(runs), *more], said) == 0, said.read_text()
        run = next(runs.iterdir())
        spent = read_json(run / "metrics.json")["seconds"]
        assert spent["wall"] >= 0.7 * limit, "the time was not used"
        assert checkpoints_are_whole(run) is None
        if spent["wall"] <= limit + max(1.0, 0.05 * limit):
            return
        assert spent["cpu"] < 0.7 * spent["wall"], said.read_text()  # else others held the processor: once more
    pytest.skip("others hold the processor: a limit in seconds can't be tested now")
