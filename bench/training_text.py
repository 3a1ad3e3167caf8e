"""Tokens a second that a language model is trained on: our loop beside nanoGPT's and transformers' Trainer, in turns.

OMP_NUM_THREADS=1 python bench/training_text.py --nanogpt FOLDER            # FOLDER holds nanoGPT's model.py
OMP_NUM_THREADS=1 python bench/training_text.py --sizes 30m --rows 8 --memory

nanoGPT is github.com/karpathy/nanoGPT; without a folder it is left out, and without accelerate so is the Trainer. All train GPT-2
of one shape on tiny Shakespeare's letters (10m) or on tokens drawn among 50,304 (30m), with AdamW and clipped gradients; nanoGPT
in fp32, as it runs on a processor, the Trainer and ours in bfloat16. Process CPU time of some steps, one thread, the least of the
rounds. --memory: the peak of each side's memory too, in a process of its own. --threads 2: by the clock, on a quiet machine.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

WINDOW = 256
SIZES = {"10m": (384, 6, 6, 65), "30m": (384, 6, 6, 50_304), "tiny": (64, 2, 2, 65)}
"""Width, layers, heads, vocabulary."""
Step = Callable[[int], float]


def tokens(vocabulary: int) -> np.ndarray:
    """Ids to train on."""
    if vocabulary > 1000:
        return (np.random.default_rng(0).pareto(1.0, 400_000) * 50).astype(np.int64) % vocabulary
    with gzip.open(Path(os.environ["DAPENG_SAMPLES"]) / "tinyshakespeare.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read()
    known = {c: i for i, c in enumerate(sorted(set(text)))}
    return np.array([known[c] for c in text])


def drawn(ids: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    at = torch.randint(len(ids) - WINDOW - 1, (rows, 1)) + torch.arange(WINDOW + 1)
    found = ids[at]
    return found[:, :-1].contiguous(), found[:, 1:].contiguous()


def nanogpt(folder: Path, size: str, rows: int) -> Step:
    """Its model, optimiser and the heart of its train.py, as they run on a processor."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    width, layers, heads, vocabulary = SIZES[size]
    config = module.GPTConfig(
        block_size=WINDOW, vocab_size=vocabulary, n_layer=layers, n_head=heads, n_embd=width, dropout=0.0, bias=False
    )
    model = module.GPT(config)
    optimiser = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
    ids = torch.from_numpy(tokens(vocabulary))

    def step(count: int) -> float:
        loss = 0.0
        for _ in range(count):
            x, y = drawn(ids, rows)
            _, found = model(x, y)
            found.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            loss = float(found)
        return loss

    return step


def trainer(size: str, rows: int) -> Step:
    """GPT-2 of transformers under its Trainer, in bfloat16."""
    import tempfile

    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    width, layers, heads, vocabulary = SIZES[size]
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=WINDOW, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model: Any = GPT2LMHeadModel(config)
    ids = torch.from_numpy(tokens(vocabulary))
    places = torch.randint(len(ids) - WINDOW - 1, (4_096,)).tolist()
    data: Any = [{"input_ids": ids[p : p + WINDOW], "labels": ids[p : p + WINDOW]} for p in places]

    def step(count: int) -> float:
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(), max_steps=count, per_device_train_batch_size=rows, bf16=True, use_cpu=True,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, learning_rate=1e-3,
            max_grad_norm=1.0, dataloader_num_workers=0,
        )  # fmt: skip
        return float(Trainer(model=model, args=arguments, train_dataset=data).train().training_loss)

    return step


