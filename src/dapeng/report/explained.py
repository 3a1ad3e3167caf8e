"""Single rows out of explain.json: what counted in each, as shaded text, as heat over a picture, as signed bars."""

from __future__ import annotations

from typing import Any

from dapeng.report.html import Content, Safe, decimals_of, el, join, number, own, percent, signed, table
from dapeng.report.pictures import Heat, heat_of
from dapeng.report.shading import shaded
from dapeng.report.svg import signed_bar

MOST_ROWS = 12
MOST_COLUMNS = 10
MOST_CELL = 60
MOST_BYTES = 500_000
"""Of pictures in the explanations of one report."""
LEGEND = (
    ("for", "speaks for the answer, or makes the number larger"),
    ("against", "speaks against it, or makes it smaller"),
)


class Explained:
    """The rows of one explain.json, so far as there is room for their pictures."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows, self.room = rows, MOST_BYTES

    def render(self) -> Safe | None:
        shown = [card for row in self.rows[:MOST_ROWS] if (card := self._row(row)) is not None]
        if not shown:
            return None
        left = len(self.rows) - MOST_ROWS
        more = el("p", f"{left:,} more rows stand in explain.json.", class_="note") if left > 0 else None
        return join(el("h3", "Row by row"), *_lead(self.rows), el("ul", *shown, class_="explained"), more)

    def _row(self, row: dict[str, Any]) -> Safe | None:
        parts = [self._output(row["row"], name, found) for name, found in row.get("outputs", {}).items()]
        return el("li", *parts) if parts else None

    def _output(self, row: int, name: str, found: dict[str, Any]) -> Safe:
        columns = found.get("columns", [])
        values = {c["column"]: c.get("value") for c in columns}
        body: list[Content] = []
        for column, tokens in found.get("tokens", {}).items():
            body += [_which(column, columns), shaded(str(values.get(column) or ""), tokens)]
        for column, maps in found.get("pictures", {}).items():
            body += [_which(column, columns), self._pictures(row, maps)]
        if len(columns) > 1 or (columns and not body):
            body.append(_bars(row, name, columns, "Against, for" if "probability" in found else "Smaller, larger"))
        return el("div", el("h4", f"Row {number(row)}: ", _answer(name, found)), _way(found), *body)

    def _pictures(self, row: int, maps: dict[str, Any]) -> Safe:
        figures = []
        for key, title in (("heat", "What it looked at"), ("occlusion", "What it misses when hidden")):
            made = heat_of(maps.get("picture"), maps.get(key))
            if made is None:
                continue
            self.room -= len(made.uri) + len(made.plain)
            if self.room < 0:
                return el("p", "The picture is not shown: the report would grow too large.", class_="note")
            if not figures:
                figures.append(_figure(made.plain, f"Row {row} as the network sees it", "The picture", made))
            figures.append(_figure(made.uri, f"Row {row}, {title.lower()}: {made.said}", f"{title}: {made.said}", made))
        agree = maps.get("agreement")
        said = f"The two maps agree by {agree:.2f} (1 is wholly, 0 not at all)." if isinstance(agree, float) else None
        return join(el("div", *figures, class_="maps"), el("p", said, class_="quiet") if said else None)


def _figure(uri: str, alt: str, caption: str, of: Heat) -> Safe:
    class_ = "sharp" if of.sharp else None
    picture = el("img", src=uri, alt=alt, width=of.width, height=of.height, class_=class_, loading="lazy")
    return el("figure", picture, el("figcaption", caption))


def _lead(rows: list[dict[str, Any]]) -> list[Safe]:
    every = [o for r in rows for o in r.get("outputs", {}).values()]
    words = []
    if any("baseline" in o for o in every):
        words.append(
            "What the parts add sums to the way from a blank start (the mean row of a table, no text, a grey picture) to the answer "
            "(integrated gradients)."
        )
    if any("baseline" not in o and o.get("columns") for o in every):
        words.append(
            "Where a classical learner counts most, its columns add to its own score before it becomes a probability."
        )
    if any("baseline" not in o and o.get("tokens") for o in every):
        words.append("Its words count by how much the answer falls when each alone is left out.")
    samples = [join(el("span", way, class_=f"{way} s4"), " ", said) for way, said in LEGEND]
    legend = el("p", samples[0], "; ", samples[1], "; the darker, the more.", class_="legend")
    return [el("p", " ".join(words)) if words else Safe(""), legend]


def _which(column: str, columns: list[dict[str, Any]]) -> Safe | None:
    """The column's name, where there are several."""
    return el("p", own(column), class_="quiet") if len(columns) > 1 else None


def _answer(name: str, found: dict[str, Any]) -> Safe:
    said = found.get("prediction")
    shown = number(said) if isinstance(said, (int, float)) else str(said)
    sure = f" ({percent(found['probability'])})" if "probability" in found else ""
    truth = found.get("truth")
    true = number(truth) if isinstance(truth, (int, float)) else str(truth)
    return join(own(name), " = ", own(shown), sure, join(", truly ", own(true)) if "truth" in found else None)


def _way(found: dict[str, Any]) -> Safe | None:
    """From where to where, and whose answer it is."""
    parts = []
    if "baseline" in found and "of" in found:
        decimals = decimals_of([found["of"], found["baseline"]])
        start, end = (
            percent(v) if "probability" in found else f"{v:,.{decimals}f}" for v in (found["baseline"], found["of"])
        )
        parts.append(f"from {start} at a blank start to {end}")
    if found.get("explains") and found.get("share", 1.0) < 0.9995:
        parts.append(f"that is the {found['explains']} part, {percent(found['share'], 0)} of the product")
    said = "; ".join(parts)
    return el("p", said[:1].upper() + said[1:] + ".", class_="quiet") if said else None


def _bars(row: int, output: str, columns: list[dict[str, Any]], ways: str) -> Safe:
    decimals, most = decimals_of(c["adds"] for c in columns), max(abs(c["adds"]) for c in columns) or 1.0
    body = []
    for column in columns[:MOST_COLUMNS]:
        adds = signed(column["adds"], decimals)
        picture = signed_bar(f"{column['column']} adds {adds}", column["adds"] / most)
        body.append([own(column["column"]), own(_cell(column.get("value"))), adds, picture])
    rest = columns[MOST_COLUMNS:]
    if rest:
        total = sum(c["adds"] for c in rest)
        picture = signed_bar(f"the others add {signed(total, decimals)}", total / most)
        body.append([f"{len(rest):,} more", "", signed(total, decimals), picture])
    caption = join(f"Row {number(row)}: what the columns add to ", own(output))
    return table(caption, ["Column", "Value", "Adds", ways], body, [2], "adds")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = number(value, 6) if isinstance(value, (int, float)) else str(value)
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"
