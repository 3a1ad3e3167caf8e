"""Texts that a network writes while it is trained: what its figures sound like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.data.feed import Rows
from dapeng.data.stored import Store
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import stream
from dapeng.models.model import Model
from dapeng.models.predict import autocasting

TOKENS, LETTERS = 48, 160
"""Of a text that is shown."""
WARMTH = 0.8

Show = Callable[[], dict[str, str]]


def sampler(
    model: Model,
    outputs: Mapping[str, Column],
    store: Store,
    validation: np.ndarray,
    device: str,
    autocast: torch.dtype | None,
) -> Show | None:
    """What writes a text for each written output, by name: from nothing, or for the first validation row; None if none is written."""
    names = [n for n, c in outputs.items() if c.answers == "text"]
    if not names or (model.fusion is not None and not len(validation)):
        return None

    def show() -> dict[str, str]:
        with torch.inference_mode(), autocasting(device, autocast):
            found = _beside(model, outputs, store, validation[:1], device) if model.fusion is not None else None
            texts = {n: found[n] if found is not None else _from_nothing(model, n, outputs[n]) for n in names}
        return {n: " ".join(t.split())[:LETTERS] for n, t in texts.items()}

    return show


def _from_nothing(model: Model, name: str, column: Any) -> str:
    decoder: Any = model.decoders[name]
    writing = decoder.writing(column.codec)
    writing.add([column.codec.bos], Sampling(max_tokens=TOKENS, temperature=WARMTH))
    return "".join(piece.text for piece in stream(writing))


def _beside(model: Model, outputs: Mapping[str, Column], store: Store, row: np.ndarray, device: str) -> dict[str, str]:
    found = model(Rows(store).batch(row).to(device))
    return {n: outputs[n].decode({k: t.cpu().numpy() for k, t in p.items()})[0] for n, p in found.items()}
