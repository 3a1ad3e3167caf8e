"""A spec from a file, a text or a mapping, with what it extends and what was typed: every problem at once, with its place.

loaded = load_spec("reviews.yaml", ["train.epochs=3", "inputs.review.encoder=lstm"])
loaded.spec.train.epochs                      # 3
loaded.origins["train", "epochs"]             # 'typed: train.epochs=3'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError

from dapeng.core import yaml12
from dapeng.core.errors import Problem, SpecError
from dapeng.core.registry import Options
from dapeng.core.secrets import redacted
from dapeng.core.shape import Path, Shape
from dapeng.core.spec import Spec
from dapeng.core.wording import Finding, dotted, findings, nearest, shown

MAX_EXTENDS = 10


@dataclass(frozen=True)
class Mark:
    """Where a value was written: a line of a file, or what was typed. `order` sorts problems: files, then overrides."""

    name: str
    line: int
    order: int

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else f"typed: {self.name}"

    @property
    def where(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


@dataclass(frozen=True)
class Loaded:
    """A valid spec and how it came about.

    raw: plain values after `extends` and overrides, short forms as they were written.
    origins: for each path of `raw`, "reviews.yaml:4", "base.yaml:2" or "typed: train.epochs=3"; what is absent is a default.
    folder: of the file, None for a text or a mapping. name: of the file, for messages.
    """

    spec: Spec
    raw: dict[str, Any]
    origins: dict[Path, str]
    name: str
    folder: File | None = None


@dataclass
class Source:
    """Values on the way to a spec: where each came from, and what is wrong so far."""

    value: Any
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[tuple[Mark, Problem]] = field(default_factory=list)

    def put(self, path: Path, value: Any, marks: dict[Path, Mark]) -> None:
        """Forget the marks below a path and take these, which start at it."""
        for old in [p for p in self.marks if p[: len(path)] == path]:
            del self.marks[old]
        self.marks.update(marks)
        parent = self.value
        for key in path[:-1]:
            parent = parent[key]
        if path:
            parent[path[-1]] = value
        else:
            self.value = value

    def lengthen(self, path: Path, value: Any, at: Shape | None, mark: Mark) -> Any:
        """Write the long form of a value in its place, and return it; the marks that are there stay."""
        long = at.expand(value) if at else value
        if long is value or not isinstance(long, dict):
            return value
        below = {p: m for p, m in self.marks.items() if p[: len(path)] == path}
        here = below.get(path, mark)
        self.put(path, long, {path: here, **{(*path, k): here for k in long}, **below})
        return long

    def nearest(self, path: Path) -> Mark | None:
        """The mark of a path, or of what it is in."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path)


def load_spec(source: str | File | dict[str, Any], overrides: Sequence[str] = (), name: str | None = None) -> Loaded:
    """Read and validate a spec.

    Args:
        source: a file, a YAML text (a string of several lines, or with `key: value`), or plain values.
        overrides: `key.path=value` as typed, applied in order before validation.
        name: what to call the source in messages; the file's name, or "spec", if not given.

    Raises:
        SpecError: with all problems, in the order of the file.
    """
    loaded, name, folder = read(source, Spec, name)
    spec = validate(loaded, Spec, overrides, name)
    origins = {path: str(mark) for path, mark in loaded.marks.items() if path}
    return Loaded(spec, loaded.value, origins, name, folder)


def read(
    source: str | File | dict[str, Any], root: type[Options], name: str | None = None
) -> tuple[Source, str, File | None]:
    """Values, name and folder of a spec's source, with what it extends merged in."""
    if isinstance(source, dict):
        return Source(_copied(source)), name or "spec", None
    if isinstance(source, str) and _is_text(source):
        return _extended(_parsed(source, name or "spec", 0), root, None, name or "spec", []), name or "spec", None
    file = File(source)
    shown_name = name or str(source)
    return _from_file(file, root, shown_name, []), shown_name, file.parent


