"""Questions that a language model was not trained for: a choice among answers, or an answer to be written, with some examples before it.

Brown et al.: Language Models are Few-Shot Learners, 2020 (https://arxiv.org/abs/2005.14165); how an answer's likelihood is told apart
from its length follows Gao et al.: A framework for few-shot language model evaluation (https://zenodo.org/records/12608602).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dapeng.core.console import table
from dapeng.core.errors import DataError, Problem
from dapeng.data.draws import permutation
from dapeng.evaluate.bootstrap import counts_of, share_interval
from dapeng.generate.sampling import Sampling
from dapeng.product.product import Product
from dapeng.product.writing import language_model, written

PURPOSE = 61
RESAMPLES, CONFIDENCE = 1000, 0.95
AT_ONCE = 8_192
"""Tokens that are read at once."""
LONGEST = 64
"""Tokens of an answer that is written."""
KEYS = ("prompt", "choices", "answer", "task", "stop")
FORM = '{"prompt": "2 + 2 =", "choices": ["3", "4"], "answer": 1}, or {"prompt": "2 + 2 =", "answer": "4"}'


@dataclass(frozen=True)
class Question:
    """prompt: what stands before the answer. choices: answers among which is chosen; empty where one is to be written. where: file and line."""

    prompt: str
    answer: str
    choices: tuple[str, ...] = ()
    task: str = "questions"
    stop: tuple[str, ...] = ("\n",)
    where: str = ""


@dataclass
class Answered:
    """By task: shares of right answers. `by_length`: choices judged by their likelihood a byte."""

    shots: int
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"shots": self.shots, "confidence": CONFIDENCE, "tasks": self.tasks}

    def text(self) -> str:
        rows = []
        for name, found in self.tasks.items():
            for metric, figure in found["metrics"].items():
                rows.append(
                    (name, metric, found["rows"], figure["value"], figure["low"], figure["high"], found["chance"])
                )
        head = ("task", "metric", "questions", "value", f"{CONFIDENCE:.0%} from", "to", "by chance")
        return f"{self.shots} examples before each question\n\n{table(rows, head)}"


def read_questions(path: Path) -> list[Question]:
    """Of a JSONL file. Raises DataError with every line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(Problem(str(path), f"can't be read: {reason}", f"a line for each question: {FORM}")) from None
    found, wrong = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_question(json.loads(line), f"{path}:{number}"))
            except ValueError as error:
                wrong.append(Problem(f"{path}:{number}", str(error), f"such as {FORM}"))
    if wrong:
        raise DataError(wrong[:20])
    if not found:
        raise DataError(Problem(str(path), "no question is there", f"a line for each: {FORM}"))
    return found


def _question(row: Any, where: str) -> Question:
    """Raises ValueError for what is none."""
    if not isinstance(row, dict):
        raise ValueError(f"expected a mapping, found {str(row)[:40]!r}")
    unknown = [k for k in row if k not in KEYS]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; expected {', '.join(KEYS)}")
    prompt, choices, answer = row.get("prompt"), row.get("choices", []), row.get("answer")
    if not isinstance(prompt, str) or not prompt:
        raise ValueError(f"prompt: expected a text, found {prompt!r}")
    if not isinstance(choices, list) or not all(isinstance(c, str) and c for c in choices) or len(choices) == 1:
        raise ValueError(f"choices: expected two texts or more, found {choices!r}")
    if choices and isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(choices):
            raise ValueError(f"answer: expected 0 to {len(choices) - 1}, the place of a choice, found {answer}")
        answer = choices[answer]
    if not isinstance(answer, str) or (choices and answer not in choices):
        expected = "one of the choices, or its place from 0 on" if choices else "a text"
        raise ValueError(f"answer: expected {expected}, found {answer!r}")
    stop = row.get("stop", ["\n"])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(s, str) and s for s in stop):
        raise ValueError(f"stop: expected texts, found {stop!r}")
    return Question(prompt, answer, tuple(choices), str(row.get("task", "questions")), tuple(stop), where)


def ask(product: Product, questions: Sequence[Question], shots: int = 0, seed: int = 0) -> Answered:
    """How many a language model answers. shots: other questions of the same task, with their answers, before each.

    Raises RunError where the product is no language model, DataError where there are not enough examples.
    """
    column, decoder = language_model(product)
    groups: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        groups[question.task].append(question)
    out = Answered(shots)
    for name, group in groups.items():
        if shots >= len(group):
            what = f"{shots} examples are wanted before each question, and there are {len(group) - 1} others"
            raise DataError(Problem(f"task {name!r}", what, f"--shots {len(group) - 1}"))
        prompts = [_with_examples(group, at, shots, seed) for at in range(len(group))]
        out.tasks[name] = _answered(product, column, decoder, group, prompts, seed)
    return out


def _with_examples(group: Sequence[Question], at: int, shots: int, seed: int) -> str:
    others = [i for i in permutation(len(group), seed, PURPOSE, at).tolist() if i != at][:shots]
    return (
        "".join(f"{group[i].prompt}{_apart(group[i].prompt, group[i].answer)}\n\n" for i in others) + group[at].prompt
    )


