"""YAML as version 1.2's core schema reads it, with the line of every value, and with limits that hold before memory is taken.

PyYAML alone reads version 1.1, where `no` is False, `3e-4` a string, `12:30:45` the number 45045 and `010` eight: labels
and learning rates both break. Here its parser only gives events; what a scalar means is decided by the table of
https://yaml.org/spec/1.2.2/#103-core-schema. Keys are always strings, as written: a column may be called 2020 or no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_ALIASES = 100
MAX_DEPTH = 32
MAX_DIGITS = 400

INT = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEX = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """The text can't be read any further. `line` counts from 1."""

    def __init__(self, line: int, what: str, hint: str = ""):
        self.line, self.what, self.hint = line, what, hint
        super().__init__(line, what, hint)


@dataclass
class Document:
    """A text that was read: its value, the line of each path, and what is wrong but did not stop the reading."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    flaws: list[YamlError] = field(default_factory=list)


def scalar(text: str) -> Any:
    """The value of a plain (unquoted) scalar."""
    if text in WORDS:
        return WORDS[text]
    if len(text) <= MAX_DIGITS:  # Python refuses longer integers with an error of its own
        if INT.fullmatch(text):
            return int(text)
        if OCTAL.fullmatch(text) or HEX.fullmatch(text):
            return int(text[2:], 8 if text[1] == "o" else 16)
        if FLOAT.fullmatch(text):
            return float(text)
    if INFINITE.fullmatch(text):
        return float("-inf" if text[0] == "-" else "inf")
    return text


def decode(data: bytes) -> str:
    """Bytes of a YAML file as text: UTF-8, or UTF-16 where a byte order mark says so."""
    if len(data) > MAX_BYTES:
        raise YamlError(1, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(line, f"not UTF-8 text (byte 0x{data[error.start]:02x})", "save the file as UTF-8") from None


def read(text: str) -> Document:
    """Read one document. Raises YamlError where the rest can't be understood, or where a limit is reached."""
    if len(text) > MAX_BYTES:
        raise YamlError(1, f"the text has {len(text):,} characters; at most {MAX_BYTES:,} are read")
    bad = CONTROL.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise YamlError(line, f"control character {bad.group()!r} is not allowed in YAML")
    document = Document(None)
    try:
        # without libyaml the wheel's pure Python parser gives the same events, slower
        events = yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader))
        root = _Composer(events, document).compose()
    except yaml.MarkedYAMLError as error:
        raise _plain_words(error, text) from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"not valid YAML: {error}") from None
    document.value = _value(root, (), document)
    return document


@dataclass
class _Node:
    line: int
    value: Any = None
    """A scalar's value, a list of nodes, or a dict of (line of the key, node) by key."""
    weight: int = 1
    """Nodes in it, aliases expanded."""
    height: int = 0
    """Levels below it, aliases expanded."""
    closed: bool = False


class _Composer:
    """Events to nodes, without recursion: a stack of open collections, so that depth is a limit and not a crash."""

    def __init__(self, events: Iterator[Any], document: Document):
        self.events, self.flaws = events, document.flaws
        self.open: list[_Node] = []
        self.keys: list[tuple[str, int] | None] = []  # the key that waits for its value, one for each open collection
        self.anchors: dict[str, _Node] = {}
        self.root: _Node | None = None
        self.aliases = self.nodes = self.documents = 0

    def compose(self) -> _Node:
        for event in self.events:
            self._event(event, event.start_mark.line + 1)
        if self.root is None:
            raise YamlError(1, "the file is empty", "a spec needs at least `outputs: {COLUMN: TYPE}`")
        return self.root

    def _event(self, event: Any, line: int) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError(line, "a second document starts here", "a spec is one document: remove the line `---`")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self.open.pop()
            self.keys.pop()
            node.closed = True
            self._place(node)
        elif isinstance(event, yaml.NodeEvent):
            self._node(event, line)

    def _node(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            short = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.flaws.append(
                YamlError(line, f"tag {short!r} is not allowed", "a spec holds plain values only, it never runs code")
            )
        self._count(1, line)
        node = _Node(line)
        if event.anchor:
            self.anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and not event.style and event.tag is None
            node.value, node.closed = (scalar(event.value) if plain else event.value), True
            self._place(node, written=event.value)
            return
        if len(self.open) >= MAX_DEPTH:
            raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels")
        if self._waits_for_key():
            raise YamlError(line, "a mapping or a list can't be a key", "quote the key if it has brackets in its name")
        node.value = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.open.append(node)
        self.keys.append(None)

    def _alias(self, name: str, line: int) -> None:
        self.aliases += 1
        target = self.anchors.get(name)
        if target is None:
            raise YamlError(line, f"alias '*{name}' has no anchor '&{name}' before it", "quote texts that start with *")
        if not target.closed:
            raise YamlError(line, f"alias '*{name}' is inside of its own anchor")
        if self.aliases > MAX_ALIASES:
            raise YamlError(line, f"more than {MAX_ALIASES} aliases")
        if len(self.open) + target.height > MAX_DEPTH:
            raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels, aliases expanded")
        self._count(target.weight, line)
        self._place(_Node(line, target.value, target.weight, target.height, True), written=str(target.value))

    def _count(self, weight: int, line: int) -> None:
        self.nodes += weight
        if self.nodes > MAX_NODES:
            raise YamlError(line, f"more than {MAX_NODES:,} values, aliases expanded")

    def _waits_for_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].value, dict) and self.keys[-1] is None

    def _place(self, node: _Node, written: str = "") -> None:
        """Put a finished node where it belongs: root, element, key or value."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if self._waits_for_key():
            self.keys[-1] = (written, node.line)
            return
        parent.weight += node.weight
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent.value, list):
            parent.value.append(node)
            return
        key, line = self.keys[-1] or ("", node.line)
        self.keys[-1] = None
        if key in parent.value:
            first = parent.value[key][0]
            self.flaws.append(YamlError(line, f"key {key!r} appears twice", f"it is also on line {first}"))
        else:
            parent.value[key] = (line, node)


def _value(node: _Node, path: Path, document: Document) -> Any:
    """Plain values of a node; fresh ones each time, so that aliases do not share what an override changes."""
    document.lines.setdefault(path, node.line)
    if isinstance(node.value, dict):
        out = {}
        for key, (line, child) in node.value.items():
            document.lines[(*path, key)] = line
            out[key] = _value(child, (*path, key), document)
        return out
    if isinstance(node.value, list):
        return [_value(child, (*path, i), document) for i, child in enumerate(node.value)]
    return node.value


def _plain_words(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = error.context_mark if error.context and "quoted scalar" in error.context else error.problem_mark
    line = min(mark.line if mark else 0, max(text.count("\n") - text.endswith("\n"), 0)) + 1
    source = (text.splitlines() or [""])[min(line, len(text.splitlines())) - 1]
    problem = error.problem or "not understood"
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return YamlError(line, "a tab indents this line", "YAML indents with spaces")
    if "quoted scalar" in (error.context or ""):
        return YamlError(line, "the quote that opens on this line is not closed")
    if "mapping values are not allowed" in problem:
        return YamlError(line, "not valid YAML: a second ': ' on this line", "put quotes around texts with a colon")
    return YamlError(line, f"not valid YAML: {problem}")


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either version of YAML would read as something else than a string."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern in (("int", OCTAL), ("int", HEX), ("int", INT), ("float", FLOAT), ("float", INFINITE)):
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})$"), list("-+.0123456789")
    )


def dump(value: Any) -> str:
    """Plain values as YAML text that `read` gives back, in the order of the mapping, in any script."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
