"""Marian as transformers keeps it: an encoder and a decoder with norms behind each part, and fixed waves as positions.

Junczys-Dowmunt et al.: Marian, 2018 (https://arxiv.org/abs/1804.00344). Its waves are all sines, then all cosines; ours take turns.
The width's coordinates are therefore in another order here, in all weights that read or write them: every number is the same.

Legend: V vocabulary, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dapeng.nn.causal import Shape

KINDS = ("marian",)
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu", "gelu_new": "gelu_tanh"}
EPS = 1e-5
"""Of its layer norms, which no config.json says."""
READS = {"attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "up": ("fc1",)}
WRITES = {
    "attention.out": "self_attn.out_proj",
    "down": "fc2",
    "norm1": "self_attn_layer_norm",
    "norm2": "final_layer_norm",
}
"""Of a block of the encoder by our names: layers that read a token's vector, and what writes or weighs its coordinates."""
DECODER_READS = {
    "attention.qkv": READS["attention.qkv"],
    "cross.query": ("encoder_attn.q_proj",),
    "cross.kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "mlp.up": ("fc1",),
}
DECODER_WRITES = {
    "attention.out": "self_attn.out_proj",
    "cross.out": "encoder_attn.out_proj",
    "mlp.down": "fc2",
    "norm1": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm2": "final_layer_norm",
}


def order(width: int) -> Tensor:
    """(D,) of each of our coordinates, the place of theirs."""
    return torch.arange(width).view(2, -1).T.flatten()


def back(width: int) -> Tensor:
    """(D,) of each of their coordinates, the place of ours."""
    return torch.arange(width).view(-1, 2).T.flatten()


def encoder_of(config: dict[str, Any]) -> dict[str, Any]:
    """Sizes of the encoder, by the names of its options; activation by our name. Raises ValueError with what isn't supported."""
    return {
        "embed_dim": _width(config), "num_layers": int(config["encoder_layers"]),
        "num_heads": int(config["encoder_attention_heads"]), "width": int(config["encoder_ffn_dim"]),
        "activation": _activation(config),
    }  # fmt: skip


def shape_of(config: dict[str, Any]) -> Shape:
    width, heads = _width(config), int(config["decoder_attention_heads"])
    return Shape(
        width=width, layers=int(config["decoder_layers"]), heads=heads, kv_heads=heads, head_width=width // heads,
        hidden=int(config["decoder_ffn_dim"]), norm="layer", eps=EPS, activation=_activation(config), gated=False, bias=True,
        rotary=None, cross=width, waves=True, pre_norm=False,
    )  # fmt: skip


def _width(config: dict[str, Any]) -> int:
    width = int(config["d_model"])
    if width % 2:
        raise ValueError(f"an odd width ({width})")
    return width


def _activation(config: dict[str, Any]) -> str:
    named = config.get("activation_function", "gelu")
    if named not in ACTIVATIONS:
        raise ValueError(f"activation {named}")
    return ACTIVATIONS[named]


def shared(config: dict[str, Any]) -> bool:
    """Whether what is read and what is written have one table."""
    return bool(config.get("share_encoder_decoder_embeddings", True))


def scaled(config: dict[str, Any]) -> bool:
    """Whether a token's vector is multiplied by the root of its width, as here."""
    return bool(config.get("scale_embedding", False))


def _table(state: dict[str, Tensor], side: str, scales: bool) -> Tensor:
    known = ("model.shared.weight", f"model.{side}.embed_tokens.weight")
    found = next((state[n] for n in reversed(known) if n in state), None)
    if found is None:
        raise KeyError(known[0])
    found = found[:, order(found.shape[1])]
    return found if scales else found / found.shape[1] ** 0.5


def encoder_ours(state: dict[str, Tensor], layers: int, scales: bool) -> dict[str, Tensor]:
    """Their tensors by the names of `encoders.transformer.TransformerEncoder`, its table among them."""
    out = {"table": _table(state, "encoder", scales)}
    for layer in range(layers):
        out |= _block(state, f"model.encoder.layers.{layer}.", f"blocks.{layer}.", READS, WRITES)
    return out


def ours(state: dict[str, Tensor], shape: Shape, scales: bool = True) -> dict[str, Tensor]:
    """By the names of `Causal`, with `table` (V, D) and `head_bias` (V,)."""
    table = _table(state, "decoder", scales)
    bias = state.get("final_logits_bias")
    out = {"table": table, "head_bias": torch.zeros(len(table)) if bias is None else bias[0]}
    for layer in range(shape.layers):
        out |= _block(state, f"model.decoder.layers.{layer}.", f"blocks.{layer}.", DECODER_READS, DECODER_WRITES)
    if not scales:  # the table is the head too, and was made smaller
        for kind in ("weight", "bias"):
            out[f"blocks.{shape.layers - 1}.norm2.{kind}"] = (
                out[f"blocks.{shape.layers - 1}.norm2.{kind}"] * shape.width**0.5
            )
    return out


