"""Registered things and keys of the spec in words, read off their classes: nothing is written twice."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dapeng.cli.main import VERBS
from dapeng.core import kinds
from dapeng.core.console import table
from dapeng.core.errors import SpecError
from dapeng.core.registry import AutoIsNone, Choice, Options, Registry
from dapeng.core.shape import of_field
from dapeng.core.spec import Spec
from dapeng.core.wording import BOUNDS, expected, nearest, number
from dapeng.core.yaml12 import dump

WIDTH = 100
PAPER = re.compile(r"arxiv|doi\.org|https?://|\(\d{4}\)|et al\.", re.IGNORECASE)

EXAMPLES = {
    "columns": "inputs:\n  NAME: {0}",
    "encoders": "inputs:\n  NAME: {{type: {1}, encoder: {0}}}",
    "fusions": "fusion: {0}",
    "decoders": "outputs:\n  NAME: {{type: {1}, decoder: {0}}}",
    "losses": "outputs:\n  NAME: {{type: {1}, loss: {0}}}",
    "objectives": "train:\n  phases:\n    - {{objective: {0}}}",
    "optimisers": "train: {{optimiser: {0}}}",
    "schedules": "train: {{schedule: {0}}}",
    "learners": "learners:\n  NAME: {0}",
    "samples": "data: sample:{2}",
    "splits": "data: {{path: FILE, split: {0}}}",
    "sources": "data: {{path: FILE, format: {2}}}",
    "exporters": "dapeng export RUN --format {2}",
}
"""How each kind is written; {0} is the thing with its first field, {1} a column type that it fits, {2} its name alone."""


def registries() -> dict[str, Registry]:
    """The registries by the name that `help` takes."""
    return {name: value for name, value in vars(kinds).items() if isinstance(value, Registry)}


def kinds_text() -> str:
    rows = []
    for name, registry in registries().items():
        members = registry.members()
        rows.append([f"  {name}", f"{registry.what}:", _short(", ".join(members) or "none", WIDTH - 34)])
    lines = ["`dapeng help NAME` explains any of these, `dapeng help encoders` lists a kind.", "", table(rows)]
    sections = ", ".join(Spec.model_fields)
    return "\n".join([*lines, "", f"Keys of a spec: {sections}.", "`dapeng help train` explains one."])


def find(name: str) -> list[str]:
    """The texts of everything of that name: kinds, members, keys of the spec."""
    found = [kind_text(key, registry) for key, registry in registries().items() if name in (key, registry.what)]
    for key, registry in registries().items():
        cls = registry.members().get(name)
        if cls is not None:
            found.append(member_text(key, registry, name, cls))
    return found + _spec_texts(name)


def not_found(name: str) -> SpecError:
    known = [*registries(), *Spec.model_fields, *(m for r in registries().values() for m in r.members())]
    near = nearest(name, known)
    if any(name in verbs for verbs in VERBS.values()):
        return SpecError(f"{name!r} is a verb", hint=f"dapeng {name} --help")
    return SpecError(
        f"nothing is called {name!r}", hint=f"did you mean {near!r}?" if near else "`dapeng help` lists everything"
    )


def kind_text(key: str, registry: Registry) -> str:
    """The members of a kind, one line each."""
    rows = [[f"  {tag}", _short(_first_line(cls), WIDTH - 24)] for tag, cls in registry.members().items()]
    return f"{key}: every {registry.what}\n\n" + (table(rows) if rows else "  none")


def member_text(key: str, registry: Registry, tag: str, cls: type[Options]) -> str:
    """One member: what it is, its fields, an example, its paper."""
    fits = getattr(cls, "fits", ())
    about, example, papers = _parts_of_docstring(cls)
    parts = [f"{tag}: {registry.what}" + (f" for {', '.join(fits)}" if fits else ""), _wrapped(about)]
    fields = fields_text(cls, registry.tag)
    if fields:
        parts.append("fields\n\n" + fields)
    example = example or _example(key, registry, tag, cls, fits)
    if example:
        parts.append("example\n\n" + textwrap.indent(example, "  "))
    if papers:
        parts.append("source\n\n" + textwrap.indent("\n".join(papers), "  "))
    return "\n\n".join(parts)


def fields_text(cls: type[Options], tag: str = "") -> str:
    """The fields of a class: name, what it takes, default, help."""
    blocks = []
    for name, field in cls.model_fields.items():
        if name != tag:
            head = f"  {name}: {_takes(field)}" + _default(field)
            said = cls.said_of(name)
            blocks.append(head + ("\n" + _wrapped(said, "      ") if said else ""))
    return "\n".join(blocks)


def _takes(field: FieldInfo) -> str:
    at = of_field(field)
    if at.choice is not None:
        return "one of " + ", ".join(at.choice.members()) + (", auto" if at.choice.auto else "")
    return expected(at) + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    """Bounds of a number, wherever in the annotation they stand."""
    found: list[str] = []
    metadata = [*field.metadata]
    for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
        for m in getattr(part, "__metadata__", ()):
            metadata += getattr(m, "metadata", [m])
    for m in metadata:
        for key, word in BOUNDS.values():
            if hasattr(m, key):
                found.append(f"{word.replace('of ', '')} {number(getattr(m, key))}")
    return f" ({', '.join(found)})" if found else ""


def _default(field: FieldInfo) -> str:
    choice = next((m for m in field.metadata if isinstance(m, Choice)), None)
    if choice is not None and choice.default:
        return f" = {choice.default}"
    default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if default is PydanticUndefined:
        return ", required"
    if isinstance(default, Options) or default == {}:
        return ""
    automatic = any(isinstance(m, (AutoIsNone, Choice)) for m in field.metadata)
    return " = " + ("auto" if default is None and automatic else _plain(default))


def _plain(value: Any) -> str:
    return (
        "[" + ", ".join(map(_plain, value)) + "]"
        if isinstance(value, list)
        else dump(value).removesuffix("...\n").strip()
    )


def _example(key: str, registry: Registry, tag: str, cls: type[Options], fits: tuple[str, ...]) -> str:
    template = EXAMPLES.get(key)
    if template is None:
        return ""
    written = tag
    for name, field in cls.model_fields.items():
        if name != registry.tag and isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            written = f"{{{registry.tag}: {tag}, {name}: {_plain(field.default)}}}"
            break
    return template.format(written, fits[0] if fits else "TYPE", tag)


def _parts_of_docstring(cls: type) -> tuple[str, str, list[str]]:
    """A class' first words without the lines `Example: ...` and `Paper: ...`, the example, and the papers.

    Where the class names no paper, the lines of its file's first words that do are taken.
    """
    about, example, papers = [], "", []
    for line in (inspect.getdoc(cls) or "").splitlines():
        head, _, rest = line.strip().partition(": ")
        if head == "Example" and rest:
            example = rest.strip("`")
        elif head == "Paper" and rest:
            papers.append(rest)
        else:
            about.append(line)
    if not papers:
        of_file = sys.modules[cls.__module__].__doc__ or ""
        papers = [line.strip() for line in of_file.splitlines() if PAPER.search(line)]
    return "\n".join(about).strip(), example, papers


def _spec_texts(name: str) -> list[str]:
    """A section or a key of the spec by its dotted path; a bare key is looked for in the sections too."""
    found = []
    for path, field, said in _keys(Spec, ()):
        if name == ".".join(path) or (name == path[-1] and len(path) > 1 and name not in Spec.model_fields):
            at = of_field(field)
            parts = [f"{'.'.join(path)}: {_takes(field)}{_default(field)}", _wrapped(said)]
            if at.kind == "options":
                parts += [_wrapped(inspect.getdoc(at.type) or ""), "keys\n\n" + fields_text(at.type)]
            found.append("\n\n".join(p for p in parts if p))
    return found


def _keys(cls: type[Options], path: tuple[str, ...]):
    for name, field in cls.model_fields.items():
        yield (*path, name), field, cls.said_of(name)
        at = of_field(field)
        if at.kind == "options":
            yield from _keys(at.type, (*path, name))


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _wrapped(text: str, indent: str = "") -> str:
    """Paragraphs at a width for reading; indented ones (examples) as they are."""
    out = []
    for paragraph in re.split(r"\n\s*\n", text):
        keep = paragraph.startswith((" ", "\t")) or "\n  " in paragraph
        lines = paragraph if keep else textwrap.fill(" ".join(paragraph.split()), WIDTH - len(indent))
        out.append(textwrap.indent(lines, indent))
    return "\n\n".join(out)
