"""What drawn pictures are judged by: a run that lies in the run folder of those who draw, and the labels that it should see."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.run import BESIDE, RunFolder

KEPT = ("run.json", "spec.yaml", "columns.json", "product.json", "metrics.json", "weights.safetensors", BESIDE)
"""Files of a run that it needs to predict, and to say who it is."""
JUDGES = "judges"


class Judged(Column):
    """A column whose drawn answers may be judged by a run. judge: its folder, if any."""

    def __init__(self, name: str, options: Any, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.judge: Path | None = None if options.judge is None else Path(options.judge)

    def leave(self, folder: Path) -> None:
        if self.judge is not None:
            leave_judge(self.judge, self.name, folder)

    def find(self, folder: Path) -> None:
        self.judge = judge_in(self.name, folder) or self.judge

    def noted(
        self, prediction: dict[str, np.ndarray], inputs: Mapping[str, Column], cells: Callable[[str], Any]
    ) -> dict[str, np.ndarray]:
        asked = None if self.judge is None else asked_labels(self.options.shows, inputs, cells)  # type: ignore[attr-defined]
        return prediction if asked is None else {**prediction, "asked": asked}


def label_keys(labels: Any) -> np.ndarray:
    """(N,) int64: the same for a label wherever it stands, so that labels of two runs can be compared."""
    digests = [hashlib.blake2b(str(label).encode(), digest_size=8).digest() for label in labels]
    return np.array([int.from_bytes(d, "little", signed=True) for d in digests], np.int64)


def asked_labels(shows: str | None, inputs: Mapping[str, Any], cells: Callable[[str], Any]) -> np.ndarray | None:
    """(N,) keys of the labels that a picture of each row should show; None where no input says it.

    shows: the input that does; None: the only category. cells: of an input, by its name.
    """
    names = [shows] if shows is not None else [n for n, c in inputs.items() if c.type == "category"]
    if len(names) != 1 or names[0] not in inputs or inputs[names[0]].type != "category":
        return None
    column = inputs[names[0]]
    keys = np.concatenate([label_keys([None]), label_keys(column.labels)])  # code 0 is unknown
    return keys[column.encode(cells(names[0])).tensors["codes"]]


def leave_judge(judge: Path, name: str, folder: Path) -> None:
    """A copy of a run, of what it needs to predict, into the run folder that it judges for."""
    to = folder / JUDGES / name
    if judge.resolve() == to.resolve():
        return
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for file in KEPT:
        if (judge / file).is_file():
            shutil.copyfile(judge / file, to / file)
    if (judge / "learners").is_dir():
        shutil.copytree(judge / "learners", to / "learners")
    RunFolder(to).manifest()


def judge_in(name: str, folder: Path) -> Path | None:
    """The judge that lies in a run folder, if any."""
    found = folder / JUDGES / name
    return found if found.is_dir() else None
