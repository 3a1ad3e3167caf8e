"""What a network writes and draws while it is trained: what its figures sound and look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.columns.pictures import grid_of, png_of
from dapeng.core.files import write_bytes
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.stored import Store
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import stream
from dapeng.models.model import Model
from dapeng.models.predict import autocasting, in_units

TOKENS, LETTERS = 48, 160
"""Of a text that is shown."""
WARMTH = 0.8
ACROSS, PICTURES = 8, 32
"""Of a grid of pictures: how many in a line, and in all."""
FOLDER = "samples"
"""Where grids lie in the run folder."""

Show = Callable[[], dict[str, str]]


def sampler(
    model: Model,
    outputs: Mapping[str, Column],
    store: Store,
    validation: np.ndarray,
    device: str,
    autocast: torch.dtype | None,
    folder: Path | None = None,
) -> Show | None:
    """What writes a text for each written output, by name: from nothing, or for the first validation row; and draws a grid of
    pictures for each drawn one, into a folder. None if nothing is written or drawn.
    """
    written = [n for n, c in outputs.items() if c.answers == "text"]
    drawn = [n for n in outputs if model.decoders[n].draws] if folder is not None else []
    if not (written or drawn) or (model.fusion is not None and not len(validation)):
        return None

    def show() -> dict[str, str]:
        with torch.inference_mode(), autocasting(device, autocast):
            found = (
                _beside(model, outputs, store, validation[:1], device) if model.fusion is not None and written else {}
            )
            texts = {n: found[n] if n in found else _from_nothing(model, n, outputs[n]) for n in written}
            pictures = _drawn(model, outputs, store, validation[:PICTURES], device) if drawn else {}
        said = {n: " ".join(t.split())[:LETTERS] for n, t in texts.items()}
        return said | {n: _kept(pictures[n], n, folder) for n in drawn if folder is not None}

    return show


def _from_nothing(model: Model, name: str, column: Any) -> str:
    decoder: Any = model.decoders[name]
    writing = decoder.writing(column.codec)
    writing.add([column.codec.bos], Sampling(max_tokens=TOKENS, temperature=WARMTH))
    return "".join(piece.text for piece in stream(writing))


def _beside(model: Model, outputs: Mapping[str, Column], store: Store, row: np.ndarray, device: str) -> dict[str, str]:
    found = model(Rows(store).batch(row).to(device))
    return {n: outputs[n].decode({k: t.cpu().numpy() for k, t in p.items()})[0] for n, p in found.items()}


def _drawn(
    model: Model, outputs: Mapping[str, Column], store: Store, rows: np.ndarray, device: str
) -> dict[str, np.ndarray]:
    """(N, C, Y, X) uint8 of each drawn output: for these rows, or from nothing."""
    batch = Rows(store).batch(rows) if model.fusion is not None else Batch({}, torch.arange(PICTURES))
    found = in_units(model(batch.to(device)), outputs)
    return {n: p["pixels"].cpu().numpy() for n, p in found.items() if model.decoders[n].draws}


def _kept(pictures: np.ndarray, name: str, folder: Path | None) -> str:
    """Writes a grid, and says where it is."""
    assert folder is not None
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}-{len(list(folder.glob(f'{name}-*.png'))) + 1:04d}.png"
    write_bytes(file, png_of(grid_of(pictures, ACROSS)))
    return str(file)
