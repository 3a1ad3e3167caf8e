"""Pydantic's errors in this project's words: where, what was expected, what was found, what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from dapeng.core.errors import Problem, SpecError
from dapeng.core.registry import Choice, Options
from dapeng.core.shape import Path, Place, Shape, locate, of_field

LONGEST_SHOWN = 40
BOUNDS: dict[str, tuple[str, str]] = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
LEAVES: dict[type, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with values, by path; the loader knows the file and the line of a path.

    line_of: a path that is nearer to the mistake than `path`, which names the thing; it may not exist.
    """

    path: Path
    what: str
    hint: str = ""
    line_of: Path | None = None

    def problem(self, where: str = "") -> Problem:
        return Problem(where, f"{dotted(self.path)}: {self.what}" if self.path else self.what, self.hint)


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def spec_error(root: type[Options], error: ValidationError, values: Any) -> SpecError:
    """The readable error of an options object that was built in Python."""
    found = findings(root, error, values)
    many = "problem" if len(found) == 1 else "problems"
    return SpecError([f.problem() for f in found], f"{len(found)} {many} in {root.__name__}")


def findings(root: type[Options], error: ValidationError, values: Any) -> list[Finding]:
    """All that an error of pydantic says, one finding for each place."""
    located = [(locate(root, tuple(e["loc"])), e) for e in error.errors(include_url=False)]
    unions: dict[Path, list[tuple[Place, Any]]] = {}
    out: list[Finding] = []
    for place, e in located:
        if place.union is not None:
            unions.setdefault(place.union, []).append((place, e))
        else:
            out.extend(_findings(place, e))
    for path, group in unions.items():
        out.extend(_of_union(path, group, _at(values, path)))
    named = {f.path for f in out}
    out.extend(f for f in _rules(root, error, values) if f.path not in named)
    return list(dict.fromkeys(out))


def _rules(root: type[Options], error: ValidationError, values: Any) -> Iterable[Finding]:
    """Rules across keys that pydantic did not come to, because single values were wrong."""
    rules: Callable[[Any], list[Finding]] | None = getattr(root, "written_rules", None)
    ran = any(e["type"] == "rules" for e in error.errors(include_url=False, include_input=False))
    return [] if rules is None or ran else rules(values)


def _at(values: Any, path: Path) -> Any:
    for key in path:
        if isinstance(values, dict):
            values = values.get(key)
        elif isinstance(values, (list, tuple)) and isinstance(key, int):
            values = values[key]
        else:
            return None
    return values


def _of_union(path: Path, group: list[tuple[Place, Any]], value: Any) -> list[Finding]:
    """One finding for a value that no member of a union takes: the nearest member's if it was near, else all named."""
    for place, e in group:
        if e["type"] in BOUNDS or e["type"] == "finite_number":
            return _findings(place, e)
    if isinstance(value, (list, tuple, dict)):
        inside = [f for place, e in group if len(place.path) > len(path) for f in _findings(place, e)]
        if inside:
            return inside
    around = group[0][0].around
    assert around is not None
    return [_expected(path, around, value)]


def _findings(place: Place, e: Any) -> list[Finding]:
    kind, context, value = e["type"], e.get("ctx", {}), e.get("input")
    if kind == "rules":
        return list(context["findings"])
    if kind == "extra_forbidden":
        return [_unknown_key(place)]
    if kind == "missing":
        return [Finding(place.path, "this key is required", _how_to_fill(place.shape))]
    if kind in ("union_tag_invalid", "literal_error", "union_tag_not_found"):
        tag_of = _choice_of_tag(place)
        if tag_of:
            tag = value.get(tag_of[1].registry.tag) if isinstance(value, dict) else value
            tag = getattr(value, tag_of[1].registry.tag, tag)
            return [_tag(*tag_of, tag)]
    if kind in BOUNDS:
        key, word = BOUNDS[kind]
        noun = "a whole number" if isinstance(value, int) and _takes_only_whole(place.shape) else "a number"
        return [Finding(place.path, f"expected {noun} {word} {number(context[key])}, found {shown(value)}")]
    if kind == "finite_number":
        return [Finding(place.path, f"expected a finite number, found {shown(value)}")]
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return [_length(place, kind, context, value)]
    if kind in ("value_error", "assertion_error"):
        return [Finding(place.path, str(context.get("error", e["msg"])))]
    if e["loc"] and e["loc"][-1] == "[key]":
        return [Finding(place.path, f"expected a name in quotes as key, found {shown(value)}")]
    return [_expected(place.path, place.shape, value)]


