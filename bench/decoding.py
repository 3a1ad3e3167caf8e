"""Milliseconds of CPU time for a token: ours with each kind of weights, llama.cpp where it is, beside transformers' `generate`.

python bench/decoding.py                     # 110 M weights, needs DAPENG_SAMPLES and dapeng[hf,llama]; some minutes
python bench/decoding.py --layers 2 --rows 1 --rounds 1

All write greedily after prompts of 64 tokens, with random weights of one shape (Llama), in turns, one thread. The time of the
prompt is taken off: what a text of one token takes. Of both the least of the rounds counts. What small weights cost in perplexity is
another script: bench/weights.py.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dapeng.engines.native import native
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Writing, stream
from dapeng.nn.causal import Shape
from dapeng.nn.writer import Writer
from dapeng.product.writing import Engine
from dapeng.public.families import llama
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


def in_llama_cpp(writer: Writer) -> dict[str, Engine]:
    """The same network in llama.cpp, by name; {} where that is not installed."""
    if find_spec("llama_cpp") is None or find_spec("gguf") is None:
        return {}
    from dapeng.engines.llama_cpp import opened

    config = llama.config_of(writer.shape, SIZE, 2048, True)
    tensors = llama.theirs({**dict(writer.stack.named_parameters()), "table": writer.matrix}, writer.shape)
    kinds = ("fp16", "int8", "int4")
    return {f"llama.cpp {k}": Engine(opened(config, tensors, k, 1), "llama.cpp", k, "") for k in kinds}


def alone(steps: Any, prompts: torch.Tensor, count: int) -> None:
    """llama.cpp's own loop: its batch, its step, its greedy sampler, and nothing of ours between."""
    c, rows = steps.library, steps.start(len(prompts), PROMPT + count)
    sampler = c.llama_sampler_init_greedy()
    steps.step(prompts, rows)
    context, places = steps.context, PROMPT + np.arange(count)
    last, owners = np.arange(len(prompts)), np.asarray(rows.rows)
    tokens = np.array([c.llama_sampler_sample(sampler, context, i) for i in _outputs(prompts)])
    for place in places[: count - 1]:
        c.llama_decode(context, steps.batch.fill(tokens, np.full(len(owners), place), owners, last))
        tokens = np.array([c.llama_sampler_sample(sampler, context, i) for i in last.tolist()])
    c.llama_sampler_free(sampler)


def _outputs(prompts: torch.Tensor) -> list[int]:
    """Where the ends of prompts lie in the last call that read them; the others' are behind, and any token does for them."""
    from dapeng.engines.sequences import AT_ONCE

    ends = (np.arange(len(prompts)) + 1) * PROMPT - 1
    first = ends[-1] // AT_ONCE * AT_ONCE
    return [int(e - first) if e >= first else int(ends[-1] - first) for e in ends]


def spent(work: Callable[[int], None], count: int) -> float:
    """Seconds for a text of so many tokens."""
    before = time.process_time()
    work(count)
    return time.process_time() - before


def for_a_token(turns: list[tuple[float, float]]) -> float:
    """Milliseconds for a token: a text of many less one of one, the least of each, so that a slow prompt makes no step look fast."""
    one, many = (min(times) for times in zip(*turns))
    return 1e3 * (many - one) / (TOKENS - 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--sides", nargs="+", default=[""], help="beginnings of their names; transformers is always there"
    )
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
    other = in_llama_cpp(writer)
    for rows in args.rows:
        prompts = torch.randint(tokens.size // 2, tokens.size, (rows, PROMPT))
        sides: dict[str, Callable[[int], None]] = {"transformers bf16": partial(theirs, model, prompts)}
        sides |= {name: partial(ours, engine, tokens, prompts) for name, engine in [*engines.items(), *other.items()]}
        sides |= {f"{name}, alone": partial(alone, engine.model, prompts) for name, engine in other.items()}
        sides = {n: w for n, w in sides.items() if n.startswith(("transformers", *args.sides))}
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, work in sides.items():
                turns[name].append((spent(work, 1), spent(work, TOKENS)))
        least = for_a_token(turns["transformers bf16"])
        for name, measured in turns.items():
            ms = for_a_token(measured)
            print(f"{rows:3} rows  {name:20} {ms:8.2f} ms a step   {least / ms:5.2f} x transformers", flush=True)


if __name__ == "__main__":
    main()
