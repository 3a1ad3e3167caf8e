"""No reader is kept out of the report: axe-core finds no fault in it, in any size and colour scheme; and it does find faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from axe import SCHEMES, WIDTHS, browser, faults, opened
from made_run import EVIL, QUOTES, class_run
from small_runs import KINDS, run_of

from dapeng.report.write import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_no_fault_in_the_report_of_a(chromium, kind):
    report = run_of(kind).path / "report.html"
    for width in WIDTHS:
        for scheme in SCHEMES:
            with opened(chromium, report.as_uri(), width, scheme) as page:
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                assert faults(page) == [], (width, scheme)


def test_axe_finds_no_fault_where_names_are_hostile_and_the_verdict_is_missing(chromium, tmp_path):
    folder = class_run(tmp_path, [EVIL, "b", "很长的标签名字"], [QUOTES, "一段中文"] * 40, column=EVIL)
    for lacks in (None, "metrics.json", "predictions.parquet"):
        if lacks:
            (folder.path / lacks).unlink()
        with opened(chromium, write_report(folder).as_uri()) as page:
            assert faults(page) == []


@pytest.mark.parametrize(
    ("whole", "broken", "fault"),
    [
        ("</main>", "<img src='data:,x'></main>", "critical image-alt"),
        ("--soft: #59616b", "--soft: #c9c1cb", "serious color-contrast"),
        ('<html lang="en">', "<html>", "serious html-has-lang"),
        (' tabindex="0"', "", "serious scrollable-region-focusable"),
        ("<h3>", "<h5>", "moderate heading-order"),
    ],
)
def test_axe_finds_what_is_broken(chromium, tmp_path, whole, broken, fault):
    """The policy forbids the changed style sheet, so it is taken out of the copy."""
    text = (run_of("number").path / "report.html").read_text(encoding="utf-8")
    assert whole in text
    copy = tmp_path / "report.html"
    copy.write_text(text.replace("Content-Security-Policy", "x").replace(whole, broken), encoding="utf-8")
    with opened(chromium, copy.as_uri(), 400) as page:
        assert [f for f in faults(page) if f.startswith(fault)]
