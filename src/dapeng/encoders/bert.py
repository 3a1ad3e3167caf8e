"""BERT: a post-norm Transformer encoder over word pieces, mostly to start from its public weights.

Devlin, Chang, Lee, Toutanova: BERT, 2018 (https://arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.encoders.public import PublicOptions, blocks_of, without_prefix
from dapeng.nn.attention import Block, attend_to, pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent
from dapeng.public.families import bert
from dapeng.public.folders import PublicFolder, open_folder

ARCHITECTURES = ("bert",)


@encoders
class Bert(PublicOptions):
    """A Transformer with learned positions and norms behind each part. BERT-base, with its pooler and 30,522 word pieces, has
    109,482,240 parameters.

    Paper: Devlin et al., 2018, https://arxiv.org/abs/1810.04805
    Example: `inputs: {review: {type: text, encoder: {type: bert, weights: sample:minilm}}}`
    """

    type: Literal["bert"] = "bert"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    finds_hidden: ClassVar[bool] = True
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
    embed_dim: int = Field(256, ge=1, le=65_536)
    """Width of a token's vector."""
    num_layers: int = Field(4, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron of a block. auto: four times embed_dim."""
    positions: int = Field(512, ge=1, le=1_000_000)
    """Learned positions: no text is longer, in tokens."""
    segments: int = Field(2, ge=1, le=16)
    """Kinds of segments (sentence A, sentence B); every token is of the first here."""
    eps: float = Field(1e-12, gt=0, lt=1)
    """Of the layer norms."""
    pool: Literal["mean", "first", "max", "pooler"] = "mean"
    """What the pooled features are made of: all tokens' mean or maximum, the first token, or a tanh layer over the first token."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Bert:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, columns: list[Any], tables: Any) -> BertEncoder:
        column = columns[0]
        if column.max_length > self.positions:
            what = f"{column.max_length} tokens, but the encoder has {self.positions} positions"
            raise SpecError(Problem(f"inputs.{column.name}.max_length", what, f"max_length={self.positions}"))
        encoder = BertEncoder(tables.get(column.domain, column.size, self.embed_dim), self)
        self.settled(encoder)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        if self.weights is not None:
            return {"epochs": 10 if rows < 1_000 else 3, "batch_size": 32, "learning_rate": 1e-3}
        return {"epochs": 10 if rows < 50_000 else 4, "batch_size": 32, "learning_rate": 3e-4}

    def vocabulary(self) -> dict[str, Any] | None:
        """What the text column's tokeniser is made of, where public weights bring one."""
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        own = folder.vocabulary(self.type)
        if own is not None:
            return own
        text = folder.text("tokenizer.json")
        if text is None:
            what = f"{folder.name} has no tokenizer.json"
            raise SpecError(Problem("weights", what, "save the model's fast tokeniser beside its weights"))
        longest = int(folder.json("config.json").get("max_position_embeddings", 512))
        return {"kind": "file", "tokenizer": json.dumps(json.loads(text), ensure_ascii=False), "longest": longest}

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        config = folder.json("config.json")
        kind, position = config.get("model_type"), config.get("position_embedding_type", "absolute")
        if kind not in ARCHITECTURES or position != "absolute":
            what = f"{folder.name} holds no BERT with learned positions, but {kind or 'no config.json'}"
            raise SpecError(Problem("weights", what, "name a folder whose config.json says model_type bert"))
        return {
            "embed_dim": int(config["hidden_size"]),
            "num_layers": int(config["num_hidden_layers"]),
            "num_heads": int(config["num_attention_heads"]),
            "width": int(config["intermediate_size"]),
            "positions": int(config["max_position_embeddings"]),
            "segments": int(config["type_vocab_size"]),
            "eps": float(config.get("layer_norm_eps", 1e-12)),
        }

    def masked_head(self) -> dict[str, Tensor] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        own = folder.beside(self.type)
        if own is not None:
            return own or None
        return bert.head_of(folder.state()) or None

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        # the oldest files call a norm's weight and bias gamma and beta
        renamed = {n.replace(".gamma", ".weight").replace(".beta", ".bias"): t for n, t in state.items()}
        state = without_prefix(renamed, "bert.")
        out = {
            "table": state["embeddings.word_embeddings.weight"],
            "positions": state["embeddings.position_embeddings.weight"],
            "segments": state["embeddings.token_type_embeddings.weight"],
        }
        for kind in ("weight", "bias"):
            out[f"norm.{kind}"] = state[f"embeddings.LayerNorm.{kind}"]
            if f"pooler.dense.{kind}" in state:
                out[f"pooler.{kind}"] = state[f"pooler.dense.{kind}"]
        norms = {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
        return {**out, **blocks_of(state, self.num_layers, "attention.self", norms)}


class BertEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, D)."""

    def __init__(self, table: nn.Embedding, o: Bert):
        super().__init__()
        dim = o.embed_dim
        self.table = Lent(table)
        self.positions = nn.Parameter(0.02 * torch.randn(o.positions, dim))
        self.segments = nn.Parameter(0.02 * torch.randn(o.segments, dim))
        self.norm = nn.LayerNorm(dim, o.eps)
        width = None if o.width == "auto" else o.width
        norm = lambda d: nn.LayerNorm(d, o.eps)  # noqa: E731 - named where it is used
        self.blocks = nn.ModuleList(
            Block(dim, o.num_heads, o.dropout, width, pre_norm=False, norm=norm) for _ in range(o.num_layers)
        )
        self.pooler = nn.Linear(dim, dim) if o.pool == "pooler" else None
        self.pool = o.pool
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=dim, tokens=dim, aligned=True)

    def levels(self) -> list[nn.Module]:
        first = nn.ModuleList([self.table.module, nn.ParameterList([self.positions, self.segments]), self.norm])
        last = [] if self.pooler is None else [self.pooler]
        return [first, *self.blocks, *last]

    def unread_by_tokens(self) -> list[nn.Parameter]:
        return [] if self.pooler is None else list(self.pooler.parameters())

    def public_state(self) -> dict[str, Tensor]:
        table: Any = self.table.module.weight
        return {**super().public_state(), "table": table.detach()}

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        x = self.drop(self.norm(embedded + self.positions[: embedded.shape[1]] + self.segments[0]))
        bias = attend_to(mask)
        for block in self.blocks:
            x = block(x, bias)
        if self.pooler is not None:
            return Features(pooled=self.pooler(x[:, 0]).tanh(), tokens=x, mask=mask)
        return Features(pooled=pooled_tokens(x, mask, self.pool), tokens=x, mask=mask)
