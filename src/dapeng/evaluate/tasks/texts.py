"""Outputs that are texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.evaluate.views import metrics_for
from dapeng.metrics.base import View, value_of
from dapeng.metrics.texts import Bleu, ChrF, TextView, TokenF1, TranslationEdits, _installed
from dapeng.metrics.transcripts import PARTS, WordErrors, counted
from dapeng.tokens.scripts import main_script

SHOWN = 12
"""Texts of the test rows that metrics.json holds, beside what was written."""
LONGEST = 600
"""Letters of each."""
HEARD = ("wer", "cer")
"""What transcripts are judged by."""
FEWEST = 5
"""Texts mostly in one script, from which on their figures are told apart."""
UNITS: tuple[Any, ...] = ("words", "letters")
KEPT: dict[str, Any] = {"wer": WordErrors, "chrf": ChrF, "token_f1": TokenF1}
"""What is kept of each text, to find the worst by."""


@tasks
class Texts(Task):
    """Writing: how likely the true texts are, and how near what is written comes to them."""

    type: Literal["text"] = "text"
    headline: ClassVar[str] = "bits_per_byte"
    beside: ClassVar[tuple[str, ...]] = ("bits_per_byte", "perplexity", "bleu", "chrf", "exact_match", "token_f1")
    floor: ClassVar[str] = "nothing"
    long: ClassVar[bool] = True

    def shows(self, column: Column) -> tuple[str, ...]:
        """Of a transcript, errors by words and letters."""
        return (*HEARD, "bits_per_byte", "exact_match") if _heard(column) else self.beside

    def first(self, column: Column, applying: Collection[str]) -> str:
        """What was written is judged by its letters, and a text that was only read by how likely it was."""
        if _heard(column) and HEARD[0] in applying:
            return HEARD[0]
        written = ("chrf",) if _installed() else ("token_f1",)
        return next((n for n in written if n in applying), super().first(column, applying))

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> TextView:
        said = column.texts(prediction)  # type: ignore[attr-defined]
        wrote = bool(np.asarray(prediction["ids"]).any())
        texts = np.array([str(v) for v in values], object)
        return TextView(said, texts, _floats(prediction["nats"]), _floats(prediction["tokens"]), wrote, _heard(column))

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, TextView)
        samples = [
            {"written": view.said[i][:LONGEST], "truth": view.texts[i][:LONGEST]} for i in evenly(view.rows, SHOWN)
        ]
        found: dict[str, Any] = {"samples": samples, **by_script(view)}
        if view.wrote and view.heard:
            found["edits"] = {u: dict(zip(PARTS, counted(view, u).sum(0).astype(int).tolist())) for u in UNITS}
        elif view.wrote and _installed():
            found["signatures"] = {
                m.type: m.signature(view) for m in (Bleu(), ChrF(), TranslationEdits()) if m.applies(view)
            }
        return found

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """Least like the true texts, by sentence; texts that were only read: the most surprising."""
        truth = [str(t) for t in tensors["truth"]]
        if "wrote" not in tensors:
            bits = _floats(tensors["nats"]) / np.log(2) / [max(len(t.encode("utf-8", "replace")), 1) for t in truth]
            order = np.argsort(-bits, kind="stable")[:count]
            told = [f"{bits[i]:.3g} bits per byte" for i in order]
            return [Wrong(int(rows[i]), truth[i], None, float(bits[i]), t) for i, t in zip(order, told)], len(rows)
        by = next(n for n in KEPT if n in tensors)
        title, sign = KEPT[by].title, 1 if KEPT[by].higher_is_better else -1
        like, per_token = _floats(tensors[by]), _floats(tensors["nats"]) / np.maximum(_floats(tensors["tokens"]), 1)
        wrong = np.flatnonzero(np.array([w != t for w, t in zip(tensors["wrote"], truth)], bool))
        order = wrong[np.lexsort((-per_token[wrong], sign * like[wrong]))][:count]
        made = [
            Wrong(int(rows[i]), truth[i], str(tensors["wrote"][i]), float(like[i]), f"{title} {like[i]:.3g}")
            for i in order
        ]
        return made, len(wrong)

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        if shown and shown[0].said is None:
            return f"the {len(shown)} of {rows:,} texts that were hardest to foresee."
        return f"{every:,} of {rows:,} texts are not the true one, letter by letter. These are least like it."

    def kept(self, column: Column, prediction: Prediction, values: np.ndarray) -> dict[str, np.ndarray]:
        view = self.view(column, prediction, values)
        if not view.wrote:
            return {}
        by: Any = WordErrors() if view.heard else ChrF() if _installed() else TokenF1()
        return {"wrote": view.said, by.type: by.each(view)}


def by_script(view: TextView) -> dict[str, Any]:
    """{"by_script": rows and figures of the texts that are mostly in each script}, the most frequent first; {} where there is but one."""
    scripts = np.array([main_script(t) for t in view.texts.tolist()], object)
    names, counts = np.unique(scripts, return_counts=True) if len(scripts) else (scripts, np.zeros(0))
    told = [str(names[i]) for i in np.argsort(-counts, kind="stable") if counts[i] >= FEWEST]
    if len(told) < 2:
        return {}
    views = {s: view.take(np.flatnonzero(scripts == s)) for s in told}
    values = {s: {n: value_of(m, v) for n, m in metrics_for(v).items()} for s, v in views.items()}
    return {"by_script": [{"script": s, "rows": views[s].rows, "metrics": values[s]} for s in told]}


def _heard(column: Column) -> bool:
    """Whether an output is a transcript, which is compared word by word."""
    return bool(column.options.decoder.transcribes)  # type: ignore[attr-defined]


def evenly(rows: int, count: int) -> np.ndarray:
    """Positions of at most so many rows, spread over all."""
    return np.unique(np.linspace(0, rows - 1, min(count, rows)).astype(int))


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)
