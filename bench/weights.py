"""What small weights cost: perplexity of a run's test texts with fp32, bf16, int8 and int4.

python bench/weights.py RUN [--tokens 20000]

The texts are read in windows of what the model looks at, with the same windows for all. Products of a few tokens at a time and of
many use the same small weights, so either says what writing loses.
"""

from __future__ import annotations

import argparse
import math

import torch
import torch.nn.functional as F

import dapeng
from dapeng.engines.native import native
from dapeng.nn.causal import plain_view
from dapeng.product.own_rows import rows_to_check


def windows(run: dapeng.Run, tokens: int) -> list[torch.Tensor]:
    (name,) = run.product.written
    column = run.product.outputs[name]
    rows, _ = rows_to_check(run.folder, run.product, 10_000)
    texts = [t for t in rows.read([name]).column(0).to_pylist() if t]
    ids, size = [], column.window  # type: ignore[attr-defined]
    for text in texts:
        found = torch.tensor(column.asked(text))  # type: ignore[attr-defined]
        ids += [w for w in found.split(size) if len(w) > 1]
        if sum(map(len, ids)) > tokens:
            break
    return ids


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--tokens", type=int, default=20_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = dapeng.load(args.run)
    (name,) = run.product.written
    writer = run.product.model.decoders[name].writer.eval()  # type: ignore[union-attr]
    texts = windows(run, args.tokens)
    count = sum(len(t) - 1 for t in texts)
    print(f"{sum(p.numel() for p in {writer.matrix, *writer.parameters()}):,} weights; {count:,} tokens of test texts")
    first = 0.0
    for kind in ("fp32", "bf16", "int8", "int4"):
        model, nats = native(writer, kind).model, 0.0
        with torch.inference_mode():
            for ids in texts:
                hidden = model.hidden(ids[None, :-1], plain_view(1, len(ids) - 1))
                nats += float(F.cross_entropy(model.logits(hidden)[0], ids[1:], reduction="sum"))
        perplexity = math.exp(nats / count)
        first = perplexity if kind == "bf16" else first
        beside = f"   {100 * (perplexity / first - 1):+.2f} % of bf16's" if first else ""
        print(f"{kind:5} perplexity {perplexity:9.4f}{beside}", flush=True)


if __name__ == "__main__":
    main()
