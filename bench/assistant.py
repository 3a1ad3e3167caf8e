"""What have adapters taught? Answers to held-out questions by a run of recipe assistant-zh, task by task, beside the untuned model.

    python bench/assistant.py RUN [--rows 200]         # of each task at most; needs DAPENG_SAMPLES, dapeng[text], scikit-learn

The untuned model is the same run with its adapters set to zero, which is its base exactly; it is asked by the same template. Both
write the likeliest token always, and of what they write the first line counts, since all answers are one line. Beside them the answer
to the nearest training question of the same task (cosine of TF-IDF over one to three letters). Intervals are of the bootstrap (95 %).
Reviews are judged by a second figure: which of the two verdicts that fit the way of asking is the likelier one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import dapeng
from dapeng.core.kinds import metrics, samples
from dapeng.data.batch import Cells
from dapeng.evaluate.bootstrap import draw, interval, value_of
from dapeng.metrics.texts import TextView
from dapeng.samples.assistant_zh import VERDICTS

FIGURES = ("exact_match", "rouge_1", "rouge_l", "chrf")
MOST = 96
"""Tokens of an answer at most."""
Pair = tuple[str, str]
"""A question and its answer."""


def pairs(part: str) -> dict[str, list[Pair]]:
    """By task."""
    found: dict[str, list[Pair]] = {}
    for row in samples.members()["assistant_zh"]().load()[part].read().to_pylist():
        question, answer = (turn["content"] for turn in json.loads(row["talk"]))
        found.setdefault(row["task"], []).append((question, answer))
    return found


def untuned(path: str) -> dapeng.Run:
    """A run whose adapters say nothing."""
    run = dapeng.load(path)
    with torch.no_grad():
        for name, parameter in run.product.model.named_parameters():  # type: ignore[union-attr]
            if "lora_b" in name:
                parameter.zero_()
    return run


def answers(run: dapeng.Run, questions: Sequence[str]) -> list[str]:
    turns = [[{"role": "user", "content": q}] for q in questions]
    return [t.strip() for t in run.write(turns, temperature=0, max_tokens=MOST, stop=["\n"])]


def nearest(known: list[Pair], questions: Sequence[str]) -> list[str]:
    """Answers to the training questions that look most like these."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tfidf = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    table: Any = tfidf.fit_transform([q for q, _ in known])
    asked: Any = tfidf.transform(list(questions))
    return [known[int(i)][1] for i in np.asarray((asked @ table.T).argmax(1)).ravel()]


def likelier(run: dapeng.Run, asked: list[Pair]) -> float:
    """The share of reviews of whose two verdicts the true one is the likelier."""
    (name,) = run.product.written
    column: Any = run.product.outputs[name]
    decoder: Any = run.product.model.decoders[name]  # type: ignore[union-attr]
    right = 0
    with torch.inference_mode():
        for question, answer in asked:
            (both,) = [v for v in VERDICTS if answer in v]
            each = [score(column, decoder, question, verdict) for verdict in both]
            right += both[int(np.argmax(each))] == answer
    return right / len(asked)


def score(column: Any, decoder: Any, question: str, answer: str) -> float:
    """The logarithm of an answer's probability."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    found = column.encode(column_cells(turns))
    cells = {n: torch.from_numpy(a)[None] for n, a in found.tensors.items()}
    return float(decoder.score(None, Cells({**cells, "mask": torch.ones_like(cells["taught"])})))


def column_cells(turns: list[dict[str, str]]) -> Any:
    import pyarrow as pa

    return pa.array([json.dumps(turns, ensure_ascii=False)])


def told(said: list[str], true: list[str]) -> str:
    """Figures with their intervals."""
    nothing = np.zeros(len(true))
    view = TextView(np.array(said, object), np.array(true, object), nothing, nothing)
    wanted = {n: metrics.members()[n]() for n in FIGURES}
    draws: Any = draw({"it": (view, wanted)}, 1000, 0)["it"]  # type: ignore[dict-item]
    cells = []
    for name, metric in wanted.items():
        found = interval(value_of(metric, view), draws[name], 0.95)  # type: ignore[arg-type]
        cells.append(f"{name} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    return "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--show", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sides = {"tuned": dapeng.load(args.run), "untuned": untuned(args.run)}
    known, asked = pairs("train"), pairs("test")
    for task, some in asked.items():
        some = some[: args.rows]
        questions, true = [q for q, _ in some], [a for _, a in some]
        said = {who: answers(run, questions) for who, run in sides.items()}
        said["nearest"] = nearest(known[task], questions)
        print(f"\n{task}: {len(some)} of {len(asked[task]):,} test questions")
        for who, texts in said.items():
            print(f"  {who:8} {told(texts, true)}")
        if task == "review":
            for who, run in sides.items():
                print(f"  {who:8} the true verdict is the likelier in {likelier(run, some):.3f}")
        for row in range(min(args.show, len(some))):
            print(f"    {questions[row][:90]!r}\n      true {true[row][:90]!r}")
            for who, texts in said.items():
                print(f"      {who:8} {texts[row][:90]!r}", flush=True)


if __name__ == "__main__":
    main()
