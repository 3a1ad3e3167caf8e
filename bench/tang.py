"""Does a model of Tang poems keep the form? Bits a byte, and how many poems of which it knows the beginning it ends as regulated verse.

    python bench/tang.py RUN                    # RUN: of recipe gpt-tang; minutes, most of them for the 5-grams
    python bench/tang.py RUN --poems 1000 --temperatures 1 0.8 --alone

What is kept: every half-line has as many characters as the first, five or seven; a comma or its like (，、；：？！) in the middle of
a line and a full stop or its like (。？！；) at its end, nothing else (no title, note, gap or digit); two lines, which are four
half-lines, at least; and the model ended the poem itself. Prompts are beginnings of test poems that keep the form so, each poem once:
the first half-line with its comma, which tells the metre, or the first whole line. Beside the model's share stand that of a 5-gram
model that was given the same prompts and draws, and that of all test poems that begin with such a half-line or line themselves:
what a model comes to that has learnt the texts as they are, notes of the editors included. Shares have Wilson's intervals (95 %).

Not judged: rhyme and tones, which take a table of the rhymes of the time; parallel couplets; and sense.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import dapeng
from dapeng.core.kinds import samples
from dapeng.data.draws import uniform
from dapeng.generate.sampling import PURPOSE, Sampling
from dapeng.generate.writing import Writing, stream
from dapeng.learners.base import Target
from dapeng.learners.ngrams import KneserNey, sequence
from dapeng.samples.tang import HAN, LINES, metre

BEGINNINGS = {
    "half a line": {n: re.compile(f"{HAN}{{{n}}}，") for n in LINES},
    "a line": {n: re.compile(f"{line}\n") for n, line in LINES.items()},
}
LONGEST = 256
"""Characters of a poem at most; what isn't ended by then is not kept."""
Poem = tuple[str, bool]
"""A whole poem, and whether it was ended."""
Write = Callable[[Sequence[str], float], list[Poem]]


def share(count: int, of: int) -> str:
    """A share with Wilson's interval (Wilson, 1927)."""
    if not of:
        return "none"
    z, p = 1.959964, count / of
    middle, wide = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (min(max((middle + sign * wide) / (1 + z * z / of), 0.0), 1.0) for sign in (-1, 1))
    return f"{p:.3f} [{low:.3f}, {high:.3f}] ({count:,} of {of:,})"


def by_model(run: dapeng.Run, weights: str) -> Write:
    """Poems by the run, each with draws of its own."""
    (name,) = run.product.written
    column: Any = run.product.outputs[name]
    engine = run.engine("auto", weights)

    def write(prompts: Sequence[str], temperature: float) -> list[Poem]:
        writing = Writing(engine.model, column.codec, window=column.window)
        texts: dict[int, list[Any]] = {}
        for seed, prompt in enumerate(prompts):
            settings = Sampling(max_tokens=LONGEST, temperature=temperature, seed=seed)
            texts[writing.add(column.asked(prompt), settings)] = [prompt, False]
        for piece in stream(writing):
            texts[piece.request][0] += piece.text
            texts[piece.request][1] |= piece.end == "stop"
        return [(text, ended) for text, ended in texts.values()]

    return write


class FiveGrams:
    """A 5-gram model that writes. codec: whose tokens it knows."""

    def __init__(self, column: Any, poems: list[str]):
        self.codec = column.codec
        tokens, before = sequence(Target(column, np.array(poems, object)))
        self.model = KneserNey.counted(tokens, before, 5, self.codec.size)

    def following(self, context: list[int]) -> np.ndarray:
        """(V,) probabilities of the token behind these, from begin on."""
        size, orders = self.codec.size, self.model.orders
        found = np.full(size, 1 / self.model.written)
        for number, order in enumerate(orders):
            if number > len(context):
                break
            gram = 0
            for place, token in enumerate(context[len(context) - number :]):
                gram = int(orders[place].find(np.array([gram * size + token]))[0]) if gram >= 0 else -1
            if gram < 0:
                break
            low, high = np.searchsorted(order.keys, [gram * size, (gram + 1) * size])
            found = order.left[gram] * found
            found[order.keys[low:high] - gram * size] += order.shares[low:high]
        found[list(self.codec.unwritten)] = 0.0
        return found

    def write(self, prompts: Sequence[str], temperature: float) -> list[Poem]:
        return [self._poem(prompt, temperature, seed) for seed, prompt in enumerate(prompts)]

    def _poem(self, prompt: str, temperature: float, seed: int) -> Poem:
        ids = [self.codec.bos, *self.codec.encode([prompt])[0].tolist()]
        for place in range(LONGEST):
            p = self.following(ids) ** (1 / temperature)
            u = float(uniform(np.zeros(1), 1, PURPOSE, seed, place)[0, 0])
            token = int(np.searchsorted(np.cumsum(p), u * p.sum(), "right"))
            if token == self.codec.eos:
                return self.codec.decode(ids[1:]), True
            ids.append(min(token, self.codec.size - 1))
        return self.codec.decode(ids[1:]), False


