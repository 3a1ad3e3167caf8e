"""A language model's settings, tensors and tokeniser as a GGUF file holds them, by the names of llama.cpp.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Weights are written in fp32. Legend: H heads, K width of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapeng.core.errors import need_extra

TURNED = ("llama", "mixtral")
"""Kinds whose queries and keys lie in another order there: the two coordinates of a turn beside each other."""
ACTIVATIONS = {"gpt2": ("gelu_new",), "llama": ("silu",), "qwen2": ("silu",), "qwen3": ("silu",), "mixtral": ("silu",)}
"""Kinds of models, by `model_type` of a config.json, and what their perceptrons may have: the file doesn't say it."""
ARCHITECTURES = {"mixtral": "llama"}
"""By kind, where llama.cpp calls it otherwise."""
TRANSPOSED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
"""Linear layers that GPT-2 keeps the other way round."""
EXPERT = ".experts."


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, their types, and the merges of byte-level BPE."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def library() -> Any:
    """The package gguf. Raises MissingExtra."""
    try:
        import gguf  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise need_extra("gguf", "gguf") from None
    return gguf


def refusal(config: Mapping[str, Any]) -> str:
    """Why llama.cpp runs no such model; empty where it does."""
    kind = config["model_type"]
    if kind not in ACTIVATIONS:
        return f"a GGUF file is written of {', '.join(ACTIVATIONS)}, and this is {kind}"
    named = config.get("hidden_act", config.get("activation_function"))
    if named not in ACTIVATIONS[kind]:
        return f"llama.cpp's {kind} has the activation {ACTIVATIONS[kind][0]}, and this one {named}"
    return ""


def write(
    path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], vocabulary: Vocabulary | None = None
) -> None:
    """One file of a model with this config.json and these tensors, by transformers' names; without a vocabulary it knows ids alone."""
    gguf = library()
    file = gguf.GGUFWriter(path, architecture(config))
    file.add_name(path.stem)
    file.add_file_type(0)  # fp32
    _settings(file, config)
    if vocabulary is None:
        file.add_tokenizer_model("none")
    else:
        _tokens(file, config, vocabulary)
    for name, tensor in named(config, tensors).items():
        file.add_tensor(name, tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def architecture(config: Mapping[str, Any]) -> str:
    """What llama.cpp calls it."""
    kind: str = config["model_type"]
    return ARCHITECTURES.get(kind, kind)


def _settings(file: Any, c: Mapping[str, Any]) -> None:
    file.add_vocab_size(c["vocab_size"])
    if c["model_type"] == "gpt2":
        file.add_context_length(c["n_positions"])
        file.add_embedding_length(c["n_embd"])
        file.add_block_count(c["n_layer"])
        file.add_feed_forward_length(c["n_inner"])
        file.add_head_count(c["n_head"])
        file.add_layer_norm_eps(c["layer_norm_epsilon"])
        return
    file.add_context_length(c["max_position_embeddings"])
    file.add_embedding_length(c["hidden_size"])
    file.add_block_count(c["num_hidden_layers"])
    file.add_feed_forward_length(c["intermediate_size"])
    file.add_head_count(c["num_attention_heads"])
    file.add_head_count_kv(c["num_key_value_heads"])
    file.add_key_length(c["head_dim"])
    file.add_value_length(c["head_dim"])
    file.add_rope_dimension_count(c["head_dim"])
    file.add_rope_freq_base(c["rope_theta"])
    file.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if c["model_type"] == "mixtral":
        file.add_expert_count(c["num_local_experts"])
        file.add_expert_used_count(c["num_experts_per_tok"])


def _tokens(file: Any, config: Mapping[str, Any], vocabulary: Vocabulary) -> None:
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list(vocabulary.tokens)
    file.add_token_types(vocabulary.types)
    file.add_token_merges(vocabulary.merges)
    file.add_bos_token_id(config["bos_token_id"])
    file.add_eos_token_id(config["eos_token_id"])
    file.add_pad_token_id(config["pad_token_id"])
    file.add_add_bos_token(True)


def named(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The tensors by the names of llama.cpp, in its order, in fp32."""
    gguf = library()
    kind = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == architecture(config))
    names = gguf.get_tensor_name_map(kind, config.get("num_hidden_layers", config.get("n_layer")))
    out = {}
    for name, tensor in _joined(tensors).items():
        laid = _laid(config, name, tensor.detach().cpu().float())
        out[names.get_name(name, try_suffixes=(".weight", ".bias"))] = laid.contiguous().numpy()
    return out


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with the experts of a block in one tensor (experts, O, I)."""
    out: dict[str, Tensor] = {}
    several: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        if EXPERT in name:
            before, after = name.split(EXPERT)
            number, part = after.split(".", 1)
            several.setdefault(f"{before}{EXPERT}{part}", {})[int(number)] = tensor
        else:
            out[name] = tensor
    return out | {name: torch.stack([found[i] for i in sorted(found)]) for name, found in several.items()}


def _laid(config: Mapping[str, Any], name: str, tensor: Tensor) -> Tensor:
    if config["model_type"] == "gpt2":
        return tensor.T if name.endswith(TRANSPOSED) else tensor
    heads = {".q_proj.": config["num_attention_heads"], ".k_proj.": config["num_key_value_heads"]}
    turned = next((n for part, n in heads.items() if part in name), None) if config["model_type"] in TURNED else None
    return tensor if turned is None else interleaved(tensor, turned)


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """(H K, ...) with both halves of each head's K one after the other, to (H K, ...) with their elements in turn."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def halved(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `interleaved`."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
