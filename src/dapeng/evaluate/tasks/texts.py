"""Outputs that are texts."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.texts import Bleu, ChrF, TextView, _installed

SHOWN = 12
"""Texts of the test rows that metrics.json holds, beside what was written."""
LONGEST = 600


@tasks
class Texts(Task):
    """Writing: how likely the true texts are, and how near what is written comes to them."""

    type: Literal["text"] = "text"
    headline: ClassVar[str] = "bits_per_byte"
    beside: ClassVar[tuple[str, ...]] = ("bits_per_byte", "perplexity", "bleu", "chrf", "exact_match", "token_f1")
    floor: ClassVar[str] = "nothing"

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> TextView:
        said = column._texts(prediction["ids"])  # type: ignore[attr-defined]
        wrote = bool(np.asarray(prediction["ids"]).any())
        texts = np.array([str(v) for v in values], object)
        return TextView(said, texts, _floats(prediction["nats"]), _floats(prediction["tokens"]), wrote)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, TextView)
        rows = np.unique(np.linspace(0, view.rows - 1, min(SHOWN, view.rows)).astype(int))
        found: dict[str, Any] = {
            "samples": [{"written": view.said[i][:LONGEST], "truth": view.texts[i][:LONGEST]} for i in rows]
        }
        if view.wrote and _installed():
            found["signatures"] = {m.type: m.signature(view) for m in (Bleu(), ChrF())}
        return found

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        nats = _floats(tensors["nats"]) / np.maximum(_floats(tensors["tokens"]), 1)
        order = np.argsort(-nats, kind="stable")[:count]
        return [Wrong(int(rows[i]), str(tensors["truth"][i])[:LONGEST], "", float(nats[i])) for i in order], len(rows)


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)
