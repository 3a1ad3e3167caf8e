"""What training and inference of the detector and the recogniser cost beside a plain loop and ONNX Runtime; and WaveNet's generation.

    OMP_NUM_THREADS=1 DAPENG_SAMPLES=... python bench/senses.py [--rounds 5] [--only training inference wavenet]

Training: our loop against a plain PyTorch loop over the same network, weights, rows, losses and optimiser, without random changes of the data.
Inference: our prediction of encoded rows against ONNX Runtime on our own export of the same network, and against the bare network. WaveNet: samples with
what layers keep against samples worked out anew, which must be the same ones. All are process CPU time on one thread, timed in turns; medians.
"""

from __future__ import annotations

import argparse
import copy
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dapeng import api
from dapeng.core.console import emit, say, table
from dapeng.core.spec import Data, Spec
from dapeng.data.feed import TableFeed
from dapeng.data.open import open_data
from dapeng.data.prepare import Prepared
from dapeng.export.flat import Flat, batches_of, example
from dapeng.models.predict import predict_batch
from dapeng.nn.sample_values import MuLaw
from dapeng.nn.wavenet import WaveNet
from dapeng.objectives.base import Objective
from dapeng.report.section import data_of
from dapeng.train.ema import Average
from dapeng.train.loop import Fit, fit
from dapeng.train.state import Progress, State
from dapeng.train.strategies import Single

RATE = 1e-3
RECIPES = {
    "detector (detect-cells)": ("detect-cells", "photo", 8),
    "recogniser (spoken-digits)": ("spoken-digits", "clip", 32),
}
SHORT = [
    "train.steps=60",
    "train.epochs=auto",
    "data.max_rows=400",
    "train.threads=1",
    "evaluate.resamples=0",
    "evaluate.baselines=[]",
]
STEPS = 4
RATE_HZ = 8_000


def trained(recipe: str, column: str, folder: Path) -> Any:
    plain = [*SHORT, f"inputs.{column}.augment=none", "train.precision=fp32"]
    return api.train(f"recipe:{recipe}", overrides=plain, runs=folder)


def store_of(run: Any) -> Any:
    """Rows of the recipe's training part, encoded, with their targets."""
    return Prepared(run.product.inputs, run.product.outputs, None, 0.01).store(part(run, "train"))


def part(run: Any, name: str) -> Any:
    """A few rows of this part of the run's data."""
    said = {k: v for k, v in data_of(run.folder).items() if k in Data.model_fields and v is not None}
    return open_data(Data(**{**said, "max_rows": 400}), Path.cwd()).parts[name]


def ours(model: Any, feed: TableFeed, spec: Spec) -> Callable[[], float]:
    objective, strategy = Objective(copy.deepcopy(model)), Single(1.0)
    wrapped = strategy.wrap(objective, spec.train.optimiser, RATE)
    state = State(objective, strategy, Average(objective.model, None), Progress(), wrapped)

    def go() -> float:
        state.progress.planned = state.progress.step + STEPS
        how = Fit(STEPS, 10**9, RATE, spec.train.schedule)
        began = time.process_time()
        fit(state, feed, how, None)
        return (time.process_time() - began) / STEPS

    return go


