"""Tokens that are hidden are to be found again: how BERT learns from texts that nobody has labelled.

Devlin, Chang, Lee, Toutanova: BERT, 2018 (https://arxiv.org/abs/1810.04805); whole words: its authors' release of 2019.

Legend: B rows, T tokens, P places of a row that may be hidden, D width of a token, E width of the table, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ObjectiveOptions, encoders, objectives
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform
from dapeng.models.model import Model
from dapeng.nn.tables import Lent
from dapeng.nn.vocabulary import IGNORED, token_losses
from dapeng.objectives.base import Objective

LONGEST_WORD = 16
"""Pieces of a word that are hidden together."""
VALIDATED = 11
"""Marks the draws of validation among those of its rows."""


@objectives
class Masked(ObjectiveOptions):
    """Hides some tokens of a text and has the encoder find them (masked language modelling). Rows without a target are read too.

    Of the hidden ones 80 % read as a token that no text has, 10 % as any other token, 10 % as they are.

    Paper: Devlin et al., 2018, https://arxiv.org/abs/1810.04805
    Example: `train: {phases: [{objective: {type: masked, column: review}, epochs: 5}, {objective: supervised, epochs: 10}]}`
    """

    type: Literal["masked"] = "masked"
    judged: ClassVar[bool] = False
    untargeted: ClassVar[bool] = True
    column: str | None = None
    """The text input whose tokens are hidden. auto: the only one."""
    share: float = Field(0.15, gt=0, lt=1)
    """Of a text's tokens, how many are hidden; one at least."""
    whole_words: bool = False
    """Hide all pieces of a word together, where the tokeniser has pieces of words."""

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        name, column = self._text(columns or {})
        encoder: Any = model.encoders[name]
        vocabulary = _vocabulary(name, column, self.whole_words)
        objective = MaskedTokens(
            model, name, encoder, vocabulary, self.share, getattr(column.options.encoder, "eps", 1e-12)
        )
        found = column.options.encoder.masked_head()
        if found is not None:
            objective.head.fill(found)
        return objective

    def _text(self, columns: Mapping[str, Any]) -> tuple[str, Any]:
        """The column that is asked for. Raises SpecError where it is no text, or where its encoder can't find hidden tokens."""
        texts = {n: c for n, c in columns.items() if not c.target and c.type == "text"}
        where = "train.phases.objective.column"
        if not texts:
            raise SpecError(Problem(where, "masked hides tokens of a text, and no input is one", "inputs.NAME=text"))
        if self.column is None and len(texts) > 1:
            raise SpecError(
                Problem(where, f"{len(texts)} inputs are texts: say which", f"column: one of {', '.join(texts)}")
            )
        name = self.column or next(iter(texts))
        if name not in texts:
            raise SpecError(Problem(where, f"{name!r} is no text that is read", f"one of {', '.join(texts)}"))
        encoder = texts[name].options.encoder
        if not encoder.finds_hidden:
            able = [tag for tag, cls in encoders.members().items() if cls.finds_hidden and "text" in cls.fits]
            what = f"{encoder.type} reads each token by itself, or gives none: it can't find one that is hidden"
            raise SpecError(Problem(f"inputs.{name}.encoder", what, f"one of {', '.join(able)}"))
        return name, texts[name]


@dataclass(frozen=True)
class Vocabulary:
    """What hiding must know of a tokeniser. hides: what a hidden token reads as. ordinary: (V,) ids that texts are made of.

    goes_on: (V,) ids that go on with the word before them; None: every token is hidden by itself.
    """

    hides: int
    ordinary: Tensor
    goes_on: Tensor | None = None


def _vocabulary(name: str, column: Any, whole_words: bool) -> Vocabulary:
    """Raises SpecError where the tokeniser has nothing to hide tokens by, or no pieces of words."""
    tokeniser = column.tokeniser
    if tokeniser.hides is None:
        what = f"the tokeniser has no token that a hidden one could read as ({tokeniser.kind})"
        raise SpecError(Problem(f"inputs.{name}.tokeniser", what, "tokeniser=words, characters or bpe"))
    goes_on = tokeniser.goes_on() if whole_words else None
    if whole_words and goes_on is None:
        what = f"{tokeniser.kind} are no pieces of words, so that whole words can't be hidden"
        raise SpecError(Problem("train.phases.objective.whole_words", what, "leave it out, or tokeniser=bpe"))
    parts = (None if goes_on is None else torch.from_numpy(goes_on), torch.from_numpy(tokeniser.ordinary()))
    return Vocabulary(tokeniser.hides, parts[1], parts[0])


