"""Adapters on a decoder that begins from public weights: what a spec says of them, and what it does to the network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.registry import Options
from dapeng.decoders.writing import WritingDecoder, of_inputs
from dapeng.nn.lora import add_adapters, leave_out_frozen

LAYERS = ("q", "k", "v", "out", "gate", "up", "down")
"""All layers of a block; the router of experts is one only where it is named."""


class Lora(Options):
    """Low-rank adapters: of public weights nothing else is trained. Hu et al., 2021, https://arxiv.org/abs/2106.09685"""

    rank: int = Field(8, ge=1, le=4096)
    alpha: float = Field(16.0, gt=0, le=100_000)
    """What adapters say is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """On what adapters read."""
    on: list[Literal["q", "k", "v", "out", "gate", "up", "down", "router"]] | Literal["all"] = Field(
        ["q", "v"], min_length=1
    )
    """Layers that get one: query, key, value and output of attention; gate, up and down of the perceptron."""
    train: list[Literal["head", "table", "norms"]] = []
    """What is trained itself, whole, beside the adapters; where the head is the table, they are one."""
    keep_base: bool = True
    """Keep the public weights in the run folder too, so that it works wherever it is copied. False: a small run folder, which
    needs the folder of the public weights whenever it is loaded."""
    base: str | None = None
    """SHA-256 of the public weights; found, not given."""


def adapt(decoder: WritingDecoder, lora: Lora) -> None:
    """Freeze what public weights fill, and add adapters. Raises ValueError for a layer that there isn't."""
    writer = decoder.writer
    s = writer.shape
    for tensor in decoder.public_parameters().values():
        tensor.requires_grad_(False)
    on = [n for n in LAYERS if n != "gate" or s.gated] if lora.on == "all" else list(dict.fromkeys(lora.on))
    sizes = {"qkv": [n * s.head_width for n in (s.heads, s.kv_heads, s.kv_heads)]}
    add_adapters(writer.stack, on, sizes, lora.rank, lora.alpha, lora.dropout, of_inputs)
    for name, tensor in decoder.public_parameters().items():
        norm = any(part.startswith("norm") for part in name.split("."))
        head = name == ("table" if writer.head is None else "head")
        if (norm and "norms" in lora.train) or (head and "head" in lora.train) or name in lora.train:
            tensor.requires_grad_(True)


def save_adapters_alone(decoder: WritingDecoder) -> None:
    """What isn't trained is in no file of the run."""
    leave_out_frozen([decoder.writer, decoder.writer.table.module])


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors, names and types included, whatever files they lie in."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        raw: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        found.update(raw)
    return found.hexdigest()