def validate(source: Source, root: type[Any], overrides: Sequence[str], name: str) -> Any:
    """The options object of these values after overrides; SpecError with all that is wrong."""
    if not isinstance(source.value, dict):
        mark = source.marks.get((), Mark(name, 1, 0))
        what = f"expected a mapping of `key: value`, found {shown(source.value)}"
        raise _error([(mark, Problem(mark.where, what))], name)
    for number, text in enumerate(overrides):
        _override(source, Shape("options", root), text, number)
    problems = list(source.problems)
    try:
        made = root.model_validate(source.value)
    except ValidationError as error:
        problems += [_placed(f, source, name) for f in findings(root, error, source.value)]
        made = None
    if problems:
        raise _error(problems, name)
    return made


def _is_text(source: str) -> bool:
    return "\n" in source or ": " in source or source.lstrip().startswith("{")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _error(problems: list[tuple[Mark, Problem]], name: str) -> SpecError:
    unique = dict.fromkeys(p for _, p in sorted(problems, key=lambda item: (item[0].order, item[0].line)))
    return SpecError(list(unique), f"{len(unique)} problem{'' if len(unique) == 1 else 's'} in {name}")


def _placed(finding: Finding, source: Source, name: str) -> tuple[Mark, Problem]:
    """A finding with the line of its path; an override is reported as what was typed, and needs no path of its own."""
    mark = source.nearest(finding.line_of or finding.path)
    if mark is None:
        return Mark(name, 0, 0), finding.problem(name if source.marks else "")
    if not mark.line and mark.name.partition("=")[0] == dotted(finding.path):
        return mark, Problem(mark.where, finding.what, finding.hint)
    return mark, finding.problem(mark.where)


# ---- files and what they extend


def _from_file(file: File, root: type[Options], name: str, chain: list[File]) -> Source:
    order = len(chain)
    try:
        data = _bytes(file, name)
        text = yaml12.decode(data)
    except yaml12.YamlError as error:
        raise SpecError(Problem(f"{name}:{error.line}", error.what, error.hint)) from None
    return _extended(_parsed(text, name, order), root, file, name, [*chain, file.resolve()])


def _bytes(file: File, name: str) -> bytes:
    try:
        if file.is_dir():
            raise SpecError(f"{name} is a folder, not a spec")
        with file.open("rb") as stream:
            return stream.read(yaml12.MAX_BYTES + 1)
    except FileNotFoundError:
        folder = file.parent
        near = nearest(file.name, [f.name for f in folder.glob("*.y*ml")]) if folder.is_dir() else None
        hint = f"did you mean {str(folder / near)!r}?" if near else ""
        raise SpecError(f"there is no file {name!r}", hint=hint) from None
    except OSError as error:
        raise SpecError(f"can't read {name}: {error.strerror}") from None


def _parsed(text: str, name: str, order: int) -> Source:
    try:
        document = yaml12.read(text)
    except yaml12.YamlError as error:
        raise SpecError(Problem(f"{name}:{error.line}", error.what, error.hint)) from None
    marks = {path: Mark(name, line, order) for path, line in document.lines.items()}
    problems = [
        (Mark(name, flaw.line, order), Problem(f"{name}:{flaw.line}", flaw.what, flaw.hint)) for flaw in document.flaws
    ]
    return Source(document.value, marks, problems)


def _extended(source: Source, root: type[Options], file: File | None, name: str, chain: list[File]) -> Source:
    """The source with the file of its `extends` key below it."""
    if not isinstance(source.value, dict) or "extends" not in source.value:
        return source
    mark = source.marks["extends",]
    wanted = source.value.pop("extends")
    del source.marks["extends",]
    if not isinstance(wanted, str) or not wanted or "://" in wanted:
        what = f"extends: expected the name of a local file, found {shown(wanted)}"
        raise SpecError(Problem(mark.where, what))
    base_file = (file.parent if file else File()) / wanted
    if base_file.resolve() in chain:
        raise SpecError(Problem(mark.where, f"extends: {wanted!r} extends this file in turn"))
    if len(chain) >= MAX_EXTENDS:
        raise SpecError(Problem(mark.where, f"extends: more than {MAX_EXTENDS} files in a row"))
    if not base_file.is_file():
        raise SpecError(
            Problem(mark.where, f"extends: there is no file {wanted!r}", "it is looked for beside this file")
        )
    shown_base = str(File(name).parent / wanted) if file else wanted
    base = _from_file(base_file, root, shown_base, chain)
    if not isinstance(base.value, dict):
        return source
    _merge(base, (), source.value, source.marks, Shape("options", root))
    base.problems = [*source.problems, *base.problems]
    return base


