"""What spoils models, found before training: leaks, duplicates, constants, rare labels, names in disguise.

Looks at up to a hundred thousand rows, a column at a time, with array operations.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.core.util.hashing import hash_array

from dapeng.columns.base import strings
from dapeng.columns.number import parse
from dapeng.core.spec import Spec
from dapeng.data.group_ids import like_group
from dapeng.data.infer import Guess
from dapeng.data.open import Opened
from dapeng.data.splits.base import codes
from dapeng.data.table import PARTS, joined

ROWS = 100_000
LEAK = 0.99
RARE = 10
"""Rows of a class below which it is called rare."""
PICTURES = 200
INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
LOOKALIKES = str.maketrans("АВЕЅІЈКМНОРСТУХаеорсухіјѕԁɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧον", "ABESIJKMHOPCTYXaeopcyxijsdgABEZHIKMNOPTYXov")
"""Cyrillic and Greek letters that look like Latin ones (Unicode confusables)."""


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing. severity: "error", "warning" or "info". rows: positions of examples in the whole data."""

    kind: str
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    text: str
    severity: str = "warning"


@dataclass
class Plan:
    """What each column is for, whether said by a spec or guessed."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


def check(opened: Opened, plan: Spec | Iterable[Guess]) -> list[Finding]:
    """Findings, the worst first. plan: a spec, or guesses of `infer`."""
    what = _plan(plan)
    source = opened.whole()
    wanted = [n for n in source.names if n in what.inputs or n in what.outputs]
    table, places, parts = _looked_at(opened, wanted)
    found: list[Finding] = []
    for name in wanted:
        kind = what.inputs.get(name) or what.outputs[name]
        found += _column(name, table.column(name), kind, name in what.outputs, source.base)
    for target, kind in what.outputs.items():
        found += _leaks(table, [n for n in what.inputs if n in wanted], target, kind)
    found += _duplicates(table, [n for n in what.inputs if n in wanted], list(what.outputs), parts)
    found = [replace(f, rows=tuple(int(places[r]) for r in f.rows)) for f in found]
    return sorted(found, key=lambda f: ("error", "warning", "info").index(f.severity))


def traps(table: pa.Table, kinds: dict[str, str], targets: list[str]) -> list[Finding]:
    """Copies of a target among the inputs, and labels that only look alike; cheap enough for every training."""
    found: list[Finding] = []
    inputs = [n for n in kinds if n not in targets]
    for target in targets:
        found += _leaks(table, inputs, target, kinds.get(target, ""))
    for name, kind in kinds.items():
        if kind == "category":
            found += [f for f in _variants(name, table.column(name)) if f.kind == "lookalike"]
    return found


def _plan(plan: Spec | Iterable[Guess]) -> Plan:
    if isinstance(plan, Spec):
        return Plan({n: c.type for n, c in plan.inputs.items()}, {n: c.type for n, c in plan.outputs.items()})
    kept = [g for g in plan if g.role is None and g.options]
    return Plan(
        {g.name: g.options["type"] for g in kept if not g.target}, {g.name: g.options["type"] for g in kept if g.target}
    )


def _looked_at(opened: Opened, names: list[str]) -> tuple[pa.Table, np.ndarray, np.ndarray | None]:
    """Rows of every part, their positions in the whole data, and their parts (None where the data came as one)."""
    if len(opened.parts) == 1:
        table = opened.whole().head(ROWS).select(names)
        return table, np.arange(len(table)), None
    ordered = [p for p in PARTS if p in opened.parts]
    heads = [opened.parts[p].head(ROWS // len(ordered)).select(names) for p in ordered]
    starts = np.cumsum([0, *(opened.parts[p].count() for p in ordered[:-1])])
    places = np.concatenate([start + np.arange(len(head)) for start, head in zip(starts, heads)])
    parts = np.concatenate([np.full(len(head), PARTS.index(p), np.int8) for p, head in zip(ordered, heads)])
    return joined(heads), places, parts


def _column(name: str, cells: pa.ChunkedArray, kind: str, target: bool, base: Path | None) -> list[Finding]:
    if kind == "image":
        return _pictures(name, cells, base)
    if pa.types.is_binary(cells.type) or pa.types.is_nested(cells.type):
        return []
    found = _constant(name, cells, target)
    if found:
        return found
    groups = [] if target else _like_group(name, cells)
    if kind == "category":
        return groups + _variants(name, cells) + (_classes(name, cells) if target else _like_id(name, cells))
    return groups


def _constant(name: str, cells: pa.ChunkedArray, target: bool) -> list[Finding]:
    _, values = codes(cells)
    there = [v for v in values if v not in ("", None)]
    if len(there) > 1:
        return []
    text = f"every cell is {str(there[0])[:40]!r}" if there else "every cell is empty"
    return [
        Finding(
            "constant",
            (name,),
            (0,),
            f"{name}: {text}: nothing can be learnt from it",
            "error" if target else "warning",
        )
    ]


def _like_id(name: str, cells: pa.ChunkedArray) -> list[Finding]:
    _, values = codes(cells)
    if len(cells) < 50 or len(values) < 0.9 * len(cells):
        return []
    text = f"{name}: {len(values):,} different labels in {len(cells):,} rows, like an id: a model can only learn it by heart"
    return [Finding("id", (name,), (), text)]


def _like_group(name: str, cells: pa.ChunkedArray) -> list[Finding]:
    why = like_group(name, cells)
    if not why:
        return []
    text = f"{name}: {why.partition(':')[0]}: its rows can fall on both sides of the split, and the score then flatters"
    return [Finding("group", (name,), (), f"{text}; `columns: {{{name}: group}}` keeps them together")]


def _classes(name: str, cells: pa.ChunkedArray) -> list[Finding]:
    """Rare classes, and classes far more frequent than others."""
    places, values = codes(cells)
    counts = np.bincount(places[places >= 0], minlength=len(values))
    found = []
    rare = np.flatnonzero(counts < RARE)
    if len(rare):
        some = ", ".join(f"{values[i]!r} ({counts[i]})" for i in rare[np.argsort(counts[rare])][:5])
        rows = tuple(int(np.argmax(places == i)) for i in rare[:5])
        found.append(Finding("rare", (name,), rows, f"{name}: {len(rare)} labels with fewer than {RARE} rows: {some}"))
    share = counts.max() / counts.sum()
    if share > 0.9 or counts.max() > 20 * counts.min() > 0:
        top = int(np.argmax(counts))
        text = f"{name}: {values[top]!r} makes up {share:.1%} of the rows: look at balanced accuracy, not at accuracy"
        found.append(Finding("imbalance", (name,), (), text, "info"))
    return found


def _variants(name: str, cells: pa.ChunkedArray) -> list[Finding]:
    """Labels that differ in case, blanks, invisible characters or look-alike letters alone."""
    _, values = codes(cells)
    labels = [str(v) for v in values[:100_000] if v is not None]
    found = []
    merged = _groups(labels, _clean)
    if merged:
        found.append(Finding("variants", (name,), (), f"{name}: labels that are read as one: {_shown(merged)}", "info"))
    single = list({_clean(v) for v in labels})
    for kind, fold in (("case", str.casefold), ("lookalike", _plain)):
        groups = _groups(single, fold)
        if groups:
            why = "upper and lower case" if kind == "case" else "letters of another script that look the same"
            found.append(
                Finding(kind, (name,), (), f"{name}: labels that differ in {why} stay apart: {_shown(groups)}")
            )
    return found


def _clean(label: str) -> str:
    return INVISIBLE.sub("", unicodedata.normalize("NFC", label)).strip()


def _plain(label: str) -> str:
    return label.translate(LOOKALIKES)


def _groups(labels: list[str], fold) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[fold(label)].append(label)
    return [g for g in groups.values() if len(g) > 1]


def _shown(groups: list[list[str]]) -> str:
    return "; ".join(" / ".join(ascii(v) if not v.isascii() else repr(v) for v in g[:4]) for g in groups[:3])


def _leaks(table: pa.Table, inputs: list[str], target: str, kind: str) -> list[Finding]:
    """Inputs that are the target in another form: a correlation, or a rule, of 0.99 and more."""
    if target not in table.column_names or kind not in ("category", "number"):
        return []
    goal = Axis(table.column(target), kind)
    found = []
    for name in inputs:
        column = table.column(name)
        if pa.types.is_binary(column.type) or pa.types.is_nested(column.type):
            continue
        strength, how = _determines(Axis(column, _axis_kind(column)), goal)
        if strength >= LEAK:
            text = f"{name}: {how} {target} ({strength:.3f}): a copy of the answer? Leave it out unless it is known beforehand"
            found.append(Finding("leak", (name, target), (), text))
    return found


def _axis_kind(column: pa.ChunkedArray) -> str:
    array = strings(column)
    filled = array.filter(pc.fill_null(pc.not_equal(array, ""), False))[:1000]
    _, there, bad = parse(filled, None, ".")
    return "number" if len(there) and len(bad.rows) < 0.05 * len(there) else "category"


class Axis:
    """A column as numbers (nan where missing) or as codes (-1 where missing)."""

    def __init__(self, column: pa.ChunkedArray, kind: str):
        self.numbers = parse(column, None, ".")[0] if kind == "number" else None
        self.codes, values = codes(column)
        if "" in values:
            self.codes = np.where(self.codes == values.index(""), -1, self.codes)


def _determines(one: Axis, goal: Axis) -> tuple[float, str]:
    """How closely a column gives the target away: 0 to 1."""
    if one.numbers is not None and goal.numbers is not None:
        both = np.isfinite(one.numbers) & np.isfinite(goal.numbers)
        if both.sum() >= 10 and np.ptp(one.numbers[both]) > 0 and np.ptp(goal.numbers[both]) > 0:
            x, y = pd.Series(one.numbers[both]), pd.Series(goal.numbers[both])
            return max(abs(x.corr(y)), abs(x.rank().corr(y.rank()))), "correlates with"
        return 0.0, ""
    if goal.numbers is not None:
        return 0.0, ""
    return _rule(one, goal.codes), "almost determines"


def _rule(one: Axis, goal: np.ndarray) -> float:
    """Gain over the commonest class of a rule that is learnt on half of the rows and tested on the others."""
    there = (one.codes >= 0) & (goal >= 0) & (np.isfinite(one.numbers) if one.numbers is not None else True)
    goal = goal[there]
    if len(goal) < 20:
        return 0.0
    half = np.random.default_rng(0).random(len(goal)) < 0.5
    many = one.numbers is not None and len(np.unique(one.codes)) > 256
    given = one.numbers[there] if many and one.numbers is not None else one.codes[there]
    guessed = (_nearest if many else _commonest)(given[half], goal[half], given[~half])
    accuracy = float((guessed == goal[~half]).mean())
    base = float(np.bincount(goal).max() / len(goal))
    return (accuracy - base) / (1 - base) if base < 1 else 0.0


def _commonest(given: np.ndarray, goal: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The commonest class beside each value; -1 for a value that wasn't seen."""
    pairs, counts = np.unique(np.stack([given, goal]), axis=1, return_counts=True)
    order = np.lexsort((counts, pairs[0]))
    known = np.full(int(max(given.max(), asked.max())) + 1, -1, np.int64)
    known[pairs[0][order]] = pairs[1][order]  # the last one written is the commonest
    return known[asked]


