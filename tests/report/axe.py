"""axe-core in Chromium: what it finds wrong with a page as a reader gets it, its own policy and scripts included."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCHEMES = ("light", "dark")
WIDTHS = (400, 1280)
FEWEST_RULES = 12
"""Rules that must have looked at something, or axe did not run over the page."""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium, or the test is skipped with the reason."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    play = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    pytest.importorskip(
        "axe_playwright_python", reason="axe-playwright-python, which brings axe-core, is not installed"
    )
    with play.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@contextlib.contextmanager
def opened(started: Any, address: str, width: int = 1280, scheme: str = "light", **how: Any) -> Iterator[Any]:
    page = started.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **how)
    page.goto(address)
    yield page
    page.close()


def faults(page: Any) -> list[str]:
    """Every violation that axe-core finds, as "impact rule: the element". Asserts that it looked."""
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    looked = len(found["passes"]) + len(found["violations"])
    assert looked >= FEWEST_RULES, f"axe looked at {looked} rules alone"
    return [
        f"{v['impact']} {v['id']}: {' '.join(map(str, n['target']))} {n['html'][:120]}"
        for v in found["violations"]
        for n in v["nodes"]
    ]
