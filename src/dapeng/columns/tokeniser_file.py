"""`tokeniser: PATH/tokenizer.json` and `tokeniser: PATH/NAME.model`: a tokeniser that comes out of a file.

A run holds all that it needs of it: the file is read when a run begins, and not again.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from dapeng.core.errors import Problem, SpecError
from dapeng.core.registry import Options
from dapeng.tokens.given import OWN, SUFFIXES, read

HINT = "a tokenizer.json as the library tokenizers saves it, or a *.model of sentencepiece"


class TokeniserFile(Options):
    """A file that holds a tokeniser."""

    type: Literal["file"] = "file"
    path: str
    """PATH/tokenizer.json, or PATH/NAME.model of SentencePiece; as others, it starts where the spec lies."""

    def __str__(self) -> str:
        return self.path

    def located(self, base: Path | None) -> TokeniserFile:
        """The same with a path that starts from this folder, where there is such a file."""
        path = Path(self.path).expanduser()
        if base is None or path.is_absolute() or not (base / path).exists():
            return self
        return self.model_copy(update={"path": str(base / path)})

    def codec(self) -> dict[str, Any]:
        """The state of the `dapeng.tokens` codec, with its kind. Raises SpecError where the file holds no tokeniser."""
        path = Path(self.path).expanduser()
        if path.suffix.lower() not in SUFFIXES and not path.is_dir():
            raise SpecError(
                Problem("tokeniser.path", f"{self.path}: its name ends neither in .json nor in .model", HINT)
            )
        try:
            stat = path.stat() if path.exists() else None
            return dict(_read(path, None if stat is None else (stat.st_mtime_ns, stat.st_size)))
        except ValueError as error:
            raise SpecError(Problem("tokeniser", f"{self.path}: {error}", HINT)) from None

    def read(self) -> dict[str, Any]:
        """The state of the `Tokeniser` of a text that is read."""
        codec = self.codec()
        if "tokenizer" in codec:
            frame = [codec[r] for r in OWN]
            return {"kind": "file", "tokenizer": codec["tokenizer"], "frame": frame, "added": codec["added"]}
        return {"kind": "pieces", "codec": codec, "added": codec["added"]}


class Named:
    """Pydantic marker: a text that ends in .json or .model, or has a slash, is the path of a file."""

    def expand(self, value: Any) -> Any:
        named = isinstance(value, str) and ("/" in value or Path(value).suffix.lower() in SUFFIXES)
        return {"type": "file", "path": value} if named else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": r"/|\.(json|model)$"}]}


def added(state: dict[str, Any]) -> list[str]:
    """What to say of special tokens that a file didn't have."""
    names = [OWN[r] for r in state.get("added", ())]
    return [f"its tokeniser's file has no {', '.join(names)}: added behind its ids"] if names else []


@lru_cache(8)
def _read(path: Path, stamp: tuple[int, int] | None) -> dict[str, Any]:
    return read(path)