class MaskedHead(nn.Module):
    """(..., D) -> (..., E): a layer, GELU and a norm; the table is what it is compared with, beside a bias of each token."""

    def __init__(self, dim: int, table: nn.Embedding, eps: float):
        super().__init__()
        self.table = Lent(table)
        self.transform = nn.Linear(dim, table.embedding_dim)
        self.norm = nn.LayerNorm(table.embedding_dim, eps)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))
        nn.init.normal_(self.transform.weight, std=0.02)
        nn.init.zeros_(self.transform.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(nn.functional.gelu(self.transform(tokens)))

    @property
    def matrix(self) -> Tensor:
        """(V, E + 1): the table, and the biases as a column more."""
        table: Any = self.table.module.weight
        return torch.cat([table, self.bias[:, None].to(table.dtype)], 1)

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """(N, D), (N,) -> (N,) nats; 0 where the target is IGNORED."""
        hidden = self(tokens)
        return token_losses(nn.functional.pad(hidden, (0, 1), value=1.0), self.matrix, targets)

    def logits(self, tokens: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        table: Any = self.table.module.weight
        return nn.functional.linear(self(tokens), table, self.bias)

    def fill(self, state: Mapping[str, Tensor]) -> None:
        """Take weights by this module's names. Raises SpecError where they are another head's."""
        own = self.state_dict()
        wrong = [n for n, t in own.items() if n not in state or state[n].shape != t.shape]
        if wrong:
            what = f"the weights bring a head for hidden tokens whose {wrong[0]} doesn't fit this network"
            raise SpecError(Problem("weights", what, "name a folder whose head belongs to its network"))
        self.load_state_dict({n: state[n] for n in own})


class MaskedTokens(Objective):
    """The encoder of one text, and a head that belongs to the objective alone, over the encoder's own table."""

    def __init__(self, model: Model, column: str, encoder: Any, vocabulary: Vocabulary, share: float, eps: float):
        super().__init__(model)
        self.column, self.share, self.vocabulary = column, share, vocabulary
        if not any(p.requires_grad for p in encoder.parameters()):
            what = "the encoder is frozen: there is nothing to be pretrained"
            raise SpecError(Problem(f"inputs.{column}.encoder.trained_layers", what, "trained_layers=all"))
        self.head = MaskedHead(encoder.widths.tokens, encoder.table.module, eps)
        self.shown = (f"{column}.masked_perplexity", f"{column}.masked_accuracy")

    @property
    def encoder(self) -> Any:
        return self.model.encoders[self.column]

    def trainable(self, turn: str) -> list[nn.Parameter]:
        unread = {id(p) for p in self.encoder.unread_by_tokens()}
        table = list(self.head.table.module.parameters())
        own = [*table, *self.encoder.parameters(), *self.head.parameters()]
        return [p for p in own if p.requires_grad and id(p) not in unread]

    def draw(self, batch: Batch, turn: str) -> Batch:
        rows, tokens = batch[self.column]["ids"].shape
        chance = torch.rand(3, rows, tokens)  # on the processor, whose draws are those of any machine
        return self.hidden(batch, chance.to(batch.rows.device))

    def hidden(self, batch: Batch, chance: Tensor) -> Batch:
        """The batch with tokens hidden by chance (3, B, T), evenly from 0 to 1: which are, how they read, what they read as.

        Added: "hidden" with at (B, P) places, and their ids (B, P), IGNORED where a row has fewer.
        """
        cells, v = batch[self.column], self.vocabulary
        ids = cells["ids"].long()
        ordinary = v.ordinary.to(ids.device)
        eligible = cells["mask"] & ordinary[ids]
        if cells.present is not None:
            eligible = eligible & cells.present[:, None]
        at, taken = places(
            chance[0], eligible, self.share, None if v.goes_on is None else v.goes_on.to(ids.device)[ids]
        )
        original = ids.gather(1, at)
        how, which = chance[1].gather(1, at), chance[2].gather(1, at)
        known = ordinary.nonzero()[:, 0]
        other = known[(which * len(known)).long().clamp(max=len(known) - 1)]
        read = torch.where(how < 0.8, v.hides, torch.where(how < 0.9, other, original))
        shown = ids.scatter(1, at, torch.where(taken, read, original)).to(cells["ids"].dtype)
        target = Cells({"at": at, "ids": torch.where(taken, original, IGNORED)})
        return batch.replace({self.column: Cells({**cells.tensors, "ids": shown}, cells.present), "@hidden": target})

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return {self.column: (batch["@hidden"]["ids"] != IGNORED).sum(1).float()}

    def found(self, batch: Batch) -> Tensor:
        """(B, P, D) what the encoder makes of the hidden places."""
        tokens = self.encoder(batch[self.column]).tokens
        return tokens.gather(1, batch["@hidden"]["at"][..., None].expand(-1, -1, tokens.shape[2]))

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        targets = batch["@hidden"]["ids"]
        losses = self.head.losses(self.found(batch).flatten(0, 1), targets.flatten())
        return {self.column: losses.view_as(targets).sum(1)}

    def tell(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        rows, tokens = batch[self.column]["ids"].shape
        # the same for a row in whatever batch it comes; a padded batch has more draws than it uses
        chance = uniform(batch.rows.cpu().numpy(), 3 * tokens, VALIDATED).reshape(rows, tokens, 3).transpose(2, 0, 1)
        drawn = self.hidden(batch, torch.from_numpy(np.ascontiguousarray(chance, np.float32)).to(batch.rows.device))
        targets = drawn["@hidden"]["ids"].flatten()
        hidden = self.found(drawn).flatten(0, 1)
        counts = (targets != IGNORED).sum()
        right = (self.head.logits(hidden[targets != IGNORED]).argmax(1) == targets[targets != IGNORED]).sum()
        return {"nats": (self.head.losses(hidden, targets).sum(), counts), "accuracy": (right, counts)}

    def figures(self, means: Mapping[str, float]) -> dict[str, float]:
        perplexity = float(np.exp(min(means["nats"], 700.0)))
        named = {f"{self.column}.masked_accuracy": means["accuracy"], f"{self.column}.masked_perplexity": perplexity}
        return {"score": 1 / perplexity, "loss": means["nats"], **named}

    def beside(self) -> dict[str, Tensor]:
        return {f"masked.{self.column}.{n}": t for n, t in self.head.state_dict().items()}


def places(chance: Tensor, eligible: Tensor, share: float, goes_on: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which tokens are hidden: at (B, P) places in a row, and (B, P) whether the place is taken.

    chance: (B, T) in [0, 1). eligible: (B, T) tokens that may be. A row's count is its share of them, rounded, one at least.
    goes_on: (B, T) tokens of the word before them, which are hidden with it.
    """
    tokens = eligible.shape[1]
    wanted = (eligible.sum(1, keepdim=True) * share).round().clamp(min=1)
    word = torch.arange(tokens, device=eligible.device).expand_as(eligible) if goes_on is None else _begins(goes_on)
    chance = chance.gather(1, word)  # tokens of a word have the chance of its first
    order = chance.masked_fill(~eligible, 2.0).sort(dim=1, stable=True).indices
    most = max(1, round(tokens * share)) + (0 if goes_on is None else LONGEST_WORD - 1)
    at = order[:, : min(most, tokens)]
    rank, word = torch.arange(at.shape[1], device=at.device).expand_as(at), word.gather(1, at)
    first = torch.ones_like(word, dtype=torch.bool)
    first[:, 1:] = word[:, 1:] != word[:, :-1]
    begun = torch.where(first, rank, 0).cummax(1).values  # a word that has begun in time is hidden to its end
    return at, eligible.gather(1, at) & (begun < wanted)


def _begins(goes_on: Tensor) -> Tensor:
    """(B, T) where the word of each token begins."""
    index = torch.arange(goes_on.shape[1], device=goes_on.device).expand_as(goes_on)
    return torch.where(goes_on, 0, index).cummax(1).values
