"""How much of an accelerator the training of a large language model uses: model FLOPs utilisation (MFU), as PaLM counts it.

python bench/mfu.py                                        # GPT-3's shape of 1.3 billion weights, windows of 2,048, bfloat16
python bench/mfu.py --size gpt2 --window 128 --rows 2 --steps 4 --device cpu

`dapeng train` runs on letters drawn at random, as a user would run it; its progress line says the tokens a second, of which the
largest of the last half counts. FLOPs of a token: six for each weight that it is multiplied with, and attention (Chowdhery et al., 2022,
https://arxiv.org/abs/2204.02311, appendix B). They are divided by what a product of 8,192 x 8,192 reaches here, and by what the maker states
(--stated, in TFLOP/s; 989.4 for the dense bfloat16 of an H100 or H200).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml

from dapeng.decoders.gpt import SIZES
from dapeng.train.machine import peak

LETTERS = "abcdefghijklmnopqrstuvwxyz    "
TEXTS = 200
SPEED = re.compile(r"([\d,]+) tokens/s")


def spec(folder: Path, args: argparse.Namespace) -> Path:
    draw = random.Random(0)
    length = -(-args.rows * args.window * args.steps // (TEXTS - 8))
    texts = ["".join(draw.choices(LETTERS, k=length)) for _ in range(TEXTS)]
    (folder / "letters.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    decoder = {"type": "gpt", "size": args.size, "dropout": 0.0}
    found = {
        "data": {
            "path": str(folder / "letters.jsonl"),
            "split": {"by": "random", "train": 0.98, "validation": 0.01, "test": 0.01},
        },
        "outputs": {"text": {"type": "text", "tokeniser": "bytes", "max_length": args.window, "decoder": decoder}},
        "model": "network",
        "train": {
            "steps": args.steps,
            "batch_size": args.rows,
            "precision": "bf16",
            "device": args.device,
            "learning_rate": 1e-4,
            "checkpoint_every": "1h",
        },
        "evaluate": {"baselines": [], "resamples": 0},
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


def tokens_a_second(folder: Path, args: argparse.Namespace) -> float:
    """Of `dapeng train`, as its progress says. Raises RuntimeError with what it wrote where it says none."""
    command = [sys.executable, "-m", "dapeng", "train", str(spec(folder, args)), "--runs", str(folder / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    found = [float(s.replace(",", "")) for s in SPEED.findall(done.stderr)]
    if not found:
        raise RuntimeError(done.stderr[-3000:])
    return max(found[len(found) // 2 :])


def work(size: str, window: int) -> tuple[int, float]:
    """Weights of a size, and FLOPs of a token in training."""
    width, layers, _ = SIZES[size]
    weights = 12 * layers * width**2 + 13 * layers * width
    return weights, 6.0 * (weights + 260 * width) + 12.0 * layers * width * window


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--size", default="gpt3-1.3b", choices=sorted(SIZES))
    asked.add_argument("--window", type=int, default=2048)
    asked.add_argument("--rows", type=int, default=16)
    asked.add_argument("--steps", type=int, default=60)
    asked.add_argument("--device", default="auto")
    asked.add_argument("--stated", type=float, default=989.4)
    args = asked.parse_args()
    device = str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu"
    device = device if args.device == "auto" else args.device
    weights, flops = work(args.size, args.window)
    best = peak(torch.bfloat16, device)
    with tempfile.TemporaryDirectory() as folder:
        pace = tokens_a_second(Path(folder), args)
    reached = pace * flops
    print(
        f"{args.size}: {weights / 1e6:,.0f} M weights in blocks, windows of {args.window}, {args.rows} a step, {device}"
    )
    print(f"{pace:,.0f} tokens/s, {reached / 1e12:.2f} TFLOP/s")
    print(f"of a product here ({best / 1e12:.2f} TFLOP/s): {reached / best:.1%}")
    if device != "cpu":
        print(f"of what the maker states ({args.stated} TFLOP/s): {reached / (args.stated * 1e12):.1%}  (asked: 50 %)")


if __name__ == "__main__":
    main()
