"""A trained run as a judge of drawn pictures: what it sees in them, and the features by which it sees."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dapeng.columns.judged import label_keys
from dapeng.columns.pictures import png_of
from dapeng.core.errors import RunError
from dapeng.core.run import RunFolder
from dapeng.data.batch import Batch, Cells
from dapeng.metrics.images import Seen
from dapeng.product.files import load
from dapeng.product.product import Product

AT_ONCE = 256


class Judge:
    """A run that reads one picture and says a category. Raises RunError where it reads or says something else."""

    def __init__(self, folder: RunFolder):
        self.product: Product = load(folder)
        pictures = [n for n, c in self.product.inputs.items() if c.type == "image"]
        said = [n for n, c in self.product.outputs.items() if c.type == "category"]
        if len(self.product.inputs) != 1 or not pictures or not said or self.product.model is None:
            what = (
                f"{folder.path} can't judge pictures: it must read one picture alone, and say a category by a network"
            )
            raise RunError(what, hint="judge: a run such as `dapeng train recipe:mnist-lenet` gives")
        self.input, self.output = pictures[0], said[0]
        column: Any = self.product.inputs[self.input]
        self.column, self.shape = column, column.shape
        self.name = f"{folder.about().get('name', folder.name)} ({column.options.encoder.type})"
        self.labels = label_keys(self.product.outputs[self.output].labels)  # type: ignore[attr-defined]

    def look(self, pictures: np.ndarray) -> Seen:
        """What it sees in pictures (N, C, Y, X) uint8, in fp32, so that figures don't depend on the machine."""
        each = [self._look(pictures[at : at + AT_ONCE]) for at in range(0, len(pictures), AT_ONCE)]
        features, said = (np.concatenate(part) for part in zip(*each))
        return Seen(features, self.labels[said])

    @torch.inference_mode()
    def _look(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels = torch.from_numpy(np.ascontiguousarray(self._sized(pictures)))
        batch = Batch({self.input: Cells({"pixels": pixels})}, torch.arange(len(pixels)))
        model: Any = self.product.model
        features = model.features(batch)
        pooled = features.pooled if features.pooled.dim() == 2 else features.pooled.mean(1)
        said = model.decoders[self.output].predict(features, len(pixels))["probabilities"].argmax(1)
        return pooled.double().numpy(), said.numpy()

    def _sized(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures as it reads them."""
        if pictures.shape[1:] == self.shape:
            return pictures
        cells = pa.array([png_of(p) for p in pictures], pa.binary())
        return self.column.encode(cells).tensors["pixels"]


@lru_cache(4)
def judge_at(path: str) -> Judge:
    """The judge in a run folder, loaded once."""
    return Judge(RunFolder.open(Path(path)))