def _apart(prompt: str, answer: str) -> str:
    """The answer as it goes on from its prompt: with a blank between them where neither has one and the script wants it."""
    spaced = prompt[-1:].isspace() or answer[:1].isspace() or ord(prompt[-1]) > 0x2E7F
    return answer if spaced else f" {answer}"


def _answered(
    product: Product, column: Any, decoder: Any, group: Sequence[Question], prompts: Sequence[str], seed: int
) -> dict[str, Any]:
    chosen = [i for i, q in enumerate(group) if q.choices]
    free = [i for i, q in enumerate(group) if not q.choices]
    metrics: dict[str, np.ndarray] = {}
    if chosen:
        plain, by_length = _choices(column, decoder, [group[i] for i in chosen], [prompts[i] for i in chosen])
        metrics = {"accuracy": plain, "accuracy_by_length": by_length}
    if free:
        metrics["exact_match"] = _written(product, [group[i] for i in free], [prompts[i] for i in free], seed)
    chance = float(np.mean([1 / len(group[i].choices) for i in chosen])) if chosen else 0.0
    return {
        "rows": len(group),
        "chance": chance,
        "metrics": {n: _figure(right.astype(np.float64), seed) for n, right in metrics.items()},
    }


def _figure(right: np.ndarray, seed: int) -> dict[str, Any]:
    draws = np.concatenate([c @ right / len(right) for c in counts_of(len(right), RESAMPLES, seed)])
    value = float(right.mean())
    return share_interval(value, len(right), draws, CONFIDENCE).plain()


def _choices(
    column: Any, decoder: Any, group: Sequence[Question], prompts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) whether the likeliest choice is right, and whether the one that is likeliest a byte is."""
    texts = [(p, _apart(p, c)) for q, p in zip(group, prompts) for c in q.choices]
    nats = likelihoods(column, decoder, texts)
    sizes = np.array([len(c.encode("utf-8", "replace")) for _, c in texts])
    ends = np.cumsum([len(q.choices) for q in group])
    plain, by_length = [], []
    for question, end in zip(group, ends.tolist()):
        some = slice(end - len(question.choices), end)
        wanted = question.choices.index(question.answer)
        plain.append(int(np.argmax(nats[some])) == wanted)
        by_length.append(int(np.argmax(nats[some] / sizes[some])) == wanted)
    return np.array(plain), np.array(by_length)


def likelihoods(column: Any, decoder: Any, texts: Sequence[tuple[str, str]]) -> np.ndarray:
    """(N,) log-likelihood in nats of what follows, given what stands before it. texts: (before, follows).

    Of a text longer than the model's window the last part is read.
    """
    rows = [_tokens(column, before, follows) for before, follows in texts]
    rows = [(ids[-(decoder.window + 1) :], counted[-(decoder.window + 1) :]) for ids, counted in rows]
    out = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    at = 0
    device = decoder.writer.matrix.device
    with torch.inference_mode():
        while at < len(order):
            longest = len(rows[order[min(at + AT_ONCE // max(len(rows[order[at]][0]), 1), len(order) - 1)]][0])
            some = order[at : at + max(1, AT_ONCE // max(longest, 1))]
            ids = torch.full((len(some), max(len(rows[i][0]) for i in some)), column.codec.pad, dtype=torch.int64)
            counted = torch.zeros(ids.shape, dtype=torch.bool)
            for row, i in enumerate(some):
                size = len(rows[i][0])
                ids[row, :size], counted[row, :size] = torch.tensor(rows[i][0]), torch.tensor(rows[i][1])
            nats = decoder.writer.losses(ids.to(device), counted.to(device)).sum(1)
            out[some] = -nats.float().cpu().numpy()
            at += len(some)
    return out


def _tokens(column: Any, before: str, follows: str) -> tuple[list[int], list[bool]]:
    """Tokens of both, and which are of what follows: those behind the part that the beginning shares with itself alone."""
    if column.chat:
        start = column.asked(before)
        rest = column.codec.encode([follows.lstrip()])[0].tolist()
        return [*start, *rest], [False] * len(start) + [True] * len(rest)
    start, both = column.asked(before), column.asked(before + follows)
    shared = next((i for i, (a, b) in enumerate(zip(start, both)) if a != b), min(len(start), len(both)))
    return both, [False] * shared + [True] * (len(both) - shared)


def _written(product: Product, group: Sequence[Question], prompts: Sequence[str], seed: int) -> np.ndarray:
    """(N,) whether the likeliest text that follows is the answer, blanks around it aside."""
    said = []
    for question, prompt in zip(group, prompts):
        settings = Sampling(max_tokens=LONGEST, temperature=0, stop=question.stop, seed=seed)
        said.append("".join(piece.text for piece in written(product, [prompt], settings)).strip())
    return np.array([text == question.answer.strip() for text, question in zip(said, group)])