def _unknown_key(place: Place) -> Finding:
    known = list(place.owner.model_fields)
    key = str(place.path[-1])
    near = nearest(key, known)
    if near:
        hint = f"did you mean {near!r}?"
    else:
        sections = {s: of_field(f) for s, f in place.owner.model_fields.items()}
        under = [s for s, x in sections.items() if x.kind == "options" and key in x.type.model_fields]
        hint = f"did you mean '{under[0]}.{key}'?" if under else "one of " + ", ".join(known)
    return Finding(place.path, f"unknown key for {place.owner_name}", hint)


def _choice_of_tag(place: Place) -> tuple[Path, Choice] | None:
    """The choice whose tag is wrong. A choice with one member has its error at the tag, others at themselves."""
    if place.shape is not None and place.shape.choice is not None:
        return place.path, place.shape.choice
    if place.path and place.single is not None and place.path[-1] == place.single.registry.tag:
        return place.path[:-1], place.single
    return None


def _tag(path: Path, choice: Choice, tag: Any) -> Finding:
    members, registry = list(choice.members()), choice.registry
    every = ("one of " if len(members) > 1 else "use ") + ", ".join(members)
    line_of = (*path, registry.tag)
    if tag is None:
        return Finding(path, f"no {registry.tag!r} is given", every)
    if isinstance(tag, str) and tag in registry.members():
        return Finding(path, f"{tag!r} does not fit {_article(str(choice.fits))}", every, line_of)
    near = nearest(str(tag), members)
    hint = f"did you mean {near!r}?" if near else every
    kind = "type" if registry.tag == "type" else registry.what
    return Finding(path, f"unknown {kind} {tag!r}", hint, line_of)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _length(place: Place, kind: str, context: dict[str, Any], value: Any) -> Finding:
    short = kind.endswith("short")
    number = context["min_length" if short else "max_length"]
    unit = "character" if kind.startswith("string") else "item"
    bound = f"at {'least' if short else 'most'} {number} {unit}{'' if number == 1 else 's'}"
    return Finding(place.path, f"expected {bound}, found {len(value)}", _how_to_fill(place.shape) if short else "")


def _how_to_fill(at: Shape | None) -> str:
    if at is not None and at.kind == "dict":
        inner = at.child({}, "x")
        if inner is not None and inner.choice is not None:
            return "write `NAME: " + "` or `NAME: ".join(list(inner.choice.members())[:2]) + "`, one line each"
    return ""


def _expected(path: Path, at: Shape | None, value: Any) -> Finding:
    if at is None:
        return Finding(path, f"{shown(value)} does not belong here")
    hint = _how_to_fill(at)
    if isinstance(value, str) and at.kind in ("leaf", "union"):
        words = [w for a in (at.arms or (at,)) if get_origin(a.type) is Literal for w in map(str, get_args(a.type))]
        near = nearest(value, words)
        hint = f"did you mean {near!r}?" if near else ""
    if at.choice is not None:
        hint = "one of " + ", ".join(at.choice.members())
    return Finding(path, f"expected {expected(at)}, found {shown(value)}", hint)


def expected(at: Shape) -> str:
    """What a place takes, in words."""
    if at.choice is not None:
        words = [f"the name of {_article(at.choice.registry.what)}" + (", auto" if at.choice.auto else ""), "a mapping"]
    elif at.kind == "union":
        arms = [a for a in at.arms if not (a.type is int and any(b.type is float for b in at.arms))]
        words = [expected(a) for a in arms]
    elif at.kind == "list":
        words = ["a list"]
    elif at.kind in ("dict", "options"):
        words = ["a text", "a mapping"] if at.shorthand else ["a mapping"]
    elif get_origin(at.type) is Literal:
        values = [str(v) for v in get_args(at.type)]
        words = [values[0] if len(values) == 1 else "one of " + ", ".join(values)]
    else:
        words = [LEAVES.get(at.type, str(at.type))]
    if at.nullable and at.choice is None:
        words.append("null")
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def shown(value: Any) -> str:
    """A found value, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 1] + "…")
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return number(value) if isinstance(value, (int, float)) else f"an object of class {type(value).__name__}"


def number(value: float) -> str:
    """A number as people write it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else text[:20] + "…"


def _takes_only_whole(at: Shape | None) -> bool:
    arms = (at.arms or (at,)) if at else ()
    return any(a.type is int for a in arms) and not any(a.type is float for a in arms)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant, by spelling or by initials (lr for learning_rate)."""
    names = list(known)
    close = difflib.get_close_matches(word.lower(), names, 1, 0.6)
    if close:
        return close[0]
    initials = [n for n in names if "_" in n and "".join(p[0] for p in n.split("_") if p) == word.lower()]
    return initials[0] if len(initials) == 1 else None
