"""ROUGE of what a run wrote for its test rows, beside those of the first sentence, of TextRank and of the nearest training row.

python bench/summaries.py RUN [RUN ...]

F-measure of words, pairs of words and the longest common subsequence (Lin, 2004), by `dapeng.metrics`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import dapeng
from dapeng.core.kinds import learners, metrics
from dapeng.core.spec import Data
from dapeng.data.open import open_data
from dapeng.learners.base import Inputs, Target
from dapeng.metrics.base import value_of
from dapeng.metrics.texts import TextView
from dapeng.report.section import data_of

BESIDE = ("first_sentence", "textrank", "nearest_text")
FIGURES = ("rouge_1", "rouge_2", "rouge_l", "chrf", "bleu")


def figures(said: list[str], truth: list[str]) -> str:
    none = np.zeros(len(truth))
    view = TextView(np.array(said, object), np.array(truth, object), none, none)
    return "  ".join(f"{n} {value_of(metrics.members()[n](), view):.4f}" for n in FIGURES)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    for path in parser.parse_args().runs:
        run = dapeng.load(path)
        (name,) = run.product.written
        table = pq.read_table(run.path / "predictions.parquet").to_pydict()
        truth = table[f"{name}.truth"]
        print(f"{path}: {len(truth):,} test rows\n    product         {figures(table[f'{name}.wrote'], truth)}")
        parts = open_data(
            Data(**{k: v for k, v in data_of(run.folder).items() if k in Data.model_fields}), Path.cwd()
        ).parts
        columns = run.product.inputs
        seen = {p: parts[p].read([*columns, name]) for p in ("train", "test")}
        inputs = {p: Inputs(dict(columns), {}, {c: t.column(c) for c in columns}) for p, t in seen.items()}
        answers = Target(run.product.outputs[name], np.array(seen["train"].column(name).to_pylist(), object))
        wanted = seen["test"].column(name).to_pylist()
        for other in BESIDE:
            said = learners.members()[other]().learn(inputs["train"], [str(v) for v in answers.values])(inputs["test"])
            print(f"    {other:15} {figures(said, wanted)}")


if __name__ == "__main__":
    main()
