"""Rows that train and would spoil it, left out where the spec asks: equal and nearly equal ones, and labels that are called wrong.

Rows that validate or test are never touched; what is left out is said, and written to dropped.json of the run folder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.api.session import Session
from dapeng.columns.base import strings
from dapeng.core.console import say, warn
from dapeng.core.errors import Problem, SpecError
from dapeng.core.run import ABOUT
from dapeng.core.spec import Near
from dapeng.data.near import near_earlier
from dapeng.data.row_hashes import source_hashes
from dapeng.data.shingles import Shingled
from dapeng.data.table import PARTS, Frame, joined
from dapeng.evaluate.label_errors import MOST, suspects

FILE = "dropped.json"
REPEATED = {"duplicates": "rows that train equal another and are dropped"}
NEARLY = {
    "near": "rows that train are nearly the same as another and are dropped",
    "near_held": "rows that train are nearly the same as one that validates or tests, and are dropped",
}
NEITHER = -1
"""The side of a row that neither trains, validates nor tests."""
SECONDS = 60.0
"""CPU time of the learners that look for wrong labels, in all folds together."""
MOST_COMPARED = 200_000
"""Rows up to which every training says how many of them are on both sides of the split."""
WORTH_A_WARNING = 0.01


def cleaned(session: Session, number: int | None, sides: np.ndarray) -> np.ndarray:
    """(rows,) int8: the sides, without the training rows that the spec wants dropped. number: of the fold.

    Raises SpecError where several processes train and a clock would decide what is dropped.
    """
    told = number is None or number == session.parts.count
    if told:
        _say_across(session)
    data = session.spec.data
    if data.duplicates == "keep" and data.label_errors == "keep":
        return sides
    if data.label_errors == "drop" and session.spec.train.strategy != "single":
        what = "label_errors: drop looks for as long as a clock says, and processes would disagree"
        raise SpecError([Problem("data.label_errors", what, "train.strategy=single, or clean the data beforehand")])
    found = _kept(session, "all" if number is None else f"fold {number}", sides)
    if told:
        _tell(session, found)
    out = np.array(sides, np.int8)
    for key in (*REPEATED, *NEARLY):
        out[found.get(key, [])] = NEITHER
    for one in found["label_errors"].values():
        out[one["rows"]] = NEITHER
    return out


def _kept(session: Session, key: str, sides: np.ndarray) -> dict[str, Any]:
    """What is dropped of one fold: as the run folder has it, so that a resumed run drops the same; else found, and left there."""
    folder = session.folder
    own = (folder.path / ABOUT).is_file()  # another rank has no folder of its own
    known: dict[str, Any] = folder.read_json(FILE) if own and (folder.path / FILE).is_file() else {}
    if key not in known:
        known[key] = _spoilt(session, sides)
        if own:
            folder.write_json(FILE, known)
    return known[key]


def _spoilt(session: Session, sides: np.ndarray) -> dict[str, Any]:
    """Positions of the training rows that are dropped, and why."""
    data, source, chosen = session.spec.data, session.source, session.chosen
    rows = np.flatnonzero(np.asarray(sides) == 0)
    used = [*chosen.inputs, *chosen.outputs]
    twice = np.empty(0, np.int64)
    nearly: dict[str, list[int]] = {}
    if data.duplicates != "keep":
        keys = source_hashes(source, used)[rows]
        twice = np.setdiff1d(rows, rows[np.unique(keys, return_index=True)[1]])
        rows = np.setdiff1d(rows, twice)
    threshold = least_alike(data.duplicates)
    texts = [n for n, o in {**chosen.inputs, **chosen.outputs}.items() if o.worded]
    if threshold is not None and texts:
        nearly = _nearly(session, sides, rows, texts, threshold)
        rows = np.setdiff1d(rows, [r for found in nearly.values() for r in found])
    wrong = {
        n: _wrong(session, n, rows) for n, o in chosen.outputs.items() if data.label_errors == "drop" and o.labelled
    }
    return {"duplicates": twice.tolist(), **nearly, "label_errors": {n: w for n, w in wrong.items() if w}}


def least_alike(duplicates: Any) -> float | None:
    """From which likeness on rows are nearly the same by what the spec says; None: only equal ones are looked at."""
    return Near().near if duplicates == "near" else duplicates.near if isinstance(duplicates, Near) else None


def _nearly(
    session: Session, sides: np.ndarray, rows: np.ndarray, texts: list[str], threshold: float
) -> dict[str, list[int]]:
    """Of these rows that train those that are nearly an earlier one, and those that are nearly one that validates or tests.

    Nearly the same are rows whose texts, one behind the other, are as alike as that, and whose other columns are equal: of a row
    that tests the other inputs alone, since its answer is what is asked.
    """
    source, chosen = session.source, session.chosen
    shingled = Shingled(session.rows, threshold, session.spec.train.seed)
    for block in source.blocks(texts):
        columns = [strings(block.columns.column(n)).to_pylist() for n in texts]
        shingled.add("\n".join(t or "" for t in row) for row in zip(*columns))
    shingled.close()
    every = [*chosen.inputs, *chosen.outputs]
    beside = [_hashes(session, [n for n in names if n not in texts]) for names in (chosen.inputs, every)]
    held = np.flatnonzero(np.asarray(sides) > 0)
    order = np.concatenate([held, rows])
    training = np.asarray(sides) == 0

    def comparable(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        inputs, all_of_them = (b[first] == b[second] for b in beside)
        return np.where(training[first], all_of_them, inputs)

    found = near_earlier(shingled, order, len(held), comparable)
    outside = (found >= 0) & (found < len(held))
    return {"near_held": order[outside].tolist(), "near": order[found >= len(held)].tolist()}


def _hashes(session: Session, names: list[str]) -> np.ndarray:
    """(rows,) uint64, all alike where no column is named."""
    return source_hashes(session.source, names) if names else np.zeros(session.rows, np.uint64)


def _wrong(session: Session, name: str, rows: np.ndarray) -> dict[str, Any]:
    """The training rows whose label of one output is called wrong by learners that saw training rows alone."""
    source, chosen, spec = session.source, session.chosen, session.spec
    if len(rows) > MOST:
        warn(f"{name}: wrong labels are not looked for: {len(rows):,} rows are more than {MOST:,}")
        return {}
    blocks = source.blocks([*chosen.inputs, name])
    parts = [b.columns.take(pa.array(_within(rows, b.start, len(b)))) for b in blocks]
    some = Frame(joined(parts), source.name, source.base)
    seconds = SECONDS / (session.parts.count + (session.parts.count > 1))
    found = suspects(chosen.inputs, name, chosen.outputs[name], some, seconds, spec.train.seed)
    if found is None or not found.telling:
        warn(f"{name}: wrong labels can't be told from hard rows, and none is dropped")
        return {}
    at = found.called
    places = rows[found.rows[at]]
    return {
        "rows": places.tolist(),
        "where": [source.where(int(r)) for r in places],
        "labels": [found.labels[i] for i in at],
        "likely": [found.likely[i] for i in at],
    }


def _within(rows: np.ndarray, start: int, count: int) -> np.ndarray:
    """Positions within a block of those rows (rising) that lie in it."""
    a, b = np.searchsorted(rows, [start, start + count])
    return rows[a:b] - start


def _tell(session: Session, found: dict[str, Any]) -> None:
    said = [f"{len(found[k]):,} {text}" for k, text in {**REPEATED, **NEARLY}.items() if found.get(k)]
    for name, one in found["label_errors"].items():
        said.append(
            f"{len(one['rows']):,} rows that train are dropped: their {name} is called wrong ({FILE} lists them)"
        )
    for text in said:
        say(text)
        session.source.note("info", "data", text)


def _say_across(session: Session) -> None:
    """How many rows of one side have the inputs of a row of another, where it is cheap to tell."""
    parts = session.parts
    inputs = session.chosen.inputs
    if not inputs and session.spec.data.duplicates != "keep":  # of a model without inputs, what it writes
        inputs = session.chosen.outputs
    elif all(o.drawn for o in session.chosen.outputs.values()):  # the same is asked again and again, and answered anew
        return
    of = "have the inputs of a row of" if session.chosen.inputs else "equal a row of"
    if not inputs or session.rows > MOST_COMPARED or any(o.reads_files for o in inputs.values()):
        return
    group = np.unique(source_hashes(session.source, list(inputs)), return_inverse=True)[1]
    if parts.folds is not None:
        low, high = np.full(len(group), len(group)), np.full(len(group), -1)
        np.minimum.at(low, group, parts.folds)
        np.maximum.at(high, group, parts.folds)
        _say_shared("rows of one fold", (high > low)[group], len(group), f"{of} another fold")
        return
    train = np.zeros(len(group), bool)
    train[group[parts.sides == 0]] = True
    for code, name in enumerate(PARTS[1:], 1):
        here = parts.sides == code
        _say_shared(f"rows of {name}", here & train[group], int(here.sum()), f"{of} train")


def _say_shared(what: str, shared: np.ndarray, rows: int, where: str) -> None:
    count = int(shared.sum())
    if count:
        text = f"split: {count:,} {what} ({count / rows:.1%}) {where}: the score flatters"
        (warn if count >= WORTH_A_WARNING * rows else say)(text)
