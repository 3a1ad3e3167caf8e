"""A run's page in a real browser: a picture dropped on it, and its answer."""

from __future__ import annotations

import base64
import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from server import serving  # type: ignore[import-not-found]

FILE = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  return carried;
}"""


@contextlib.contextmanager
def answered(run: Path, picture: bytes, name: str = "scene.png") -> Iterator[Any]:
    """The page with the answer to a picture that was dropped on it; nothing was complained of. Skipped without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with serving(run) as server, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(locale="en-GB")
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
        page.goto(server.url)
        carried = page.evaluate_handle(FILE, [name, base64.b64encode(picture).decode()])
        page.dispatch_event(".drop", "drop", {"dataTransfer": carried})
        page.locator("#p0:not([hidden])").wait_for()
        page.get_by_role("button", name="Predict").click()
        page.locator(".answer .value").first.wait_for()
        yield page
        assert wrong == []
        browser.close()
