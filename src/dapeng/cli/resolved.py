"""A whole spec as YAML, with a comment on each line that says where the value came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dapeng.core.alike import made_alike
from dapeng.core.console import padded, width
from dapeng.core.kinds import ColumnOptions
from dapeng.core.loader import Loaded
from dapeng.core.needs import needed_encoders, with_needed
from dapeng.core.registry import AutoIsNone, Choice, Options
from dapeng.core.secrets import redacted
from dapeng.core.shape import Path
from dapeng.core.yaml12 import dump

DEFAULT = "default"
WIDEST = 60


def resolved(loaded: Loaded) -> str:
    """Every value of the spec; `auto` is chosen later, from the data."""
    loaded = _with_needed(loaded)
    lines = list(_lines(loaded.spec, (), 0, loaded))
    column = min(max((width(text) for text, _ in lines), default=0), WIDEST)
    return "\n".join(f"{padded(text, column)}  # {origin}" if origin else text for text, origin in lines)


def _with_needed(loaded: Loaded) -> Loaded:
    """The same with the encoders that decoders ask for, each with its reason as its origin."""
    spec = loaded.spec
    inputs = made_alike(spec.inputs)
    needed = needed_encoders(inputs, spec.outputs)
    chosen = {("inputs", n, "encoder", "type"): f"chosen: {why}" for n, (_, why) in needed.items()}
    shown = spec.model_copy(update={"inputs": with_needed(inputs, needed)})
    return replace(loaded, spec=shown, origins={**loaded.origins, **chosen})


def _lines(value: Any, path: Path, depth: int, loaded: Loaded) -> Iterator[tuple[str, str]]:
    for key, inner, auto in _items(value, path[0] if path else ""):
        here = (*path, key)
        head = "  " * depth + _inline(key) + ":"
        if isinstance(inner, (Options, dict)) and (isinstance(inner, Options) or inner):
            yield head, ""
            yield from _lines(inner, here, depth + 1, loaded)
        elif isinstance(inner, list) and any(isinstance(v, Options) for v in inner):
            yield head, ""
            for i, member in enumerate(inner):
                block = list(_lines(member, (*here, i), depth + 2, loaded))
                first, origin = block[0]
                yield "  " * (depth + 1) + "- " + first.lstrip(), origin
                yield from block[1:]
        else:
            yield f"{head} {'auto' if inner is None and auto else _inline(inner)}", _origin(here, loaded)


def _of_other_side(value: Any, section: str | int) -> tuple[str, ...]:
    """Keys that mean nothing on this side of the model, and would be refused if they were written."""
    side = {"inputs": "output_only", "outputs": "input_only"}.get(str(section), "")
    return getattr(value, side, ()) if isinstance(value, ColumnOptions) else ()


def _items(value: Any, section: str | int) -> Iterator[tuple[str, Any, bool]]:
    """Keys and values of an options object or a mapping, and whether None means auto."""
    if isinstance(value, dict):
        yield from ((str(k), v, False) for k, v in value.items())
        return
    hidden = _of_other_side(value, section)
    for name, field in type(value).model_fields.items():
        if name in hidden:
            continue
        auto = any(isinstance(m, AutoIsNone) or (isinstance(m, Choice) and m.auto) for m in field.metadata)
        yield name, getattr(value, name), auto


def _inline(value: Any) -> str:
    """A plain value on one line."""
    if isinstance(value, (list, dict)):
        parts = (
            [_inline(v) for v in value] if isinstance(value, list) else [f"{k}: {_inline(v)}" for k, v in value.items()]
        )
        return ("[%s]" if isinstance(value, list) else "{%s}") % ", ".join(parts)
    return redacted(dump(value).removesuffix("...\n").strip())


def _origin(path: Path, loaded: Loaded) -> str:
    if path in loaded.origins:
        return loaded.origins[path]
    parent = path[:-1]
    written = loaded.raw
    for key in parent:
        written = written.get(str(key), {}) if isinstance(written, dict) else {}
    # a short form stands for the tag, or for the file names of `data`
    short = isinstance(written, str) or (isinstance(written, list) and path[-1] == "path")
    if short and path[-1] in ("type", "by", "path", "objective"):
        return loaded.origins.get(parent, DEFAULT)
    return DEFAULT
