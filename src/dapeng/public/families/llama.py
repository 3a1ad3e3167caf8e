"""Llama and its kin (Mistral, Qwen2, Qwen3, Mixtral) as transformers keeps them.

Touvron et al.: LLaMA, 2023 (https://arxiv.org/abs/2302.13971); Jiang et al.: Mixtral, 2024 (https://arxiv.org/abs/2401.04088);
Yang et al.: Qwen3, 2025 (https://arxiv.org/abs/2505.09388).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dapeng.nn.causal import Shape

KINDS = ("llama", "mistral", "qwen2", "qwen3", "mixtral")
ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


def shape_of(config: dict[str, Any]) -> Shape:
    kind, width, heads = config["model_type"], int(config["hidden_size"]), int(config["num_attention_heads"])
    turning = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if turning.get("rope_type", turning.get("type", "default")) != "default":
        raise ValueError(f"rotary positions of the kind {turning.get('rope_type', turning.get('type'))}")
    if config.get("use_sliding_window") or (config.get("sliding_window") and kind in ("mistral", "mixtral")):
        raise ValueError("attention over a sliding window")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError("biases of every layer of attention or perceptron")
    named = config.get("hidden_act", "silu")
    if named not in ACTIVATIONS:
        raise ValueError(f"activation {named}")
    return Shape(
        width=width, layers=int(config["num_hidden_layers"]), heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads), head_width=int(config.get("head_dim") or width // heads),
        hidden=int(config["intermediate_size"]), eps=float(config.get("rms_norm_eps", 1e-6)), activation=ACTIVATIONS[named],
        qkv_bias=kind == "qwen2", qk_norm=kind == "qwen3",
        rotary=float(turning.get("rope_theta") or config.get("rope_theta", 10_000.0)),
        experts=int(config.get("num_local_experts", 0)) if kind == "mixtral" else 0,
        active=int(config.get("num_experts_per_tok", 2)),
    )  # fmt: skip


def ours(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    head = state.get("lm_head.weight")
    state = {n.removeprefix("model."): t for n, t in state.items()}
    out = {"table": state["embed_tokens.weight"], "norm.weight": state["norm.weight"]}
    if head is not None:
        out["head"] = head
    for layer in range(shape.layers):
        own, public = f"blocks.{layer}.", f"layers.{layer}."
        for kind in ("weight", "bias"):
            parts = [state.get(f"{public}self_attn.{n}_proj.{kind}") for n in "qkv"]
            if all(p is not None for p in parts):
                out[f"{own}attention.qkv.{kind}"] = torch.cat(parts)  # type: ignore[arg-type]
        for ours_, theirs_ in _names(shape).items():
            out[own + ours_] = state[public + theirs_]
        if shape.experts:
            out |= {own + n: t for n, t in _split(state, public, shape).items()}
    return out


def theirs(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    out = {"model.embed_tokens.weight": state["table"], "model.norm.weight": state["norm.weight"]}
    if "head" in state:
        out["lm_head.weight"] = state["head"]
    sizes = [n * shape.head_width for n in (shape.heads, shape.kv_heads, shape.kv_heads)]
    for layer in range(shape.layers):
        own, public = f"blocks.{layer}.", f"model.layers.{layer}."
        for kind in ("weight", "bias"):
            fused = state.get(f"{own}attention.qkv.{kind}")
            if fused is not None:
                for name, part in zip("qkv", fused.split(sizes)):
                    out[f"{public}self_attn.{name}_proj.{kind}"] = part.contiguous()
        for ours_, theirs_ in _names(shape).items():
            out[public + theirs_] = state[own + ours_]
        for number in range(shape.experts):
            for ours_, theirs_ in EXPERT.items():
                name = f"{public}block_sparse_moe.experts.{number}.{theirs_}.weight"
                out[name] = state[f"{own}mlp.experts.{number}.{ours_}.weight"]
    return out


def config_of(shape: Shape, vocabulary: int, longest: int, tied: bool) -> dict[str, Any]:
    known = {v: k for k, v in ACTIVATIONS.items()}
    if shape.norm != "rms" or not shape.gated or shape.bias or shape.positions or shape.cross or shape.rotary is None:
        raise ValueError("Llama has RMS norms, rotary positions, gated perceptrons and no biases")
    kind = "mixtral" if shape.experts else "qwen3" if shape.qk_norm else "qwen2" if shape.qkv_bias else "llama"
    if shape.activation not in known or sum((shape.experts > 0, shape.qk_norm, shape.qkv_bias)) > 1:
        raise ValueError("no model of this family joins these parts")
    found: dict[str, Any] = {
        "architectures": [f"{kind.capitalize()}ForCausalLM"], "model_type": kind, "vocab_size": vocabulary,
        "hidden_size": shape.width, "intermediate_size": shape.hidden, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_width,
        "hidden_act": known[shape.activation], "rms_norm_eps": shape.eps, "rope_theta": shape.rotary,
        "max_position_embeddings": longest, "tie_word_embeddings": tied, "attention_bias": False,
    }  # fmt: skip
    if shape.experts:
        found |= {"num_local_experts": shape.experts, "num_experts_per_tok": shape.active, "sliding_window": None}
    return found


EXPERT = {"gate": "w1", "down": "w2", "up": "w3"}


def _names(shape: Shape) -> dict[str, str]:
    out = {
        "norm1.weight": "input_layernorm.weight",
        "norm2.weight": "post_attention_layernorm.weight",
        "attention.out.weight": "self_attn.o_proj.weight",
    }
    if shape.qk_norm:
        out |= {f"attention.norm_{n}.weight": f"self_attn.{n}_norm.weight" for n in "qk"}
    if shape.experts:
        return {**out, "mlp.router.weight": "block_sparse_moe.gate.weight"}
    return {**out, **{f"mlp.{n}.weight": f"mlp.{n}_proj.weight" for n in ("gate", "up", "down")}}


def _split(state: dict[str, Tensor], public: str, shape: Shape) -> dict[str, Tensor]:
    return {
        f"mlp.experts.{number}.{own}.weight": state[f"{public}block_sparse_moe.experts.{number}.{theirs_}.weight"]
        for number in range(shape.experts)
        for own, theirs_ in EXPERT.items()
    }
