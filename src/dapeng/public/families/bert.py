"""BERT as transformers keeps it: query, key and value apart, norms behind each part.

Devlin, Chang, Lee, Toutanova: BERT, 2018 (https://arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

NAMES = {
    "attention.out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm1": "attention.output.LayerNorm",
    "norm2": "output.LayerNorm",
}


def theirs(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Tensors of `encoders.bert.BertEncoder`, its table among them, by the names of BertModel."""
    out = {
        "embeddings.word_embeddings.weight": state["table"],
        "embeddings.position_embeddings.weight": state["positions"],
        "embeddings.token_type_embeddings.weight": state["segments"],
    }
    for kind in ("weight", "bias"):
        out[f"embeddings.LayerNorm.{kind}"] = state[f"norm.{kind}"]
        if f"pooler.{kind}" in state:
            out[f"pooler.dense.{kind}"] = state[f"pooler.{kind}"]
        for own, public in ((f"blocks.{i}", f"encoder.layer.{i}") for i in range(layers)):
            for name, part in zip(("query", "key", "value"), state[f"{own}.attention.qkv.{kind}"].chunk(3)):
                out[f"{public}.attention.self.{name}.{kind}"] = part
            out |= {f"{public}.{to}.{kind}": state[f"{own}.{name}.{kind}"] for name, to in NAMES.items()}
    return out


HEAD = {
    "transform.weight": "cls.predictions.transform.dense.weight",
    "transform.bias": "cls.predictions.transform.dense.bias",
    "norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "bias": "cls.predictions.bias",
}
"""Tensors of `objectives.masked.MaskedHead` by the names of BertForMaskedLM; the table is its decoder."""


def head_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The head that finds hidden tokens, by our names; {} where a folder has none."""
    state = {n.replace(".gamma", ".weight").replace(".beta", ".bias"): t for n, t in state.items()}
    found = {own: state[public] for own, public in HEAD.items() if public in state}
    return found if len(found) == len(HEAD) else {}


def head_for(head: dict[str, Tensor]) -> dict[str, Tensor]:
    """The other way round."""
    return {public: head[own] for own, public in HEAD.items()}


def logits(tokens: Tensor, head: dict[str, Tensor], table: Tensor, eps: float) -> Tensor:
    """(..., D) -> (..., V) what a head says of tokens."""
    x = F.gelu(F.linear(tokens, head["transform.weight"], head["transform.bias"]))
    return F.linear(F.layer_norm(x, x.shape[-1:], head["norm.weight"], head["norm.bias"], eps), table, head["bias"])


def config_of(options: Any, vocabulary: int) -> dict[str, Any]:
    """A config.json for `encoders.bert.Bert` options over a table of so many rows."""
    hidden = 4 * options.embed_dim if options.width == "auto" else options.width
    return {
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": vocabulary, "hidden_size": options.embed_dim,
        "num_hidden_layers": options.num_layers, "num_attention_heads": options.num_heads, "intermediate_size": hidden,
        "max_position_embeddings": options.positions, "type_vocab_size": options.segments, "hidden_act": "gelu",
        "layer_norm_eps": options.eps, "hidden_dropout_prob": options.dropout,
        "attention_probs_dropout_prob": options.dropout, "position_embedding_type": "absolute",
    }  # fmt: skip
