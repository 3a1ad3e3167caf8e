"""What each of two processes runs: `python -m tests.systems.ranks FOLDER`, with the variables of torchrun set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dapeng.data.batch import Batch
from dapeng.models.model import Model
from dapeng.nn.attention import Block
from dapeng.nn.tables import Tables
from dapeng.objectives.base import Objective
from dapeng.train.ema import Average
from dapeng.train.loop import Fit, fit
from dapeng.train.optimisers.adamw import AdamW
from dapeng.train.optimisers.sgd import SGD
from dapeng.train.schedules.constant import Constant
from dapeng.train.state import Progress, State
from dapeng.train.strategies import DataParallel
from tests.systems.texts import CachedBlock, TextDecoder
from tests.systems.training import InMemory, batch, cells, classes, fused, tabular, texts, textual, train, weights

ROWS, STEPS = 32, 5


def system() -> Objective:
    """A text -> an answer, with one table for both, and a label."""
    torch.manual_seed(1)
    tables = Tables()
    words = tables.get("words", 20, 16)
    encoder = textual(words)
    fusion = fused({"q": encoder}, (16,))
    decoders = {"a": TextDecoder(words, cross=True), "y": classes(2)(fusion.widths)}
    return Objective(Model({"q": encoder}, fusion, decoders, tables), {"y": 0.5})


def data() -> Batch:
    """Ragged questions and answers; half of the labels are missing, and unevenly over the ranks."""
    g = torch.Generator().manual_seed(3)
    present = torch.rand(ROWS, generator=g) > torch.arange(ROWS) / ROWS
    label = cells(present, codes=torch.randint(0, 2, (ROWS,), generator=g))
    return batch(q=texts(ROWS, 9, 4), a=texts(ROWS, 8, 5), y=label)


def alone() -> dict[str, Tensor]:
    """One process, one batch."""
    objective = system()
    train(objective, data(), STEPS, 0.1, SGD(), clip=None)
    return weights(objective)


def share(rank: int) -> InMemory:
    """Two micro-batches a rank, of 5 and 11 rows."""
    rows = data()
    bounds = ((0, 5), (5, 16)) if rank == 0 else ((16, 21), (21, 32))
    return InMemory(*(rows.take(slice(a, b)) for a, b in bounds))


def ddp() -> dict[str, Tensor]:
    strategy, objective = DataParallel(), system()
    train(objective, share(strategy.rank), STEPS, 0.1, SGD(), strategy)
    return weights(objective)


class Sharded(DataParallel):
    """Each block, then the objective: what a strategy of a later release does."""

    def _wrapped(self, objective: Objective, turn: str) -> Any:
        from torch.distributed.fsdp import register_fsdp_forward_method

        register_fsdp_forward_method(objective, "predict")
        return objective

    def wrap(self, objective: Objective, optimiser: Any, learning_rate: float) -> dict[str, Any]:
        from torch.distributed.fsdp import fully_shard

        for module in objective.modules():
            if isinstance(module, (Block, CachedBlock)):
                fully_shard(module)
        fully_shard(objective)
        return super().wrap(objective, optimiser, learning_rate)

    def sync(self, wrapped: Any, last: bool) -> AbstractContextManager[Any]:
        wrapped.set_requires_gradient_sync(last)
        return nullcontext()


def sharded() -> dict[str, Tensor]:
    strategy, objective = Sharded(), system()
    feed = share(strategy.rank)
    losses, _ = train(objective, feed, STEPS, 0.1, PlainSGD(), strategy)
    assert all(torch.isfinite(torch.tensor(losses)))
    with torch.no_grad():
        found = objective.predict(feed.micros[0], length=4)
    assert found["a"]["ids"].shape == (5, 5)
    for module in objective.modules():
        if hasattr(module, "reshard"):
            module.reshard()  # type: ignore[operator]
    return {n: p.full_tensor().detach().clone() for n, p in objective.named_parameters()}  # type: ignore[operator]


class PlainSGD(SGD):
    """The fused form does not know sharded tensors on all versions of torch."""

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=learning_rate)


def _players() -> Any:
    from tests.systems.test_objectives import adversarial

    torch.manual_seed(0)
    return adversarial()


def players_at_first() -> dict[str, Tensor]:
    return weights(_players())


def players() -> dict[str, Tensor]:
    from tests.systems.test_objectives import drawn

    strategy, objective = DataParallel(), _players()
    rows = drawn()
    mine = rows.take(slice(strategy.rank * 16, strategy.rank * 16 + 16))
    train(objective, InMemory(mine.take(slice(0, 6)), mine.take(slice(6, 16))), 4, 1e-2, AdamW(), strategy)
    return weights(objective)


class Slow(InMemory):
    """Every step takes a while, on one rank much longer, so that their clocks differ."""

    seconds = 0.002

    def steps(self, position: int) -> Iterator[list[Batch]]:
        for micros in super().steps(position):
            time.sleep(self.seconds)
            yield micros


def clocks() -> dict[str, Tensor]:
    from tests.systems.training import table

    strategy = DataParallel()
    objective = Objective(tabular())
    wrapped = strategy.wrap(objective, AdamW(), 1e-3)
    began = Progress(elapsed=0.0 if strategy.rank == 0 else 10.0)  # rank 1 believes that its time is over
    state = State(objective, strategy, Average(objective.model, None), began, wrapped)
    fit(state, Slow(table()), Fit(100_000, 50, 1e-3, Constant(), deadline=2.0), lambda: {"score": 0.0}, None, None)  # type: ignore[arg-type]
    return {"step": torch.tensor(state.progress.step), "planned": torch.tensor(state.progress.planned)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    group = DataParallel()  # every strategy after it joins the same group
    for what in (ddp, sharded, players, clocks):
        save_file(what(), folder / f"{what.__name__}-{group.rank}.safetensors")
        group.barrier()
    group.close()
