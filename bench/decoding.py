"""Milliseconds of CPU time for a token: ours with each kind of weights, llama.cpp where it is, beside transformers' `generate`.

python bench/decoding.py                     # 110 M weights, needs DAPENG_SAMPLES and dapeng[hf]; some minutes
python bench/decoding.py --layers 2 --rows 1 --rounds 1

All write greedily after prompts of 64 tokens, with random weights of one shape (Llama), in turns, one thread. The time of the
prompt is taken off: what a text of one token takes. The least of the rounds counts. What small weights cost in perplexity is
another script: bench/weights.py.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dapeng.engines.native import native
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Writing, stream
from dapeng.nn.causal import Shape
from dapeng.nn.writer import Writer
from dapeng.product.writing import Engine
from dapeng.tokens.learnt import BytePairs

SIZE, WIDTH, HIDDEN, HEADS, PROMPT, TOKENS = 32_000, 768, 2048, 12, 64, 65


def codec(folder: Path) -> BytePairs:
    with gzip.open(folder / "synopsis_en.jsonl.gz", "rt", encoding="utf-8") as file:
        return BytePairs.trained(file, SIZE)


def ours(engine: Engine, tokens: BytePairs, prompts: torch.Tensor, count: int) -> None:
    writing = Writing(engine.model, tokens)
    for prompt in prompts.tolist():
        writing.add(prompt, Sampling(max_tokens=count, temperature=0))
    for _ in stream(writing):
        pass


def peer(layers: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=SIZE,
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16).eval()


def theirs(model: Any, prompts: torch.Tensor, count: int) -> None:
    with torch.inference_mode():
        model.generate(prompts, do_sample=False, min_new_tokens=count, max_new_tokens=count, pad_token_id=0)


def spent(work: Callable[[int], None]) -> float:
    """Milliseconds for a token: a text of many, less one of one."""
    times = []
    for count in (1, TOKENS):
        before = time.process_time()
        work(count)
        times.append(time.process_time() - before)
    return 1e3 * (times[1] - times[0]) / (TOKENS - 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = codec(Path(os.environ["DAPENG_SAMPLES"]))
    shape = Shape(WIDTH, args.layers, HEADS, HEADS, WIDTH // HEADS, HIDDEN)
    writer = Writer(shape, nn.Embedding(SIZE, WIDTH)).eval()
    nn.init.constant_(writer.matrix[tokens.eos], 0.0)
    print(
        f"{sum(p.numel() for p in [*writer.parameters(), writer.matrix]) / 1e6:.0f} M weights, torch {torch.__version__}"
    )
    model = peer(args.layers)
    engines = {f"native {kind}": native(writer, kind) for kind in ("fp32", "bf16", "int8", "int4")}
    for rows in args.rows:
        prompts = torch.randint(tokens.size // 2, tokens.size, (rows, PROMPT))
        sides: dict[str, Callable[[int], None]] = {"transformers bf16": partial(theirs, model, prompts)}
        sides |= {name: partial(ours, engine, tokens, prompts) for name, engine in engines.items()}
        times = dict.fromkeys(sides, float("inf"))
        for _ in range(args.rounds):
            times = {name: min(times[name], spent(work)) for name, work in sides.items()}
        least = times["transformers bf16"]
        for name, ms in times.items():
            print(f"{rows:3} rows  {name:20} {ms:8.2f} ms a step   {least / ms:5.2f} x transformers", flush=True)


if __name__ == "__main__":
    main()
