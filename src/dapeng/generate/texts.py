"""What was written so far as text: whole characters alone, and an end at a stop text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Decodes(Protocol):
    """A tokeniser, as far as writing needs it."""

    eos: int

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Ids that are never written."""
        ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def token_bytes(self) -> list[bytes]:
        """What each id adds to a text, in UTF-8."""
        ...


class Growing:
    """A text that grows by a token at a time; `add` gives what can be shown of it.

    A character of which only some bytes are there is held back, and so is what may be the beginning of a stop text.
    """

    def __init__(self, codec: Decodes, stop: Sequence[str] = ()):
        self.codec, self.stop = codec, tuple(stop)
        self.ids: list[int] = []
        self.text, self.shown, self.ended = "", 0, False
        self._anchor, self._mark, self._told = 0, 0, 0

    def add(self, token: int) -> str:
        """The newly certain part of the text; nothing once it has ended."""
        if self.ended:
            return ""
        self.ids.append(token)
        now = self.codec.decode(self.ids[self._anchor :])
        whole = not now.endswith("\ufffd")  # what ends in half a character is certain up to it
        certain = len(now.rstrip("\ufffd"))
        self.text += now[self._told : certain]
        self._told = max(self._told, certain)
        if whole:  # from here on the last whole stretch is context enough
            self._anchor, self._mark = self._mark, len(self.ids)
            self._told = len(self.codec.decode(self.ids[self._anchor :]))
        return self._show(self._cut())

    def close(self) -> str:
        """What was held back, once nothing follows."""
        if not self.ended:
            self.text += self.codec.decode(self.ids[self._anchor :])[self._told :]
            self._cut()
            self.ended = True
        return self._show(len(self.text))

    def _cut(self) -> int:
        """End the text at a stop text; how much of it is certain."""
        found = [at for s in self.stop if (at := self.text.find(s, max(0, self.shown - len(s)))) >= 0]
        if found:
            self.text, self.ended = self.text[: min(found)], True
            return len(self.text)
        held = max((_overlap(self.text, s) for s in self.stop), default=0)
        return len(self.text) - held

    def _show(self, until: int) -> str:
        new = self.text[self.shown : until]
        self.shown = max(self.shown, until)
        return new


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text begin a stop text."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
