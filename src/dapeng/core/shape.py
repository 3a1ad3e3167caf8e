"""What each place of a spec may hold, read off the annotations of the options classes.

The loader walks these shapes beside the values of a file: to expand shorthands before an override goes into them, to find
the place that pydantic's error locations mean (they have union tags between the keys), and to say in words what was expected.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dapeng.core.registry import Choice, Options, Shorthand

Path = tuple[str | int, ...]
Kind = Literal["choice", "options", "dict", "list", "union", "leaf"]


@dataclass(frozen=True)
class Shape:
    """One place of a spec.

    type: an options class, or the type of a plain value; a choice has its `choice` instead.
    item: annotation of what a mapping or a list holds. arms: members of a union of plain types.
    """

    kind: Kind
    type: Any = None
    item: Any = None
    arms: tuple[Shape, ...] = ()
    choice: Choice | None = None
    shorthand: Shorthand | None = None
    nullable: bool = False

    def expand(self, value: Any) -> Any:
        """The long form of a value that may be written short."""
        marker = self.choice or self.shorthand
        return marker.expand(value) if marker else value

    def options(self, value: Any) -> type[Options] | None:
        """The options class that says which keys `value` may have here; None if there is none."""
        if self.kind == "options":
            return self.type
        if self.choice is None:
            return None
        long = self.choice.expand(value)
        tag = long.get(self.choice.registry.tag) if isinstance(long, dict) else None
        return self.choice.members().get(tag) if isinstance(tag, str) else None

    def child(self, value: Any, key: str | int) -> Shape | None:
        """The shape under a key of `value`; None where such a key can't be."""
        if self.kind in ("dict", "list"):
            return shape(self.item)
        if self.kind == "union":
            container = next((a for a in self.arms if a.kind in ("dict", "list", "options", "choice")), None)
            return container.child(value, key) if container else None
        owner = self.options(value)
        found = owner.model_fields.get(str(key)) if owner else None
        return of_field(found) if found else None


def shape(annotation: Any, metadata: tuple[Any, ...] = ()) -> Shape:
    """The shape of an annotation."""
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = (*metadata, *more)
    choice = next((m for m in metadata if isinstance(m, Choice)), None)
    if choice:
        return Shape("choice", choice=choice, nullable=choice.auto)
    shorthand = next((m for m in metadata if isinstance(m, Shorthand)), None)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        arms = [a for a in get_args(annotation) if a is not type(None)]
        nullable = len(arms) < len(get_args(annotation))
        if len(arms) == 1:
            one = shape(arms[0])
            return Shape(one.kind, one.type, one.item, one.arms, one.choice, shorthand or one.shorthand, nullable)
        return Shape("union", annotation, arms=tuple(map(shape, arms)), nullable=nullable)
    if origin is dict:
        return Shape("dict", dict, get_args(annotation)[1])
    if origin in (list, tuple):
        return Shape("list", list, get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return Shape("options", annotation, shorthand=shorthand)
    return Shape("leaf", annotation)


def of_field(field: FieldInfo) -> Shape:
    return shape(field.annotation, tuple(field.metadata))


@dataclass(frozen=True)
class Place:
    """Where an error of pydantic is.

    path: keys alone, as in the file. shape: None for a key that nobody knows. owner: the class whose key is last.
    union: path of the union of plain types around it, whose other members have errors of their own.
    """

    path: Path
    shape: Shape | None
    owner: type[Options]
    owner_name: str
    union: Path | None = None
    around: Shape | None = None
    """The shape of that union."""
    single: Choice | None = None
    """The choice around the owner, where the registry has one fitting member: its location has no tag."""


def locate(root: type[Options], location: tuple[str | int, ...]) -> Place:
    """The place that a location of pydantic means: it has a tag after each choice, and a label after each union."""
    parts = list(location)
    path: Path = ()
    owner, name = root, "a spec"
    at: Shape | None = Shape("options", root)
    union, around, single = None, None, None
    while parts and at is not None and parts != ["[key]"]:
        if at.kind == "choice":
            single = at.choice if at.choice and len(at.choice.members()) == 1 else None
            at, name = _member(at, parts)
        elif at.kind == "union":
            union, around = path, at
            parts.pop(0)
            at = at if not parts else next((a for a in at.arms if a.kind != "leaf"), None)
        else:
            key = parts.pop(0)
            path = (*path, key)
            single = None if parts else single
            if at.kind == "options":
                owner = at.type
                found = owner.model_fields.get(str(key))
                name = _name(owner, name)
                at = of_field(found) if found else None
            else:
                at = shape(at.item)
    return Place((*path, *(p for p in parts if p != "[key]")), at, owner, name, union, around, single)


def _member(at: Shape, parts: list[str | int]) -> tuple[Shape | None, str]:
    assert at.choice is not None
    members = at.choice.members()
    tag = parts.pop(0) if len(members) > 1 else next(iter(members), "")
    cls = members.get(str(tag))
    return (Shape("options", cls) if cls else None), str(tag)


def _name(owner: type[Options], tag: str) -> str:
    """What to call a class in an error: its tag if it has one, else its section."""
    for key in ("type", "by"):
        if key in owner.model_fields and isinstance(owner.model_fields[key].default, str):
            return owner.model_fields[key].default
    return "a spec" if owner.__name__ == "Spec" else owner.__name__.lower()
