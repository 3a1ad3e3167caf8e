"""A text that is to be written: kept letter by letter, with a begin and an end, by a tokeniser that gives it back as it was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dapeng.columns.base import Answers, Cells, Column, Dims, Encoded, Entry, Summary, strings
from dapeng.columns.borrowed import Borrowed
from dapeng.columns.chat import Talk, conversation, spoken, talks, turns_of
from dapeng.columns.quoting import as_numbers, as_texts, stretch
from dapeng.columns.template import FIRST, OWN, Template, Turn, named
from dapeng.columns.tokenisers import NGrams, lowers
from dapeng.core.errors import Problem, SpecError
from dapeng.tokens.base import MOST_COUNTED, SPECIAL, Codec, commonest, whole
from dapeng.tokens.file import File
from dapeng.tokens.given import written_with
from dapeng.tokens.kinds import CODECS
from dapeng.tokens.scripts import by_script

if TYPE_CHECKING:
    from dapeng.columns.text import Text

MOST_UNKNOWN = 0.001
"""Share of unknown tokens from which on it is said."""
MEASURED = 2_000
"""Texts whose lengths in tokens are looked at: those with the smallest hashes, the same on one machine and on many."""
SMALLEST, LARGEST = 512, 16_000
"""Tokens of a vocabulary that is chosen."""
MOST_TOKENS = 2_048
"""Of a text beside inputs, where nothing is said; of longer ones the beginning is learnt, openly."""
WINDOW = 256
"""Tokens that are learnt from at a time where there are no inputs and nothing is said."""
CHAT_WINDOW = 1_024
"""The same for conversations, whose answers hang on what was asked."""
KINDS: dict[str, type[Codec]] = {**CODECS, Borrowed.kind: Borrowed}
"""The tokenisers that a text is written with, by name."""
TOLD = ("kind", "vocab", "tokenizer", "lowest", "highest")
"""What a tokeniser is made of, among what is known of an input."""
LONGEST = 50
LETTERS, MOST_LETTERS = 8, 8_192
"""Of a text that is kept letter by letter: for each token that may be written, and in all."""
"""Texts that are kept since none is longer, to know what the longest takes."""


class WrittenSummary(Summary):
    """Counts of what the tokeniser is learnt from, and some texts to measure it by."""

    def __init__(self, options: Text):
        self.options = options
        self.codec = KINDS[options.decoder.tokeniser if options.tokeniser == "auto" else options.tokeniser]
        self.given = options.decoder.vocabulary()
        """A tokeniser that the decoder brings, or an input, or a file: nothing is fitted then but lengths."""
        if self.given is None and options.tokens is not None:
            self.given = written_with(options.tokens)
        if self.given is not None:
            self.codec = KINDS[self.given["kind"]]
        self.template = template_of(options)
        self.counts: Counter[str] = Counter()
        self.some: dict[bytes, str] = {}
        self.long: list[str] = []
        self.rows, self.missing, self.letters = 0, 0, 0
        self.talks = False
        """Whether a block begins with a conversation."""

    def add(self, cells: Cells, base: Path | None = None) -> None:
        self.talks = self.talks or talks(cells[:1])
        for cell in strings(cells).to_pylist() if self.template is None else spoken(cells, self.template):
            self.rows += 1
            if cell is None or not (cell.strip() or self.options.decoder.empty):
                self.missing += 1
                continue
            text = whole(cell).lower() if self.options.lowers else whole(cell)
            if self.given is None and not self.options.like:
                self.counts.update(self.codec.units(text))
            self.letters += len(text)
            self.some[hashlib.sha256(text.encode()).digest()[:16]] = text
            self.long.append(text)
        self._bound()

    def merge(self, other: WrittenSummary) -> None:
        self.counts.update(other.counts)
        self.some |= other.some
        self.long += other.long
        self.talks = self.talks or other.talks
        for name in ("rows", "missing", "letters"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._bound()

    def _bound(self) -> None:
        if len(self.counts) > MOST_COUNTED:
            self.counts = commonest(self.counts, MOST_COUNTED // 2)
        if len(self.some) > MEASURED:
            self.some = dict(sorted(self.some.items())[:MEASURED])
        self.long = sorted(set(self.long), key=lambda t: (-len(t), t))[:LONGEST]

    def result_like(self, options: Any, state: dict[str, Any]) -> dict[str, Any]:
        lowercase = lowers(options, state["kind"])
        tokeniser = {k: v for k, v in state.items() if k in TOLD}
        if state["kind"] == NGrams.kind:
            what = "n-grams overlap: what is written can't have the tokens of a text that is read so"
            hint = f"inputs.{self.options.like}.tokeniser=characters (or words)"
            raise SpecError(Problem(f"inputs.{self.options.like}.tokeniser", what, hint))
        self.given = {"kind": Borrowed.kind, "tokeniser": tokeniser, "lowercase": lowercase, "form": options.normalise}
        self.codec = Borrowed
        return self.result()

    def _size(self) -> int:
        """Tokens of the vocabulary: of characters all that there are, of pieces what the texts can teach; within bounds."""
        return min(LARGEST, max(SMALLEST, self.codec.wanted(self.counts, self.letters)))

    def result(self) -> dict[str, Any]:
        asked = self.options.vocab_size
        size = asked if asked != "auto" else self._size()
        template = self.template
        marks = [] if template is None else [m for m in template.marks() if m not in SPECIAL]
        codec = self.codec.fitted(self.counts, size, marks) if self.given is None else self.codec(self.given)
        if self.options.lowers and self.given is None:
            codec = type(codec)({**codec.state, "lowercase": True})
        if template is not None:
            Talk(template, codec)  # whether this tokeniser can write it is known here
        most = min((self.given or {}).get("longest") or MOST_TOKENS, MOST_TOKENS)
        texts = [t for _, t in sorted(self.some.items())]
        ids, lengths = codec.encode(texts)
        longest = int(codec.encode(self.long)[1].max(initial=int(lengths.max(initial=1))))
        asked_length = self.options.max_length
        covers = self.options.decoder.covers
        needed = (
            longest + longest // 8 + 8
            if covers == 1
            else int(np.quantile(lengths, covers, method="higher"))
            if len(lengths)
            else 1
        )
        limit = asked_length if asked_length != "auto" else max(1, min(needed, most))
        looked_at = list({*texts, *self.long})
        return {
            "kind": codec.kind,
            "codec": codec.state,
            "rows": self.rows,
            "missing": self.missing,
            "unknown": float((ids == codec.unknown).mean()) if codec.unknown is not None and len(ids) else 0.0,
            "fertility": codec.fertility(texts) if texts else 0.0,
            "scripts": by_script(codec, texts),
            "lengths": {str(q): int(np.quantile(lengths, q)) if len(lengths) else 1 for q in (0.5, 0.9, 0.99, 1.0)},
            "longest": longest,
            "talks": self.talks,
            **({"altered": codec.altered(texts)} if isinstance(codec, Borrowed) else {}),
            "cut": int((codec.encode(looked_at)[1] > limit).sum()) if looked_at else 0,
            "max_length": limit,
            **({} if template is None else {"template": {"text": template.text, "tokens": dict(template.tokens)}}),
        }


def template_of(options: Text) -> Template | None:
    """What turns conversations into texts, where cells are such. Raises SpecError where it is no template."""
    if not options.chat:
        return None
    brought = options.decoder.conversation()
    return Template(named(options.chat), OWN if brought is None else brought["tokens"]).checked()


class WrittenColumn(Column):
    """ids (B, T) int32: begin, the tokens, end. Predictions: what was written, padded to one length, and how likely the truth was."""

    options: Text
    ragged: ClassVar[bool] = True
    answers: ClassVar[Answers] = "text"

    def __init__(self, name: str, options: Text, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.codec: Codec = KINDS[state["kind"]](state["codec"])
        self.max_length: int = state["max_length"]
        self.chat = bool(options.chat)
        self.talk = self._talk() if self.chat else None
        if self.talk is not None:
            self.codec.eos = self.talk.end

    def _talk(self) -> Talk:
        known = self.state.get("template") or {"text": FIRST, "tokens": OWN}
        return Talk(Template(**known), self.codec)

    @property
    def domain(self) -> str | None:
        return self.options.like or self.name

    @property
    def size(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return self.codec.size

    @property
    def places(self) -> float:
        return max(self.state["lengths"]["0.5"], 1.0)

    @property
    def window(self) -> int:
        usual = CHAT_WINDOW if self.chat else WINDOW
        return min(self.max_length, usual) if self.options.max_length == "auto" else self.max_length

    def layout(self) -> dict[str, Dims]:
        told = {"taught": Dims("B T", "bool")} if self.chat else {}
        return {"ids": Dims("B T", "int32", low=0, high=self.size - 1), **told, "mask": Dims("B T", "bool")}

    def _conversations(self, cells: Cells) -> Encoded:
        assert self.talk is not None
        rows, bad = turns_of(cells)
        found = [(np.empty(0, np.int32), np.empty(0, bool))] * len(rows)
        for row, turns in enumerate(rows):
            try:
                found[row] = found[row] if turns is None else self.talk.ids(turns, self.options.train_on == "all")
            except ValueError as error:
                bad.add(row, str(error))
                continue
            if turns is not None and not found[row][1].any():
                bad.add(row, "no turn is of the assistant: there is no answer to learn")
        present = np.array([r is not None and i not in bad.rows for i, r in enumerate(rows)], bool)
        flat = {
            "ids": np.concatenate([i for i, _ in found] or [np.empty(0, np.int32)]),
            "taught": np.concatenate([t for _, t in found] or [np.empty(0, bool)]),
        }
        sizes = np.fromiter((len(i) for i, _ in found), np.int64, len(found))
        return Encoded(flat, None if present.all() else present, sizes, bad)

    def asked(self, prompt: str | Sequence[Any]) -> list[int]:
        """Tokens that what is written goes on from: of a text, or of a conversation up to where the answer begins.

        Raises ValueError for what is no conversation.
        """
        if self.talk is None:
            ids, _ = self.codec.encode([str(prompt)])
            return [self.codec.bos, *ids.tolist()]
        turns = [Turn("user", prompt)] if isinstance(prompt, str) else conversation(prompt)
        if not turns:
            raise ValueError("there is no turn to answer")
        return self.talk.asked(turns)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        if self.chat:
            return self._conversations(cells)
        raw = strings(cells).to_pylist()
        empty = self.options.decoder.empty
        present = np.array([c is not None and (empty or bool(c.strip())) for c in raw], bool)
        flat, lengths = self.codec.encode([c if p else "" for c, p in zip(raw, present)])
        rows, at = [], 0
        for length in lengths.tolist():
            rows.append(np.concatenate([[self.codec.bos], flat[at : at + length], [self.codec.eos]]))
            at += length
        ids = np.concatenate(rows).astype(np.int32) if rows else np.empty(0, np.int32)
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        return Encoded({"ids": ids}, None if present.all() else present, lengths=sizes)

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        if self.chat:  # what was to be learnt, turn behind turn
            pairs = zip(tensors["ids"], tensors["taught"])
            return _objects([self.codec.decode(np.asarray(i)[np.asarray(t, bool)].tolist()) for i, t in pairs])
        return self._texts([row[1:] for row in tensors["ids"]])  # begin may be the token that is the end too

    @property
    def lossy(self) -> bool:
        return isinstance(self.codec, Borrowed) and not self.chat

    def verbatim(self, cells: Cells) -> np.ndarray:
        return _objects([whole(c or "").strip() for c in strings(cells).to_pylist()])

    def predictions(self) -> dict[str, Dims]:
        return {
            "ids": Dims(f"B {self.max_length}", "int32"),
            "nats": Dims("B", "float32"),
            "tokens": Dims("B", "float32"),
            **({"stretch": Dims("B 2", "int32")} if self.options.decoder.quotes else {}),
            **({"times": Dims(f"B {2 * self.max_length}", "float32")} if self.options.decoder.timed else {}),
        }

    def told(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """A prediction that says these texts, cut where a decoder would end, and nothing of how likely they are."""
        flat, lengths = self.codec.encode(list(texts))
        ids = np.full((len(texts), self.max_length), self.codec.pad, np.int32)
        ends = np.cumsum(lengths)
        for row, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist())):
            some = min(length, self.max_length)
            ids[row, :some] = flat[end - length : end - length + some]
        none = np.zeros(len(texts), np.float32)
        found = {"ids": ids, "nats": none, "tokens": none}
        if self.options.decoder.timed:
            found["times"] = np.zeros((len(ids), 2 * self.max_length), np.float32)
        if isinstance(self.codec, Borrowed):
            found["letters"] = as_numbers([self.codec.begin(t, self.max_length) for t in texts], self._letters)
        return found

    @property
    def _letters(self) -> int:
        """Of a text that is kept letter by letter beside its tokens, at most."""
        return min(LETTERS * self.max_length, MOST_LETTERS)

    def quoted(self, prediction: dict[str, np.ndarray], passage: Any, cells: Cells) -> dict[str, np.ndarray]:
        """A prediction that points at stretches of these cells (first token, tokens), with their letters as they stand there."""
        where = np.asarray(prediction["stretch"]).astype(np.int64).tolist()
        how = (passage.tokeniser, passage.lowercase, passage.options.normalise)
        pairs = zip(strings(cells).to_pylist(), where)
        texts = [stretch(cell or "", first, length, *how) for cell, (first, length) in pairs]
        rest = {n: t for n, t in prediction.items() if n != "stretch"}
        return {**rest, "letters": as_numbers(texts, self._letters)}

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Of what was heard, when each word begins and ends, as JSON: [["one", 0.12, 0.5], ...], in seconds."""
        if "times" not in prediction:
            return {}
        rows = zip(prediction["ids"], prediction["times"])
        return {"times": _objects([json.dumps(self.words(i, t), ensure_ascii=False) for i, t in rows])}

    def words(self, ids: np.ndarray, times: np.ndarray) -> list[tuple[str, float, float]]:
        """Words of a text, each with the seconds at which its first token begins and its last one ends. times: (2 T,) of each token, where it begins and ends."""
        tokens = np.asarray(ids, np.int64)
        ends = np.flatnonzero((tokens == self.codec.eos) | (tokens == self.codec.pad))
        found: list[tuple[str, float, float]] = []
        fresh = True
        for token, (begin, end) in zip(
            tokens[: ends[0] if len(ends) else None].tolist(), times.reshape(-1, 2).tolist()
        ):
            piece = self.codec.decode([token])
            word = piece.strip()
            fresh = fresh or piece[:1].isspace() or self.codec.unit == "words"
            if word and fresh:
                found.append((word, round(begin, 3), round(end, 3)))
            elif word:
                before, first, _ = found.pop()
                found.append((before + word, first, round(end, 3)))
            fresh = not word or piece[-1:].isspace()
        return found

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return self.texts(prediction).tolist()

    def texts(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(N,) what a prediction says: letter by letter where it points at letters, else by its tokens."""
        return as_texts(prediction["letters"]) if "letters" in prediction else self._texts(prediction["ids"])

    def _texts(self, rows: Any) -> np.ndarray:
        """(N,) texts of ids that may begin with begin, and end at the first end."""
        out = np.empty(len(rows), object)
        for number, row in enumerate(rows):
            ids = np.asarray(row, np.int64)
            ends = np.flatnonzero((ids == self.codec.eos) | (ids == self.codec.pad))
            out[number] = self.codec.decode(ids[: ends[0] if len(ends) else None].tolist())
        return out

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        return prediction["nats"] / np.maximum(prediction["tokens"], 1)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """The probability of a token, as a geometric mean: 1 / perplexity."""
        nats, tokens = prediction["nats"].sum(dtype=np.float64), prediction["tokens"].sum(dtype=np.float64)
        return "likelihood", float(np.exp(-nats / max(tokens, 1.0)))

    def remarks(self) -> list[str]:
        cut, limit = self.state.get("cut"), self.max_length
        told = f"{cut:,} or more texts have more than {limit:,} tokens: beside inputs, what follows is not learnt"
        talk = "cells are conversations: with chat: true the model learns to answer, and not to write lists of turns"
        own, asked = self.state["kind"], self.options.tokeniser
        other = f"tokeniser: {asked} is not used: the decoder's weights were trained with their own"
        seam = "this tokeniser cuts the end of a question otherwise when its answer follows, and answers may begin badly: let the"
        seams = (
            []
            if self.talk is None or self.talk.seamless
            else [f"{seam} template begin them behind a special token or one line's end"]
        )
        lost = self.state.get("unknown", 0.0)
        rare = f"{lost:.1%} of its {self.codec.unit} are unknown to the vocabulary: what they say is not learnt, and counts nothing in bits per byte"
        talks = [rare] if lost > MOST_UNKNOWN else []
        if self.options.lowercase is True and not self.options.lowers:
            talks.append(
                "lowercase: true is not used: what is written is kept letter by letter, but for tokeniser: words"
            )
        talks += self._lost()
        talks += [talk] if self.state.get("talks") and not self.chat else []
        return talks + seams + ([told] if cut else []) + ([other] if own == File.kind and asked != "auto" else [])

    def _lost(self) -> list[str]:
        """What reading an input as it is read loses, where this is written in its tokens."""
        share = self.state.get("altered", 0.0)
        if self.options.decoder.quotes or not share or not isinstance(self.codec, Borrowed):
            return []
        read = f"inputs.{self.options.like}"
        lost = [f"in small letters ({read}.lowercase=false keeps capitals)"] if self.codec.lowercase else []
        lost += [f"with full-width signs as plain ones ({read}.normalise=NFC keeps them)"] * (self.codec.form == "NFKC")
        lost += ["as words, which are joined by rule"] * (self.codec.unit in ("words", "file"))
        how = f": {self.options.like} is read {' and '.join(lost)}" if lost else ""
        return [f"{share:.1%} of the texts are learnt and written otherwise than they stand{how}"]

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def matrix(self, cells: Cells, base: Path | None = None) -> Any:
        raise NotImplementedError("a text that is written is no input")

    def entry(self) -> Entry:
        return Entry("lines")

    @property
    def _whose(self) -> str:
        return f" of {self.options.like}" if self.options.like else ""

    def describe(self) -> str:
        s = self.state
        what = "conversations" if self.chat else "text to write"
        return f"{what}, {self.size:,} {self.codec.unit}{self._whose}, {s['fertility']:.2f} tokens a character, median {s['lengths']['0.5']}"


def _objects(texts: list[str]) -> np.ndarray:
    """(N,) texts."""
    out = np.empty(len(texts), object)
    out[:] = texts
    return out