def _block(
    state: dict[str, Tensor], theirs_: str, own: str, reads: dict[str, tuple[str, ...]], writes: dict[str, str]
) -> dict[str, Tensor]:
    out = {}
    for name, parts in reads.items():
        weight = torch.cat([state[f"{theirs_}{p}.weight"] for p in parts])
        out[f"{own}{name}.weight"] = weight[:, order(weight.shape[1])]
        out[f"{own}{name}.bias"] = torch.cat([state[f"{theirs_}{p}.bias"] for p in parts])
    for name, part in writes.items():
        for kind in ("weight", "bias"):
            tensor = state[f"{theirs_}{part}.{kind}"]
            out[f"{own}{name}.{kind}"] = tensor[order(len(tensor))]
    return out


def _block_back(
    state: dict[str, Tensor], theirs_: str, own: str, reads: dict[str, tuple[str, ...]], writes: dict[str, str]
) -> dict[str, Tensor]:
    out = {}
    for name, parts in reads.items():
        weight = state[f"{own}{name}.weight"]
        weights = weight[:, back(weight.shape[1])].chunk(len(parts))
        biases = state[f"{own}{name}.bias"].chunk(len(parts))
        for part, one, bias in zip(parts, weights, biases):
            out[f"{theirs_}{part}.weight"], out[f"{theirs_}{part}.bias"] = one, bias
    for name, part in writes.items():
        for kind in ("weight", "bias"):
            tensor = state[f"{own}{name}.{kind}"]
            out[f"{theirs_}{part}.{kind}"] = tensor[back(len(tensor))]
    return out


def theirs(
    encoder: dict[str, Tensor], decoder: dict[str, Tensor], layers: tuple[int, int], one_table: bool
) -> dict[str, Tensor]:
    """The other way round, of both sides by our names, with vectors that are scaled; layers: of the encoder, and of the decoder."""
    tables = {"encoder": encoder["table"], "decoder": decoder["table"]}
    tables = {side: t[:, back(t.shape[1])] for side, t in tables.items()}
    bias = decoder.get("head_bias")
    out = {"final_logits_bias": torch.zeros(1, len(tables["decoder"])) if bias is None else bias[None]}
    if one_table:
        out["model.shared.weight"] = tables["decoder"]
    else:
        out |= {f"model.{side}.embed_tokens.weight": t for side, t in tables.items()}
    for layer in range(layers[0]):
        out |= _block_back(encoder, f"model.encoder.layers.{layer}.", f"blocks.{layer}.", READS, WRITES)
    for layer in range(layers[1]):
        out |= _block_back(decoder, f"model.decoder.layers.{layer}.", f"blocks.{layer}.", DECODER_READS, DECODER_WRITES)
    return out


def config_of(
    encoder: Shape, decoder: Shape, vocabularies: tuple[int, int], longest: int, one_table: bool
) -> dict[str, Any]:
    """A config.json for two stacks. Raises ValueError where Marian has no such ones."""
    known = {"relu": "relu", "gelu": "gelu", "silu": "silu", "gelu_tanh": "gelu_new"}
    for side, stack in (("what is read", encoder), ("what is written", decoder)):
        fits = (
            stack.norm == "layer" and stack.bias and not (stack.gated or stack.rotary or stack.experts or stack.qk_norm)
        )
        if not fits or stack.pre_norm or not stack.waves or stack.eps != EPS or stack.width % 2:
            raise ValueError(f"{side} lacks sinusoidal positions, or layer norms behind each part (pre_norm: false)")
    if encoder.width != decoder.width or decoder.cross != encoder.width:
        raise ValueError(f"both have one width there, and here {encoder.width} and {decoder.width}")
    if encoder.activation != decoder.activation or decoder.activation not in known:
        raise ValueError(f"both have one activation there, and here {encoder.activation} and {decoder.activation}")
    return {
        "architectures": ["MarianMTModel"], "model_type": "marian", "is_encoder_decoder": True,
        "vocab_size": vocabularies[0], "decoder_vocab_size": vocabularies[1], "d_model": decoder.width,
        "encoder_layers": encoder.layers, "encoder_attention_heads": encoder.heads, "encoder_ffn_dim": encoder.hidden,
        "decoder_layers": decoder.layers, "decoder_attention_heads": decoder.heads, "decoder_ffn_dim": decoder.hidden,
        "activation_function": known[decoder.activation], "scale_embedding": True, "static_position_embeddings": True,
        "max_position_embeddings": longest, "dropout": decoder.dropout, "attention_dropout": decoder.attention_dropout,
        "activation_dropout": 0.0, "share_encoder_decoder_embeddings": one_table, "tie_word_embeddings": True,
    }  # fmt: skip
