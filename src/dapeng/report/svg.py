"""Charts as inline SVG: colours come from the page's style sheet, so that they follow light and dark.

Every chart has a role and a title, so that those who hear the page know what is there; the numbers behind it stand in tables.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dapeng.report.html import Safe, el, join

WIDTH, HEIGHT = 300, 232
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40


@dataclass(frozen=True)
class Line:
    """One curve. tone: "strong" for the one to look at, "faint" for the others."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    tone: str = "strong"


class Plane:
    """A frame with two linear axes. Coordinates in data, drawn in pixels."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], width: int = WIDTH, height: int = HEIGHT):
        self.x, self.y, self.width, self.height = _wide(x), _wide(y), width, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        inner, tall = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return round(LEFT + across * inner, 1), round(TOP + (1 - up) * tall, 1)

    def points(self, x: Sequence[float], y: Sequence[float]) -> str:
        return " ".join("{},{}".format(*self.at(a, b)) for a, b in zip(x, y) if _finite(a) and _finite(b))

    def axes(self, x_label: str, y_label: str) -> Safe:
        left, bottom = self.at(self.x[0], self.y[0])
        right, _ = self.at(self.x[1], self.y[0])
        parts: list[Safe] = []
        for tick in ticks(*self.y, 5):
            _, up = self.at(self.x[0], tick)
            parts.append(el("line", x1=left, x2=right, y1=up, y2=up, class_="grid"))
            parts.append(el("text", short(tick), x=left - 6, y=up + 3.5, text_anchor="end", class_="tick"))
        for tick in ticks(*self.x, 5):
            across, _ = self.at(tick, self.y[0])
            parts.append(el("text", short(tick), x=across, y=bottom + 15, text_anchor="middle", class_="tick"))
        parts.append(el("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
        middle = (left + right) / 2
        parts.append(el("text", x_label, x=middle, y=self.height - 5, text_anchor="middle", class_="name"))
        up = (TOP + bottom) / 2
        turned = f"rotate(-90 11 {up})"
        parts.append(el("text", y_label, x=11, y=up, text_anchor="middle", class_="name", transform=turned))
        return join(parts)

    def draw(self, title: str, *parts: Safe | None) -> Safe:
        return picture(title, self.width, self.height, *parts)


def picture(title: str, width: float, height: float, *parts: Safe | None, class_: str = "chart") -> Safe:
    """An SVG that scales with the page."""
    return el(
        "svg",
        el("title", title),
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_=class_,
        aria_label=title,
    )


def lines(
    title: str,
    curves: Sequence[Line],
    x_label: str,
    y_label: str,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    diagonal: bool = False,
    weights: Sequence[float] = (),
) -> Safe:
    """Curves over one plane; the faint ones below. weights: of the points of all curves, drawn as dots of that area."""
    plane = Plane(x or _range(v for c in curves for v in c.x), y or _range(v for c in curves for v in c.y))
    parts = [plane.axes(x_label, y_label)]
    if diagonal:
        (x1, y1), (x2, y2) = plane.at(plane.x[0], plane.y[0]), plane.at(plane.x[1], plane.y[1])
        parts.append(el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="guide"))
    for curve in sorted(curves, key=lambda c: c.tone != "faint"):
        parts.append(el("polyline", points=plane.points(curve.x, curve.y), class_=f"curve {curve.tone}"))
        for a, b, weight in zip(curve.x, curve.y, weights):
            parts.append(_dot(plane, a, b, round(1.5 + 5 * math.sqrt(weight / max(weights)), 1), "spot"))
    return plane.draw(title, *parts)


def scatter(title: str, x: Sequence[float], y: Sequence[float], x_label: str, y_label: str) -> Safe:
    """Points over a square plane, with the line on which both are equal."""
    both = _range([*x, *y])
    plane = Plane(both, both)
    (x1, y1), (x2, y2) = plane.at(both[0], both[0]), plane.at(both[1], both[1])
    guide = el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="guide")
    dots = [_dot(plane, a, b, 2.2, "dot") for a, b in zip(x, y) if _finite(a) and _finite(b)]
    return plane.draw(title, plane.axes(x_label, y_label), guide, *dots)


def _dot(plane: Plane, x: float, y: float, radius: float, class_: str) -> Safe:
    across, up = plane.at(x, y)
    return el("circle", cx=across, cy=up, r=radius, class_=class_)


def histogram(
    title: str, edges: Sequence[float], counts: Sequence[float], x_label: str, outline: Sequence[float] = ()
) -> Safe:
    """Bars; `outline` is a second distribution over the same bins, drawn as a line of steps."""
    top = max([*counts, *outline, 1])
    plane = Plane((edges[0], edges[-1]), (0, top * 1.05))
    bars = []
    for low, high, count in zip(edges, edges[1:], counts):
        (left, up), (right, bottom) = plane.at(low, count), plane.at(high, 0)
        width, tall = max(round(right - left - 1, 1), 0.5), round(bottom - up, 1)
        bars.append(el("rect", x=left, y=up, width=width, height=tall, class_="bar"))
    steps = None
    if outline:
        xs = [e for low, high in itertools.pairwise(edges) for e in (low, high)]
        ys = [c for count in outline for c in (count, count)]
        steps = el("polyline", points=plane.points(xs, ys), class_="curve ink")
    return plane.draw(title, plane.axes(x_label, "rows"), *bars, steps)


def span(
    title: str, value: float, low: float | None, high: float | None, domain: tuple[float, float], strong: bool
) -> Safe:
    """A value with its interval on a common axis: one row of a leaderboard. What lies outside is marked at the edge."""
    width, height = 150, 18
    first, last = _wide(domain)

    def at(v: float) -> float:
        return round(6 + (min(max(v, first), last) - first) / (last - first) * (width - 12), 1)

    tone = "strong" if strong else "faint"
    parts: list[Safe] = [el("line", x1=6, x2=width - 6, y1=9, y2=9, class_="grid")]
    if value < first or value > last:
        tip = "1,9 8,5 8,13" if value < first else f"{width - 1},9 {width - 8},5 {width - 8},13"
        return picture(title, width, height, *parts, el("polygon", points=tip, class_=f"spot {tone}"), class_="span")
    if low is not None and high is not None:
        parts.append(el("line", x1=at(low), x2=at(high), y1=9, y2=9, class_=f"whisker {tone}"))
    parts.append(el("circle", cx=at(value), cy=9, r=4, class_=f"spot {tone}"))
    return picture(title, width, height, *parts, class_="span")


def whiskered(
    title: str, value: float, bounds: tuple[float, float] | None, domain: tuple[float, float], sure: bool
) -> Safe:
    """A bar from 0 to a value on a common axis, with a whisker over its interval; faint where it is not sure. The domain holds 0."""
    width, (first, last) = 150, _wide(domain)

    def at(v: float) -> float:
        return round(6 + (min(max(v, first), last) - first) / (last - first) * (width - 12), 1)

    left, right = sorted((at(0.0), at(value)))
    parts = [
        el("rect", x=left, y=5, width=round(right - left, 1), height=8, class_="bar" if sure else "bar unsure"),
        el("line", x1=at(0.0), x2=at(0.0), y1=1, y2=17, class_="axis"),
    ]
    if bounds is not None:
        low, high = (at(v) for v in bounds)
        parts.append(el("line", x1=low, x2=high, y1=9, y2=9, class_="reach"))
        parts += [el("line", x1=end, x2=end, y1=6, y2=12, class_="reach") for end in (low, high)]
    return picture(title, width, 18, *parts, class_="span")


def signed_bar(title: str, share: float) -> Safe:
    """A bar from the middle: to the right above 0, to the left below it. share: -1 to 1."""
    long = round(min(abs(share), 1.0) * 72, 1)
    left = 75 if share >= 0 else round(75 - long, 1)
    parts = (
        el("rect", x=left, y=5, width=long, height=8, class_="bar" if share >= 0 else "bar against"),
        el("line", x1=75, x2=75, y1=1, y2=17, class_="axis"),
    )
    return picture(title, 150, 18, *parts, class_="span")


def ladder(
    title: str, marks: Sequence[tuple[str, str, float, float | None, float | None]], lower_is_better: bool
) -> Safe:
    """The product above an axis, what it is measured by below: (tone, label, value, low, high), the product first."""
    width, line = 560, 50
    known = [v for m in marks for v in m[2:] if v is not None]
    low, high = min(known), max(known)
    pad = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    first, last = low - pad, high + pad

    def at(v: float) -> float:
        return round(16 + (v - first) / (last - first) * (width - 32), 1)

    parts: list[Safe] = [el("line", x1=16, x2=width - 16, y1=line, y2=line, class_="axis")]
    lower = sorted(marks[1:], key=lambda m: m[2])
    taken, rows = -math.inf, 1
    for tone, label, value, *_ in lower:
        half = 3.4 * len(label)
        where = min(max(at(value), half + 2), width - half - 2)
        row = 0 if where - half > taken else 1
        rows = max(rows, row + 1)
        taken = max(taken, where + half + 8) if row == 0 else taken
        parts.append(el("line", x1=at(value), x2=at(value), y1=line - 7, y2=line + 12 + 18 * row, class_="stem"))
        parts.append(el("circle", cx=at(value), cy=line, r=5, class_=f"spot {tone}"))
        parts.append(el("text", label, x=where, y=line + 26 + 18 * row, text_anchor="middle", class_="name"))
    tone, label, value, bottom, top = marks[0]
    if bottom is not None and top is not None:
        parts.append(el("line", x1=at(bottom), x2=at(top), y1=line, y2=line, class_="whisker wide"))
    half = 3.9 * len(label)
    where = min(max(at(value), half + 2), width - half - 2)
    parts.append(el("circle", cx=at(value), cy=line, r=8, class_=f"spot {tone}"))
    parts.append(el("text", label, x=where, y=line - 20, text_anchor="middle", class_="mark"))
    end = {"x": 16, "text_anchor": "start"} if lower_is_better else {"x": width - 16, "text_anchor": "end"}
    parts.append(el("text", "← better" if lower_is_better else "better →", y=12, class_="tick", **end))
    return picture(title, width, line + 14 + 18 * rows, *parts, class_="ladder")


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two bounds."""
    step = 10 ** math.floor(math.log10((high - low) / max(count - 1, 1)))
    step *= next((m for m in (1, 2, 2.5, 5, 10) if (high - low) / (step * m) <= count), 10)
    start = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(start, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A tick's label: 12k, 3M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _range(values) -> tuple[float, float]:
    known = [v for v in values if _finite(v)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _wide(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    return (low, high) if high > low else (low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5))
