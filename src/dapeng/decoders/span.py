"""A stretch of an input text, pointed at: answers out of a passage.

Clark, Gardner: Simple and Effective Multi-Paragraph Reading Comprehension, 2018 (https://arxiv.org/abs/1710.10723): the loss is of
all places where the answer stands. Chen et al., 2017 (https://arxiv.org/abs/1704.00051): how a passage is read for a question.

Legend: B rows, T tokens of the passage, L longest stretch, A tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.alike import root_of
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ColumnOptions, DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present
from dapeng.nn.dilated import Channels
from dapeng.nn.features import Features, Widths
from dapeng.nn.matches import equal_tokens
from dapeng.nn.passage import PassageReader
from dapeng.nn.spans import best_span, marginal_nats, places, span_scores

MOST_LOOKED_AT = 20_000
"""Training rows in whose passages the answer is looked for, to say how often it is there."""


@decoders
class Span(DecoderOptions):
    """Points at the stretch of an input that is the answer to the others; learns from every place where the answer stands.

    Paper: Clark and Gardner, 2018, https://arxiv.org/abs/1710.10723
    Example: `outputs: {answer: {type: text, like: passage, decoder: {type: span, of: passage}}}`
    """

    type: Literal["span"] = "span"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    unfused: ClassVar[bool] = True
    quotes: ClassVar[bool] = True
    covers: ClassVar[float] = 0.98
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "dilations": [1, 2], "dropout": 0.0}
    of: str | None = None
    """The input text that the answer is a stretch of; all other texts are the question. auto: the one that the output is `like`."""
    embed_dim: int = Field(128, ge=2, le=4096)
    """Width of what is made of both."""
    runs: int = Field(5, ge=1, le=16)
    """Longest run of tokens that is looked for in passage and question."""
    kernel: int = Field(5, ge=1, le=31)
    """Tokens that a layer looks at; odd."""
    dilations: list[int] = Field(default=[1, 2, 4, 8], min_length=1, max_length=64)
    """How far these are apart, in each layer."""
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _odd(self) -> Span:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle: an odd number is expected")
        return self

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 8 if rows < 50_000 else 4, "learning_rate": 2e-3, "batch_size": 16 if rows < 10_000 else 32}

    def reads(self, column: Any, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        passage = self.of or column.options.like
        if not column.codec.alone:
            where = f"inputs.{passage}.tokeniser"
            what = f"{column.codec.unit} cut an answer otherwise than the passage around it, in which it is not found again"
            raise SpecError(Problem(where, what, f"{where}=characters (or words)"))
        options = {n: c.options for n, c in inputs.items()}
        root = root_of(passage, options)
        return passage, *(n for n in inputs if n != passage and root_of(n, options) == root)

    def unfit(self, output: str, inputs: Mapping[str, ColumnOptions], options: ColumnOptions) -> Iterator[Problem]:
        like = getattr(options, "like", None)
        where, passage = f"outputs.{output}.decoder.of", self.of or like
        texts = [n for n, o in inputs.items() if o.type == "text"]
        if passage is None:
            hint = f"outputs.{output}.like={texts[0]}" if texts else "name an input of type text"
            yield Problem(where, "no input is named that the answer is a stretch of", hint)
        elif passage not in inputs:
            yield Problem(
                where, f"{passage!r} is no input", f"one of {', '.join(texts)}" if texts else "add it to inputs"
            )
        elif inputs[passage].type != "text":
            yield Problem(where, f"{passage!r} is a {inputs[passage].type}, and a stretch is of a text", _one_of(texts))
        else:
            yield from self._unlike(output, passage, inputs, options)
            yield from _without_tokens(output, passage, inputs)

    def _unlike(
        self, output: str, passage: str, inputs: Mapping[str, ColumnOptions], options: ColumnOptions
    ) -> Iterator[Problem]:
        """Where output or question have other tokens than the passage."""
        root = root_of(passage, inputs)
        if root_of(output, {**inputs, output: options}) != root:
            what = f"an answer that is pointed at in {passage} has its tokens"
            yield Problem(f"outputs.{output}.like", what, f"outputs.{output}.like={passage}")
        others = [n for n, o in inputs.items() if n != passage and o.type == "text"]
        if not others:
            what = f"no text beside {passage} asks for a stretch of it"
            yield Problem(
                f"outputs.{output}.decoder", what, f"add the question to inputs: {{type: text, like: {passage}}}"
            )
        for name in others:
            if root_of(name, inputs) != root:
                what = f"{name} has tokens of its own, which can't be found in {passage}"
                yield Problem(f"inputs.{name}.like", what, f"inputs.{name}.like={passage}")

    def remarks(self, column: Any, store: Any, rows: Any) -> list[str]:
        some = rows[:: -(-len(rows) // MOST_LOOKED_AT)] if len(rows) else rows
        passage = self.of or column.options.like
        pairs = zip(_texts(store.stored[passage], some), _texts(store.stored[column.name], some))
        wanted = [(p, a[1:-1]) for p, a in pairs if len(a) > 2]  # begin and end are of the text, not of the stretch
        nowhere = sum(a not in p for p, a in wanted)
        long = sum(a in p and len(a) > column.max_length for p, a in wanted)
        told = [f"{nowhere:,} of {len(wanted):,} answers stand nowhere in {passage}: nothing is learnt of them"] * bool(
            nowhere
        )
        more = (
            f"{long:,} of {len(wanted):,} answers have more than {column.max_length} tokens: nothing is learnt of them"
        )
        return [*told, f"{more} (outputs.{column.name}.max_length)"] if long else told

    def build(self, column: Any, widths: Any, tables: Any, loss: Any) -> SpanDecoder:
        asked = {n: w.tokens for n, w in widths.items() if n != next(iter(widths))}
        if len(set(asked.values())) > 1:
            what = f"their tokens have {', '.join(f'{w} numbers ({n})' for n, w in asked.items())}, and are read as one question"
            raise SpecError(Problem(f"inputs.{[*asked][-1]}.encoder", what, "give all questions encoders of one width"))
        return SpanDecoder(column, widths, self)


def _texts(stored: Any, rows: Any) -> Iterator[str]:
    """The ids of these rows as strings, a sign for each, in which others are found."""
    ids = stored.tensors["ids"]
    for start, end in zip(stored.offsets[rows].tolist(), stored.offsets[rows + 1].tolist()):
        yield "".join(map(chr, ids[start:end].tolist()))


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(names)}" if names else "add a text to inputs"


def _without_tokens(output: str, passage: str, inputs: Mapping[str, ColumnOptions]) -> Iterator[Problem]:
    """Inputs that are read, and whose encoders give nothing for each token."""
    for name, options in inputs.items():
        encoder: Any = getattr(options, "encoder", None)
        if options.type == "text" and encoder is not None and "tokens" not in encoder.gives:
            what = f"{encoder.type} tells nothing of single tokens, at which the decoder of {output} points"
            yield Problem(f"inputs.{name}.encoder", what, f"inputs.{name}.encoder=dilated (or transformer, lstm, gru)")


class Told(NamedTuple):
    """A text as a network reads it: tokens (B, T, D), mask (B, T), of which nothing is real where it is not there, ids (B, T)."""

    tokens: Tensor
    mask: Tensor
    ids: Tensor


class SpanDecoder(Decoder):
    """Target: ids (B, A) from begin to end, with their mask. An element is the answer of a row.

    Reads the passage's features, and those of the questions, which are laid one behind the other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    sees_target: ClassVar[bool] = True

    def __init__(self, column: Any, widths: Mapping[str, Widths], o: Span):
        super().__init__()
        self.reads = tuple(widths)
        sizes = [w.tokens or 0 for w in widths.values()]
        self.longest, self.unknown = column.max_length, column.codec.unknown
        self.pad, self.end = column.codec.pad, column.codec.eos
        self.reader = PassageReader((sizes[0], sizes[1]), o.embed_dim, o.runs, o.kernel, o.dilations, o.dropout)
        self.head = nn.Linear(o.embed_dim, 3)
        nn.init.zeros_(self.head.weight)  # sums over long stretches begin at nothing
        self.fits_question = nn.Linear(o.embed_dim, 2 * o.embed_dim)
        self.sizes = nn.Parameter(torch.zeros(self.longest))
        self.drop = Channels(o.dropout) if o.dropout else nn.Identity()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["ids"].shape[0])

    def scores(self, features: Mapping[str, Features]) -> Tensor:
        """(B, T, L): of each stretch, before softmax over all of a row."""
        passage, question = self._passage(features), self._question(features)
        equal = equal_tokens(passage.ids, question.ids, passage.mask, question.mask, self.unknown)
        x, what = self.reader(passage.tokens, question.tokens, passage.mask, question.mask, equal)
        x = self.drop(x)
        begin, end, inside = self.head(x).unbind(2)
        wanted = self.fits_question(what).unflatten(1, (2, -1))  # (B, 2, D): of what a first and a last token should be
        first, last = (x @ wanted.mT * x.shape[2] ** -0.5).unbind(2)
        return span_scores(begin + first, end + last, inside, self.sizes, passage.mask)

    def _passage(self, features: Mapping[str, Features]) -> Told:
        assert self.reads is not None
        return _told(features[self.reads[0]])

    def _question(self, features: Mapping[str, Features]) -> Told:
        assert self.reads is not None
        asked = [_told(features[n]) for n in self.reads[1:]]
        return asked[0] if len(asked) == 1 else Told(*(torch.cat(parts, 1) for parts in zip(*asked)))

    def _found(self, features: Mapping[str, Features], scores: Tensor, target: Cells) -> tuple[Tensor, Tensor]:
        """(B,) nats of the true answer, 0 where it stands nowhere; and its tokens, 0 there too."""
        passage = self._passage(features)
        lengths = target["mask"].sum(1) - 2  # begin and end are of the text, not of the stretch
        lengths = lengths if target.present is None else lengths * target.present
        answer = target["ids"][:, 1 : self.longest + 1].long()
        nats, found = marginal_nats(scores, places(passage.ids.long(), passage.mask, answer, lengths), lengths)
        return nats, lengths * found

    def loss(self, features: Any, target: Cells) -> Tensor:
        return self._found(features, self.scores(features), target)[0]

    def score(self, features: Any, target: Cells) -> Tensor:
        """(B,) log-likelihood of a given answer; 0 where it stands nowhere."""
        return -self.loss(features, target)

    def predict(self, features: Any, size: int, target: Cells | None = None, **options: Any) -> dict[str, Tensor]:
        return self._predicted(features, self.scores(features), target)

    def _predicted(self, features: Any, scores: Tensor, target: Cells | None) -> dict[str, Tensor]:
        """The ids of the likeliest stretch and an end, as if they were written; and how likely the true answer is, if it is known."""
        first, length = best_span(scores)
        ids = self._passage(features).ids
        at = torch.arange(self.longest, device=ids.device)
        there = ids.gather(1, (first[:, None] + at).clamp(max=ids.shape[1] - 1)).int()
        behind = torch.where(at == length[:, None], self.end, self.pad).int()
        none = scores.new_zeros(scores.shape[0])
        found = {"ids": torch.where(at < length[:, None], there, behind), "nats": none, "tokens": none}
        found["stretch"] = torch.stack([first, length], 1).int()
        if target is not None:
            nats, tokens = self._found(features, scores, target)
            found |= {"nats": nats.float(), "tokens": tokens.float()}
        return found

    def judged(self, features: Any, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        found = self._predicted(features, self.scores(features), target)
        return found["nats"], found


def _told(f: Features) -> Told:
    """The tokens of a text that may be missing, and may lack a mask."""
    assert f.tokens is not None
    assert f.ids is not None
    mask = torch.ones_like(f.ids, dtype=torch.bool) if f.mask is None else f.mask
    return Told(f.tokens, mask if f.present is None else mask & f.present[:, None], f.ids)
