"""The tokenisers of written text, by name."""

from __future__ import annotations

from dapeng.tokens.base import Codec
from dapeng.tokens.characters import Bytes, Characters
from dapeng.tokens.file import File
from dapeng.tokens.learnt import BytePairs, WordPieces
from dapeng.tokens.mapped_pieces import MappedPieces
from dapeng.tokens.sentence_pieces import SentencePieces
from dapeng.tokens.words import Words

CODECS: dict[str, type[Codec]] = {
    c.kind: c for c in (BytePairs, SentencePieces, WordPieces, Words, Characters, Bytes, File, MappedPieces)
}
