"""The page in a real browser."""

from __future__ import annotations

import shutil

import pytest
from server import serving

from trained import digits_run, iris_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


def test_the_page_predicts_without_a_request_to_elsewhere(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    table = digits_run()[2]
    picture = tmp_path / "digit.png"
    picture.write_bytes(table.column("image")[0].as_py())
    with serving(iris_run()[0].path, digits_run()[0].path) as server, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        asked, said = [], []
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: said.append(m.text))
        page.goto(server.url)
        page.get_by_label("petal.width").fill("0.2")
        page.get_by_label("wide").select_option("yes")
        page.get_by_role("button", name="Predict").click()
        page.locator(".bars li").first.wait_for()
        assert page.locator(".value").inner_text() in ("setosa", "versicolor", "virginica")
        page.get_by_label("petal.width").fill("wide")
        page.get_by_role("button", name="Predict").click()
        page.locator(".error").wait_for()
        assert "petal.width" in page.locator(".error").inner_text()
        page.goto(f"{server.url}/?model={digits_run()[0].name}")
        page.get_by_label("image").set_input_files(picture)
        page.locator("#p0:not([hidden])").wait_for()
        page.get_by_role("button", name="Predict").click()
        page.locator(".bars li").first.wait_for()
        assert page.locator(".bars li").count() == 10
        browser.close()
        assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)
        assert not [s for s in said if "Content Security Policy" in s]
