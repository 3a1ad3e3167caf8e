"""HTML as values: whatever is not `Safe` is escaped, so that no class, column or run name can become markup."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from dapeng.evaluate.words import rounded, without_unit

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "line", "rect", "circle", "path", "polyline", "polygon"})


class Safe(str):
    """Text that is markup already. Made by `el` and `join` alone."""


Content = str | int | float | None | Iterable["Content"]


def escaped(value: object) -> Safe:
    """Any value as text: markup characters escaped, control characters and lone surrogates shown, not obeyed."""
    if isinstance(value, Safe):
        return value
    return Safe(html.escape("".join(_visible(c) for c in str(value)), quote=True))


def _visible(c: str) -> str:
    code = ord(c)
    if c in "\n\t" or (code >= 32 and not 127 <= code < 160 and not 0xD800 <= code < 0xE000):
        # a change of the direction of writing could make a text read as another one
        return c if not (0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069) else f"\\u{code:04x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def join(*parts: Content) -> Safe:
    return Safe("".join(_flat(parts)))


def _flat(parts: Iterable[Content]) -> Iterable[str]:
    for part in parts:
        if part is None:
            continue
        if isinstance(part, (str, int, float)):
            yield escaped(part)
        else:
            yield from _flat(part)


def el(tag: str, *children: Content, **attributes: Any) -> Safe:
    """An element. A trailing underscore of an attribute is dropped, others become hyphens; None and False leave it out."""
    named = "".join(_attribute(name, value) for name, value in attributes.items() if value not in (None, False))
    if tag in VOID and not children:
        return Safe(f"<{tag}{named}/>")
    return Safe(f"<{tag}{named}>{join(*children)}</{tag}>")


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'


def own(text: object) -> Safe:
    """A text of the user's, which may be written from right to left."""
    return el("bdi", text)  # type: ignore[arg-type]


def table(
    caption: Content,
    header: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    numeric: Iterable[int] = (),
    class_: str = "",
) -> Safe:
    """A table in a frame that scrolls by itself on a narrow screen. The first cell of a row is its header."""
    right = set(numeric)
    head = el("tr", *(el("th", cell, scope="col", class_=_side(i, right)) for i, cell in enumerate(header)))
    body = [
        el(
            "tr",
            el("th", row[0], scope="row"),
            *(el("td", cell, class_=_side(i, right)) for i, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    made = el("table", el("caption", caption), el("thead", head), el("tbody", *body), class_=class_ or None)
    return el("div", made, class_="scroll", role="region", tabindex="0", aria_label=_plain(caption))


def _side(at: int, right: set[int]) -> str | None:
    return "n" if at in right else None


def _plain(content: Content) -> str:
    """The text of a caption, for those who hear the page."""
    import re

    return html.unescape(re.sub(r"<[^>]*>", "", join(content)))


def number(value: Any, digits: int = 4) -> str:
    """A number as people read it: thousands apart, no digits that mean nothing."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (abs(value) >= 1000 and abs(value) < 1e12):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(value: Any, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def figure_of(metric: str, value: Any) -> str:
    """A metric's value: accuracy as a percentage, what has no unit with three decimals, the rest as its size asks for."""
    if metric == "accuracy" or value is None:
        return percent(value)
    if abs(value) < 1.0005 and (abs(value) >= 0.01 or value == 0 or without_unit(metric)):
        return rounded(value)
    return number(value, 3 if abs(value) < 1 else 4)


def signed(value: float, decimals: int) -> str:
    """A difference, with its sign; 0 has none."""
    shown = f"{abs(value):,.{decimals}f}"
    if not shown.strip("0.,"):
        return shown
    return ("+" if value > 0 else "−") + shown


def decimals_of(values: Iterable[float]) -> int:
    """Decimals with which the largest of some values has three digits: for columns whose numbers are compared."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 3 if not largest else min(max(2 - math.floor(math.log10(largest)), 0), 12)


def size(count: float | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}" if count < 999.5 * factor else f"{count / factor:,.0f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
