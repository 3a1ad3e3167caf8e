"""What must hold between the keys of a spec, beyond what each key may hold. Found before any data is read.

The rules read plain values, not objects, so that they speak together with the errors of single values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dapeng.core.registry import Options
from dapeng.core.shape import Shape
from dapeng.core.wording import Finding, nearest

REFERENCES = ("like", "of", "shows")
"""Keys of a column that name another column."""


@dataclass(frozen=True)
class _Written:
    """One column as it was written: its long form, and the shape that its keys have."""

    section: str
    name: str
    value: dict[str, Any]
    shape: Shape

    def part(self, key: str) -> Any:
        """The options class that was asked for under a key, or its default; None where it is chosen later, or unknown."""
        at = self.shape.child(self.value, key)
        if at is None or (key not in self.value and at.nullable):
            return None
        return at.options(self.value.get(key, {}))


def broken(values: Any, root: type[Options]) -> list[Finding]:
    """The rules that these values of a whole spec break."""
    if not isinstance(values, dict):
        return []
    values = _plain(values)
    inputs, outputs = (_columns(values, root, section) for section in ("inputs", "outputs"))
    return [
        *_both_sides(inputs, outputs),
        *_roles(values, {**inputs, **outputs}),
        *_wrong_side(inputs, outputs),
        *_of_the_other_side(inputs, outputs),
        *_never_produced(outputs),
        *_references(inputs, outputs),
        *_features(values, root, inputs, outputs),
        *_exclusive(values),
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        from dapeng.core.spec import plain

        return plain(value)
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _columns(values: dict[str, Any], root: type[Options], section: str) -> dict[str, _Written]:
    at = Shape("options", root).child(values, section)
    written = values.get(section)
    if at is None or not isinstance(written, dict):
        return {}
    out = {}
    for name, value in written.items():
        inner = at.child(written, name)
        long = inner.expand(value) if inner else None
        if inner is not None and isinstance(long, dict):
            out[str(name)] = _Written(section, str(name), long, inner)
    return out


def _both_sides(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[Finding]:
    for name in outputs:
        if name in inputs:
            yield Finding(("outputs", name), "this column is also an input", "a model can't learn from its own answer")


def _roles(values: dict[str, Any], used: Mapping[str, _Written]) -> Iterator[Finding]:
    roles = values.get("columns")
    for name, role in roles.items() if isinstance(roles, dict) else ():
        if name in used:
            what = f"a column of `{used[name].section}` can't be {role!r} too"
            yield Finding(("columns", name), what, f"remove it here, or from `{used[name].section}`")


def _wrong_side(inputs: Mapping[str, _Written], outputs: Mapping[str, _Written]) -> Iterator[Finding]:
    for section, other, columns, attribute in (
        ("inputs", "outputs", inputs, "output_only"),
        ("outputs", "inputs", outputs, "input_only"),
    ):
        for column in columns.values():
            cls = column.shape.options(column.value)
            for key in getattr(cls, attribute, ()):
                if key in column.value:
                    what = f"{key!r} is for {other} only"
                    yield Finding((section, column.name, key), what, f"remove it, or move the column to `{other}`")


def _of_the_other_side(inputs: Mapping[str, _Written], outputs: Mapping[str, _Written]) -> Iterator[Finding]:
    """Values that a key can have on the other side alone, such as tokenisers that can't give a text back."""
    for section, columns in (("inputs", inputs), ("outputs", outputs)):
        for column in columns.values():
            cls = column.shape.options(column.value)
            sides = getattr(cls, "by_side", {})
            for key, values in sides.get(section, {}).items():
                found = column.value.get(key)
                known = {v for side in sides.values() for v in side.get(key, ())}  # others are names of files
                if isinstance(found, str) and found in known.difference(values):
                    what = f"{found!r} is not for {section}"
                    yield Finding((section, column.name, key), what, f"one of {', '.join(values)}")


