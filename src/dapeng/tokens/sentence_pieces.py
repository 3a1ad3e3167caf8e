"""Pieces of sentences by their probability: unigram models, and any model file of the `sentencepiece` library.

Kudo: Subword Regularization, 2018 (https://arxiv.org/abs/1804.10959); Kudo and Richardson: SentencePiece, 2018
(https://arxiv.org/abs/1808.06226). The `tokenizers` library trains unigram models too, but not the same one twice.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dapeng.core.errors import need_extra
from dapeng.tokens.base import BOS, EOS, PAD, SPECIAL, UNK, Codec, flat, shown, whole
from dapeng.tokens.published import sequence, tokenizer_json

LOST = "\ufffd"
"""What is unknown is written as."""
SPARE = 300
"""Pieces for bytes and special tokens, and some to learn."""


class SentencePieces(Codec):
    """A blank is a character like others, and bytes stand for what is unknown, so that any text comes back as it was.

    state: the model file in base64. A file from elsewhere may fold characters before it cuts, as it was made to.
    """

    kind = "unigram"

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.library = _library().SentencePieceProcessor(model_proto=base64.b64decode(state["model"]))
        self.size = self.library.get_piece_size()
        own = {"pad": self.library.pad_id(), "bos": self.library.bos_id(), "eos": self.library.eos_id()}
        self.pieces_of_file = self.size
        self.added = {r: self.size + n for n, r in enumerate(r for r, i in own.items() if i < 0)}
        """Those around a text that the file doesn't have: behind its ids."""
        self.size += len(self.added)
        self.pad, self.bos, self.eos = ({**own, **self.added}[r] for r in own)
        self.unknown = self.library.unk_id()
        self.marks = {m: self.library.piece_to_id(m) for m in state["marks"]}

    @classmethod
    def of_file(cls, content: bytes) -> SentencePieces:
        """What a file *.model holds."""
        return cls({"kind": cls.kind, "model": base64.b64encode(content).decode("ascii"), "marks": []})

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return text.splitlines()

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> SentencePieces:
        kept = io.BytesIO()
        counts = counts or Counter([" "])
        letters = len({c for unit in counts for c in unit})
        size = max(size, letters + SPARE + len(marks))  # every letter has a piece, and every byte
        _library().SentencePieceTrainer.train(
            sentence_iterator=shown(counts), model_writer=kept, vocab_size=size, hard_vocab_limit=False,
            model_type="unigram", byte_fallback=True, control_symbols=list(marks), pad_id=PAD, bos_id=BOS, eos_id=EOS,
            unk_id=UNK, pad_piece=SPECIAL[PAD], bos_piece=SPECIAL[BOS], eos_piece=SPECIAL[EOS], unk_piece=SPECIAL[UNK],
            normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False,
            max_sentence_length=1_000_000, num_threads=1, minloglevel=2,
        )  # fmt: skip
        return cls({"kind": cls.kind, "model": base64.b64encode(kept.getvalue()).decode("ascii"), "marks": list(marks)})

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return flat(self.library.encode([whole(t) for t in texts], num_threads=1))

    def decode(self, ids: Sequence[int]) -> str:
        own = (int(i) for i in ids if i < self.pieces_of_file)
        said = [i for i in own if not self.library.is_control(i)]
        if self.unknown not in said:
            return self.library.decode(said)
        return self.library.decode_pieces([LOST if i == self.unknown else self.library.id_to_piece(i) for i in said])

    @property
    def unwritten(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys((self.pad, self.bos, self.library.unk_id())))

    def token_bytes(self) -> list[bytes]:
        own = self.library
        if own.decode([own.piece_to_id("\u2581")] * 2) != "  ":  # this file drops the first blank of a text
            return super().token_bytes()
        apart = (own.is_control, own.is_unknown, own.is_unused)
        said = [b"" if any(f(i) for f in apart) else self._bytes(i) for i in range(self.pieces_of_file)]
        return said + [b""] * len(self.added)

    def _bytes(self, i: int) -> bytes:
        piece = self.library.id_to_piece(i)
        return bytes([int(piece[3:5], 16)]) if self.library.is_byte(i) else piece.replace("\u2581", " ").encode()

    @property
    def specials(self) -> dict[str, int]:
        own = {self.library.id_to_piece(i): i for i in range(self.pieces_of_file) if self.library.is_control(i)}
        return {**own, **{f"<{r}>": i for r, i in self.added.items()}}

    def published(self) -> dict[str, Any]:
        own, blank = self.library, "\u2581"
        special = {i: name for name, i in self.names.items()}
        names = [special.get(i) or own.id_to_piece(i) for i in range(self.size)]
        vocab = [[name, own.get_score(i) if i < self.pieces_of_file else 0.0] for i, name in enumerate(names)]
        model = {"type": "Unigram", "unk_id": own.unk_id(), "vocab": vocab, "byte_fallback": True}
        blanks = {"type": "Replace", "pattern": {"String": " "}, "content": blank}
        back = {"type": "Replace", "pattern": {"String": blank}, "content": " "}
        join = sequence([back, {"type": "ByteFallback"}, {"type": "Fuse"}], "decoders")
        return tokenizer_json(model, self.names, None, join, blanks)

    @property
    def names(self) -> dict[str, int]:
        # with a blank, which no text holds any more when pieces are looked for: there, a special one is a piece like others
        own = range(self.pieces_of_file)
        apart = (i for i in own if self.library.is_control(i) or self.library.is_unknown(i))
        return {self.library.id_to_piece(i) + " ": i for i in apart} | {f"<{r}> ": i for r, i in self.added.items()}


def _library() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise need_extra("text", "sentencepiece") from None
    return sentencepiece
