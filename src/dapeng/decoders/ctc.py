"""A text from the frames of a sound, without knowing where in it what is said: connectionist temporal classification.

Graves et al.: Connectionist Temporal Classification, 2006 (https://www.cs.toronto.edu/~graves/icml_2006.pdf). Every token of the features
is one of the text's tokens, or a blank; all ways to spell the text count.

Legend: B rows, T tokens of the features, V tokens of the text, L longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem
from dapeng.core.kinds import ColumnOptions, DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder
from dapeng.generate.ctc import Following, best_path, prefix_search
from dapeng.generate.kneser_ney import KneserNey, Order
from dapeng.nn.features import Features, Widths

GRAMS = 200_000
"""N-grams of a context's successors that are kept while texts are searched."""


@decoders
class Ctc(DecoderOptions):
    """Writes down what is heard, in its order; and nothing where nothing is said.

    Paper: Graves et al., 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
    Example: `outputs: {transcript: {type: text, decoder: {type: ctc, beams: 16, order: 5}}}`
    """

    type: Literal["ctc"] = "ctc"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    tokeniser: ClassVar[str] = "characters"
    empty: ClassVar[bool] = True
    timed: ClassVar[bool] = True
    transcribes: ClassVar[bool] = True
    dropout: float = Field(0.1, ge=0, lt=1)
    """On what the frames say."""
    beams: int = Field(1, ge=1, le=1024)
    """Texts that are followed at once. 1: the likeliest token of each frame, which needs no search."""
    order: int = Field(5, ge=0, le=12)
    """Tokens of the n-grams, counted in the training texts, by which a search with several beams judges texts; 0: none."""
    language_weight: float = Field(0.4, ge=0, le=10)
    """Weight of the n-grams' log-probability beside that of the frames."""
    bonus: float = Field(0.5, ge=-10, le=10)
    """Added for each token, since n-grams make longer texts less likely."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 1e-3, "batch_size": 16 if rows < 5_000 else 32}

    def unfit(self, output: str, inputs: Mapping[str, ColumnOptions], options: ColumnOptions) -> Iterator[Problem]:
        if getattr(options, "chat", False):
            yield Problem(
                f"outputs.{output}.chat", "a conversation is not spelt by the frames of an input", "leave it out"
            )
        if len(inputs) != 1:
            what = f"ctc spells one input, frame by frame; here are {len(inputs)}"
            yield Problem(f"outputs.{output}.decoder", what, f"outputs.{output}.decoder=transformer")

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> CtcDecoder:
        return CtcDecoder(column, widths, self)


class CtcDecoder(Decoder):
    """Target: ids (B, L + 2) from begin to end, with their mask. Elements are the tokens between, and the end.

    The blank is the padding, which no text has. A text that is too long for its frames loses nothing: nothing can be learnt of it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    sees_target: ClassVar[bool] = True

    def __init__(self, column: Any, widths: Widths, o: Ctc):
        super().__init__()
        codec = column.codec
        self.blank, self.end, self.begin = codec.pad, codec.eos, codec.bos
        self.longest, self.size, self.seconds = column.max_length, column.size, widths.seconds or 1.0
        self.never = [i for i in (codec.bos, codec.eos, *codec.unwritten) if i != codec.pad]
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.head = nn.Linear(widths.tokens or 1, self.size)
        self.options = o
        self.searches = o.beams > 1  # type: ignore[misc]
        self.orders = o.order if o.beams > 1 else 0
        for number in range(self.orders):
            self._keep(number, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    def _keep(self, number: int, keys: Any, shares: Any, left: Any) -> None:
        """One order of the n-grams, as tensors beside the weights."""
        for name, value, dtype in (
            ("keys", keys, torch.int64),
            ("shares", shares, torch.float64),
            ("left", left, torch.float64),
        ):
            self.register_buffer(f"{name}_{number}", torch.tensor(value, dtype=dtype, device=self.head.weight.device))

    def prime(self, target: Cells) -> None:
        """Count the n-grams of training texts."""
        if not self.orders:
            return
        ids, real = target["ids"].numpy(), _real(target).numpy()
        before = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)[real]
        for number, order in enumerate(
            KneserNey.counted(ids[real].astype(np.int64), before, self.orders, self.size).orders
        ):
            self._keep(number, order.keys, order.shares, order.left)

    def adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Make room for the n-grams that weights bring."""
        for name, tensor in tensors.items():
            if name.startswith(("keys_", "shares_", "left_")) and hasattr(self, name):
                setattr(self, name, torch.zeros_like(tensor))

    def language(self) -> Following | None:
        """Log-probabilities of what follows a text, by the n-grams; None where there are none."""
        if not self.orders or not len(self.get_buffer("keys_0")):
            return None
        parts = [
            [self.get_buffer(f"{n}_{k}").cpu().numpy() for n in ("keys", "shares", "left")] for k in range(self.orders)
        ]
        model = KneserNey([Order(*p) for p in parts], self.size, self.size - 2)

        @lru_cache(GRAMS // max(self.size, 1) + 1)
        def known(context: tuple[int, ...]) -> np.ndarray:
            return np.log(model.following(context))

        return lambda text: known((self.begin, *text)[-self.orders + 1 :] if self.orders > 1 else ())

    def count(self, target: Cells) -> Tensor | int:
        return _real(target)[:, 1:].sum(1).float()

    def scores(self, features: Features | None) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T, V) of each frame's label, and which frames are real."""
        assert features is not None
        assert features.tokens is not None
        x = features.tokens
        mask = torch.ones_like(x[:, :, 0], dtype=torch.bool) if features.mask is None else features.mask
        mask = mask if features.present is None else mask & features.present[:, None]
        return F.log_softmax(self.head(self.drop(x)).float(), 2), mask

    def _nats(self, scores: Tensor, mask: Tensor, target: Cells) -> Tensor:
        """(B,) of the whole text; 0 where it is missing, or too long for its frames."""
        real, texts = _real(target), target["ids"][:, 1:].long()
        lengths = (real.sum(1) - 2).clamp(min=0)
        nats = F.ctc_loss(scores.transpose(0, 1), texts, mask.sum(1), lengths, self.blank, "none", zero_infinity=True)
        return torch.where(real.any(1), nats, 0.0)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return self._nats(*self.scores(features), target)

    def score(self, features: Features | None, target: Cells) -> Tensor:
        """(B,) log-likelihood of a given text."""
        return -self._nats(*self.scores(features), target)

    def predict(
        self, features: Features | None, size: int, target: Cells | None = None, **options: Any
    ) -> dict[str, Tensor]:
        scores, mask = self.scores(features)
        found = self._told(scores, mask, target)
        if self.options.beams > 1:
            ids, frames = self._searched(scores, mask)
        else:
            ids, frames = best_path(self._written(scores), mask, self.blank, self.end, self.longest)
        return {"ids": ids, **found, "times": (frames.float() * self.seconds).flatten(1)}

    def _written(self, scores: Tensor) -> Tensor:
        """Scores without what no text is written with."""
        never = torch.zeros(self.size, dtype=torch.bool, device=scores.device)
        never[self.never] = True
        return scores.masked_fill(never, float("-inf"))

    def _searched(self, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, L) and frames (B, L, 2) of the best texts that a search finds."""
        o, following = self.options, self.language()
        ids = torch.full((len(scores), self.longest), self.blank, dtype=torch.int32)
        frames = torch.zeros(len(scores), self.longest, 2)
        lengths = mask.sum(1).tolist()
        for row, (one, length) in enumerate(zip(self._written(scores).cpu().numpy(), lengths)):
            text, first, _ = prefix_search(
                one[:length], self.blank, o.beams, following, o.language_weight, o.bonus, self.end
            )
            text, first = text[: self.longest], first[: self.longest]
            ids[row, : len(text)] = torch.tensor(text, dtype=torch.int32)
            if len(text) < self.longest:
                ids[row, len(text)] = self.end
            frames[row, : len(first), 0] = torch.tensor(first, dtype=torch.float32)
            frames[row, : len(first), 1] = torch.tensor([f + 1 for f in first], dtype=torch.float32)
        return ids.to(scores.device), frames.to(scores.device)

    def _told(self, scores: Tensor, mask: Tensor, target: Cells | None) -> dict[str, Tensor]:
        """How likely a given text is: of one that is too long for its frames, nothing."""
        if target is None:
            return {"nats": scores.new_zeros(scores.shape[0]), "tokens": scores.new_zeros(scores.shape[0])}
        fits = _needed(target) <= mask.sum(1)
        tokens: Any = self.count(target)
        return {"nats": self._nats(scores, mask, target), "tokens": torch.where(fits, tokens, 0.0)}

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        scores, mask = self.scores(features)
        told = self._told(scores, mask, target)
        none = {"ids": torch.zeros(size, 1, dtype=torch.int32), "times": torch.zeros(size, 2)}
        return told["nats"], {**none, **told}


def _real(target: Cells) -> Tensor:
    """(B, L + 2) of the target that is there."""
    return target["mask"] if target.present is None else target["mask"] & target.present[:, None]


def _needed(target: Cells) -> Tensor:
    """(B,) frames that a text takes: one a token, and one between two that are the same."""
    ids, real = target["ids"], _real(target)
    again = (ids[:, 1:] == ids[:, :-1]) & real[:, 1:]
    return (real.sum(1) - 2).clamp(min=0) + again.sum(1)
