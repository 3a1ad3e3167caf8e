"""What a command writes: data to standard output, everything else to standard error; readable without colour.

Nothing heavy is imported here: `dapeng --help` comes through this file.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}
EVERY_SECONDS = 10.0
EVERY_SHARE = 0.1
REDRAW_SECONDS = 0.1

_warned: set[str] = set()
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Nothing is said on standard error within it, in this thread alone; errors are raised as ever."""
    before = _quiet.set(wanted or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(before)


def say(text: str = "") -> None:
    """A message for the person at the terminal, on standard error."""
    _write(sys.stderr, text + "\n")


def warn_anew() -> None:
    """What was said before counts no more: another run begins, and its warnings are its own."""
    _warned.clear()


def warn(text: str, hint: str = "") -> None:
    """A warning on standard error, once for each text in a run."""
    if text not in _warned and not _quiet.get():
        _warned.add(text)
        say(coloured("warning: ", "yellow") + text + (f"\n  hint: {hint}" if hint else ""))


def emit(text: str, end: str = "\n") -> None:
    """Data on standard output."""
    _write(sys.stdout, text + end)


def _write(stream: TextIO, text: str) -> None:
    if _quiet.get() and stream is sys.stderr:
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal in an old encoding: show what it can
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text with a colour where the stream is a terminal that wants colours (NO_COLOR is respected)."""
    stream = sys.stderr if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or stream is None or not stream.isatty():
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def width(text: str) -> int:
    """Columns that a text takes in a terminal: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def clean(text: str) -> str:
    """A text of unknown origin, safe for a terminal: control characters are shown, not obeyed."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def cut(text: str, columns: int) -> str:
    """A text of at most so many columns, with an ellipsis where something was cut off."""
    if width(text) <= columns:
        return text
    kept, room = "", columns - 1
    for c in text:
        room -= width(c)
        if room < 0:
            break
        kept += c
    return kept + "…"


def padded(text: str, columns: int, right: bool = False) -> str:
    gap = " " * max(columns - width(text), 0)
    return gap + text if right else text + gap


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Rows as aligned plain text; columns that hold numbers alone are aligned to the right."""
    body = [[clean(_cell(value)) for value in row] for row in rows]
    lines = [list(header), *body] if header else body
    if not lines:
        return ""
    count = max(map(len, lines))
    lines = [line + [""] * (count - len(line)) for line in lines]
    numeric = [_numeric([line[i] for line in lines[bool(header) :]]) for i in range(count)]
    widths = [max(width(line[i]) for line in lines) for i in range(count)]
    texts = ["  ".join(padded(c, w, n) for c, w, n in zip(line, widths, numeric)).rstrip() for line in lines]
    if header:
        texts.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(texts)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _numeric(cells: list[str]) -> bool:
    filled = [c for c in cells if c]
    return bool(filled) and all(c.lstrip("+-")[:1].isdigit() and c.rstrip("%")[-1:].isdigit() for c in filled)


class Progress:
    """One line that tells how far something is: rewritten in a terminal, printed now and then elsewhere.

    with Progress("train", total=2000) as progress:
        progress.update(step, "loss 0.31  lr 3e-4  812 rows/s")
    """

    def __init__(self, what: str, total: float | None = None, stream: TextIO | None = None):
        self.what, self.total, self.stream = what, total, stream or sys.stderr
        self.live = self.stream.isatty()
        self.started = self._shown_at = time.monotonic()
        self._shown_share = 0.0
        self._last, self._pending = "", ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def update(self, done: float, text: str = "") -> None:
        """Say how much is done. Cheap enough for every step: it draws only when something is due."""
        share = done / self.total if self.total else 0.0
        self._pending = self._line(share, text)
        now = time.monotonic()
        if self.live:
            due = now - self._shown_at >= REDRAW_SECONDS or not self._last
        else:
            due = now - self._shown_at >= EVERY_SECONDS or share - self._shown_share >= EVERY_SHARE
        if due:
            self._shown_at, self._shown_share = now, share
            self._draw()

    def _line(self, share: float, text: str) -> str:
        head = f"{self.what} {share:4.0%}" if self.total else self.what
        return f"{head}  {text}".rstrip()

    def _draw(self) -> None:
        if self.live:
            line = cut(clean(self._pending), max(shutil.get_terminal_size().columns - 1, 20))
            _write(self.stream, "\r" + padded(line, width(self._last)))
            self._last = line
        elif self._pending != self._last:
            _write(self.stream, clean(self._pending) + "\n")
            self._last = self._pending

    def close(self) -> None:
        """Show the last state, and leave the line."""
        if self._pending:
            self._draw()
            if self.live:
                _write(self.stream, "\n")
            self._pending = ""
