"""Conversations as texts: who says what, turn by turn, and which tokens of it are an answer.

A turn is written as in ChatML: begin of a turn, the role and a line's end, what is said, and the end that ends texts too. The
marks are tokens of their own: no text of a user becomes one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dapeng.columns.base import Bad, Cells, one_array
from dapeng.core.errors import Problem, SpecError
from dapeng.tokens.base import Codec
from dapeng.tokens.file import File

TURN = "<|im_start|>"
"""Begin of a turn, by the name that public models know it by."""
END = "<|im_end|>"
"""End of a turn of public models; with a tokeniser of one's own it is the end of a text."""
ANSWERS = "assistant"
"""The role whose turns are learnt."""
ROLES = {"human": "user", "gpt": ANSWERS, "bot": ANSWERS, "model": ANSWERS}
"""Names of roles in other layouts."""


class Turn(NamedTuple):
    """What one says."""

    role: str
    said: str


def conversation(cell: Any) -> list[Turn] | None:
    """The turns of a cell: a list of {role, content} (or {from, value}), or such as JSON; None where there are none.

    Raises ValueError that says what is wrong.
    """
    if isinstance(cell, str):
        if not cell.strip():
            return None
        try:
            cell = json.loads(cell)
        except ValueError:
            raise ValueError(f"{cell[:40]!r} is no list of turns as JSON") from None
    if isinstance(cell, dict):
        cell = cell.get("messages", cell.get("conversations"))
    if cell is None:
        return None
    if not isinstance(cell, (list, tuple, np.ndarray)):
        raise ValueError(f"{str(cell)[:40]!r} is no list of turns")
    return [_turn(number, turn) for number, turn in enumerate(cell, 1)] or None


def _turn(number: int, turn: Any) -> Turn:
    if not isinstance(turn, dict):
        raise ValueError(f"turn {number}: expected role and content, found {str(turn)[:40]!r}")
    role, said = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or not role.strip():
        raise ValueError(f"turn {number}: there is no role")
    if not isinstance(said, str):
        raise ValueError(f"turn {number}: there is no content")
    role = role.strip()
    return Turn(ROLES.get(role, role), said)


def turns_of(cells: Cells) -> tuple[list[list[Turn] | None], Bad]:
    """The conversation of each cell, None where there is none, and what could not be read."""
    array = one_array(cells)
    rows: list[list[Turn] | None] = []
    bad = Bad()
    for row, cell in enumerate(array.to_pylist()):
        try:
            rows.append(conversation(cell))
        except ValueError as error:
            bad.add(row, str(error))
            rows.append(None)
    return rows, bad


def talks(cells: Cells) -> bool:
    """Whether there is a conversation, as JSON or as Arrow holds it."""
    cell = cells.to_pylist()[0] if len(cells) else None
    if isinstance(cell, str) and not cell.lstrip().startswith(("[", "{")):
        return False
    try:
        return conversation(cell) is not None
    except ValueError:
        return False


def spoken(cells: Cells) -> tuple[list[str | None], Bad]:
    """What is said in each cell, with the roles before it."""
    rows, bad = turns_of(cells)
    return [None if r is None else "\n".join(f"{t.role}\n{t.said}" for t in r) for r in rows], bad


def with_turns(given: dict[str, Any]) -> dict[str, Any]:
    """A tokeniser of public weights for conversations: it must know begin and end of a turn, and texts end there.

    Raises SpecError where it doesn't.
    """
    if given["kind"] != File.kind:  # of a run: it knows its marks, or has none
        if TURN not in given["marks"]:
            what = "the run that these weights come from knows no turns: its tokeniser has no mark for them"
            raise SpecError(Problem("chat", what, "leave chat out, or leave weights out"))
        return given
    library: Any = File(given)
    names = {n: library.library.token_to_id(n) for n in (TURN, END)}
    if None in names.values():
        what = f"the tokeniser of these weights has no tokens {TURN} and {END}, so that it can't write turns"
        raise SpecError(Problem("chat", what, "begin from weights of a model for conversations, or leave weights out"))
    return {**given, "eos": names[END], "marks": [TURN]}


def ids_of(turns: Sequence[Turn], codec: Codec) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a conversation from begin on (T,) int32, and which are of an answer, its end counted (T,) bool."""
    texts = [t for turn in turns for t in (f"{turn.role}\n", turn.said)]
    flat, lengths = codec.encode(texts)
    parts = np.split(flat, np.cumsum(lengths)[:-1])
    ids: list[np.ndarray] = [np.array([codec.bos])]
    taught: list[np.ndarray] = [np.zeros(1, bool)]
    for turn, role, said in zip(turns, parts[::2], parts[1::2]):
        ids += [np.array([codec.marks[TURN]]), role, said, np.array([codec.eos])]
        taught += [np.zeros(1 + len(role), bool), np.full(len(said) + 1, turn.role == ANSWERS)]
    return np.concatenate(ids).astype(np.int32), np.concatenate(taught)


def asked(turns: Sequence[Turn], codec: Codec) -> list[int]:
    """Tokens of a conversation up to where an answer begins."""
    ids, _ = ids_of(turns, codec)
    role, _ = codec.encode([f"{ANSWERS}\n"])
    return [*ids.tolist(), codec.marks[TURN], *role.tolist()]
