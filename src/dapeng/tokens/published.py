"""What a tokeniser is as a tokenizer.json: the file of the `tokenizers` library, which transformers and others read.

Classes of characters are spelt out as Python's `re` means them: in the library's expressions \\w and \\s mean others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

LETTER = r"\p{L}\p{Nl}\p{No}"
"""Characters of a class [...] that are word characters of `re`, but neither digits nor the underline."""
DIGIT = r"\p{Nd}"
SPACE = r"\s\x1c-\x1f"


def split(expression: str, behaviour: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    """A step that cuts a text at what an expression finds."""
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behaviour, "invert": invert}


def sequence(steps: Sequence[Mapping[str, Any]], kind: str = "pretokenizers") -> dict[str, Any]:
    """Several steps as one. kind: pretokenizers, normalizers or decoders."""
    return {"type": "Sequence", kind: list(steps)}


def flattened(step: Mapping[str, Any] | None, kind: str = "pretokenizers") -> list[Mapping[str, Any]]:
    """The steps of a sequence; of a single step itself."""
    if step is None:
        return []
    return list(step[kind]) if step["type"] == "Sequence" else [step]


def special(tokens: Mapping[str, int]) -> list[dict[str, Any]]:
    """Tokens that no text leads to, by id."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": i, "content": t, **plain} for t, i in sorted(tokens.items(), key=lambda item: item[1])]


def begun(name: str, number: int) -> dict[str, Any]:
    """The step that puts a token before every text."""
    first, one, two = ({"SpecialToken": {"id": name, "type_id": 0}}, *(
        {"Sequence": {"id": s, "type_id": t}} for s, t in (("A", 0), ("B", 1))
    ))  # fmt: skip
    known = {name: {"id": name, "ids": [number], "tokens": [name]}}
    return {"type": "TemplateProcessing", "single": [first, one], "pair": [first, one, two], "special_tokens": known}


def tokenizer_json(
    model: Mapping[str, Any],
    tokens: Mapping[str, int],
    cut: Mapping[str, Any] | None = None,
    join: Mapping[str, Any] | None = None,
    normaliser: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The file as values. tokens: special ones. cut, join: how a text becomes pieces, and pieces a text."""
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special(tokens), "normalizer": normaliser,
        "pre_tokenizer": cut, "post_processor": None, "decoder": join, "model": dict(model),
    }  # fmt: skip


def byte_letters() -> list[str]:
    """The visible character that stands for each byte, as GPT-2 has them."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(b) if b in visible else chr(next(others)) for b in range(256)]


class _Bytes(dict[int, int]):
    """The byte of each visible character, and what is no byte for all others."""

    def __missing__(self, character: int) -> int:
        return 256


@lru_cache(1)
def _bytes_of_letters() -> _Bytes:
    return _Bytes({ord(letter): byte for byte, letter in enumerate(byte_letters())})


def spelt_bytes(token: str) -> bytes:
    """The bytes that the visible characters of a token stand for; one that has others stands for itself."""
    try:
        return token.translate(_bytes_of_letters()).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()
