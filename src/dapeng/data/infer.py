"""Guessing what each column holds, from the first rows and some spread over the rest.

Each guess has its reason, which is printed and written beside it. A column type may guess for itself: an options class
with a classmethod `guess(cells, as_target) -> (score, reason)` takes part in the contest, and the highest score wins.
With a classmethod `guess_beside(cells, pictures, base) -> (score, reason)` it may say that cells which look like pictures
are its own, seen beside the pictures of the same rows.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dapeng.columns.number import parse
from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import columns as column_types
from dapeng.data.facts import CODE, Facts
from dapeng.data.group_ids import group_of
from dapeng.data.table import Cells, Concat, Frame, Head, Source, joined

SAID = "as you said"
ROWS = 10_000
"""Rows from the start that are looked at."""
MORE = 2_000
"""Rows spread over the rest, where that costs no full pass."""
NUMERIC = 0.95
"""Share of the present cells that must be numbers."""
PICTURE = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?|p[gpn]m|avif)$", re.IGNORECASE)
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P5", b"P6")
SURE = 0.9
"""Score from which on a column type's own guess beats signs of an id."""
ID_NAME = re.compile(
    r"(^|[_\s-])(id|uuid|guid|key|index|nr|编号|序号)$|^(id|uuid|guid|key|index|row)([_\s-]|$)|[a-z]I[Dd]$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Guess:
    """What a column seems to be.

    options: as in a spec, {"type": "number"}; empty for a column that is only in a role. role: None for a column to read
    or to predict, else "id", "group", "ignore", ... reason: for the user. target: True if it was named as one. answer: True
    if it can be nothing but what is predicted.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    role: str | None = None
    reason: str = ""
    target: bool = False
    answer: bool = False


def infer(source: Source, targets: list[str] | None = None, roles: dict[str, str] | None = None) -> list[Guess]:
    """A guess for each column, in the order of the source. Raises DataError for a name that isn't there."""
    targets, roles = targets or [], roles or {}
    _know(source, [*targets, *roles])
    table = look(source)
    guesses = []
    for name in source.names:
        if name in roles:
            guesses.append(Guess(name, {}, roles[name], SAID))
        else:
            guesses.append(
                guess(name, table.column(name), name in targets, source.decimal, "group" not in roles.values())
            )
    return _one_group(_seen_beside(guesses, table, source.base), table)


def answers(source: Source, guesses: list[Guess]) -> list[str]:
    """Columns that can be nothing but what is predicted, as far as can be seen: boxes, outlines, label pictures."""
    found = [g.name for g in guesses if g.answer]
    pictures = [g for g in guesses if g.options.get("type") == "image"]
    if len(pictures) > 1:
        table = look(source)
        found += [g.name for g in pictures if _beside(g, guesses, table, source.base) is not g]
    return found


def _seen_beside(guesses: list[Guess], table: pa.Table, base: Path | None) -> list[Guess]:
    """Targets that look like pictures as what they are beside the pictures; where one is an answer, others like it aren't read."""
    found = {g.name: _beside(g, guesses, table, base) for g in guesses if g.target}
    if all(found[g.name] is g for g in guesses if g.target):
        return guesses
    out = []
    for g in guesses:
        better = found.get(g.name) or _beside(g, guesses, table, base)
        if better is not g and not g.target:
            better = _set_aside(g.name, better.reason)
        out.append(better)
    return out


def _beside(guess: Guess, guesses: list[Guess], table: pa.Table, base: Path | None) -> Guess:
    """The guess, or a better one where cells look like pictures, and the pictures of another column say what they are."""
    if guess.options.get("type") != "image":
        return guess
    others = [g.name for g in guesses if g.options.get("type") == "image" and g.name != guess.name and not g.target]
    asked = {k: m.guess_beside for k, m in column_types.members().items() if hasattr(m, "guess_beside")}
    for kind, of_pictures in asked.items():
        for other in others:
            score, reason = of_pictures(table.column(guess.name), table.column(other), base)
            if score > 0.5:
                options = {"type": kind, **({"of": other} if len(others) > 1 else {})}
                return replace(guess, options=options, reason=f"{reason} of {other}")
    return guess


def _one_group(guesses: list[Guess], table: pa.Table) -> list[Guess]:
    """Of several columns that could group rows, the coarsest does; the others are ids."""
    found = [g for g in guesses if g.role == "group" and g.reason != SAID]
    if len(found) < 2 or any(g.role == "group" and g.reason == SAID for g in guesses):
        return guesses
    coarsest = min(found, key=lambda g: len(pc.unique(table.column(g.name))))
    why = f"an id within the groups of {coarsest.name}"
    return [replace(g, role="id", reason=why) if g in found and g is not coarsest else g for g in guesses]


def _know(source: Source, names: list[str]) -> None:
    from difflib import get_close_matches

    problems = []
    for name in names:
        if name not in source.names:
            close = get_close_matches(name, source.names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the columns are {', '.join(source.names[:20])}"
            problems.append(Problem(source.name, f"no column {name!r}", hint))
    if problems:
        raise DataError(problems)


def look(source: Source) -> pa.Table:
    """The first rows, and some of the rest where the source can jump there; both without reading all of it."""
    first = source.head(ROWS)
    sources = list(_inner(source))
    spread = [s.table.select(source.names) for s in sources if isinstance(s, Frame)]
    parts = [t.take(pa.array(_places(t.num_rows, MORE // len(sources) + 1))) for t in spread]
    parts += [s.head(MORE // len(sources) + 1).select(source.names) for s in sources[1:] if not isinstance(s, Frame)]
    return joined([first, *parts]) if source.rows is None or source.rows > ROWS else first


def _inner(source: Source) -> Iterator[Source]:
    if isinstance(source, Head):
        yield from _inner(source.source)
    elif isinstance(source, Concat):
        for one in source.sources:
            yield from _inner(one)
    else:
        yield source


def _places(rows: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).astype(np.int64))


def guess(name: str, cells: Cells, as_target: bool, decimal: str = ".", groups: bool = False) -> Guess:
    """What one column seems to be. groups: whether it may be proposed as the group of its row."""
    facts = Facts(name, cells, decimal)
    if not facts.present:
        return Guess(name, {}, "ignore", "every cell is empty", as_target)
    claimed = _claimed(facts, as_target)
    if not as_target:
        group = group_of(facts) if groups and claimed is None else None
        aside = group or _aside(facts, claimed is not None and claimed[0] >= SURE)
        if aside is not None:
            return Guess(name, {}, *aside)
        if claimed is not None and getattr(column_types.members()[claimed[1]["type"]], "lies_in_picture", False):
            return _set_aside(name, claimed[2])
    if claimed is not None:
        return Guess(name, claimed[1], None, claimed[2], as_target)
    options, reason = _typed(facts, as_target)
    return Guess(name, options, None, reason, as_target)


def _set_aside(name: str, what: str) -> Guess:
    return Guess(name, {}, "ignore", f"{what}: an answer about a picture, which nothing reads", answer=True)


def _claimed(facts: Facts, as_target: bool) -> tuple[float, dict[str, Any], str] | None:
    """Score, options and reason of the column type that is surest that cells are its own; None where none is."""
    score, options, reason = 0.5, {}, ""
    for kind, member in column_types.members().items():
        own = getattr(member, "guess", None)
        if own is not None:
            found, why = own(facts.array, as_target)
            if found > score:
                score, options, reason = found, {"type": kind}, why
    return (score, options, reason) if options else None


def _aside(facts: Facts, claimed: bool = False) -> tuple[str, str] | None:
    """Role and reason of a column that should not be read. claimed: a column type is sure that cells are its own."""
    unnamed = facts.name.startswith("unnamed ")
    if unnamed and _is_index(facts):
        return "ignore", "a column without a name that numbers the rows: an index that was saved with the table"
    if facts.distinct == 1 and facts.present > 1 and not facts.binary:
        shown = facts.cells[0].as_py()
        return "ignore", f"every cell is {str(shown)[:40]!r}"
    if facts.binary or facts.nested or claimed:
        return None
    unique = facts.distinct == facts.present and facts.present >= 20
    if facts.long_integers():
        return "id", "whole numbers beyond 2^53, which no float holds: names, not amounts"
    if unique and ID_NAME.search(facts.name) and not _words(facts):
        return "id", "every cell differs, and the name says that it is one"
    if unique and facts.numeric() == 1 and _is_index(facts):
        return "id", "it numbers the rows"
    if unique and facts.numeric() < NUMERIC and _codes(facts):
        return "id", "every cell differs, and they look like codes"
    return None


def _is_index(facts: Facts) -> bool:
    """True if the first cells count up by one from 0 or 1."""
    if facts.numeric() < 1:
        return False
    values, _, _ = parse(facts.text[:ROWS], None, facts.decimal)
    return len(values) > 0 and values[0] in (0, 1) and bool((np.diff(values[: min(len(values), ROWS)]) == 1).all())


def _words(facts: Facts) -> bool:
    """True if cells are sentences rather than names: blanks, or a script that has none, at some length."""
    return _mean(pc.count_substring(facts.cells, " ")) >= 2 or (
        _chinese(facts) and _mean(pc.utf8_length(facts.cells)) >= 6
    )


def _codes(facts: Facts) -> bool:
    """True if cells are of like length, without blanks, and mix digits with letters."""
    if facts.present < 20 or PICTURE.search(facts.cells[0].as_py()):
        return False
    sizes = pc.utf8_length(facts.cells)
    like = (pc.max(sizes).as_py() or 0) - (pc.min(sizes).as_py() or 0) <= 4
    code = pc.match_substring_regex(facts.cells, CODE)
    return like and (pc.sum(code).as_py() or 0) >= 0.99 * facts.present


def _chinese(facts: Facts) -> bool:
    sample = "".join(facts.cells[:200].to_pylist())
    return sum("\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" for c in sample) > 0.3 * max(1, len(sample))


def _mean(counts: pa.Array) -> float:
    return float(pc.mean(counts).as_py() or 0)


def _typed(facts: Facts, as_target: bool) -> tuple[dict[str, Any], str]:
    """Type and reason, out of image, category, number and text."""
    if facts.binary:
        return _bytes(facts)
    if pa.types.is_boolean(facts.kind):
        return {"type": "category"}, "true or false"
    if facts.nested:
        return {"type": "text"}, "a list or a record: read as text until another type is named"
    if not facts.typed_number and _share(facts, PICTURE.pattern) >= NUMERIC:
        return {"type": "image"}, "paths of pictures"
    if facts.long_integers():
        return {"type": "category"}, "whole numbers beyond 2^53, which no float holds: names, not amounts"
    share = facts.numeric()
    if share >= NUMERIC and len(facts.text) > 0.5 * facts.present:
        return _number(facts, as_target, share)
    return _label_or_text(facts, as_target)


def _bytes(facts: Facts) -> tuple[dict[str, Any], str]:
    heads = [v[:4] for v in facts.cells[:100].to_pylist()]
    if sum(h.startswith(MAGIC) for h in heads) >= NUMERIC * len(heads):
        return {"type": "image"}, "bytes of pictures"
    return {"type": "image"}, "bytes, which may be pictures: name another type if they aren't"


def _share(facts: Facts, pattern: str) -> float:
    matches = pc.match_substring_regex(facts.cells, f"(?i){pattern}")
    return (pc.sum(matches).as_py() or 0) / facts.present


def _number(facts: Facts, as_target: bool, share: float) -> tuple[dict[str, Any], str]:
    options: dict[str, Any] = {"type": "number"}
    if facts.decimal == "," and not facts.typed_number and _share(facts, r"^[-+\d.\s]*,\d+$") > 0:
        options["decimal"] = ","
    few = 2 if not facts.whole() else 20 if facts.present >= 200 else max(2, facts.present // 10)
    if as_target and facts.distinct <= few:
        return {"type": "category"}, f"{facts.distinct} different numbers: classes rather than amounts"
    if not as_target and facts.distinct == 2:
        return {"type": "category"}, "two values"
    reason = "numbers" if share == 1 else f"{share:.1%} of the cells are numbers"
    if facts.tokens:
        reason += f"; {facts.tokens} cells say that there is none"
    return options, reason + (", with a decimal comma" if "decimal" in options else "")


def _label_or_text(facts: Facts, as_target: bool) -> tuple[dict[str, Any], str]:
    """Labels repeat and are short; texts differ, or are long."""
    repeat = facts.present / facts.distinct
    length = _mean(pc.utf8_length(facts.cells))
    limit = 100 if not as_target else 200
    if facts.distinct <= 2 or (
        repeat >= 2
        and length <= limit
        and (facts.distinct <= 1000 or repeat >= 5)
        and not (_words(facts) and repeat < 5)
    ):
        return {"type": "category"}, f"{facts.distinct} different labels in {facts.present:,} cells"
    if as_target and length <= 30 and not _words(facts) and repeat >= 1.3:
        return {"type": "category"}, f"{facts.distinct} different labels in {facts.present:,} cells"
    if not as_target and length <= 30 and not _words(facts) and repeat >= 1.2:
        return {"type": "category"}, f"short labels, {facts.distinct:,} different ones in {facts.present:,} cells"
    script = ", Chinese, Japanese or Korean" if _chinese(facts) else ""
    wanted = ", nearly all different: to be written, word by word" if as_target else ""
    return {"type": "text"}, f"texts of about {length:.0f} characters{script}{wanted}"


def init_yaml(source: Source, guesses: list[Guess], data: str | None = None) -> str:
    """The spec that `dapeng init` prints: each guess with its reason as a comment."""
    inputs = [g for g in guesses if g.role is None and not g.target]
    outputs = [g for g in guesses if g.role is None and g.target]
    aside = [g for g in guesses if g.role is not None]
    lines = [f"data: {scalar(data or source.name)}", "inputs:" if inputs else "inputs: {}"]
    lines += _section({g.name: _value(g.options) for g in inputs}, {g.name: g.reason for g in inputs})
    if outputs:
        lines.append("outputs:")
        lines += _section({g.name: _value(g.options) for g in outputs}, {g.name: g.reason for g in outputs})
    else:
        lines += ["outputs:                # move here the columns that you want to be predicted", "  # NAME: category"]
    if aside:
        lines.append("columns:")
        lines += _section({g.name: str(g.role) for g in aside}, {g.name: g.reason for g in aside})
    return "\n".join(lines) + "\n"


def _value(options: dict[str, Any]) -> str:
    if list(options) == ["type"]:
        return options["type"]
    return "{" + ", ".join(f"{k}: {scalar(str(v))}" for k, v in options.items()) + "}"


def _section(values: dict[str, str], reasons: dict[str, str]) -> list[str]:
    pairs = [(f"  {scalar(name)}: {value}", reasons[name].replace("\n", " ")) for name, value in values.items()]
    width = min(48, max((_width(p) for p, _ in pairs), default=0))
    return [f"{p}{' ' * max(0, width - _width(p))}  # {_visible(r)}" for p, r in pairs]


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


_PLAIN = re.compile(r"[^\W\d][\w ./:-]*[\w]|[^\W\d]")
_TAKEN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def scalar(text: str) -> str:
    """A text as YAML: as it is where that can't be misread, else in double quotes."""
    import json

    if _PLAIN.fullmatch(text) and ": " not in text and text.lower() not in _TAKEN and text.isprintable():
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
