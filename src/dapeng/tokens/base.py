"""What a tokeniser of written text does: any text in, ids out, and the very same text back.

Special tokens have ids of their own that no text leads to: "<eos>" in a user's text is five characters.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dapeng.core.errors import RunError

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)
SEEN = 200
"""Characters of text that a token of a vocabulary is worth."""
MOST_COUNTED = 2_000_000
"""Units that are counted at once; beyond it the rarest half is forgotten."""
MOST_SHOWN = 20_000_000
"""Units that a trainer is shown, each as often as it was counted; more are scaled down."""


class Placed(NamedTuple):
    """Tokens, and of each the first character that it stands for and the one behind its last."""

    ids: list[int]
    begins: list[int]
    ends: list[int]

    def add(self, other: Placed, at: int) -> None:
        """Those of a text that begins there."""
        self.ids.extend(other.ids)
        self.begins.extend(at + b for b in other.begins)
        self.ends.extend(at + e for e in other.ends)


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """An expression that finds these texts, of two that begin alike the longer one."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


class Codec(ABC):
    """A fitted tokeniser; `state` is what a JSON file keeps of it.

    size: ids in all. pad, bos, eos: those that stand around a text. marks: further special tokens by name (of a chat).
    """

    kind: ClassVar[str]
    pad: int = PAD
    bos: int = BOS
    eos: int = EOS
    size: int
    unknown: int | None = None
    """The id of all that it has no token for; None where there is nothing such."""

    def __init__(self, state: dict[str, Any]):
        self.state = state
        self.marks: dict[str, int] = {}

    @property
    def unit(self) -> str:
        """What its tokens are, in the plural."""
        return self.kind

    @staticmethod
    @abstractmethod
    def units(text: str) -> Iterable[str]:
        """What is counted of a text."""

    @classmethod
    def wanted(cls, counts: Counter[str], letters: int) -> int:
        """Ids that these counts, of so many letters, are worth where nothing is said."""
        return letters // SEEN

    @classmethod
    @abstractmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> Codec:
        """From counts of units, with at most `size` ids; equal counts give the same tokeniser, whoever counted them."""

    @classmethod
    def trained(cls, texts: Iterable[str], size: int, marks: Sequence[str] = ()) -> Codec:
        """From a stream of texts, in bounded memory."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(cls.units(whole(text)))
            if len(counts) > MOST_COUNTED:
                counts = commonest(counts, MOST_COUNTED // 2)
        return cls.fitted(counts, size, marks)

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Flat int32 ids of all texts, without begin or end, and the number of each (N,) int64."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids; special ones are left out. Half a character becomes U+FFFD."""

    def token_bytes(self) -> list[bytes]:
        """What each id adds to a text, in UTF-8: empty for special ones, and for those of which no text has any.

        Raises RunError where that depends on the tokens beside it.
        """
        raise RunError(
            f"a text can't be kept to an expression with the tokeniser {self.kind!r}: what a token adds depends on those beside it",
            hint="train with tokeniser: bpe, unigram, characters or bytes",
        )

    def published(self) -> dict[str, Any]:
        """This tokeniser as a tokenizer.json, as values; nothing is put before or behind a text.

        Raises ValueError, with the reason, where that file can't say it.
        """
        raise ValueError(f"a tokenizer.json can't say what {self.kind} does")

    @property
    def names(self) -> dict[str, int]:
        """Special tokens by the names that they have in a tokenizer.json."""
        return {**dict(zip(SPECIAL, (PAD, BOS, EOS, UNK))), **self.marks}

    @property
    def specials(self) -> dict[str, int]:
        """Special tokens by what a chat template writes them as."""
        return self.names

    def placed(self, text: str, first: bool = True) -> Placed:
        """Tokens of a text as `encode` has them, and where in it the characters of each begin and end.

        first: nothing stands before it, which changes how some tokenisers read its first word.
        """
        ids = self.encode([text])[0]
        sizes = np.fromiter((len(self._spelt[i]) for i in ids), np.int64, len(ids))
        raw = np.frombuffer(whole(text).encode(), np.uint8)
        characters = np.flatnonzero((raw & 0xC0) != 0x80)
        ends = np.cumsum(sizes)
        begins = np.searchsorted(characters, ends - sizes, "right") - 1
        return Placed(ids.tolist(), begins.tolist(), np.searchsorted(characters, ends).tolist())

    def with_special(self, text: str, first: bool = True) -> Placed:
        """The same, where special tokens are read as such."""
        found, at = Placed([], [], []), 0
        for match in self._find_special.finditer(text):
            found.add(self.placed(text[at : match.start()], first and at == 0), at)
            at = match.end()
            found.add(Placed([self.specials[match.group()]], [0], [len(match.group())]), match.start())
        found.add(self.placed(text[at:], first and at == 0), at)
        return found

    @cached_property
    def _spelt(self) -> list[bytes]:
        return self.token_bytes()

    @cached_property
    def _find_special(self) -> re.Pattern[str]:
        return any_of(self.specials)

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Ids that no text is written with: the padding, the begin, and what stands for the unknown."""
        return PAD, BOS, UNK

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text as a reader sees them."""
        ids, _ = self.encode([text])
        return [self.decode([i]) for i in ids.tolist()]

    def fertility(self, texts: Sequence[str]) -> float:
        """Tokens a character, over these texts."""
        _, lengths = self.encode(texts)
        return float(lengths.sum() / max(sum(map(len, texts)), 1))


def opened(state: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """The library's tokeniser out of a state, that pads and cuts nothing and reads special tokens as text; ids of the marks."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(state["tokenizer"])
    library.no_padding()
    library.no_truncation()
    library.encode_special_tokens = True
    return library, {m: int(library.token_to_id(m) or 0) for m in state["marks"]}


def whole(text: str) -> str:
    """A text that can be written as UTF-8: lone surrogates are replaced."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")  # much faster than a look at each character
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def flat(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids as one array, and their lengths."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.fromiter((i for row in rows for i in row), np.int32, int(lengths.sum())), lengths


def commonest(counts: Counter[str], most: int) -> Counter[str]:
    """The units that were counted most; of those counted alike some of every kind, by a sum of their bytes."""
    order = sorted(counts.items(), key=lambda i: (-i[1], zlib.crc32(i[0].encode()), i[0]))
    return Counter(dict(order[:most]))


def shown(counts: Counter[str], most: int = MOST_SHOWN) -> Iterator[str]:
    """Units in the order of their code points, each as often as it was counted, or in proportion."""
    scale = max(1.0, sum(counts.values()) / most)
    for unit, count in sorted(counts.items()):
        for _ in range(round(count / scale)):
            yield unit
