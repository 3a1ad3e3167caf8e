"""A tokeniser out of a file that someone names: a tokenizer.json of the `tokenizers` library, or a *.model of `sentencepiece`.

Pad, begin and end are the file's own where it has such; those that it lacks get ids behind its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dapeng.core.errors import DapengError
from dapeng.tokens.base import SPECIAL
from dapeng.tokens.file import File
from dapeng.tokens.sentence_pieces import SentencePieces

SUFFIXES = (".json", ".model")
ROLES: dict[str, tuple[str, ...]] = {
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"),
    "bos": ("<bos>", "<s>", "[CLS]", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("<eos>", "</s>", "[SEP]", "[EOS]", "<|end_of_text|>", "<|endoftext|>"),
}
"""Names that tokenisers have for what stands around a text, the first that there is counts."""
OWN = dict(zip(ROLES, SPECIAL))
"""Names of those that are added."""


def read(path: Path) -> dict[str, Any]:
    """The state of the codec that a file holds, with its "kind", and as "added" what was put behind its ids, by role.

    Raises ValueError with the reason where it holds none.
    """
    content = _content(path)
    found = _pieces(content) if path.suffix.lower() == ".model" else _library(content)
    return {**found, "marks": []}


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError("is a folder, not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError((error.strerror or str(error)).lower()) from None
    if not content.strip():
        raise ValueError("is empty")
    return content


def _library(content: bytes) -> dict[str, Any]:
    from tokenizers import Tokenizer

    try:
        text = content.decode("utf-8-sig")
        values = json.loads(text)
        library = Tokenizer.from_str(text)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"is no tokenizer.json: {str(error)[:80]}") from None
    if not library.get_vocab_size(with_added_tokens=True):
        raise ValueError("has no token")
    padding = (values.get("padding") or {}).get("pad_token")
    roles = {r: (*([padding] if r == "pad" and padding else ()), *names) for r, names in ROLES.items()}
    known = {r: next((n for n in names if library.token_to_id(n) is not None), None) for r, names in roles.items()}
    added = [r for r, name in known.items() if name is None]
    library.add_special_tokens([name or OWN[r] for r, name in known.items()])
    ids = {r: library.token_to_id(name or OWN[r]) for r, name in known.items()}
    size = 1 + max(library.get_vocab(with_added_tokens=True).values())
    library.no_padding()
    library.no_truncation()
    return {"kind": File.kind, "tokenizer": library.to_str(), "size": size, **ids, "longest": None, "added": added}


def _pieces(content: bytes) -> dict[str, Any]:
    try:
        codec = SentencePieces.of_file(content)
    except DapengError:
        raise
    except Exception as error:  # the library raises what it likes
        raise ValueError(f"is no model of sentencepiece: {str(error)[:80]}") from None
    if not codec.pieces_of_file:
        raise ValueError("has no token")
    return {**codec.state, "added": list(codec.added)}