def ours(size: str, rows: int) -> Step:
    """Our loop over a packed feed, as `dapeng train` runs it."""
    from dapeng.columns.text import Text
    from dapeng.data.groups import Group
    from dapeng.data.packed import PackedFeed
    from dapeng.data.stored import Stored
    from dapeng.models.model import Model
    from dapeng.nn.tables import Tables
    from dapeng.objectives.base import Objective
    from dapeng.train.ema import Average
    from dapeng.train.loop import Fit, fit
    from dapeng.train.optimisers.adamw import AdamW
    from dapeng.train.schedules.constant import Constant
    from dapeng.train.state import Progress, State
    from dapeng.train.strategies import Single

    width, layers, heads, vocabulary = SIZES[size]
    decoder = {
        "type": "gpt",
        "embed_dim": width,
        "num_layers": layers,
        "num_heads": heads,
        "dropout": 0.0,
        "bias": False,
    }
    options: Any = Text(tokeniser="bytes", max_length=WINDOW, decoder=decoder)  # type: ignore[arg-type]
    summary = options.summary(True)
    summary.add(pa.array(["a"]))
    column: Any = options.fitted("text", summary.result(), True)
    type(column).size = property(lambda self: vocabulary)  # the same table as the others'
    tables = Tables()
    model = Model({}, None, {"text": options.decoder.build(column, None, tables, options.loss)}, tables, [])
    ids = tokens(vocabulary).astype(np.int32)
    stored = Stored(Group("text", ("text",), False), {}, {"ids": ids}, offsets=np.array([0, len(ids)]))
    feed = PackedFeed("text", stored, np.array([0]), WINDOW, rows)
    strategy = Single(1.0, 0.0, 0.0)
    objective = Objective(model)
    wrapped = strategy.wrap(objective, AdamW(weight_decay=0.1), 1e-3)
    state = State(objective, strategy, Average(model, None), Progress(), wrapped)

    def step(count: int) -> float:
        state.progress.planned = state.progress.step + count
        how = Fit(state.progress.planned, 10**9, 1e-3, Constant(), autocast=torch.bfloat16)
        fit(state, feed, how, None)
        state.progress.done = False
        return 0.0

    return step


def sides(size: str, rows: int, folder: Path | None) -> dict[str, Callable[[], Step]]:
    found: dict[str, Callable[[], Step]] = {}
    if folder is not None:
        found["nanoGPT fp32"] = lambda: nanogpt(folder, size, rows)
    if importlib.util.find_spec("accelerate") and importlib.util.find_spec("transformers"):
        found["Trainer bf16"] = lambda: trainer(size, rows)
    found["ours bf16"] = lambda: ours(size, rows)
    return found


def peak(size: str, rows: int, name: str, folder: Path | None) -> float:
    """GB that a process of its own takes at most, imports and data counted in."""
    command = [sys.executable, __file__, "--alone", name, "--sizes", size, "--rows", str(rows)]
    command += ["--nanogpt", str(folder)] if folder is not None else []
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def product() -> float:
    """FLOP/s of a large product in bfloat16."""
    x, best = torch.ones(1024, 1024, dtype=torch.bfloat16), float("inf")
    for _ in range(10):
        before = now()
        for _ in range(5):
            x @ x
        best = min(best, (now() - before) / 5)
    return 2 * 1024**3 / best


def now() -> float:
    """Process CPU time with one thread, the clock with more."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def compared(size: str, rows: int, steps: int, rounds: int, folder: Path | None, memory: bool) -> None:
    width, layers, _, vocabulary = SIZES[size]
    made = {name: make() for name, make in sides(size, rows, folder).items()}
    for step in made.values():
        step(2)
    times = dict.fromkeys(made, float("inf"))
    for _ in range(rounds):
        for name, step in made.items():
            before = now()
            step(steps)
            times[name] = min(times[name], (now() - before) / steps)
    weights = 12 * layers * width * width + vocabulary * width
    work = rows * WINDOW * (6 * weights + 12 * layers * width * WINDOW)
    ceiling = product()
    first = next(iter(times.values()))
    for name, each in times.items():
        gb = f"  peak {peak(size, rows, name, folder):.2f} GB" if memory else ""
        share = work / each / ceiling
        print(
            f"{size} {rows:2} x {WINDOW}  {name:13} {1e3 * each:8.1f} ms  {rows * WINDOW / each:8.0f} tokens/s  "
            f"{first / each:5.2f} x the first  {share:4.0%} of the bf16 product ({ceiling / 1e9:.0f} GFLOP/s){gb}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["10m", "30m"])
    parser.add_argument("--rows", type=int, nargs="+", default=[2])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.alone:
        step = sides(args.sizes[0], args.rows[0], args.nanogpt)[args.alone]()
        step(3)
        status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
        print(int(status.partition("VmHWM:")[2].split()[0]) / 1e6)
        return
    print(f"torch {torch.__version__}, {args.threads} thread{'s' * (args.threads > 1)}")
    for size in args.sizes:
        for rows in args.rows:
            compared(size, rows, args.steps, args.rounds, args.nanogpt, args.memory)


if __name__ == "__main__":
    main()
