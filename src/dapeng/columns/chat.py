"""Conversations in cells: who says what, turn by turn; as tokens by a template, and which of them are an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from os.path import commonprefix
from typing import Any

import numpy as np

from dapeng.columns.base import Bad, Cells, one_array
from dapeng.columns.template import (
    ANSWERS,
    BLOCK,
    BLOCK_END,
    LOOKS_SPECIAL,
    NAMELESS,
    PLAIN,
    PLAIN_END,
    PROBES,
    Template,
    Turn,
    hiding,
)
from dapeng.core.errors import Problem, SpecError
from dapeng.tokens.base import Codec, Placed, any_of

ROLES = {"human": "user", "gpt": ANSWERS, "bot": ANSWERS, "model": ANSWERS}
"""Names of roles in other layouts."""


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
    rows: list[list[Turn] | None] = []
    bad = Bad()
    for row, cell in enumerate(one_array(cells).to_pylist()):
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


def spoken(cells: Cells, template: Template) -> list[str | None]:
    """What each cell reads by the template, a line's end for each token of its own; None where there is no conversation."""
    rows, _ = turns_of(cells)
    return [None if r is None else _spoken(r, template) for r in rows]


def _spoken(turns: list[Turn], template: Template) -> str | None:
    try:
        text = template.render(turns).replace(BLOCK, "").replace(BLOCK_END, "")
    except ValueError:
        return None
    return LOOKS_SPECIAL.sub("\n", text)


class Talk:
    """A template and the tokeniser that reads what it writes.

    end: the token that ends an answer. Raises SpecError where the tokeniser lacks a token that the template writes.
    """

    def __init__(self, template: Template, codec: Codec):
        self.template, self.codec = template, codec
        self.special = tuple(codec.specials)
        lacking = sorted(set(NAMELESS.findall(template.own())) - set(self.special))
        if lacking:
            what = f"the tokeniser of these weights has no token {lacking[0]}, so that it can't write turns as the template does"
            hint = "begin from weights of a model for conversations, with their own template, or leave weights out"
            raise SpecError(Problem("chat", what, hint))
        find = any_of(self.special)
        closing = find.search(template.closing())
        if closing is None:
            what = "the template ends an answer with no special token, so that no answer would end"
            raise SpecError(Problem("chat", what, "write {{ eos_token }} behind message['content']"))
        self.closing = closing.group()
        self.end = codec.specials[self.closing]
        user = find.pattern
        self._plain = re.compile(
            f"{PLAIN}({user}){PLAIN_END}?|({user}){PLAIN_END}|[{PLAIN}{PLAIN_END}]"
        )  # one of the two may be lost where a template cuts a text

    def ids(self, turns: Sequence[Turn], everything: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of a conversation (T,) int32, and which are learnt: of the answers and their ends, or all (T,) bool.

        Raises ValueError where the template refuses the turns, or doesn't show where its answers are.
        """
        text, blocks = unmarked(self._render(turns))
        found = self.read(text)
        begins, ends = np.array(found.begins, np.int64), np.array(found.ends, np.int64)
        taught = np.full(len(found.ids), everything)
        spans = [] if everything else blocks if self.template.blocks else self._answers(turns, text)
        for begin, end in spans:
            taught |= (ends > begin) & (begins < end)
        return np.array(found.ids, np.int32), taught

    def text(self, turns: Sequence[Turn]) -> str:
        """What the template makes of a conversation. Raises ValueError as `ids`."""
        return unmarked(self.template.render(turns))[0]

    def asked(self, turns: Sequence[Turn]) -> list[int]:
        """Tokens of a conversation up to where an answer begins. Raises ValueError as `ids`."""
        return self.read(unmarked(self._render(turns, ask=True))[0]).ids

    @property
    def seamless(self) -> bool:
        """Whether a question reads the same, token by token, before there is an answer and with it."""
        question, answer = PROBES[0]
        asked = self.asked([question])
        return self.ids([question, answer])[0][: len(asked)].tolist() == asked

    def _render(self, turns: Sequence[Turn], ask: bool = False) -> str:
        return self.template.render(turns, ask, self.special)

    def _answers(self, turns: Sequence[Turn], text: str) -> list[tuple[int, int]]:
        """Where in the text of a conversation its answers stand, each up to the token that ends it.

        An answer is what comes between a conversation that asks for it and the one that has it. Some templates write an
        earlier answer otherwise than the last one: then it is looked for by its words and what ends them.
        """
        found: list[tuple[int, int]] = []
        for number, turn in enumerate(turns):
            if turn.role == ANSWERS:
                before = unmarked(self._render(turns[:number], ask=True))[0] if number else ""
                after = unmarked(self._render(turns[: number + 1]))[0]
                same = commonprefix([before, after, text])  # noqa: RUF071  of texts, letter by letter
                begin = max(len(same), found[-1][1] if found else 0)
                found.append((begin, self._end(text, begin, after, turn)))
        return found

    def _end(self, text: str, begin: int, after: str, turn: Turn) -> int:
        """Where the answer that begins there ends. after: the conversation up to it, if it were the last turn."""
        if text.startswith(after):
            at = after.rfind(self.closing, begin)
            return at + len(self.closing) if at >= 0 else len(after)
        words = hiding(self.special)(turn.said).strip()
        at = text.find(words, begin)
        end = text.find(self.closing, at + len(words)) if at >= 0 else -1
        if end < 0:
            raise ValueError("the template changes earlier answers: mark what is learnt with {% generation %} in it")
        return end + len(self.closing)

    def read(self, text: str) -> Placed:
        """What the template wrote, as tokens: its own special ones are special, a user's are text."""
        found, at = Placed([], [], []), 0
        for match in self._plain.finditer(text):
            self._add(found, text[at : match.start()], at)
            users = match.group(1) or match.group(2)
            if users:
                begin = match.start() + (match.group(1) is not None)
                found.add(self.codec.placed(users, begin == 0), begin)
            at = match.end()
        self._add(found, text[at:], at)
        return found

    def _add(self, found: Placed, text: str, at: int) -> None:
        if text:
            found.add(self.codec.with_special(text, at == 0), at)


def unmarked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without the marks of its {% generation %} blocks, and where in it each begins and ends."""
    plain, spans, length = [], [], 0
    begin = 0
    for piece in re.split(f"([{BLOCK}{BLOCK_END}])", text):
        if piece == BLOCK:
            begin = length
        elif piece == BLOCK_END:
            spans.append((begin, length))
        else:
            plain.append(piece)
            length += len(piece)
    return "".join(plain), spans
