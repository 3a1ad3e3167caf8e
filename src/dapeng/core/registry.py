"""One registry per extension point: a new file in its package, or an entry point of the same name, is a new member.

A member is an `Options` class with a literal `type`; the class says what a spec may write about it, and builds it.
A field of a spec is annotated with a choice out of a registry:

    encoder: Annotated[EncoderOptions, encoders.choice("text", default="auto")]

and accepts `encoder: lstm`, `encoder: {type: lstm, hidden_size: 64}`, or an options object. The union is built from
what is registered at first validation, never at import.
"""

from __future__ import annotations

import importlib
import pkgutil
import types
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from dapeng.core.described import described

BOUNDS = (Ge, Gt, Le, Lt)

DEFAULT: Any = {}
"""Default of a field that is a choice: it is validated like any value, and the choice puts its default tag in."""


class _Readable(type(BaseModel)):
    """Building an options object by hand raises the same readable SpecError as a file does."""

    if not TYPE_CHECKING:  # editors keep the signature that pydantic gives to the class

        def __call__(cls, *args, **values):
            try:
                return super().__call__(*args, **values)
            except ValidationError as error:
                from dapeng.core.wording import spec_error

                raise spec_error(cls, error, values) from None


class Options(BaseModel, metaclass=_Readable):
    """Base of everything that a spec may say: strict, frozen, no unknown keys; docstrings of attributes are the help."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    @classmethod
    def said_of(cls, name: str) -> str:
        """The help of a field: its docstring, or what `Field(description=...)` says."""
        return cls.model_fields[name].description or described(cls).get(name, "")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """With the help of each field as its description."""
        made = handler(core_schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, field in cls.model_fields.items():
            said, key = cls.said_of(name), field.alias or name
            if said and key in properties:
                properties[key].setdefault("description", said)
        return made

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """`x: int | Literal["auto"] = Field("auto", ge=1)` bounds the number; pydantic would compare "auto" with 1."""
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields.values():
            bounds = [m for m in field.metadata if isinstance(m, BOUNDS)]
            arms = get_args(field.annotation) if get_origin(field.annotation) in (Union, types.UnionType) else ()
            if bounds and any(arm not in (int, float, type(None)) for arm in arms):
                bounded = [Annotated[(arm, *bounds)] if arm in (int, float) else arm for arm in arms]
                field.annotation = cast(Any, Union[tuple(bounded)])  # noqa: UP007 - made from a list
                field.metadata = [m for m in field.metadata if m not in bounds]


class Registry:
    """The members of one kind, by tag. Use as a decorator to register; `members()` loads all of them."""

    all: dict[str, Registry] = {}

    def __init__(self, package: str, what: str, tag: str = "type"):
        self.package, self.what, self.tag = package, what, tag
        self.group = "dapeng." + package.rpartition(".")[2]
        self._members: dict[str, type[Options]] = {}
        self._loaded = False
        Registry.all[what] = self

    def __call__(self, cls: type) -> type:
        """Register a class under the default of its tag field; a second class of the same tag is refused."""
        tag = cls.model_fields[self.tag].default
        old = self._members.get(tag)
        if old is not None and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{self.what} {tag!r} is defined twice: in {old.__module__} and in {cls.__module__}")
        self._members[tag] = cls
        return cls

    def members(self) -> dict[str, type[Any]]:
        """All members by tag, sorted: files of the package first, then entry points of the group of the same name."""
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self.package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self.package}.{module}")
            for entry in entry_points(group=self.group):
                member = entry.load()
                if isinstance(member, type) and member not in self._members.values():
                    self(member)
        return dict(sorted(self._members.items()))

    def fitting(self, column_type: str | None) -> dict[str, type[Any]]:
        """Members that fit a column type (their class variable `fits`), or all of them for None."""
        every = self.members()
        return (
            every if column_type is None else {t: m for t, m in every.items() if column_type in getattr(m, "fits", ())}
        )

    def choice(self, fits: str | None = None, default: str | None = None, auto: bool = False) -> Choice:
        """A field's annotation: one member, optionally only those that fit a column type, with a default tag.

        auto: `auto` may be written too, is the value None, and is chosen later from the data.
        """
        return Choice(self, fits, default, auto)


class Choice:
    """Pydantic marker: accepts any fitting member of a registry, as a tag, a mapping or an object."""

    def __init__(self, registry: Registry, fits: str | None, default: str | None, auto: bool):
        self.registry, self.fits, self.default, self.auto = registry, fits, default, auto

    def members(self) -> dict[str, type[Any]]:
        return self.registry.fitting(self.fits)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        members = tuple(self.members().values())
        if not members:
            raise TypeError(f"no {self.registry.what} is registered for {self.fits}")
        first, *others = members
        union = Annotated[Union[first, *others], Field(discriminator=self.registry.tag)] if others else first
        inner = handler.generate_schema(union)
        if self.auto:
            inner = core_schema.nullable_schema(inner)
        return core_schema.no_info_before_validator_function(self.expand, inner)

    def expand(self, value: Any) -> Any:
        """The long form of what was written: a tag becomes a mapping, a mapping without a tag gets the default's."""
        tag = self.registry.tag
        if self.auto and isinstance(value, str) and value == "auto":
            return None
        if isinstance(value, str):
            return {tag: value}
        if isinstance(value, dict) and tag not in value and self.default:
            return {tag: self.default, **value}
        return value

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        """The shorthand is part of the schema, or editors would underline it."""
        tag = self.registry.tag
        arms: list[dict[str, Any]] = [{"enum": sorted(self.members()) + (["auto"] if self.auto else [])}]
        for name, ref in _references(handler(schema), tag).items():
            # a member's tag has a default, so a mapping without one would fit every member
            arms.append(ref if name == self.default else {"allOf": [ref, {"required": [tag]}]})
        return {"anyOf": [*arms, {"type": "null"}] if self.auto else arms}


def _references(schema: dict[str, Any], tag: str) -> dict[str, dict[str, Any]]:
    """The members in the JSON schema of a choice, by tag."""
    for arm in schema.get("anyOf", [schema]):
        if "discriminator" in arm:
            return {name: {"$ref": ref} for name, ref in sorted(arm["discriminator"]["mapping"].items())}
    return {"": next(arm for arm in schema.get("anyOf", [schema]) if arm.get("type") != "null")}


class Shorthand:
    """Pydantic marker: a text (or a list) written where a mapping belongs is the value of one of its keys."""

    def __init__(self, key: str, lists: bool = False):
        self.key, self.lists = key, lists

    def expand(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, (str, list) if self.lists else str) else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        short: list[dict[str, Any]] = [{"type": "string"}]
        if self.lists:
            short.append({"type": "array", "items": {"type": "string"}})
        return {"anyOf": [*short, handler(schema)]}


class AutoIsNone:
    """Pydantic marker: `auto` may be written for None, chosen from the data."""

    def expand(self, value: Any) -> Any:
        return None if isinstance(value, str) and value == "auto" else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"const": "auto"}, handler(schema)]}
