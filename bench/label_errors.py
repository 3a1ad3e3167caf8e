"""Does the finder of wrong labels find them? A share of the labels is made wrong (seed 0), and the finder ranks all rows.

python bench/label_errors.py                     # mnist and sentiment_zh
python bench/label_errors.py digits --share 0.05 --first 0.07
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import columns, samples
from dapeng.data.table import Frame
from dapeng.evaluate.label_errors import suspects

SETS = {
    "mnist": ("image", "image", "label"),
    "sentiment_zh": ("text", "text", "label"),
    "digits": ("image", "image", "label"),
}


def measure(name: str, share: float, first: float, seconds: float) -> str:
    column, kind, target = SETS[name]
    parts = samples.members()[name]().load()
    table = parts.get("train", next(iter(parts.values()))).read([column, target])
    labels = np.array(table.column(target).to_pylist())
    draw = np.random.default_rng(0)
    planted = np.sort(draw.choice(len(labels), round(share * len(labels)), replace=False))
    kinds = np.unique(labels)
    for row in planted:
        labels[row] = draw.choice(kinds[kinds != labels[row]])
    spoilt = Frame(table.set_column(1, target, pa.array(labels.tolist())))
    members = columns.members()
    began = time.process_time()
    found = suspects({column: members[kind]()}, target, members["category"](), spoilt, seconds)
    spent = time.process_time() - began
    assert found is not None
    caught = np.isin(found.rows[: round(first * len(labels))], planted).sum() / len(planted)
    right = np.isin(found.rows[found.called], planted)
    return (
        f"| {name} | {len(labels):,} | {len(planted):,} | {caught:.1%} | {found.count:,} | {right.sum() / len(planted):.1%} "
        f"| {right.mean():.1%} | {spent:.0f} |"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("sets", nargs="*", default=["mnist", "sentiment_zh"])
    asked.add_argument("--share", type=float, default=0.05)
    asked.add_argument("--first", type=float, default=0.07)
    asked.add_argument("--seconds", type=float, default=120)
    options = asked.parse_args()
    print(
        f"| set | rows | planted | among the first {options.first:.0%} | called wrong | of the planted | of these planted | CPU seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        print(measure(name, options.share, options.first, options.seconds), flush=True)


if __name__ == "__main__":
    main()
