"""Two processes that train one model, on this machine's loopback: equal to one process, and the product path to its end.

Each test starts processes of its own with a time limit, so nothing can hang; `ranks.py` is what they run.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dapeng.cli.main import main
from dapeng.core.errors import TrainingError
from dapeng.core.run import RunFolder
from dapeng.train.strategies import DataParallel
from tests.systems import ranks
from tests.systems.training import farthest

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this torch has no gloo backend",
)

ROOT = Path(__file__).parents[2]
SECONDS = 90


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    quiet = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {**kept, **quiet, **loopback, **more}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, torch.Tensor]]]:
    """The tensors that each of two processes left, by the function of `ranks` that made them; one start for all."""
    to = tmp_path_factory.mktemp("ranks")
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    started = []
    for rank in range(2):
        env = environment(**group, RANK=str(rank), LOCAL_RANK=str(rank))
        command = [sys.executable, "-m", "tests.systems.ranks", str(to)]
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    try:
        said = [process.communicate(timeout=SECONDS)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [p.returncode for p in started] == [0, 0], "\n".join(text[-2000:] for text in said)
    return lambda what: [load_file(to / f"{what}-{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("what", ["ddp", "sharded"])
def test_two_ranks_with_ragged_half_missing_micro_batches_equal_one_process(what: str, found) -> None:
    """`sharded`: fully_shard of each block, then of the objective; it also generates while sharded."""
    first, second = found(what)
    assert farthest(first, second) == 0
    assert farthest(first, ranks.alone()) < 1e-5


def test_the_turns_of_two_players_agree_over_ranks(found) -> None:
    first, second = found("players")
    assert farthest(first, second) == 0
    at_first = ranks.players_at_first()
    moved = {n.partition(".")[0] for n in first if not torch.equal(first[n], at_first[n])}
    assert moved == {"model", "critic"}


def test_ranks_agree_on_what_depends_on_a_clock(found) -> None:
    """Rank 1 believes that its time was over before it began: both end after the same step, when rank 0 says so."""
    first, second = found("clocks")
    assert int(first["step"]) == int(second["step"]) > 20
    assert int(first["planned"]) == int(second["planned"])


def _row(i: int) -> str:
    """A row in which every fourth number and every third price is missing."""
    a, b = (i * 37 % 101) / 50 - 1, (i * 53 % 89) / 44 - 1
    return f"{a:.2f},{f'{b:.2f}' if i % 4 else ''},{'xyz'[i % 3]},{'yes' if a > 0 else 'no'},{f'{2 * a + b:.2f}' if i % 3 else ''}"


ROWS = "\n".join(["a,b,c,label,price", *map(_row, range(160))]) + "\n"

SPEC = """
data: {path: rows.csv, split: SPLIT}
inputs: {a: number, b: number, c: category}
outputs: {label: category, price: number}
fusion: {type: concat, hidden: [16]}
model: network
train: {epochs: 3, batch_size: 16, threads: 1, precision: fp32, learning_rate: 0.01}
evaluate: {resamples: 20, baselines: [constant]}
"""


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc-per-node 2 -m dapeng ...` in a folder; all that it started is ended with it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", free_port(), "-m", "dapeng", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(DAPENG_CACHE=str(folder / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"two ranks hang: {err[-2000:]}")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows has no gloo rendezvous by default")
@pytest.mark.slow
@pytest.mark.parametrize("split", ["random", "cross_validation"])
def test_torchrun_trains_one_product_that_predicts(split: str, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    by = split if split == "random" else "{by: cross_validation, folds: 2}"
    (tmp_path / "both.yaml").write_text(SPEC.replace("SPLIT", by))
    done = torchrun(tmp_path, "train", "both.yaml", "train.strategy=ddp", "--runs", "runs")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["runs/both-0001"], "one path, of rank 0"
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["both-0001"]
    assert done.stderr.count("evaluating") == 1, "other ranks say nothing"
    assert "Warning" not in done.stderr
    run = tmp_path / "runs" / "both-0001"
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert (run / "report.html").stat().st_size > 1000
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["predict", str(run), "rows.csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 161


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows has no gloo rendezvous by default")
def test_a_run_that_stopped_goes_on_with_both_ranks_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    folder = RunFolder.create(tmp_path / "runs", "both")
    spec = SPEC.replace("SPLIT", "random").replace("rows.csv", str(tmp_path / "rows.csv"))
    (folder.path / "spec.yaml").write_text(spec.replace("epochs: 3", "strategy: ddp, epochs: 3"))
    folder.mark("stopped")
    done = torchrun(tmp_path, "train", "--resume", str(folder.path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [folder.path.name]
    assert json.loads((folder.path / "run.json").read_text())["status"] == "done"
    steps = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    at = [e["step"] for e in steps if "train_loss" in e]
    assert at == sorted(set(at)), "one rank alone writes the log"


def test_ddp_without_torchrun_says_how_to_start_it(monkeypatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TrainingError, match="torchrun --nproc-per-node"):
        DataParallel()
