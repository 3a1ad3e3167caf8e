"""What it costs to keep a text to an expression or a schema: CPU time a token, over a vocabulary of 16,000.

python bench/constrained.py                 # needs DAPENG_SAMPLES and dapeng[constrain]

The same small model, with random weights, writes the same number of tokens freely and kept; what one mask costs alone, and what
is done once for a tokeniser and once for an expression, are told apart. Process CPU time on one thread, the least of five.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dapeng.generate import constraints
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Writing, stream
from dapeng.nn.causal import Shape
from dapeng.nn.writer import Writer
from dapeng.tokens.learnt import BytePairs

SIZE, TOKENS, TIMES = 16_000, 100, 5
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1500},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
KEPT: dict[str, dict[str, Any]] = {
    "free": {},
    "regex [0-9 ]{2000}": {"regex": "[0-9 ]{2000}"},
    r"regex \w[\w ]{2000,}": {"regex": r"\w[\w ]{2000,}"},
    "regex of Chinese": {"regex": "([一-龥]{2,9}，){900}"},
    "schema of an object": {"schema": PERSON},
}


def least(work: Callable[[], Any]) -> float:
    """Seconds of CPU time, the least of several."""
    times = []
    for _ in range(TIMES):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def codec(folder: Path) -> BytePairs:
    with gzip.open(folder / "help_en_zh.tsv.gz", "rt", encoding="utf-8") as file:
        return BytePairs.trained((line.replace("\t", "\n") for line in file), SIZE)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = codec(Path(os.environ["DAPENG_SAMPLES"]))
    shape = Shape(256, 4, 4, 4, 64, 688)
    model = Writer(shape, nn.Embedding(tokens.size, 256)).eval()
    print(f"a vocabulary of {tokens.size:,}; the model has {sum(p.numel() for p in model.parameters()):,} weights")
    once = least(lambda: constraints.Vocabulary(tokens))
    print(f"once for a tokeniser: {1e3 * once:.1f} ms\n")
    print(f"{'kept to':24} {'ms/token':>9} {'with 8 rows':>12} {'mask alone, ms':>15} {'once, ms':>9}")
    for name, settings in KEPT.items():
        asked = Sampling(max_tokens=TOKENS, **settings)
        one, eight = (1e3 * least(partial(write, model, tokens, asked, n)) / TOKENS / n for n in (1, 8))
        mask, first = (masks(tokens, asked), least(partial(anew, tokens, asked))) if settings else (0.0, 0.0)
        print(f"{name:24} {one:9.3f} {eight:12.3f} {1e3 * mask:15.3f} {1e3 * first:9.1f}", flush=True)


def write(model: Writer, tokens: BytePairs, asked: Sampling, rows: int) -> None:
    writing = Writing(model, tokens)
    for _ in range(rows):
        writing.add([tokens.bos], asked)
    written = [p for p in stream(writing) if p.token is not None]
    # a free text of random weights may end by itself, at one chance in 16,000 a token
    assert len(written) > 0.9 * rows * TOKENS, len(written)


def anew(tokens: BytePairs, asked: Sampling) -> None:
    """What is done once for an expression, with a tokeniser that is known."""
    constraints.kept(tokens, Sampling(regex="a"))  # forgets the last one
    constraints.kept(tokens, asked)


def masks(tokens: BytePairs, asked: Sampling) -> float:
    """Seconds of one mask and one step of the automaton, over a text of random tokens that fit."""
    walk = constraints.kept(tokens, asked)
    assert walk is not None
    spent = 0.0
    for _ in range(TOKENS):
        before = time.process_time()
        found = walk.allowed()
        spent += time.process_time() - before
        choices = torch.nonzero(found)[:, 0]
        token = int(choices[int(torch.randint(len(choices), ()))])
        if token == tokens.eos:
            token = int(choices[0]) if len(choices) > 1 and int(choices[0]) != tokens.eos else int(choices[-1])
        before = time.process_time()
        walk.take(token)
        spent += time.process_time() - before
    return spent / TOKENS


if __name__ == "__main__":
    main()
