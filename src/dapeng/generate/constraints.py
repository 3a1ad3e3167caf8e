"""Texts that are kept to a regular expression or a JSON schema: which tokens may follow what is there.

An automaton over the bytes of UTF-8 is walked, and every token that leaves it a way to an accepted text is allowed: Willard and
Louf, 2023 (https://arxiv.org/abs/2307.09702). The library is llguidance, which goes over the vocabulary as a tree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from dapeng.core.errors import Problem, RunError, need_extra
from dapeng.generate.expressions import letters, translated
from dapeng.generate.sampling import Sampling
from dapeng.generate.texts import Decodes

ALL = '%llguidance {"no_forcing": true}\n'
"""Every token that fits is allowed, not only those that the tokeniser would choose."""
LAYOUT = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""Where a JSON text may have blanks: as many as anywhere would never end."""
PARTS = ("properties", "$defs", "definitions", "patternProperties", "anyOf", "oneOf", "allOf", "prefixItems")
"""Keys of a schema that hold several schemas by name or number."""


class Kept:
    """One text that is kept to its settings' expression or schema, token by token."""

    def __init__(self, matcher: Any, size: int, about: str):
        self._matcher, self._size, self._about = matcher, size, about

    def allowed(self) -> Tensor:
        """(V,) bool: the tokens that may follow; the end among them where the text is complete. Raises RunError where none may."""
        words = np.zeros(-(-self._size // 32), np.int32)
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: self._size].astype(bool)
        if self._matcher.is_error() or not bits.any():
            raise self._stuck()
        return torch.from_numpy(bits)

    def take(self, token: int) -> None:
        """Go on with an allowed token."""
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise self._stuck()

    @property
    def complete(self) -> bool:
        """Nothing can follow."""
        return self._matcher.is_stopped()

    def _stuck(self) -> RunError:
        if self._matcher.is_error() and not _dead_end(self._matcher):
            why = _first_line(self._matcher.get_error())
            hint = r"a simpler one: what can be read in several ways, such as (\w+ ?){200}, may have no repeats that are counted"
            return RunError(f"{self._about}: its automaton grows too large ({why})", hint=hint)
        what = f"{self._about}: no token of this run's vocabulary goes on with the text so that it fits"
        return RunError(
            what, hint="write only letters that the training texts had, or train with tokeniser: bytes or bpe"
        )


class Vocabulary:
    """The tokens of a tokeniser as the library reads them. Raises RunError where a token alone says no text."""

    def __init__(self, codec: Decodes):
        library = _library()
        self._said = codec.token_bytes()
        self._ready: dict[tuple[str, str], Any] = {}
        self._tokens = library.LLTokenizer(_Tokens(self._said, codec.eos), n_vocab=len(self._said), eos_token=codec.eos)
        self._letters = _letters(self._said)

    def kept(self, settings: Sampling) -> Kept:
        """For one text. Raises RunError for a schema that is wrong, and where no text of this vocabulary fits."""
        about, grammar = ("regex", self._regex(settings)) if settings.schema is None else ("schema", "")
        if settings.schema is not None:
            grammar = f"start: %json {json.dumps(_laid_out(settings.schema))}"
        ready = self._ready.get((about, grammar))
        if ready is None:
            if settings.schema is not None:
                self._check(settings.schema)
            ready = _library().LLMatcher(self._tokens, ALL + grammar, log_level=0)
            if ready.is_error() and not _dead_end(ready):
                raise RunError(f"{about}: {_first_line(ready.get_error())}")
            Kept(ready.deep_copy(), len(self._said), about).allowed()
            self._ready = {(about, grammar): ready}
        return Kept(ready.deep_copy(), len(self._said), about)

    def _regex(self, settings: Sampling) -> str:
        """Only of letters that there are, so that no way is taken that has no end."""
        within = f" & /{self._letters}*/" if self._letters else ""
        return f"start: TEXT\nTEXT: /{translated(settings.regex or '')}/{within}"

    def _check(self, schema: Mapping[str, Any]) -> None:
        wrong = self._wrong(schema)
        if not wrong:
            return
        path, part = "", schema
        while True:  # the innermost part that is wrong in the same way
            inner = ((f"{path}/{n}", p) for n, p in _parts(part))
            found = next(((n, p) for n, p in inner if self._wrong({**_shared(schema), **p}) == wrong), None)
            if found is None:
                raise RunError(
                    Problem(f"schema#{path}", wrong, "see https://json-schema.org; not every key can be kept to")
                )
            path, part = found

    def _wrong(self, schema: Mapping[str, Any]) -> str:
        library = _library().LLMatcher
        try:
            found = library.validate_grammar(library.grammar_from_json_schema(dict(_laid_out(schema))), self._tokens)
        except ValueError as error:
            found = str(error)
        return _first_line(found)


class _Tokens:
    """What the library asks of a tokeniser."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, said: list[bytes], end: int):
        self.tokens, self.eos_token_id = said, end
        self.special_token_ids: list[int] = []

    def __call__(self, text: str) -> list[int]:
        """None: no text is tokenised, all tokens that fit are allowed."""
        return []


_VOCABULARIES: WeakKeyDictionary[Decodes, Vocabulary] = WeakKeyDictionary()


def kept(codec: Decodes, settings: Sampling) -> Kept | None:
    """What keeps a text to these settings; None where they leave it free. Raises RunError; MissingExtra without the library."""
    if settings.regex is None and settings.schema is None:
        return None
    if codec not in _VOCABULARIES:
        _VOCABULARIES[codec] = Vocabulary(codec)
    return _VOCABULARIES[codec].kept(settings)


def _letters(said: list[bytes]) -> str:
    """A class of the characters that are tokens; empty where every byte is one, and with it every character."""
    if len({t for t in said if len(t) == 1}) >= 256:
        return ""
    found = set()
    for token in said:
        if 0 < len(token) <= 4 and len(text := token.decode("utf-8", "ignore")) == 1 and text.encode() == token:
            found.add(text)
    return letters(found)


def _dead_end(matcher: Any) -> bool:
    """Whether the automaton failed since no token leads on, and not for its size or what it was made of."""
    return "NoExtension" in _first_line(matcher.get_error())


def _laid_out(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**schema, "x-guidance": LAYOUT}


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas inside one, with their places."""
    for key in PARTS:
        held = schema.get(key)
        named = held.items() if isinstance(held, Mapping) else enumerate(held) if isinstance(held, list) else ()
        yield from ((f"{key}/{n}", p) for n, p in named if isinstance(p, Mapping))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield key, schema[key]


def _shared(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {k: schema[k] for k in ("$defs", "definitions") if k in schema}


def _first_line(text: str) -> str:
    """A message of the library without its picture of the place; of an expression, what is wrong with it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("error: ")), lines[0] if lines else "")
    return said.removeprefix("error: ")


def _library() -> Any:
    try:
        import llguidance
    except ImportError:
        raise need_extra("constrain", "llguidance") from None
    return llguidance