def _merge(base: Source, path: Path, over: Any, marks: dict[Path, Mark], at: Shape | None) -> None:
    """Lay `over` upon what `base` has at a path: mappings are merged, everything else is replaced."""
    below = base.value
    for key in path:
        below = below[key]
    long = at.expand(below) if at else below
    if not (isinstance(long, dict) and isinstance(over, dict)) or _other_kind(long, over, at):
        base.put(path, over, {p: m for p, m in marks.items() if p[: len(path)] == path})
        return
    below = base.lengthen(path, below, at, marks[path])
    if path:
        base.marks[path] = marks[path]
    for key, value in over.items():
        if key in below:
            _merge(base, (*path, key), value, marks, at.child(below, key) if at else None)
        else:
            here = (*path, key)
            base.put(here, value, {p: m for p, m in marks.items() if p[: len(here)] == here})


def _other_kind(below: dict[str, Any], over: dict[str, Any], at: Shape | None) -> bool:
    """True if both name their kind and the kinds differ: the keys of a transformer mean nothing to an lstm."""
    if at is None or at.choice is None:
        return False
    tag = at.choice.registry.tag
    return tag in over and over[tag] != below.get(tag)


# ---- overrides


def _override(source: Source, root: Shape, text: str, number: int) -> None:
    """Apply one `key.path=value`. A part of the path goes into a shorthand by making it long."""
    key, equals, written = text.partition("=")
    mark = Mark(redacted(text), 0, 1000 + number)
    if not equals or not key.strip():
        problem = Problem(text, "expected key.path=value", "for example train.epochs=3")
        source.problems.append((mark, problem))
        return
    try:
        document = yaml12.read(written) if written.strip() else yaml12.Document(None)
    except yaml12.YamlError as error:
        source.problems.append((mark, Problem(text, error.what, error.hint or "put quotes around the value")))
        return
    source.problems += [(mark, Problem(text, flaw.what, flaw.hint)) for flaw in document.flaws]
    path = _walk(source, root, key.strip(), mark)
    if path is None:
        problem = Problem(text, f"nothing can be set at {key.strip()!r}", "see `dapeng show SPEC` for every key")
        source.problems.append((mark, problem))
        return
    marks = {(*path, *inner): mark for inner in document.lines} or {path: mark}
    source.put(path, document.value, marks)


def _walk(source: Source, at: Shape | None, dotted_key: str, mark: Mark) -> Path | None:
    """The path that a dotted key means; makes the mappings on the way. None if a plain value is in the way."""
    value: Any = source.value
    path: Path = ()
    rest = dotted_key
    while True:
        value = source.lengthen(path, value, at, mark)
        if value is None:
            value = {}
            source.put(path, value, {path: mark})
        key, rest = _first(value, rest)
        if key is None:
            return None
        path = (*path, key)
        if not rest:
            return path
        at = at.child(value, key) if at else None
        if isinstance(value, dict) and key not in value:
            source.put(path, {}, {path: mark})
        value = value[key]


def _first(value: Any, rest: str) -> tuple[str | int | None, str]:
    """The next key of a dotted path and what follows: the longest that exists, for names with dots; else up to a dot."""
    parts = rest.split(".")
    if isinstance(value, list):
        index = int(parts[0]) if parts[0].isdecimal() else len(value)
        return (index if index < len(value) else None), ".".join(parts[1:])
    if not isinstance(value, dict):
        return None, ""
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in value:
            return key, ".".join(parts[length:])
    return parts[0], ".".join(parts[1:])