def bits(run: dapeng.Run) -> str:
    """What the run was judged by on its test rows, beside the n-grams that it was judged with."""
    found = json.loads((run.path / "metrics.json").read_text())
    lines = []
    for entry in next(iter(found["outputs"].values()))["leaderboard"]:
        if entry["role"] != "product":
            figure = entry["metrics"]["bits_per_byte"]
            bounds = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
            lines.append(f"bits a byte on test rows: {entry['name']} {figure['value']:.3f}{bounds}")
    return "\n".join(lines)


def reason(poem: str, ended: bool, first: int) -> str:
    """Why a poem that doesn't keep the form does not, in a word."""
    if not ended:
        return "not ended"
    if re.search("[（）()\\[\\]《》「」『』〖〗□○0-9a-zA-Z]", poem):
        return "notes, gaps, marks"
    halves = re.split("[，、；：？！。\n]+", poem.strip("。？！；\n"))
    if any(len(h) != first for h in halves):
        return "another length"
    return "a single line" if len(halves) < 4 else "punctuation"


def told(poems: list[Poem], prompts: Sequence[str], lines: set[str]) -> str:
    """Of poems written behind prompts: shares kept, why others aren't, and how much is copied from training poems or repeated."""
    firsts = [re.split("[，、；：？！]", p)[0] for p in prompts]
    kept = [ended and metre(text) == len(first) for (text, ended), first in zip(poems, firsts)]
    by_metre = [
        share(sum(k for k, f in zip(kept, firsts) if len(f) == n), sum(len(f) == n for f in firsts)) for n in (5, 7)
    ]
    lengths = Counter(text.count("\n") + 1 for (text, _), k in zip(poems, kept) if k)
    usual = sum(lengths[n] for n in (2, 4))
    wrong = Counter(reason(*poem, len(f)) for poem, k, f in zip(poems, kept, firsts) if not k)
    own = [line for (text, _), p in zip(poems, prompts) for line in text.split("\n")[p.count("\n") or 1 :] if line]
    twice = sum(len(set(t.split("\n"))) < t.count("\n") + 1 for t, _ in poems)
    return (
        f"kept {share(sum(kept), len(kept))}; five characters {by_metre[0]}; seven {by_metre[1]}\n"
        f"      of the kept {usual / max(sum(kept), 1):.1%} have four or eight half-lines; not kept: {dict(wrong)}\n"
        f"      lines written that stand in a training poem {sum(x in lines for x in own) / max(len(own), 1):.2%} of {len(own):,}; "
        f"poems with a line twice {twice / len(poems):.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--poems", type=int, default=1000)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.8])
    parser.add_argument("--given", nargs="+", choices=list(BEGINNINGS), default=list(BEGINNINGS))
    parser.add_argument("--alone", action="store_true", help="without the 5-gram model, which takes minutes")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--show", type=int, default=4, help="poems to print of each kind")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = dapeng.load(args.run)
    print(bits(run))
    parts = {n: s.read(["text"]).column(0).to_pylist() for n, s in samples.members()["tang"]().load().items()}
    (name,) = run.product.written
    writers: dict[str, Write] = {"the run": by_model(run, args.weights)}
    if not args.alone:
        writers["5-gram"] = FiveGrams(run.product.outputs[name], parts["train"]).write
    lines = {line for poem in parts["train"] for line in poem.split("\n")}
    regulated = [p for p in parts["test"] if metre(p)]
    poems = random.Random(0).sample(regulated, min(args.poems, len(regulated)))
    print(f"{len(parts['test']):,} test poems, {len(regulated):,} keep the form, {len(poems):,} are begun")
    for what in args.given:
        beginnings = BEGINNINGS[what]
        begun = [(p, n) for p in parts["test"] for n, form in beginnings.items() if form.match(p)]
        print(
            f"\n{what} given\n  test poems that begin so: kept {share(sum(metre(p) == n for p, n in begun), len(begun))}"
        )
        prompts = [found[0] for p in poems if (found := beginnings[metre(p)].match(p))]
        for temperature in args.temperatures:
            for who, write in writers.items():
                written = write(prompts, temperature)
                print(f"  {who}, temperature {temperature:g}: {told(written, prompts, lines)}", flush=True)
                if who == "the run":
                    for text, ended in written[: args.show]:
                        print("      " + text.replace("\n", " ") + ("" if ended else " ..."))


if __name__ == "__main__":
    main()
