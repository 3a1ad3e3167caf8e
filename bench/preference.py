"""Does a preference take? A small language model of Shakespeare learns to prefer one kind of line to another, from pairs alone.

    python bench/preference.py RUN --kind thou        # RUN: a run of recipe gpt-shakespeare, or any that writes letters

Pairs are two lines behind a third: which of two is preferred is a rule (the one that says thou, of two of one length; the shorter;
the longer; the one in capitals). Rows are split by place in the text. Said at the end: how often the preferred text of a held-out pair
is the likelier one, before and after; and what the model then writes by itself.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

import dapeng
from dapeng.core.kinds import samples

SHORT, LONG = 28, 40
"""Letters of a short line at most, and of a long one at least."""
THOU = re.compile(r"\b(thou|thee|thy|thine)\b", re.IGNORECASE)
YOU = re.compile(r"\b(you|your|yours)\b", re.IGNORECASE)


def pairs(kind: str, part: str, count: int) -> list[dict[str, str]]:
    """Rows of prompt, chosen and rejected out of one part of the sample."""
    source = samples.members()["shakespeare"]().load()[part]
    lines = [line for text in source.read(["text"]).column("text").to_pylist() for line in text.split("\n") if line]
    draw = random.Random(0)
    short = [x for x in lines if 4 <= len(x) <= SHORT and not x.endswith(":")]
    long = [x for x in lines if len(x) >= LONG]
    plain = [x for x in lines if 12 <= len(x) <= 60 and not x.endswith(":")]
    rows = []
    for _ in range(count):
        asked = draw.choice(plain) + "\n"
        if kind == "short":
            rows.append({"prompt": asked, "chosen": draw.choice(short), "rejected": draw.choice(long)})
        elif kind == "long":
            rows.append({"prompt": asked, "chosen": draw.choice(long), "rejected": draw.choice(short)})
        elif kind == "thou":
            good = draw.choice([x for x in plain if THOU.search(x) and not YOU.search(x)])
            others = [x for x in plain if YOU.search(x) and not THOU.search(x) and abs(len(x) - len(good)) <= 1]
            if not others:
                continue
            rows.append({"prompt": asked, "chosen": good, "rejected": draw.choice(others)})
        else:
            said = draw.choice(plain)
            rows.append({"prompt": asked, "chosen": said.upper(), "rejected": said})
    return rows


def written(run: Any, prompts: list[str]) -> list[str]:
    """A line that the model goes on with, for each prompt."""
    return [run.write(p, max_tokens=80, temperature=1.0, seed=i, stop=["\n"]) for i, p in enumerate(prompts)]


def told(texts: list[str]) -> str:
    capitals = sum(sum(c.isupper() for c in t) for t in texts) / max(sum(sum(c.isalpha() for c in t) for t in texts), 1)
    thou, you = (sum(bool(e.search(t)) for t in texts) for e in (THOU, YOU))
    short, long = (sum(len(t) <= SHORT for t in texts), sum(len(t) >= LONG for t in texts))
    lines = f"{sum(map(len, texts)) / len(texts):.1f} letters a line, of {len(texts)} {short} short, {long} long"
    return f"{lines}, {thou} say thou, {you} say you; {capitals:.0%} of the letters are capitals"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--kind", choices=("thou", "short", "long", "capitals"), default="thou")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--to", default="runs")
    given = parser.parse_args()
    folder = Path(given.to)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", given.rows), ("validation", 200), ("test", 400)):
        rows = pairs(given.kind, part, count)
        (folder / f"{given.kind}-{part}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    before = dapeng.load(given.run)
    decoder = before.product.outputs["text"].options.decoder.type
    run = dapeng.train(
        {
            "data": {p: str(folder / f"{given.kind}-{p}.jsonl") for p in ("train", "validation", "test")},
            "outputs": {
                "chosen": {
                    "type": "text",
                    "decoder": {"type": decoder, "weights": given.run, "dropout": 0.0, "weights_rate": 1.0},
                }
            },
            "columns": {"rejected": "rejected", "prompt": "prompt"},
            "model": "network",
            "train": {
                "phases": [{"objective": {"type": "preference", "beta": given.beta}, "epochs": given.epochs}],
                "learning_rate": given.rate,
                "batch_size": 16,
                "threads": 1,
            },
            "evaluate": {"baselines": [], "resamples": 0},
        },
        runs=given.to,
    )
    prompts = [r["prompt"] for r in pairs(given.kind, "test", 60)]
    for name, one in (("before", before), ("after", run)):
        texts = written(one, prompts)
        won = preferred(one, pairs(given.kind, "test", 400))
        print(f"{name}: the preferred text of a held-out pair is the likelier one in {won:.1%}; written: {told(texts)}")
        print("   " + " | ".join(texts[:5]))


def preferred(run: Any, rows: list[dict[str, str]]) -> float:
    """The share of pairs whose preferred text is the likelier one behind its prompt, letter by letter."""
    import torch

    from dapeng.data.batch import Cells

    (name,) = run.product.outputs
    codec, decoder = run.product.outputs[name].codec, run.product.model.decoders[name]
    wins = 0
    with torch.inference_mode():
        for row in rows:
            each = []
            for said in (row["chosen"], row["rejected"]):
                first = [codec.bos, *codec.encode([row["prompt"]])[0].tolist()]
                second = [*codec.encode([said])[0].tolist(), codec.eos]
                ids = torch.tensor([first + second])
                mask = torch.ones_like(ids, dtype=torch.bool)
                taught = torch.arange(ids.shape[1])[None] >= len(first)
                each.append(float(decoder.score(None, Cells({"ids": ids, "mask": mask, "taught": taught}))))
            wins += each[0] > each[1]
    return wins / len(rows)


if __name__ == "__main__":
    main()
