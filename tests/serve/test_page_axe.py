"""No one is kept out of the page to try a model: axe-core finds no fault in it, before and after an answer and an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from server import serving

from trained import digits_run, iris_run, market_run, reviews_run

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from axe import SCHEMES, WIDTHS, browser, faults, opened

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def server():
    runs = (iris_run, reviews_run, digits_run, market_run)
    with serving(*(run()[0].path for run in runs)) as running:
        yield running


@pytest.mark.parametrize("run", [iris_run, reviews_run, digits_run, market_run])
def test_axe_finds_no_fault_in_the_page(chromium, server, run, tmp_path):
    folder, _, table = run()
    picture = tmp_path / "digit.png"
    if run is digits_run:
        picture.write_bytes(table.column("image")[0].as_py())
    for width in WIDTHS:
        for scheme in SCHEMES:
            with opened(chromium, f"{server.url}/?model={folder.name}", width, scheme, locale="en-GB") as page:
                page.locator("details").evaluate("d => d.open = true")
                assert faults(page) == [], (width, scheme)
                if run is digits_run:
                    page.locator("input[type=file]").set_input_files(picture)
                    page.locator("#p0:not([hidden])").wait_for()
                elif run is reviews_run:
                    page.locator("textarea").fill("a wonderful, moving film")
                page.get_by_role("button", name="Predict").click()
                page.locator(".value").first.wait_for()
                assert faults(page) == [], (width, scheme, "with an answer")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_no_fault_in_an_error_and_in_chinese(chromium, server, scheme):
    with opened(chromium, server.url, 400, scheme, locale="zh-CN") as page:
        page.get_by_label("petal.width").fill("wide")
        page.locator("button").click()
        page.locator(".error").wait_for()
        assert page.locator("html").get_attribute("lang") == "zh-CN"
        assert faults(page) == []


def test_axe_finds_what_is_broken(chromium, server):
    with opened(chromium, server.url) as page:
        page.evaluate("document.querySelector('label').remove()")
        page.evaluate("document.querySelector('h1').style.color = '#ddd'")
        found = {f.partition(":")[0] for f in faults(page)}
    assert {"critical label", "serious color-contrast"} <= found
