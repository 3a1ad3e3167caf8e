"""BERT as transformers keeps it: query, key and value apart, norms behind each part.

Devlin, Chang, Lee, Toutanova: BERT, 2018 (https://arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

from typing import Any

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
