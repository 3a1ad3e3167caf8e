"""Two inputs as two vectors that lie close where rows match: by telling the right one from those of the other rows of a batch.

Radford et al.: Learning Transferable Visual Models From Natural Language Supervision (CLIP), 2021 (https://arxiv.org/abs/2103.00020);
several right ones: Khosla et al.: Supervised Contrastive Learning, 2020 (https://arxiv.org/abs/2004.11362).

Legend: B rows, D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem
from dapeng.core.kinds import ColumnOptions, DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths

MOST_SHARP = 100.0


@decoders
class Contrastive(DecoderOptions):
    """Each of two inputs, by its own encoder, becomes a vector; pairs lie close, and others of the batch far off. Large batches teach more.

    Paper: Radford et al., 2021, https://arxiv.org/abs/2103.00020
    Example: `outputs: {pair: {type: match, decoder: {type: contrastive, between: [photo, caption]}}}`
    """

    type: Literal["contrastive"] = "contrastive"
    fits: ClassVar[tuple[str, ...]] = ("match",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    unfused: ClassVar[bool] = True
    between: list[str] | None = Field(None, min_length=2, max_length=2)
    """The two inputs. auto: the only two."""
    hidden: int = Field(0, ge=0, le=65_536)
    """Width of a layer before the vectors; 0: none."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On what the encoders give."""
    temperature: float = Field(0.07, gt=0, le=10)
    """At the start; it is learnt."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"batch_size": 64 if rows < 1_000 else 128 if rows < 20_000 else 256}

    def reads(self, column: Any, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(self.between or inputs)

    def unfit(self, output: str, inputs: Mapping[str, ColumnOptions], options: ColumnOptions) -> Iterator[Problem]:
        where, hint = f"outputs.{output}.decoder.between", "name two of " + ", ".join(inputs)
        if self.between is None and len(inputs) != 2:
            yield Problem(where, f"two inputs are matched, and there are {len(inputs)}", hint)
        for name in self.between or ():
            if name not in inputs:
                yield Problem(where, f"there is no input {name!r}", hint)

    def build(self, column: Any, widths: Mapping[str, Widths], tables: Any, loss: Any) -> ContrastiveDecoder:
        return ContrastiveDecoder(column.options.embed_dim, dict(widths), self)


class ContrastiveDecoder(Decoder):
    """Target: keys (B,) of rows. An element is a row; what it is told from are the other rows of its batch."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    compares: ClassVar[bool] = True

    def __init__(self, dim: int, widths: dict[str, Widths], o: Contrastive):
        super().__init__()
        self.reads = tuple(widths)
        self.heads = nn.ModuleList(_head(w.pooled or 1, o.hidden, dim) for w in widths.values())
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.sharpness = nn.Parameter(torch.tensor(math.log(1 / o.temperature)))

    def last(self) -> Iterator[nn.Parameter]:
        yield from self.heads.parameters()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["keys"].shape[0])

    def vectors(self, features: Any) -> tuple[Tensor, Tensor]:
        """(B, D) each, of length 1."""
        read = (self.head_of(head, features[name]) for name, head in zip(self.reads or (), self.heads))
        first, second = read
        return first, second

    def head_of(self, head: nn.Module, features: Features) -> Tensor:
        assert features.pooled is not None
        return F.normalize(head(self.drop(features.pooled)).float(), dim=1)

    def loss(self, features: Any, target: Cells) -> Tensor:
        return self._loss(*self.vectors(features), target)

    def _loss(self, first: Tensor, second: Tensor, target: Cells) -> Tensor:
        """(B,) the mean of both directions: minus the logarithm of the share that the matching ones have."""
        logits = first @ second.T * self.sharpness.exp().clamp(max=MOST_SHARP)
        match = target["keys"][:, None] == target["keys"][None]
        if target.present is not None:  # a row without a key is told from nothing, and nothing from it
            logits = logits.masked_fill(~target.present[None], -1e4).masked_fill(~target.present[:, None], -1e4)
            match = (match & target.present[None]) | torch.eye(len(match), dtype=torch.bool, device=match.device)
        right = logits.masked_fill(~match, float("-inf"))
        ways = [logits.logsumexp(d) - right.logsumexp(d) for d in (0, 1)]
        return where_present((ways[0] + ways[1]) / 2, target)

    def predict(self, features: Any, size: int, **options: Any) -> dict[str, Tensor]:
        first, second = self.vectors(features)
        return {"first": first, "second": second}

    def judged(self, features: Any, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self.vectors(features)
        return self._loss(first, second, target), {"first": first, "second": second}


def _head(inputs: int, hidden: int, outputs: int) -> nn.Module:
    if not hidden:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))
