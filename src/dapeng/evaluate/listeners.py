"""A trained run as a listener: what it hears in sounds that are made."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from dapeng.columns.sounding import wav
from dapeng.core.errors import RunError
from dapeng.core.run import RunFolder
from dapeng.data.table import Frame
from dapeng.product.files import load
from dapeng.product.product import Product


class Listener:
    """A run that reads one sound, and says a category or a text. Raises RunError where it reads or says something else."""

    def __init__(self, folder: RunFolder):
        self.product: Product = load(folder)
        heard = [n for n, c in self.product.inputs.items() if c.type == "audio"]
        said = [n for n, c in self.product.outputs.items() if c.answers in ("label", "text")]
        if len(self.product.inputs) != 1 or not heard or not said:
            what = f"{folder.path} can't judge sounds: it must hear one sound alone, and say a category or a text"
            raise RunError(what, hint="judge: a run such as `dapeng train recipe:spoken-digits` gives")
        self.input, self.output = heard[0], said[0]
        self.name = str(folder.about().get("name", folder.name))

    def hear(self, sounds: list[np.ndarray], rate: int) -> list[str]:
        """What it hears in sounds, each of 16-bit samples; nothing in one that it can't read."""
        cells = pa.array([wav(s, rate) for s in sounds], pa.binary())
        answer = self.product.predict(Frame(pa.table({self.input: cells}), "sounds", None))
        out = [""] * len(sounds)
        for row, value in zip(answer.rows.tolist(), answer.values[self.output]):
            out[row] = str(value)
        return out


@lru_cache(4)
def listener_at(path: str) -> Listener:
    """The listener in a run folder, loaded once."""
    return Listener(RunFolder.open(Path(path)))