def by_hand(model: Any, feed: TableFeed) -> Callable[[], float]:
    model = copy.deepcopy(model).train()
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=RATE, fused=True)
    taken = [0]
    (name,) = list(model.decoders)

    def go() -> float:
        began, last = time.process_time(), 0.0
        for i in range(STEPS):
            epoch, step = divmod(taken[0], feed.steps_per_epoch)
            order = feed.order(epoch)
            start, end = (len(order) * s // feed.steps_per_epoch for s in (step, step + 1))
            batch = feed.reader.batch(order[start:end])
            loss = model.losses(batch)[name].sum() / len(batch.rows)
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * i / STEPS))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            last = float(loss.detach())
            taken[0] += 1
        assert math.isfinite(last)
        return (time.process_time() - began) / STEPS

    return go


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each side, the order of the sides changing from round to round."""
    for go in sides.values():
        go()
    times: dict[str, list[float]] = {k: [] for k in sides}
    for turn in range(rounds):
        for k in [*sides][turn % len(sides) :] + [*sides][: turn % len(sides)]:
            times[k].append(1000 * sides[k]())
    return times


def training(name: str, run: Any, rows: int, rounds: int) -> tuple[str, ...]:
    feed = TableFeed(store_of(run), np.arange(200), rows)
    model, spec = run.product.model, Spec.model_validate({"outputs": {"y": "number"}})
    times = in_turns(
        {"plain": by_hand(model, feed), "ours": ours(model, feed, spec), "again": by_hand(model, feed)}, rounds
    )
    more = statistics.median(o - (p + a) / 2 for o, p, a in zip(times["ours"], times["plain"], times["again"]))
    plain, again, mine = (statistics.median(times[k]) for k in ("plain", "again", "ours"))
    middle = (plain + again) / 2
    kept = "kept" if more <= max(0.1, 0.05 * middle) else "missed"
    return (
        name,
        f"{rows}",
        f"{middle:.1f}",
        f"{mine:.1f}",
        f"{100 * more / middle:+.1f} %",
        f"{100 * abs(again - plain) / middle:.1f} %",
        kept,
    )


def inference(name: str, run: Any, rows: int, rounds: int, folder: Path) -> tuple[str, ...]:
    import onnxruntime

    facts = run.export("onnx", folder / name.split()[0])
    one = onnxruntime.SessionOptions()
    one.intra_op_num_threads = one.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(facts["file"], one, providers=["CPUExecutionProvider"])
    source, product = part(run, "test"), run.product
    batch = batches_of(product, source, (rows,))[0]
    flat = Flat(product, example(product, source))
    given = {n.name: t.numpy() for n, t in zip(flat.inputs, flat.arguments(batch))}
    product.model.eval()

    def timed(what: Callable[[], Any]) -> Callable[[], float]:
        def go() -> float:
            began = time.process_time()
            for _ in range(3):
                what()
            return (time.process_time() - began) / 3

        return go

    def bare() -> None:
        with torch.inference_mode():
            product.model(batch)

    sides = {
        "bare": timed(bare),
        "ours": timed(lambda: predict_batch(product.model, batch, product.outputs)),
        "onnx": timed(lambda: session.run(None, given)),
    }
    ms = {k: statistics.median(v) for k, v in in_turns(sides, rounds).items()}
    more, ratio = f"{100 * (ms['ours'] / ms['bare'] - 1):+.1f} %", f"{ms['ours'] / ms['onnx']:.2f}"
    return name, f"{rows}", *(f"{ms[k]:.1f}" for k in ("bare", "ours", "onnx")), more, ratio


def wavenet(rounds: int) -> tuple[str, ...]:
    """Half a second at 8 kHz of the network of speak-digits' size with the reach of the paper's."""
    torch.manual_seed(0)
    net = WaveNet(MuLaw(), 48, 96, 16, [2**i for i in range(10)] * 2).eval()
    told = torch.randn(1, RATE_HZ, 16)
    kept, anew = net.generate(1, 2 * net.reach, told, 1), net.generate(1, 2 * net.reach, told, 1, cached=False)
    same = int((kept != anew).sum())

    def each(cached: bool, samples: int) -> Callable[[], float]:
        def go() -> float:  # behind as many samples as the network reaches, as nearly all of a sound's are
            began = time.process_time()
            net.generate(1, samples, told, 1, cached=cached)
            return (time.process_time() - began) / samples

        return go

    times = in_turns({"kept": each(True, RATE_HZ // 2), "anew": each(False, RATE_HZ // 2)}, max(1, rounds // 3))
    ms = {k: statistics.median(v) for k, v in times.items()}
    said = f"{ms['kept'] * RATE_HZ / 1000:.1f} s a second"
    return (
        f"{net.reach:,} samples",
        f"{same} of {2 * net.reach:,} differ",
        f"{ms['kept']:.3f}",
        f"{ms['anew']:.2f}",
        f"{ms['anew'] / ms['kept']:.0f} x",
        said,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["training", "inference", "wavenet"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    emit(
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, one thread, {args.rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        runs = {}
        if {"training", "inference"} & set(args.only):
            runs = {n: (trained(r, c, folder / "runs"), b) for n, (r, c, b) in RECIPES.items()}
        if "training" in args.only:
            found = [training(n, run, rows, args.rounds) for n, (run, rows) in runs.items()]
            emit(
                table(
                    found,
                    (
                        "training",
                        "rows a step",
                        "plain, ms",
                        "ours, ms",
                        "more",
                        "plain against itself",
                        "at most 5 % or 0.1 ms",
                    ),
                )
            )
        if "inference" in args.only:
            found = [inference(n, run, rows, args.rounds, folder) for n, (run, rows) in runs.items()]
            emit(
                table(
                    found,
                    (
                        "inference",
                        "rows",
                        "network, ms",
                        "ours, ms",
                        "ONNX Runtime, ms",
                        "ours over the network",
                        "ours / ONNX Runtime",
                    ),
                )
            )
    if "wavenet" in args.only:
        say("WaveNet: half a second at 8 kHz, with and without what is kept")
        emit(table([wavenet(args.rounds)], ("reach", "samples", "kept, ms", "anew, ms", "faster", "takes")))


if __name__ == "__main__":
    main()
