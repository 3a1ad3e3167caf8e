"""Vocabularies of pieces that are learnt by the `tokenizers` library: byte-level BPE and WordPiece.

Sennrich et al.: BPE, 2016 (https://arxiv.org/abs/1508.07909); Schuster and Nakajima: WordPiece, 2012. Texts are cut into words
here, and words are remembered with their ids, which is four times as fast as the library over whole texts, and gives the same ids;
byte-level words that are new are read by `tiktoken`, again four times as fast.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from dapeng.tokens.base import BOS, EOS, PAD, SPECIAL, UNK, Codec, Placed, opened, shown, whole
from dapeng.tokens.published import DIGIT, LETTER, SPACE, flattened, sequence, spelt_bytes, split

WORDS = r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d{1,3}| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
"""As GPT-2 cuts a text, with at most three digits at once: a blank belongs to the word behind it."""
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
LONGEST = 64
"""Characters of the longest word that is remembered."""
MOST_REMEMBERED = 500_000


class Known(dict[str, bytes]):
    """Words that were met, and their ids as int32; what is new, `read` reads."""

    def __init__(self, read: Callable[[str], list[int]]):
        super().__init__()
        self._read = read

    def __missing__(self, word: str) -> bytes:
        ids = array("i", self._read(word)).tobytes()
        if len(word) <= LONGEST:
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[word] = ids
        return ids


class Learnt(Codec):
    """Base of those that the library makes. state: the library's JSON, and the marks."""

    words: ClassVar[str]
    """The expression that finds the words of a text."""
    ascii_words: ClassVar[str] = ""
    """The same for texts of ASCII alone, where one is faster."""
    published_words: ClassVar[str]
    """The same for the library, whose classes of characters are others."""

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.library, self.marks = opened(state)
        self.size = self.library.get_vocab_size()
        self._special = {PAD, BOS, EOS, UNK, *self.marks.values()}
        self._find = re.compile(self.words).findall
        self._find_ascii = re.compile(self.ascii_words or self.words).findall

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_known"}  # a copy remembers nothing

    @classmethod
    def units(cls, text: str) -> Iterable[str]:  # type: ignore[override]
        return re.findall(cls.words, text)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        known = self._known.__getitem__
        rows = [b"".join(map(known, self._cut(text))) for text in texts]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows)) // np.dtype(np.int32).itemsize
        return np.frombuffer(b"".join(rows), np.int32), lengths

    @cached_property
    def _known(self) -> Known:
        return Known(self._reader())

    def _reader(self) -> Callable[[str], list[int]]:
        """What reads a word that was not met before."""
        return lambda word: self.library.encode(word, add_special_tokens=False).ids

    def _cut(self, text: str) -> list[str]:
        return self._find_ascii(text) if text.isascii() else self._find(whole(text))

    def published(self) -> dict[str, Any]:
        found = json.loads(self.state["tokenizer"])
        # words are cut as here first, and then as the library does it: what is a letter to both is the same
        blanks = [] if self.words == WORDS else [split(f"[{SPACE}]+", "Removed")]
        cut = [*blanks, split(self.published_words), *flattened(found["pre_tokenizer"])]
        return {**found, "pre_tokenizer": sequence(cut)}

    def decode(self, ids: Sequence[int]) -> str:
        return self.library.decode([i for i in ids if i not in self._special], skip_special_tokens=False)


class BytePairs(Learnt):
    """Byte-level BPE: any text, any script, nothing unknown."""

    kind = "bpe"
    words = WORDS
    ascii_words = r" ?[A-Za-z]+|'(?:[sdmt]|ll|ve|re)| ?[0-9]{1,3}| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
    published_words = (
        rf"'(?:[sdmt]|ll|ve|re)| ?[{LETTER}]+| ?[{DIGIT}]{{1,3}}| ?[^{SPACE}{LETTER}{DIGIT}]+"
        rf"|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
    )

    def _reader(self) -> Callable[[str], list[int]]:
        from tiktoken._tiktoken import CoreBPE

        by_library = super()._reader()
        made = self._made
        ids = [self.library.token_to_id(t) for t in made]
        if ids != sorted(ids) or len(made) != sum(len(t) > 1 for t in self._spelt):
            return by_library  # the ids are not the order of the merges, which is what tiktoken goes by, or a token is made by none
        # a token that a merge makes is what its own bytes are merged to, so tiktoken may look up a whole word at once
        merged = CoreBPE({t: i for i, t in enumerate(self._spelt) if t}, {}, "").encode_single_piece
        twice = [
            spelt_bytes(t) for t, times in made.items() if times > 1
        ]  # tiktoken knows one place in the order for each
        if not twice:
            return lambda word: merged(word.encode())
        holds = re.compile(b"|".join(map(re.escape, twice))).search
        return lambda word: by_library(word) if holds(word.encode()) else merged(word.encode())

    @property
    def _made(self) -> Counter[str]:
        """Tokens that merges make, in their order, and by how many."""
        return Counter("".join(m) for m in json.loads(self.state["tokenizer"])["model"]["merges"])

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> BytePairs:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

        library: Any = Tokenizer(models.BPE())
        cut = pre_tokenizers.Split(Regex(WORDS), "isolated")
        library.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])
        library.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        special = [*SPECIAL, *marks]
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        library.train_from_iterator(shown(counts), trainer)
        return cls({"kind": cls.kind, "tokenizer": library.to_str(), "marks": list(marks)})

    def token_bytes(self) -> list[bytes]:
        names = [self.library.id_to_token(i) for i in range(self.size)]
        return [b"" if i in self._special else spelt_bytes(n) for i, n in enumerate(names)]


class WordPieces(Learnt):
    """Words and their continuations, as BERT reads them; what is unknown is lost, and blanks come back as one."""

    kind = "wordpiece"
    words = rf"[{HAN}]|[^\W{HAN}_]+|[^\w\s]|_"
    published_words = rf"[{HAN}]|[{LETTER}{DIGIT}&&[^{HAN}]]+|[^{LETTER}{DIGIT}{SPACE}]"

    def placed(self, text: str, first: bool = True) -> Placed:
        found, text = Placed([], [], []), whole(text)
        for word in re.finditer(self.words, text):
            known = self.library.encode(word.group(), add_special_tokens=False)
            begins, ends = zip(*known.offsets) if known.ids else ((), ())
            found.add(Placed(known.ids, list(begins), list(ends)), word.start())
        return found

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> WordPieces:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

        library: Any = Tokenizer(models.WordPiece(unk_token="<unk>"))
        cut = pre_tokenizers.Split(Regex(cls.words), "isolated")
        library.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), cut])
        library.decoder = decoders.WordPiece()
        # characters get their ids beforehand, or the library would number them in an order that changes from run to run
        letters = sorted({c for unit in counts for c in unit})
        inner = sorted({f"##{c}" for unit in counts for c in unit[1:]})
        special = [*SPECIAL, *marks]
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=[*special, *letters, *inner], show_progress=False
        )
        library.train_from_iterator(shown(counts), trainer)
        state = json.loads(library.to_str())
        state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in special]
        text = json.dumps(state, ensure_ascii=False)
        return cls({"kind": cls.kind, "tokenizer": text, "marks": list(marks)})