def _nearest(given: np.ndarray, goal: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class of the nearest number."""
    order = np.argsort(given, kind="stable")
    given, goal = given[order], goal[order]
    right = np.searchsorted(given, asked).clip(1, len(given) - 1)
    left = asked - given[right - 1] <= given[right] - asked
    return goal[np.where(left, right - 1, right)]


def _duplicates(table: pa.Table, inputs: list[str], outputs: list[str], parts: np.ndarray | None) -> list[Finding]:
    """Rows whose inputs are equal: on two sides of a split, or with different answers."""
    if not inputs or not table.num_rows:
        return []
    keys = _row_hashes(table.select(inputs))
    _, first, group, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    again = counts[group] > 1
    if not again.any():
        return []
    found = []
    extra = len(keys) - len(first)
    rows = tuple(int(r) for r in np.flatnonzero(again)[:5])
    found.append(Finding("duplicates", tuple(inputs), rows, f"{extra:,} rows repeat the inputs of another row", "info"))
    if parts is not None:
        found += _across(group, parts, inputs)
    labels = _row_hashes(table.select(outputs)) if outputs else None
    if labels is not None:
        different = len(np.unique(np.stack([group.astype(np.uint64), labels]), axis=1)[0]) - len(first)
        if different:
            found.append(
                Finding("conflict", tuple(outputs), rows, f"{different:,} rows have equal inputs and another answer")
            )
    return found


def _across(group: np.ndarray, parts: np.ndarray, inputs: list[str]) -> list[Finding]:
    found = []
    train = np.zeros(group.max() + 1, bool)
    train[group[parts == 0]] = True
    for code, name in enumerate(PARTS[1:], 1):
        shared = np.flatnonzero((parts == code) & train[group])
        if len(shared):
            share = len(shared) / (parts == code).sum()
            text = f"{len(shared):,} rows of {name} ({share:.1%}) are in train too: the score will flatter"
            found.append(Finding("split", tuple(inputs), tuple(int(r) for r in shared[:5]), text))
    return found


def _row_hashes(table: pa.Table) -> np.ndarray:
    """(rows,) uint64: equal rows have equal hashes."""
    total = np.zeros(table.num_rows, np.uint64)
    for column in table.columns:
        cells = strings(column) if not pa.types.is_binary(column.type) else column
        values = hash_array(cells.to_pandas().to_numpy(dtype=object, na_value=None), categorize=True)
        with np.errstate(over="ignore"):
            total = (total ^ values) * np.uint64(0x9E3779B97F4A7C15)
            total ^= total >> np.uint64(29)
    return total


def _pictures(name: str, cells: pa.ChunkedArray, base: Path | None) -> list[Finding]:
    """Unreadable pictures, among some spread over the rows: the header is read, not the pixels."""
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), PICTURES)).astype(np.int64))
    bad = [
        (int(r), why)
        for r, v in zip(rows, cells.take(pa.array(rows)).to_pylist())
        if v and (why := _unreadable(v, base))
    ]
    if not bad:
        return []
    text = f"{name}: {len(bad)} of {len(rows)} pictures looked at can't be read; row {bad[0][0]}: {bad[0][1]}"
    return [Finding("unreadable", (name,), tuple(r for r, _ in bad[:5]), text)]


def _unreadable(value: str | bytes, base: Path | None) -> str:
    import io
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(value) if isinstance(value, bytes) else (base or Path()) / value
            with Image.open(file) as picture:
                picture.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).split(" <_io")[0][:100] or type(error).__name__
    return ""
