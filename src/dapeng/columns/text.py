"""A string in any script: tokenised by words, characters, n-grams or byte-level BPE.

The tokeniser is fitted on the training rows alone. Longer texts are cut at `max_length`, openly: the state counts them.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import Cells, Column, Dims, Encoded, Entry, Summary, strings
from dapeng.columns.template import CHATML, is_text, template_in
from dapeng.columns.text_reader import TextReader
from dapeng.columns.tokeniser_file import Named, TokeniserFile
from dapeng.columns.tokenisers import CJK, KINDS, LONGEST, Tokeniser, clean, lowers, prune, train_bpe, vocabulary
from dapeng.columns.written import WrittenColumn, WrittenSummary
from dapeng.core import kinds
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, LossOptions
from dapeng.core.registry import DEFAULT
from dapeng.tokens.published import SPACE, flattened, sequence

HAN = re.compile(f"[{CJK}]")
HAN_SHARE = 0.3


@kinds.columns
class Text(ColumnOptions):
    """A string in any script; as an input it is tokenised and read by a network or an n-gram model."""

    type: Literal["text"] = "text"
    worded: ClassVar[bool] = True
    input_only: ClassVar[tuple[str, ...]] = ("encoder", "ngrams", "min_count", "normalise")
    output_only: ClassVar[tuple[str, ...]] = ("decoder", "loss", "weight", "chat", "train_on")
    by_side: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "inputs": {"tokeniser": ("auto", "words", "characters", "ngrams", "bpe")},
        "outputs": {"tokeniser": ("auto", "bpe", "unigram", "wordpiece", "words", "characters", "bytes")},
    }
    alike: ClassVar[tuple[str, ...]] = (
        "encoder", "tokeniser", "max_length", "vocab_size", "min_count", "ngrams", "lowercase", "normalise",
    )  # fmt: skip
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("text", auto=True)] = None
    """The network that reads it. auto: a bag of n-grams; a transformer where a text is to be written from it."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("text", default="llama")] = DEFAULT
    """How it is written."""
    loss: Annotated[LossOptions, kinds.losses.choice("text", default="token_cross_entropy")] = DEFAULT
    """What training minimises."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    tokeniser: Annotated[
        Literal["auto", "words", "characters", "ngrams", "bpe", "unigram", "wordpiece", "bytes"] | TokeniserFile,
        Named(),
    ] = "auto"
    """Of what is written: bpe (auto), unigram, wordpiece, words, characters or bytes. Of what is read: auto: n-grams for a bag; else words, or characters where most text is Chinese or Japanese.
    Of either a file that holds one: PATH/tokenizer.json, or PATH/NAME.model of SentencePiece.
    """
    max_length: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Longest text in tokens; the rest is cut and counted. auto: 99 % of the training texts, at most 512."""
    vocab_size: int | Literal["auto"] = Field("auto", ge=260, le=5_000_000)
    """Most tokens of the vocabulary. auto: 30,000; 200,000 for n-grams; 8,000 for BPE."""
    min_count: int = Field(2, ge=1)
    """Tokens seen less often are unknown."""
    ngrams: int | Literal["auto"] = Field("auto", ge=1, le=6)
    """Longest n-gram of the n-gram tokeniser, in words or Han characters. auto: 2 words, 3 Han characters."""
    lowercase: bool | Literal["auto"] = "auto"
    """Read capitals as small letters. auto: of what is read; what is written is kept letter by letter, of words alone it can be said."""
    normalise: Literal["NFC", "NFKC", "none"] = "NFKC"
    """The Unicode form in which texts are read. NFC makes one of a letter and its accents; NFKC also reads full-width letters,
    ligatures, circled numbers and the like as the plain ones; none tells all of them apart.
    """
    chat: bool | str = False
    """Cells are conversations, lists of {role, content}, or such as JSON, and the model learns to answer. How turns become text:
    by the template that the decoder's weights bring, else chatml (true), by chatml, or by a Jinja template: PATH.jinja, or itself.
    """
    train_on: Literal["answers", "all"] = "answers"
    """What is learnt of a conversation: what the assistant says, or every turn."""
    like: str | None = None
    """Share vocabulary and embedding table with this column. What is written, too, then has the tokens of that input."""

    @classmethod
    def examples(cls) -> list[Any]:
        first = ["a lovely little film", "dull", "太好看了，推荐！", "no", "so-so: 3/10"]
        return [*first, "", None, "好", "bad bad bad", "good"]

    def summary(self, target: bool) -> Summary:
        return WrittenSummary(self) if target else TextSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> Column:
        return WrittenColumn(name, self, state, target) if target else TextColumn(name, self, state, target)

    @property
    def lowers(self) -> bool:
        """Whether what is written is learnt in small letters."""
        return self.lowercase is True and self.tokeniser == "words"

    def settled(self, base: Path | None) -> Text:
        """With the text of the template in the place of its name, and files found. Raises SpecError where there is none."""
        if isinstance(self.tokeniser, TokeniserFile):
            found = self.tokeniser.located(base)
            found.codec()
            if self.vocab_size != "auto":
                what = f"{found.path} holds a whole vocabulary: there is nothing to choose"
                raise SpecError(Problem("vocab_size", what, "leave vocab_size out"))
            if found != self.tokeniser:
                return self.model_copy(update={"tokeniser": found}).settled(base)
        if not self.chat or is_text(self.chat):
            return self
        brought = self.decoder.conversation() or {}
        text = brought.get("text") if self.chat is True else None
        if isinstance(self.chat, str) and self.chat != "chatml":
            text = template_in(self.chat, base)
        return self.model_copy(update={"chat": text or CHATML})

    def encoder_for(self, needs: frozenset[str]) -> tuple[str, str]:
        if "tokens" not in needs or self.tokeniser == "ngrams":
            return "", ""
        return "transformer", "keeps the order of the tokens"

    def kind(self, han: bool) -> str:
        """The tokeniser to use; `han` where most letters are Han, kana or hangul."""
        if isinstance(self.tokeniser, TokeniserFile):
            return self.tokeniser.read()["kind"]
        if self.tokeniser != "auto":
            return self.tokeniser
        best = "ngrams" if self.encoder is None else getattr(self.encoder, "tokeniser", None)
        return best or ("characters" if han else "words")

    def longest(self, han: bool) -> int:
        """Units of the longest n-gram."""
        return self.ngrams if self.ngrams != "auto" else (3 if han else 2)


