"""How fast texts are turned into tokens: our byte-level BPE, the `tokenizers` library, and tiktoken over the same vocabulary.

python bench/tokenisers.py                  # needs DAPENG_SAMPLES; tiktoken is left out where it isn't installed

Both sides of a ratio run in turns in one process, in process CPU time, on one thread; the first pass over a corpus, with nothing
remembered, is told apart from later ones. Each side has encoded one short text before, so that it is loaded.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dapeng.tokens.learnt import WORDS, BytePairs

SIZE = 16_000
SHOWN = 20_000_000
"""Bytes of a corpus that are encoded, about."""


def corpora(folder: Path) -> dict[str, list[str]]:
    """English and Chinese texts of the samples."""
    with gzip.open(folder / "synopsis_en.jsonl.gz", "rt", encoding="utf-8") as file:
        english = [json.loads(line)["description"] for line in file]
    with gzip.open(folder / "help_en_zh.tsv.gz", "rt", encoding="utf-8") as file:
        chinese = [line.rstrip("\n").rpartition("\t")[2] for line in file]
    return {"English": english, "Chinese": chinese}


def cut(texts: list[str]) -> list[str]:
    kept, size = [], 0
    for text in texts:
        kept.append(text)
        size += len(text.encode())
        if size > SHOWN:
            break
    return kept


def of_tiktoken(codec: BytePairs) -> Callable[[list[str]], Any] | None:
    """The same vocabulary, by tiktoken."""
    try:
        import tiktoken
    except ImportError:
        return None
    byte_of = {c: i for i, c in _letters().items()}
    ranks = {}
    for token, rank in codec.library.get_vocab().items():
        if all(c in byte_of for c in token):
            ranks[bytes(byte_of[c] for c in token)] = rank
    pattern = WORDS.replace(r"[^\W\d_]+", r"\p{L}+")
    encoding = tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: [encoding.encode_ordinary(t) for t in texts]


def _letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + n) for n, b in enumerate(others)}}


def spent(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--turns", type=int, default=3)
    options = asked.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print("| corpus | MB | tokens a byte | side | MB/s, first pass | MB/s, later |\n|---|---|---|---|---|---|")
    for name, texts in corpora(Path(os.environ["DAPENG_SAMPLES"])).items():
        codec = BytePairs.trained(texts[::2], SIZE)
        shown = cut(texts)
        size = sum(len(t.encode()) for t in shown)
        library = BytePairs(codec.state).library
        sides: dict[str, Callable[[list[str]], Any] | None] = {
            "dapeng": BytePairs(codec.state).encode,
            "tokenizers": lambda t, library=library: library.encode_batch_fast(t, add_special_tokens=False),
            "tiktoken": of_tiktoken(codec),
        }
        for encode in filter(None, sides.values()):
            encode(["ready 好"])
        times: dict[str, list[float]] = {}
        for _ in range(options.turns):
            for side, encode in sides.items():
                if encode is not None:
                    times.setdefault(side, []).append(spent(partial(encode, shown)))
        density = codec.encode(shown)[1].sum() / size
        for side, found in times.items():
            first, later = size / found[0] / 1e6, size / min(found[1:] or found) / 1e6
            print(f"| {name} | {size / 1e6:.1f} | {density:.3f} | {side} | {first:.1f} | {later:.1f} |", flush=True)


if __name__ == "__main__":
    main()
