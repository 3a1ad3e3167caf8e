"""Strings to token ids: words, characters, n-grams, byte-level BPE. Deterministic; special tokens in a user's text are text.

Every vocabulary begins with the four special tokens. No torch; the BPE is that of the `tokenizers` library.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from dapeng.tokens.base import Codec, flat, whole
from dapeng.tokens.file import read_as_text
from dapeng.tokens.kinds import CODECS
from dapeng.tokens.published import DIGIT, LETTER, split, tokenizer_json

SPECIAL = ["<pad>", "<unk>", "<bos>", "<eos>"]
PAD, UNK, BOS, EOS = range(4)
# Han, kana and hangul stand alone as words here; every other run of word characters is a word
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+(?:['’][^\W{CJK}]+)?|[^\w\s]")
# the same for the `tokenizers` library, whose classes of characters are others
PUBLISHED_WORD = rf"[{CJK}]|[{LETTER}{DIGIT}_&&[^{CJK}]]+(?:['’][{LETTER}{DIGIT}_&&[^{CJK}]]+)?|[^{LETTER}{DIGIT}_\s]"
PRUNE_AT = 2_000_000
LONGEST = 1_000_000
"""Tokens of a text that is not cut."""
LOST = "\ufffd"
# where words were apart: a word that is no Han character behind another one, or behind a mark that ends something
APART = re.compile(rf"(?<=[^\W{CJK}]|[,.;:!?)\]%])(?<!\d\0[.,:])\0(?=[^\W{CJK}])|(?<=\d\0[.,:])\0(?=[^\W\d{CJK}])")
BETWEEN_CJK = re.compile(rf"(?<=[{CJK}]) (?=[{CJK}])")
FRAMES = (("[PAD]", "<pad>"), ("[CLS]", "<s>"), ("[SEP]", "</s>"), ("[UNK]", "<unk>"))
"""And for padding, begin, end and the unknown."""
MASKS = ("[MASK]", "<mask>")
"""Names that public tokenisers have for what a hidden token reads as."""


def clean(text: str, lowercase: bool, form: str = "NFKC") -> str:
    """A text in a Unicode form (or "none") without lone surrogates, spaces collapsed."""
    text = whole(text)
    text = text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]
    return " ".join((text.lower() if lowercase else text).split())


def lowers(options: Any, kind: str) -> bool:
    """Whether a text column reads capitals as small letters; a tokeniser out of a file decides it by itself."""
    return options.lowercase is not False and kind not in (File.kind, Pieces.kind)


class Tokeniser(ABC):
    """Fitted from counts; `units` are what is counted, `encode` what the network reads."""

    kind: ClassVar[str]
    size: int
    alone: ClassVar[bool] = False
    """True if a stretch of a text has the ids that it has by itself, so that it can be found again."""
    spelt: ClassVar[bool] = False
    """True if the vocabulary is of pieces of text as they are, so that a letter in none of them is unknown."""
    hides: int | None = BOS
    """What a token reads as that is hidden from a network: one that no text leads to; None where others would tell of it."""

    def __init__(self, state: dict[str, Any]):
        self.state = state
        self.size = len(state["vocab"])
        self.ids = {token: i for i, token in enumerate(state["vocab"])}

    @staticmethod
    @abstractmethod
    def units(text: str, lowest: int, highest: int) -> Iterable[str]:
        """The pieces of a text that are counted."""

    def ordinary(self) -> np.ndarray:
        """(V,) bool: ids that a text is made of."""
        found = np.ones(self.size, bool)
        found[: len(SPECIAL)] = False
        return found

    def goes_on(self) -> np.ndarray | None:
        """(V,) bool: ids that go on with the word before them; None where tokens are no parts of words."""
        return None

    def published(self) -> dict[str, Any]:
        """This tokeniser as a tokenizer.json, as values. Raises ValueError, with the reason, where that can't say it."""
        raise ValueError(f"a tokenizer.json can't say what {self.kind} are")

    def encode(self, texts: list[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Flat int32 ids of at most `limit` tokens a text, and their lengths."""
        get, low, high = self.ids.get, self.state.get("lowest", 1), self.state.get("highest", 1)
        flat: list[int] = []
        lengths = np.empty(len(texts), np.int64)
        for i, text in enumerate(texts):
            row = [get(u, UNK) for u in self.units(text, low, high)][:limit]
            lengths[i] = len(row)
            flat.extend(row)
        return np.array(flat, np.int32), lengths

    def letters(self) -> frozenset[str]:
        """Letters and digits of all that is in the vocabulary; none where any text can be said."""
        vocab = self.state["vocab"][len(SPECIAL) :] if self.spelt else []
        return frozenset(c for token in vocab for c in token if c.isalnum())

    def plain(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The same of whole texts, with nothing put around them."""
        return self.encode(texts, LONGEST)

    def text(self, ids: Sequence[int]) -> str:
        """The text that these ids were made of, as far as they tell; the unknown reads U+FFFD."""
        raise ValueError(f"{self.kind} don't tell what text they were made of")

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Of each token that is read of a text, the first letter that it stands for and the one behind its last; none: (0, 0)."""
        raise ValueError(f"{self.kind} overlap, or cut a stretch of a text otherwise than the text")

    def framing(self) -> tuple[int, int, int, int | None]:
        """Ids of no text: padding, begin and end; and that of what is unknown."""
        return PAD, BOS, EOS, UNK

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        return [LOST if i == UNK else self.state["vocab"][i] for i in ids]

    def _published(self) -> tuple[dict[str, Any], dict[str, int]]:
        """The model that looks whole pieces up, and the special tokens."""
        model = {"type": "WordLevel", "vocab": self.ids, "unk_token": SPECIAL[UNK]}
        return model, {t: i for i, t in enumerate(SPECIAL)}

    def tokens(self, text: str, limit: int) -> list[str]:
        """The pieces that `encode` sees, as text."""
        return list(self.units(text, self.state.get("lowest", 1), self.state.get("highest", 1)))[:limit]


class Words(Tokeniser):
    """Words and punctuation; each Han character is a word."""

    kind = "words"
    spelt = True
    alone = True

    def text(self, ids: Sequence[int]) -> str:
        return APART.sub(" ", "\0".join(self._pieces(ids))).replace("\0", "")

    def goes_on(self) -> np.ndarray:
        return np.zeros(self.size, bool)

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [m.span() for m in WORD.finditer(text)]

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> list[str]:
        return WORD.findall(text)

    def published(self) -> dict[str, Any]:
        return tokenizer_json(*self._published(), split(PUBLISHED_WORD, "Removed", invert=True))


class Characters(Tokeniser):
    """Characters, blanks included."""

    kind = "characters"
    spelt = True
    alone = True

    def text(self, ids: Sequence[int]) -> str:
        return "".join(self._pieces(ids))

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> Iterable[str]:
        return text

    def published(self) -> dict[str, Any]:
        return tokenizer_json(*self._published(), split(r"[\s\S]"))


class NGrams(Tokeniser):
    """Overlapping n-grams of words (or of Han characters) from `lowest` to `highest`; those not in the vocabulary are dropped."""

    kind = "ngrams"
    spelt = True
    hides = None

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> list[str]:
        words = WORD.findall(text)
        out = list(words) if lowest == 1 else []
        for n in range(max(lowest, 2), highest + 1):
            out.extend(map(" ".join, zip(*(words[i:] for i in range(n)))))
        return out

    def encode(self, texts: list[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
        get, low, high = self.ids.get, self.state["lowest"], self.state["highest"]
        flat: list[int] = []
        lengths = np.empty(len(texts), np.int64)
        for i, text in enumerate(texts):
            row = [j for j in map(get, self.units(text, low, high)) if j is not None][:limit] or [UNK]
            lengths[i] = len(row)
            flat.extend(row)
        return np.array(flat, np.int32), lengths


class BPE(Tokeniser):
    """Byte-level byte-pair encoding: any text, any script, no unknown token."""

    kind = "bpe"

    def __init__(self, state: dict[str, Any]):
        from tokenizers import Tokenizer

        self.state = state
        self.library = Tokenizer.from_str(state["tokenizer"])
        self.library.encode_special_tokens = True
        self.size = self.library.get_vocab_size()

    def goes_on(self) -> np.ndarray:
        return _joined(self.library, self.size)

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> Iterable[str]:
        return re.findall(r"\s?\S+|\s+", text)

    def published(self) -> dict[str, Any]:
        return json.loads(self.library.to_str())

    def text(self, ids: Sequence[int]) -> str:
        return self.library.decode(list(ids))

    def framing(self) -> tuple[int, int, int, int | None]:
        return PAD, BOS, EOS, None

    def encode(self, texts: list[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
        return flat([e.ids[:limit] for e in self.library.encode_batch_fast(texts, add_special_tokens=False)])

    def tokens(self, text: str, limit: int) -> list[str]:
        ids = self.library.encode(text, add_special_tokens=False).ids[:limit]
        return [self.library.decode([i]) for i in ids]


class File(Tokeniser):
    """Out of a tokenizer.json: begin and end are added as it says, special tokens in a text are text.

    state: tokenizer, the text of the file; frame, ids of padding, begin and end, where they are known.
    """

    kind = "file"

    def __init__(self, state: dict[str, Any]):
        self.state = state
        self.library = as_text_alone(state["tokenizer"])
        self.size = self.library.get_vocab_size()
        self.hides = next((i for i in map(self.library.token_to_id, MASKS) if i is not None), None)
        self._unknown = self._first(FRAMES[3])
        joined = (self.library.id_to_token(i) or "" for i in range(self.size))
        self.alone = any(name.startswith("##") for name in joined)  # type: ignore[misc]

    def plain(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        self.library.no_truncation()
        return flat(read_as_text(self.library, texts, False))

    def spans(self, text: str) -> list[tuple[int, int]]:
        self.library.no_truncation()
        return self.library.encode(text).offsets

    def text(self, ids: Sequence[int]) -> str:
        parts: list[list[int]] = [[]]
        for i in ids:  # what is unknown is shown as such, and not left out
            parts.append([]) if i == self._unknown else parts[-1].append(i)
        said = LOST.join(self.library.decode(p, skip_special_tokens=True) for p in parts)
        return BETWEEN_CJK.sub("", said) if self.alone else said

    def framing(self) -> tuple[int, int, int, int | None]:
        first = [self._first(names) for names in FRAMES]
        if "frame" in self.state:
            return *self.state["frame"], first[3]
        pad, bos, eos = (0 if i is None else i for i in first[:3])
        return pad, bos, eos, first[3]

    def _first(self, names: Iterable[str]) -> int | None:
        """The id of the first of these tokens that there is."""
        return next((i for i in map(self.library.token_to_id, names) if i is not None), None)

    def ordinary(self) -> np.ndarray:
        found = np.ones(self.size, bool)
        found[[i for i, t in self.library.get_added_tokens_decoder().items() if t.special]] = False
        return found

    def goes_on(self) -> np.ndarray | None:
        return _joined(self.library, self.size)

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> Iterable[str]:
        return text.split()

    def published(self) -> dict[str, Any]:
        return json.loads(as_text_alone(self.state["tokenizer"]).to_str())

    def encode(self, texts: list[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
        self.library.enable_truncation(limit)
        return flat(read_as_text(self.library, texts, True))

    def tokens(self, text: str, limit: int) -> list[str]:
        self.library.enable_truncation(limit)
        return [t.removeprefix("##") for t in self.library.encode(text).tokens]


class Pieces(Tokeniser):
    """Pieces of sentences out of a file of `sentencepiece`.

    state: codec, that of one of `dapeng.tokens` with its kind; end, ids that stand behind every text.
    """

    kind = "pieces"
    hides = None

    def __init__(self, state: dict[str, Any]):
        self.state = state
        self.codec: Codec = CODECS[state["codec"]["kind"]](state["codec"])
        self.size = self.codec.size
        self.end: list[int] = list(state.get("end", ()))

    @staticmethod
    def units(text: str, lowest: int, highest: int) -> Iterable[str]:
        return text.split()

    def encode(self, texts: list[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
        ids, lengths = self.codec.encode(texts)
        parts = np.split(ids, np.cumsum(lengths)[:-1]) if len(texts) else []
        return flat([[*p[: max(limit - len(self.end), 0)].tolist(), *self.end][:limit] for p in parts])

    def plain(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return self.codec.encode(texts)

    def text(self, ids: Sequence[int]) -> str:
        return self.codec.decode(ids)

    def framing(self) -> tuple[int, int, int, int | None]:
        return self.codec.pad, self.codec.bos, self.codec.eos, self.codec.unknown

    def ordinary(self) -> np.ndarray:
        found = np.ones(self.size, bool)
        found[list(self.codec.names.values())] = False
        return found

    def published(self) -> dict[str, Any]:
        return self.codec.published()

    def tokens(self, text: str, limit: int) -> list[str]:
        return self.codec.pieces(text)[:limit]


def _joined(library: Any, size: int) -> np.ndarray:
    """(V,) bool: pieces that are written with what stands before them: "##ing", or letters without the mark of a blank."""
    names = [library.id_to_token(i) or "" for i in range(size)]
    if any(n.startswith("##") for n in names):
        return np.array([n.startswith("##") for n in names])
    blank = "\u0120" if any(n.startswith("\u0120") for n in names) else "\u2581"
    return np.array([bool(n) and n[0] != blank and (n[0].isalnum() or ord(n[0]) > 127) for n in names])


def as_text_alone(tokenizer: str) -> Any:
    """A tokenizer.json as the library's object, without padding and cutting, that reads "[SEP]" in a user's text as text."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(tokenizer)
    library.no_padding()
    library.no_truncation()
    library.encode_special_tokens = True
    return library


KINDS: dict[str, type[Tokeniser]] = {t.kind: t for t in (Words, Characters, NGrams, BPE, File, Pieces)}


def prune(counts: Counter[str], most: int = PRUNE_AT) -> Counter[str]:
    """Bounded memory: the rarest units are forgotten when there are too many."""
    if len(counts) <= most:
        return counts
    return Counter(dict(sorted(counts.items(), key=lambda i: (-i[1], i[0]))[: most // 2]))


def vocabulary(counts: Counter[str], size: int, min_count: int) -> list[str]:
    """Special tokens, then units by falling count (ties by code point)."""
    ranked = sorted(((-n, u) for u, n in counts.items() if n >= min_count))
    return SPECIAL + [u for _, u in ranked[: max(size - len(SPECIAL), 1)]]


def train_bpe(counts: Counter[str], size: int) -> str:
    """`tokenizer.json` of a byte-level BPE trained on pieces of text with their counts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # a piece seen n times is given once for every time, up to a bound that leaves the ranking as it is
    top = max(counts.values(), default=1)
    scale = max(1.0, top / 10_000)
    pieces = (u for u, n in sorted(counts.items()) for _ in range(max(1, round(n / scale))))
    library.train_from_iterator(pieces, trainer)
    return library.to_str()
