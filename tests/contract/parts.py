"""Fitted columns and batches of every registered type, for tests that run over registries without being asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.core.kinds import columns, encoders
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.prepare import Prepared
from dapeng.data.stored import Store
from dapeng.data.table import Frame


def fitted(kind: str, name: str = "x", target: bool = False, **options: Any) -> Column:
    """A column of a type, fitted on its own examples. like: of an output, the fitted input that it is like."""
    like = options.pop("like", None)
    named = {} if like is None else {"like": like.name}
    member = columns.members()[kind].model_validate({"type": kind, **options, **named})
    summary = member.summary(target)
    summary.add(pa.array(member.examples()))
    state = summary.result() if like is None else summary.result_like(like.options, like.state)
    return member.fitted(name, state, target)


def with_encoder(kind: str, tag: str, name: str = "x", **options: Any) -> Column:
    """A fitted column with an encoder chosen, at the size in which it is tried."""
    return fitted(kind, name, encoder={"type": tag, **encoders.members()[tag].tiny, **options})


def store_of(inputs: dict[str, Column], outputs: dict[str, Column] | None = None) -> Store:
    """The columns' examples, prepared."""
    every = {**inputs, **(outputs or {})}
    cells = {n: pa.array(type(c.options).examples()) for n, c in every.items()}
    return Prepared(inputs, outputs or {}, None, 1.0).store(Frame(pa.table(cells)))


def batch_of(inputs: dict[str, Column], outputs: dict[str, Column] | None = None, rows: int = 8) -> Batch:
    return Rows(store_of(inputs, outputs)).batch(np.arange(rows))


def encoder_cases() -> list[tuple[str, str]]:
    """(column type, encoder tag) of every registered encoder."""
    return [
        (kind, tag) for tag, member in encoders.members().items() for kind in member.fits if kind in columns.members()
    ]


def without_batch_statistics(tag: str) -> dict[str, Any]:
    """Options under which rows don't see each other, for per-sample gradients; and no random corruption."""
    member = encoders.members()[tag]
    norm = getattr(member(**member.tiny), "norm", None)
    out: dict[str, Any] = {"norm": "group"} if norm is not None and norm.type == "batch" else {}
    return {**out, "dropout": 0.0} if "dropout" in member.model_fields else out


def floats(module: torch.nn.Module) -> dict[str, Tensor]:
    return {n: p for n, p in module.named_parameters() if p.requires_grad}
