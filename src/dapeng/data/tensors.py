"""Reading safetensors, and nothing else: no pickle is ever opened, and what isn't finite isn't used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import load_file
from torch import Tensor

from dapeng.core.errors import RunError

LARGEST_HEADER = 100_000_000


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors with nan or infinity."""
    return [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]


def load(path: Path, check: bool = True) -> dict[str, Tensor]:
    """Read tensors. Raises RunError where the file is missing, damaged, or holds nan."""
    if not path.is_file():
        raise RunError(f"{path} is missing")
    with open(path, "rb") as stream:
        head = stream.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8 or size > min(LARGEST_HEADER, path.stat().st_size):
        raise RunError(f"{path} is damaged: its header says {size:,} bytes", hint="use an earlier checkpoint or run")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {str(error)[:120]}", hint="use an earlier checkpoint or run") from None
    return _finite(tensors, str(path)) if check else tensors


def parsed(content: bytes, where: str) -> dict[str, Tensor]:
    """Tensors out of the bytes of a safetensors file. Raises RunError as `load` does."""
    try:
        tensors = from_bytes(content)
    except (SafetensorError, ValueError) as error:
        raise RunError(f"{where} is damaged: {str(error)[:120]}", hint="fetch it anew") from None
    return _finite(tensors, where)


def _finite(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    wrong = not_finite(tensors)
    if wrong:
        raise RunError(f"{where} holds weights that are not finite: {', '.join(wrong[:3])}", hint="train it again")
    return tensors
