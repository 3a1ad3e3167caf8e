"""The page around the sections: one file, no script, no request, nothing allowed that is not in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from dapeng.report.html import Safe, el, join

STYLE = Path(__file__).with_name("style.css")
BIRD = "M2 15C9 13 13 8 15 3c2 5 4 8 7 9 3-1 5-4 7-9 2 5 6 10 13 12-7 0-11 2-14 5-2 2-4 3-6 3s-4-1-6-3C13 17 9 15 2 15Z"


def page(title: str, meta: Sequence[str], sections: Sequence[tuple[str, str, Safe]]) -> str:
    """A whole HTML file.

    title: the run's name. meta: short facts below it. sections: (anchor, heading, body) in order; the first comes large.
    """
    style = Safe(STYLE.read_text(encoding="utf-8"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy(style)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{title} · Dapeng report"),
        el("style", style),
    )
    body = el(
        "body",
        el("a", "Skip to the content", href="#content", class_="skip"),
        _header(title, meta),
        el("div", _contents(sections), el("main", *(_section(*s) for s in sections), id="content"), class_="sheet"),
        el("footer", el("p", "Made by Dapeng 大鹏. This file is complete: it loads nothing and runs nothing.")),
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en")


def policy(style: str) -> str:
    """What a browser may do: show this style sheet and pictures that lie in the file."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"


def _header(title: str, meta: Sequence[str]) -> Safe:
    bird = el("svg", el("path", d=BIRD), viewBox="0 0 44 24", class_="bird", aria_hidden="true", focusable="false")
    brand = el("p", bird, el("span", "Dapeng"), " ", el("span", "大鹏", lang="zh"), class_="brand")
    facts = el("p", *(el("span", m) for m in meta), class_="meta")
    return el("header", brand, el("h1", el("bdi", title)), facts, class_="top")


def _contents(sections: Sequence[tuple[str, str, Safe]]) -> Safe:
    links = [el("li", el("a", heading, href=f"#{anchor}")) for anchor, heading, _ in sections]
    return el("nav", el("ul", *links), aria_label="Contents")


def _section(anchor: str, heading: str, body: Safe) -> Safe:
    named = f"{anchor}-heading"
    return el("section", el("h2", heading, id=named), join(body), id=anchor, aria_labelledby=named)
