"""A tokeniser that is there already: a tokenizer.json, or a model file of SentencePiece, as the state of a fitted one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from dapeng.core.errors import DapengError, Problem, SpecError
from dapeng.tokens.sentence_pieces import SentencePieces

HINT = "tokens: PATH of a tokenizer.json, or of what is written also of a *.model file of SentencePiece"
NAMES = {
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
    "bos": ("<bos>", "<s>", "[CLS]", "<|begin_of_text|>", "<|startoftext|>"),
    "eos": ("<eos>", "</s>", "[SEP]", "<|end_of_text|>", "<|endoftext|>"),
}
"""What tokens for padding, begin and end are called in public files, the usual names first."""
READ = {"pad": ("<pad>", "[PAD]"), "bos": ("<s>", "[CLS]"), "eos": ("</s>", "[SEP]"), "unk": ("<unk>", "[UNK]")}
"""The same for what is read alone."""


def located(name: str, base: Path | None) -> str:
    """The file that a spec in this folder means. Raises SpecError where there is none."""
    path = Path(name).expanduser()
    found = base / path if base is not None and (base / path).is_file() else path
    if not found.is_file():
        raise SpecError(Problem("tokens", f"{name}: no such file", HINT))
    return str(found)


def written_with(path: str) -> dict[str, Any]:
    """The state, with its "kind", of what a text is written with. Raises SpecError for a file that can't be used so."""
    stamp = Path(path).stat()
    return dict(_written(path, stamp.st_mtime_ns, stamp.st_size))


@lru_cache(8)
def _written(path: str, changed: int, size: int) -> dict[str, Any]:
    content = Path(path).read_bytes()
    if path.endswith(".json"):
        text, library = _library(path, content, NAMES)
        ids = {role: next(i for i in map(library.token_to_id, names) if i is not None) for role, names in NAMES.items()}
        rows = max(library.get_vocab(with_added_tokens=True).values()) + 1
        return {"kind": "file", "tokenizer": text, "size": rows, **ids, "longest": None, "marks": []}
    try:
        found = SentencePieces.of_file(content)
    except DapengError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise SpecError(Problem("tokens", f"{path} is no model of SentencePiece: {str(error)[:80]}", HINT)) from None
    if found.library.eos_id() < 0:
        raise SpecError(Problem("tokens", f"{path} has no token that ends a text", "train it with an eos_id"))
    return {"kind": found.kind, **found.state}


def read_with(path: str) -> dict[str, Any]:
    """The same of what a text is read with."""
    if not path.endswith(".json"):
        what = f"{path}: texts that are read alone take a tokenizer.json"
        raise SpecError(Problem("tokens", what, "save it as such, or leave tokens out"))
    return {"kind": "file", "tokenizer": _library(path, Path(path).read_bytes(), READ)[0]}


def _library(path: str, content: bytes, roles: dict[str, tuple[str, ...]]) -> tuple[str, Any]:
    """The file and the library's object, with a token of its own for each role that none of its tokens has."""
    from tokenizers import Tokenizer

    try:
        library = Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise SpecError(Problem("tokens", f"{path} is no tokenizer.json: {str(error)[:80]}", HINT)) from None
    lacking = [names[0] for names in roles.values() if all(library.token_to_id(n) is None for n in names)]
    library.add_special_tokens(lacking)
    library.no_padding()
    library.no_truncation()
    return library.to_str(), library