def _never_produced(outputs: Mapping[str, _Written]) -> Iterator[Finding]:
    """Types of columns that are read alone, such as texts."""
    for column in outputs.values():
        cls = column.shape.options(column.value)
        if getattr(cls, "read_only", False):
            kind = column.value.get("type")
            hint = f"outputs.{column.name}=category (or number)"
            yield Finding(("outputs", column.name), f"a column of type {kind} can't be an output yet", hint)


def _references(inputs: Mapping[str, _Written], outputs: Mapping[str, _Written]) -> Iterator[Finding]:
    every = {**inputs, **outputs}
    for column in (*inputs.values(), *outputs.values()):
        for key in REFERENCES:
            name = column.value.get(key)
            if not isinstance(name, str) or column.shape.child(column.value, key) is None:
                continue
            path = (column.section, column.name, key)
            if name == column.name:
                yield Finding(path, "a column can't refer to itself")
            elif name not in every:
                near = nearest(name, every)
                hint = (
                    f"did you mean {near!r}?" if near else "one of " + ", ".join(n for n in every if n != column.name)
                )
                yield Finding(path, f"no column {name!r} is in `inputs` or `outputs`", hint)
            elif key == "like":
                yield from _unlike(path, column, every[name])


def _unlike(path: tuple[str, ...], column: _Written, other: _Written) -> Iterator[Finding]:
    """What columns must have in common to share a vocabulary."""
    if column.section == "inputs" and other.section == "outputs":
        what = f"{other.name!r} is an output, whose vocabulary is fitted to be written or chosen from"
        yield Finding(path, what, "name an input, or remove it")
    elif column.value.get("type") != other.value.get("type"):
        what = f"{other.name!r} is a {other.value.get('type')}, and this a {column.value.get('type')}"
        yield Finding(path, what, "name a column of the same type, or remove it")


def _features(
    values: dict[str, Any], root: type[Options], inputs: Mapping[str, _Written], outputs: Mapping[str, _Written]
) -> Iterator[Finding]:
    """What decoders need against what encoders can give; silent where an encoder is chosen later from the data."""
    encoders = {name: column.part("encoder") for name, column in inputs.items()}
    if not encoders or any(e is None for e in encoders.values()):
        return
    given = frozenset().union(*(e.gives for e in encoders.values()))
    if len(encoders) == 1:
        at = Shape("options", root).child(values, "fusion")
        fusion = at.options(values.get("fusion", {})) if at else None
        given = given & getattr(fusion, "gives_with_one", given)
    for column in outputs.values():
        decoder = column.part("decoder")
        lacking = sorted((decoder.needs - given) if decoder else ())
        if lacking:
            names = ", ".join(f"{e.model_fields['type'].default} ({name})" for name, e in encoders.items())
            what = f"decoder {decoder.model_fields['type'].default!r} needs {' and '.join(lacking)}"
            yield Finding(("outputs", column.name), f"{what}, which no input gives: {names}", _givers(inputs, lacking))


def _givers(inputs: Mapping[str, _Written], lacking: Sequence[str]) -> str:
    """Encoders of these inputs that would give what is lacking."""
    for column in inputs.values():
        at = column.shape.child(column.value, "encoder")
        members = at.choice.members() if at and at.choice else {}
        able = [tag for tag, cls in members.items() if set(lacking) <= cls.gives]
        if able:
            return f"inputs.{column.name}.encoder: one of {', '.join(able)}"
    return ""


EXCLUSIVE = [(("data",), "path", "train"), (("train",), "epochs", "steps")]


def _exclusive(values: dict[str, Any]) -> Iterator[Finding]:
    for path, first, second in EXCLUSIVE:
        section = values.get(path[0])
        if isinstance(section, dict) and all(section.get(k) not in (None, "auto") for k in (first, second)):
            yield Finding((*path, second), f"{first!r} and {second!r} are both given", "keep one of them")
