"""What our loop, feed and contracts cost: the loop against a plain PyTorch loop over the same network, optimiser and batches.

    OMP_NUM_THREADS=1 python bench/overhead.py [--rounds 7] [--only mlp bag transformer resnet]

Both sides start from the same weights, take the same rows in the same order, and are timed in turns: process CPU time of a
number of steps, one thread, the median of the rounds. The plain side indexes tensors, calls the modules, clips as
torch.nn.utils does, steps fused AdamW, sets the learning rate and keeps the loss: what anyone would write by hand. The spread of the plain side
against itself is shown, since a difference below it says nothing.
"""

from __future__ import annotations

import argparse
import copy
import math
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from dapeng.core.console import emit, say, table
from dapeng.core.spec import Spec
from dapeng.data.feed import TableFeed
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.table import Frame
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.objectives.base import Objective
from dapeng.train.ema import Average
from dapeng.train.loop import Fit, fit
from dapeng.train.state import Progress, State
from dapeng.train.strategies import Single

RATE = 1e-3


def numbers(rows: int, draw: np.random.Generator) -> dict[str, Any]:
    x = draw.normal(size=(rows, 14))
    return {**{f"n{i:02}": x[:, i] for i in range(14)}, "y": np.where(x[:, 0] + x[:, 1] > 0, "a", "b")}


def texts(rows: int, draw: np.random.Generator) -> dict[str, Any]:
    words = np.array([f"word{i}" for i in range(3000)])
    made = [" ".join(words[(draw.pareto(1, int(draw.integers(5, 60))) * 20).astype(int) % 3000]) for _ in range(rows)]
    return {"text": made, "y": ["ab"[i % 2] for i in range(rows)]}


def pictures(rows: int, draw: np.random.Generator) -> dict[str, Any]:
    import io

    from PIL import Image

    def one() -> bytes:
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(file, "BMP")
        return file.getvalue()

    return {"image": pa.array([one() for _ in range(rows)], pa.binary()), "y": [str(i % 10) for i in range(rows)]}


CASES: dict[str, tuple[Callable[..., Any], int, int, int, dict[str, Any]]] = {
    "table, MLP 256-256 on 14 plain numbers": (numbers, 20_000, 512, 40, {"type": "number", "encoder": "linear"}),
    "table, MLP 256-256 on 14 piecewise numbers": (numbers, 20_000, 512, 20, {"type": "number"}),
    "text, bag of n-grams": (texts, 4_000, 128, 40, {"type": "text"}),
    "text, Transformer": (
        texts,
        2_000,
        32,
        15,
        {"type": "text", "encoder": {"type": "transformer", "num_layers": 2, "embed_dim": 64}},
    ),
    "picture, resnet_small 32 x 32": (
        pictures,
        600,
        32,
        6,
        {"type": "image", "encoder": "resnet_small", "augment": "none"},
    ),
}


class Case:
    def __init__(self, make: Callable[..., Any], rows: int, batch: int, column: dict[str, Any]):
        data = make(rows, np.random.default_rng(0))
        inputs = {n: column for n in data if n != "y"}
        fusion = {"type": "concat", "hidden": [256, 256] if len(inputs) > 1 else []}
        self.spec = Spec.model_validate({"inputs": inputs, "outputs": {"y": "category"}, "fusion": fusion})
        source = Frame(pa.table(data))
        wanted: dict[str, Any] = {n: (o, False) for n, o in self.spec.inputs.items()}
        wanted["y"] = (self.spec.outputs["y"], True)
        fitted = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
        ins = with_encoders({n: fitted[n] for n in inputs}, rows, Choices())
        self.store = Prepared(ins, {"y": fitted["y"]}, None, 0.01).store(source)
        torch.manual_seed(0)
        self.model = build_model(self.spec, ins, {"y": fitted["y"]}, Choices())
        self.feed = TableFeed(self.store, np.arange(rows), batch)

    def ours(self, steps: int) -> Callable[[], float]:
        objective, strategy = Objective(copy.deepcopy(self.model)), Single(1.0)
        wrapped = strategy.wrap(objective, self.spec.train.optimiser, RATE)
        state = State(objective, strategy, Average(objective.model, None), Progress(), wrapped)

        def go() -> float:
            state.progress.planned = state.progress.step + steps
            how = Fit(steps, 10**9, RATE, self.spec.train.schedule)
            began = time.process_time()
            fit(state, self.feed, how, None)
            return (time.process_time() - began) / steps

        return go

    def plain(self, steps: int) -> Callable[[], float]:
        model = copy.deepcopy(self.model).train()
        parameters = list(model.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=RATE, fused=True)
        held = self.feed.reader
        codes = torch.from_numpy(self.store.stored["y"].tensors["codes"]).reshape(-1)
        keys = [k for k in held.keys if k != "y"]
        taken = [0]
        decoder, fusion = model.decoders["y"], model.fusion

        def go() -> float:
            began = time.process_time()
            for i in range(steps):
                epoch, step = divmod(taken[0], self.feed.steps_per_epoch)
                order = self.feed.order(epoch)
                start, end = (len(order) * s // self.feed.steps_per_epoch for s in (step, step + 1))
                index = torch.from_numpy(order[start:end])
                # the same padding for texts: it is data that a plain loop would have to make as well
                cells = {k: held._from_memory(k, index) for k in keys}
                parts = {k: encoder(cells[k], None) for k, encoder in model.encoders.items()}
                logits, target = decoder.logits(fusion(parts)), codes[index]
                if logits.dim() == 3:  # an ensemble in one network
                    logits, target = logits.flatten(0, 1), target.repeat_interleave(logits.shape[1], 0)
                loss = functional.cross_entropy(logits, target)
                for group in optimiser.param_groups:
                    group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * i / steps))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                last = float(loss.detach())
                taken[0] += 1
            assert math.isfinite(last)
            return (time.process_time() - began) / steps

        return go


def measure(name: str, rounds: int) -> tuple[Any, ...]:
    make, rows, batch, steps, column = CASES[name]
    case = Case(make, rows, batch, column)
    sides = {"plain": case.plain(steps), "ours": case.ours(steps), "again": case.plain(steps)}
    for go in sides.values():
        go()
    times: dict[str, list[float]] = {k: [] for k in sides}
    for turn in range(rounds):
        for k in [*sides][turn % 3 :] + [*sides][: turn % 3]:
            times[k].append(1000 * sides[k]())
    ms = {k: statistics.median(v) for k, v in times.items()}
    more = statistics.median(o - (p + a) / 2 for o, p, a in zip(times["ours"], times["plain"], times["again"]))
    plain = (ms["plain"] + ms["again"]) / 2
    noise = abs(ms["again"] - ms["plain"])
    verdict = "kept" if more <= max(0.1, 0.05 * plain) else "missed"
    return (
        name,
        f"{batch}",
        f"{plain:.3f}",
        f"{ms['ours']:.3f}",
        f"{more:+.3f}",
        f"{100 * more / plain:+.1f} %",
        f"{noise:.3f}",
        verdict,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[""], help="words of the cases' names")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [n for n in CASES if any(w.lower() in n.lower() for w in args.only)]
    found = []
    for name in wanted:
        found.append(measure(name, args.rounds))
        say("  ".join(found[-1]))
    emit(
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, one thread, {args.rounds} rounds"
    )
    head = ("network", "rows a step", "plain, ms", "ours, ms", "more, ms", "more", "plain against itself, ms", "target")
    emit(table(found, head))


if __name__ == "__main__":
    main()
