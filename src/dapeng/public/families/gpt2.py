"""GPT-2 as transformers keeps it: linear layers lie transposed, and the table is the head.

Radford et al.: Language Models are Unsupervised Multitask Learners, 2019.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dapeng.nn.causal import Shape

KINDS = ("gpt2",)
NAMES = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}


def shape_of(config: dict[str, Any]) -> Shape:
    width, heads = int(config["n_embd"]), int(config["n_head"])
    named = config.get("activation_function", "gelu_new")
    if named not in ACTIVATIONS or not config.get("scale_attn_weights", True):
        raise ValueError(f"activation {named}, or attention that isn't scaled")
    return Shape(
        width=width, layers=int(config["n_layer"]), heads=heads, kv_heads=heads, head_width=width // heads,
        hidden=int(config.get("n_inner") or 4 * width), norm="layer", eps=float(config.get("layer_norm_epsilon", 1e-5)),
        activation=ACTIVATIONS[named], gated=False, bias=True, rotary=None, positions=int(config["n_positions"]),
    )  # fmt: skip


def ours(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    state = {n.removeprefix("transformer."): t for n, t in state.items()}
    out = {"table": state["wte.weight"], "positions": state["wpe.weight"]}
    out |= {f"norm.{kind}": state[f"ln_f.{kind}"] for kind in ("weight", "bias")}
    for layer in range(shape.layers):
        for own, public in NAMES.items():
            for kind in ("weight", "bias"):
                tensor = state[f"h.{layer}.{public}.{kind}"]
                out[f"blocks.{layer}.{own}.{kind}"] = tensor.T.contiguous() if tensor.dim() == 2 else tensor
    return out


def theirs(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    out = {"transformer.wte.weight": state["table"], "transformer.wpe.weight": state["positions"]}
    out |= {f"transformer.ln_f.{kind}": state[f"norm.{kind}"] for kind in ("weight", "bias")}
    for layer in range(shape.layers):
        for own, public in NAMES.items():
            for kind in ("weight", "bias"):
                tensor = state[f"blocks.{layer}.{own}.{kind}"]
                out[f"transformer.h.{layer}.{public}.{kind}"] = tensor.T.contiguous() if tensor.dim() == 2 else tensor
    return out


def config_of(shape: Shape, vocabulary: int, longest: int, tied: bool) -> dict[str, Any]:
    known = {v: k for k, v in reversed(ACTIVATIONS.items())}
    fits = not (shape.gated or shape.rotary or shape.experts or shape.cross or shape.qk_norm)
    fits = fits and shape.norm == "layer" and shape.bias and tied and shape.kv_heads == shape.heads
    fits = fits and shape.pre_norm and not shape.waves
    if not fits or not shape.positions or shape.activation not in known:
        raise ValueError(
            "GPT-2 has learned positions, layer norms, biases, a plain perceptron and the table as its head"
        )
    return {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": vocabulary, "n_positions": shape.positions,
        "n_embd": shape.width, "n_layer": shape.layers, "n_head": shape.heads, "n_inner": shape.hidden,
        "activation_function": known[shape.activation], "layer_norm_epsilon": shape.eps,
        "resid_pdrop": shape.dropout, "embd_pdrop": shape.dropout, "attn_pdrop": shape.dropout,
    }  # fmt: skip