class TextSummary(Summary):
    """Counts of units for the kind of tokeniser that will be fitted, lengths, and the share of Han."""

    def __init__(self, options: Text):
        self.options = options
        self.given = options.encoder.vocabulary() if options.encoder is not None else None
        """A tokeniser that the encoder brings, or a file: nothing is fitted then but lengths."""
        if self.given is None and isinstance(options.tokeniser, TokeniserFile):
            self.given = options.tokeniser.read()
        self.tokeniser = KINDS[self.given["kind"]](self.given) if self.given is not None else None
        self.units: dict[str, Counter[str]] = {}
        self.lengths: dict[str, Counter[int]] = {}
        self.rows, self.missing, self.empty, self.letters, self.han = 0, 0, 0, 0, 0
        kinds_wanted = {options.kind(False), options.kind(True)} if self.given is None else {self.given["kind"]}
        for kind in sorted(kinds_wanted):
            self.units[kind], self.lengths[kind] = Counter(), Counter()

    def add(self, cells: Cells, base: Path | None = None) -> None:
        if self.tokeniser is not None:
            self._measure(strings(cells).to_pylist(), self.tokeniser)
            return
        for cell in strings(cells).to_pylist():
            self.rows += 1
            if cell is None or not cell.strip():
                self.missing += 1
                continue
            text = clean(cell, self.options.lowercase is not False, self.options.normalise)
            han = len(HAN.findall(text))
            self.letters, self.han = self.letters + len(text), self.han + han
            longest = self.options.longest(han > HAN_SHARE * len(text))
            for kind, counts in self.units.items():
                pieces = list(KINDS[kind].units(text, 1, longest))
                counts.update(pieces)
                self.lengths[kind][len(pieces)] += 1
        self.units = {k: prune(c) for k, c in self.units.items()}

    def _measure(self, cells: list[str | None], tokeniser: Tokeniser) -> None:
        """Lengths in the tokens of a tokeniser that is given."""
        lowercase, form = lowers(self.options, tokeniser.kind), self.options.normalise
        there = [clean(c, lowercase, form) for c in cells if c is not None and c.strip()]
        self.rows, self.missing = self.rows + len(cells), self.missing + len(cells) - len(there)
        self.letters += sum(map(len, there))
        self.han += sum(len(HAN.findall(t)) for t in there)
        _, lengths = tokeniser.encode(there, LONGEST)
        self.lengths[tokeniser.kind].update(lengths.tolist())

    def merge(self, other: TextSummary) -> None:
        for kind in self.units:
            self.units[kind].update(other.units[kind])
            self.lengths[kind].update(other.lengths[kind])
        self.units = {k: prune(c) for k, c in self.units.items()}
        for name in ("rows", "missing", "letters", "han"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        o = self.options
        han = self.han > HAN_SHARE * max(self.letters, 1)
        kind = o.kind(han) if self.given is None else self.given["kind"]
        size = o.vocab_size if o.vocab_size != "auto" else {"ngrams": 200_000, "bpe": 8_000}.get(kind, 30_000)
        state: dict[str, Any] = {"kind": kind, "han": han, "missing": self.missing, "rows": self.rows}
        if self.given is not None:
            state = {**self.given, **state}
        elif kind == "bpe":
            state["tokenizer"] = train_bpe(self.units[kind], size)
        else:
            rare = o.min_count if self.rows > 200 else 1
            state["vocab"] = vocabulary(self.units[kind], size, rare)
            state["lowest"], state["highest"] = 1, o.longest(han)
        state["lengths"] = _quantiles(self.lengths[kind])
        state["max_length"] = (
            o.max_length if o.max_length != "auto" else max(4, min(state.get("longest", 512), state["lengths"]["0.99"]))
        )
        state["cut"] = sum(n for length, n in self.lengths[kind].items() if length > state["max_length"])
        return state


def _quantiles(lengths: Counter[int]) -> dict[str, int]:
    total, seen, out = sum(lengths.values()), 0, {}
    wanted = [0.5, 0.9, 0.99, 1.0]
    for length, count in sorted(lengths.items()):
        seen += count
        while wanted and seen >= wanted[0] * total:
            out[str(wanted.pop(0))] = length
    return out or {"0.5": 1, "0.9": 1, "0.99": 1, "1.0": 1}


class TextColumn(Column):
    """ids (B, T) int32 without padding in storage; `mask` is made from the lengths when rows are batched."""

    options: Text
    ragged: ClassVar[bool] = True
    strange: ClassVar[tuple[str, str]] = (
        "no letter of the text {} is known from training",
        "texts of which no letter is known from training",
    )

    def __init__(self, name: str, options: Text, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.tokeniser: Tokeniser = KINDS[state["kind"]](state)
        self.lowercase = lowers(options, state["kind"])
        self.max_length: int = state["max_length"]

    @property
    def domain(self) -> str | None:
        return self.options.like or self.name

    @property
    def size(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return self.tokeniser.size

    @property
    def places(self) -> float:
        return max(self.max_length / 4, 1.0)

    def cleaning(self, further: dict[str, Any] | None = None) -> dict[str, Any]:
        """What is done to a text before it is cut, as the normaliser of a tokenizer.json; `further`: what follows."""
        form, blanks = self.options.normalise, {"Regex": f"[{SPACE}]+"}
        steps = [{"type": form}] if form != "none" else []
        steps += [{"type": "Lowercase"}] if self.lowercase else []
        steps += [{"type": "Replace", "pattern": blanks, "content": " "}]
        steps += [{"type": "Strip", "strip_left": True, "strip_right": True}]
        return sequence([*steps, *flattened(further, "normalizers")], "normalizers")

    def remarks(self) -> list[str]:
        asked = self.options.tokeniser
        if isinstance(asked, TokeniserFile) and not getattr(self.options.encoder, "weights", None):
            return []
        if self.state["kind"] not in ("file", "pieces") or asked == "auto":
            return []
        return [f"tokeniser: {asked} is not used: the encoder's weights were trained with their own"]

    def default_encoder(self, rows: int) -> tuple[str, str]:
        if self.state["kind"] == "ngrams":
            return "bag", "strong and fast on texts"
        return "text_cnn", "reads the tokens in order"

    def layout(self) -> dict[str, Dims]:
        return {
            "ids": Dims("B T", "int32", low=0, high=self.size - 1),
            "mask": Dims("B T", "bool"),
        }

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        raw = strings(cells).to_pylist()
        present = np.array([c is not None and bool(c.strip()) for c in raw], bool)
        texts = [clean(c, self.lowercase, self.options.normalise) if p else "" for c, p in zip(raw, present)]
        ids, lengths = self.tokeniser.encode(texts, self.max_length)
        return Encoded({"ids": ids}, None if present.all() else present, lengths=lengths)

    def unseen(self, cells: Cells) -> dict[str, int]:
        """Texts no letter or digit of which is in the vocabulary: those of another script, say. Rare words are no news."""
        known = self._letters
        found: Counter[str] = Counter()
        for cell in strings(cells).to_pylist() if known else []:
            text = (cell or "").strip()
            own = [c for c in clean(text, self.lowercase, self.options.normalise) if c.isalnum()]
            if own and known.isdisjoint(own):
                found[text if len(text) <= 40 else text[:39] + "…"] += 1
        return dict(found)

    @cached_property
    def _letters(self) -> frozenset[str]:
        return self.tokeniser.letters()

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text as the network sees them."""
        return self.tokeniser.tokens(clean(text, self.lowercase, self.options.normalise), self.max_length)

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        words = [w for w in self.state.get("vocab", [])[4:2_000] if " " not in w] or ["word"]
        length = max(1, min(int(self.state["max_length"]), 40))
        return pa.array([" ".join(draw.choice(words, int(draw.integers(1, length + 1)))) for _ in range(rows)])

    def matrix(self, cells: Cells, base: Path | None = None) -> Any:
        """Hashed n-gram counts, sparse: characters 1-3 where text is Han (N, 2^20); else words 1-2, characters 2-5 within
        words and 3-6 across them (N, 3 x 2^19).
        """
        import scipy.sparse
        from sklearn.feature_extraction.text import HashingVectorizer

        o = self.options
        texts = [clean(c or "", o.lowercase is not False, o.normalise) for c in strings(cells).to_pylist()]
        common = {"norm": None, "alternate_sign": False, "lowercase": False, "dtype": np.float32}
        if self.state["han"]:
            return HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=2**20, **common).transform(texts)
        words = HashingVectorizer(
            analyzer="word", token_pattern=r"(?u)\w+|[^\w\s]", ngram_range=(1, 2), n_features=2**19, **common
        )
        letters = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), n_features=2**19, **common)
        across = HashingVectorizer(analyzer="char", ngram_range=(3, 6), n_features=2**19, **common)
        return scipy.sparse.hstack([v.transform(texts) for v in (words, letters, across)], format="csr")

    def matrix_names(self) -> list[str]:
        return []

    def entry(self) -> Entry:
        return Entry("lines")

    def describe(self) -> str:
        s = self.state
        cut = f", {s['cut']:,} texts cut" if s.get("cut") else ""
        return f"text, {self.size:,} {s['kind']}, longest {s['max_length']} of {s['lengths']['1.0']} tokens{cut}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        told = ("kind", "vocab", "tokenizer", "codec", "end", "lowest", "highest", "max_length")
        arguments = {k: self.state.get(k) for k in told}
        return TextReader, {**arguments, "lowercase": self.lowercase, "form": self.options.normalise, "cjk": CJK}
