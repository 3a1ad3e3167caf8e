"""The real loop over batches in memory, with the loss of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from dapeng.core.kinds import OptimiserOptions
from dapeng.data.batch import Batch, Cells
from dapeng.decoders.classes import ClassDecoder
from dapeng.decoders.losses.cross_entropy import Criterion
from dapeng.decoders.losses.mse import Criterion as Squared
from dapeng.decoders.value import ValueDecoder
from dapeng.encoders.base import Encoder
from dapeng.encoders.embedding import EmbeddingEncoder
from dapeng.encoders.piecewise import PiecewiseEncoder
from dapeng.encoders.resnet_small import ResNetSmall, ResNetSmallEncoder
from dapeng.encoders.transformer import Transformer, TransformerEncoder
from dapeng.fusion.concat import Concat, ConcatFusion
from dapeng.models.model import Model
from dapeng.nn.features import Widths
from dapeng.nn.tables import Tables
from dapeng.objectives.base import Objective
from dapeng.train.ema import Average
from dapeng.train.loop import Fit, fit
from dapeng.train.optimisers.adamw import AdamW
from dapeng.train.schedules.constant import Constant
from dapeng.train.state import Progress, State
from dapeng.train.strategies import Single

ROWS = 32


class InMemory:
    """The same micro-batches at every step; `grown` may exchange them."""

    steps_per_epoch = 1

    def __init__(self, *micros: Batch, grown: Callable[[int, Any], list[Batch] | None] | None = None):
        self.micros, self.grown = list(micros), grown
        self.batch_size = micros[0].size if micros else 0
        self.per_step = sum(b.size for b in micros) or 1
        self.unit = "rows"

    def steps(self, position: int) -> Iterator[list[Batch]]:
        while True:
            yield self.micros

    def grow(self, step: int, predict: Any) -> None:
        new = self.grown(step, predict) if self.grown is not None else None
        if new is not None:
            self.micros[:] = new


class Losses(list):
    """Takes the place of metrics.jsonl."""

    def add(self, entry: dict[str, Any]) -> None:
        self.append(entry["train_loss"])


def train(
    objective: Objective,
    feed: InMemory | Batch,
    steps: int,
    learning_rate: float = 3e-3,
    optimiser: OptimiserOptions | None = None,
    strategy: Single | None = None,
    ema: float | None = None,
    clip: float | None = None,
) -> tuple[list[float], State]:
    """The loss of every step, and the state afterwards."""
    strategy = strategy or Single(clip)
    wrapped = strategy.wrap(objective, optimiser or AdamW(weight_decay=0.0), learning_rate)
    state = State(objective, strategy, Average(objective.model, ema), Progress(), wrapped)
    how = Fit(steps, 1, learning_rate, Constant(), checkpoint_seconds=None)
    losses = Losses()
    fit(state, InMemory(feed) if isinstance(feed, Batch) else feed, how, None, None, losses)  # type: ignore[arg-type]
    assert len(losses) == steps
    return list(losses), state


def cells(present: Any = None, **tensors: Any) -> Cells:
    return Cells(tensors, present)


def batch(**columns: Cells) -> Batch:
    first = next(iter(next(iter(columns.values())).tensors.values()))
    return Batch(dict(columns), torch.arange(first.shape[0]))


def fused(encoders: dict[str, Encoder], hidden: tuple[int, ...] = (), members: int = 1, absent: tuple[str, ...] = ()):
    """A Concat over these encoders."""
    widths = {n: e.widths for n, e in encoders.items()}
    return ConcatFusion(widths, set(absent), Concat(hidden=list(hidden), members=members))


def single(
    name: str,
    encoder: Encoder,
    outputs: dict[str, Callable[[Widths], Any]],
    tables: Tables | None = None,
    hidden: tuple[int, ...] = (),
    absent: tuple[str, ...] = (),
) -> Model:
    """A model with one input."""
    fusion = fused({name: encoder}, hidden, absent=absent)
    return Model({name: encoder}, fusion, {n: make(fusion.widths) for n, make in outputs.items()}, tables or Tables())


def classes(count: int) -> Callable[[Widths], ClassDecoder]:
    return lambda widths: ClassDecoder(widths, count, Criterion(None, 0.0), 0.0)


def value(widths: Widths) -> ValueDecoder:
    return ValueDecoder(widths, Squared(), 0.0)


class _Picture:
    def __init__(self, *shape: int):
        self.shape = shape
        self.normalisation = ([0.5] * shape[0], [0.25] * shape[0])


def convolutional(channels: int = 3, side: int = 16, norm: Any = "group", width: int = 8) -> ResNetSmallEncoder:
    return ResNetSmallEncoder(
        _Picture(channels, side, side), ResNetSmall(width=width, stages=2, norm=norm, dropout=0.0)
    )


def textual(table: nn.Embedding, num_layers: int = 1) -> TransformerEncoder:
    dim = table.embedding_dim
    return TransformerEncoder(table, 32, Transformer(embed_dim=dim, num_layers=num_layers, num_heads=2, dropout=0.0))


def tabular(members: int = 1, absent: bool = True) -> Model:
    """Five numbers with gaps and two categories -> a label and a price."""
    tables = Tables()
    edges = [[-3.0, -1.0, 0.0, 1.0, 3.0]] * 5
    encoders: dict[str, Encoder] = {
        "numbers": PiecewiseEncoder(edges, 4, True, absent),
        "categories": EmbeddingEncoder([4, 4], 4, [tables.get("categories", 8, 4)]),
    }
    fusion = fused(encoders, (32,), members)
    return Model(encoders, fusion, {"label": classes(2)(fusion.widths), "price": value(fusion.widths)}, tables)


def table(rows: int = ROWS, seed: int = 0) -> Batch:
    """A batch for `tabular`; a third of the prices are missing."""
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 5, generator=g)
    numbers = cells(torch.rand(rows, 5, generator=g) > 0.2, values=values)
    categories = cells(codes=torch.randint(0, 4, (rows, 2), generator=g))
    label = cells(codes=(values[:, 0] > 0).long())
    price = cells(torch.rand(rows, generator=g) > 0.3, values=values.sum(1))
    return batch(numbers=numbers, categories=categories, label=label, price=price)


def texts(rows: int = ROWS, longest: int = 9, seed: int = 1) -> Cells:
    """Ragged ids (3 to 19) and mask."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(longest) < torch.randint(3, longest + 1, (rows, 1), generator=g)
    return cells(ids=torch.randint(3, 20, (rows, longest), generator=g) * mask, mask=mask)


def pictures(rows: int = ROWS, channels: int = 3, side: int = 16, seed: int = 2) -> Cells:
    g = torch.Generator().manual_seed(seed)
    return cells(pixels=torch.randint(0, 256, (rows, channels, side, side), dtype=torch.uint8, generator=g))


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in module.named_parameters()}


def farthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max()) for n in a)
