"""The report is one safe file: no script, no request, everything escaped, readable by those who hear it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import itertools

from made_run import EVIL, QUOTES, class_run

from dapeng.core.files import write_text, write_yaml
from dapeng.evaluate.words import ALIKE
from dapeng.report.card import card
from dapeng.report.html import el, escaped
from dapeng.report.sections.learning import Learning
from dapeng.report.write import write_report

CHROMIUM = shutil.which("chromium")


class Outline(HTMLParser):
    """Tags with their attributes, and the text of headings."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag]


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> str:
    folder = class_run(
        tmp_path_factory.mktemp("evil"), [EVIL, QUOTES, "正常"], [EVIL, "好的\x00\u202e"] * 40, column=EVIL
    )
    folder.write_json("explain.json", {"importance": {EVIL: 0.5, "b": 0.1}})
    folder.write_json("export.json", {"onnx": {"file": EVIL, "largest difference": 1e-6}})
    folder.write_json("compress.json", [EVIL])
    return write_report(folder).read_text(encoding="utf-8")


def test_no_name_becomes_markup(evil):
    assert "<script" not in evil.lower()
    outline = Outline(evil)
    for tag, attributes in outline.tags:
        assert tag not in ("script", "iframe", "object", "embed", "form", "base"), tag
        assert not [a for a in attributes if a.startswith("on")], (tag, attributes)
    assert escaped(EVIL) in evil
    assert "\x00" not in evil
    assert "\u202e" not in evil


def test_nothing_outside_is_referred_to(evil):
    for tag, attributes in Outline(evil).tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/")), (tag, name, value)
        assert "style" not in attributes, "an inline style breaks the policy"
    assert not re.search(r"url\(|@import", evil)


def test_the_policy_allows_this_style_alone(evil):
    policy = next(a for a in Outline(evil).all("meta") if a.get("http-equiv") == "Content-Security-Policy")["content"]
    style = re.search(r"<style>(.*?)</style>", evil, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_those_who_hear_the_page_find_their_way(evil):
    outline = Outline(evil)
    assert len(outline.all("h1")) == 1
    levels = [int(t[1]) for t, _ in outline.tags if re.fullmatch("h[1-6]", t)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert evil.count("<table") == evil.count("<caption") > 3
    assert all(a.get("scope") in ("col", "row") for a in outline.all("th"))
    assert all(a.get("alt") for a in outline.all("img"))
    drawn = [a for a in outline.all("svg") if a.get("aria-hidden") != "true"]
    assert drawn
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawn)
    assert outline.all("html")[0]["lang"] == "en"
    anchors = {a["id"] for _, a in outline.tags if "id" in a}
    assert {a["href"][1:] for a in outline.all("a")} <= anchors


def test_the_verdict_comes_first(evil):
    assert evil.index('id="verdict"') < evil.index('id="leaderboard"') < evil.index('id="made"')


def test_wrong_texts_are_shown(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], [f"the text of row {i}" for i in range(60)])
    assert "the text of row" in write_report(folder).read_text(encoding="utf-8")


def test_pictures_are_written_anew_and_svg_never_gets_in(tmp_path):
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(out, "PNG", pnginfo=None)
    secret = out.getvalue() + b"<svg onload=alert(1)>TRAILING"
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    folder = class_run(tmp_path, ["a", "b"], [secret, svg] * 60, kind="image", column="photo")
    text = write_report(folder).read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', text)
    assert pictures
    for kind, data in pictures:
        assert kind in ("png", "jpeg")
        assert b"TRAILING" not in base64.b64decode(data)
    assert "svg+xml" not in text


def test_a_report_stays_small_with_many_classes_and_large_pictures(tmp_path):
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG")
    labels = [f"label number {i}" for i in range(300)]
    folder = class_run(tmp_path, labels, [out.getvalue()] * 400, kind="image", column="photo")
    assert write_report(folder).stat().st_size < 3_000_000


def test_data_that_is_gone_is_said(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    (tmp_path / "rows.parquet").unlink()
    assert "can&#x27;t be read any more" in write_report(folder).read_text(encoding="utf-8")


def test_data_named_by_a_bare_address_is_read_again(tmp_path):
    from dapeng.core.files import write_yaml

    folder = class_run(tmp_path, ["a", "b"], [f"the text of row {i}" for i in range(60)])
    write_yaml(folder.path / "spec.yaml", {"data": str(tmp_path / "rows.parquet"), "outputs": {"y": "category"}})
    text = write_report(folder).read_text(encoding="utf-8")
    assert "the text of row" in text
    assert str(tmp_path / "rows.parquet") in text


def test_data_that_has_changed_is_not_shown(tmp_path):
    from dapeng.core.files import write_yaml

    folder = class_run(tmp_path, ["a", "b"], ["other rows than then"] * 60)
    write_yaml(folder.path / "resolved.yaml", {"spec": {"evaluate": {"errors_shown": 5}}, "facts": {"data": "0" * 64}})
    text = write_report(folder).read_text(encoding="utf-8")
    assert "has changed since" in text
    assert "other rows than then" not in text


def test_a_section_that_fails_costs_itself_alone(tmp_path, capsys):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    write_text(folder.path / "explain.json", "[")
    assert 'id="leaderboard"' in write_report(folder).read_text(encoding="utf-8")
    assert "left out of the report" in capsys.readouterr().err


def _learnt(tmp_path, seconds: list[float], phases: list[Any] | None) -> str:
    """The section of a run whose metrics tell of two phases: scores 0.5, 0.8, 0.7 and then those given."""
    folder = class_run(tmp_path, ["a", "b"], ["x", "y"] * 10)
    entries = [
        {"phase": phase, "step": 10 * i, "epoch": i, "loss": 0.5, "score": score, "y.accuracy": score}
        for phase, scores in enumerate([[0.5, 0.8, 0.7], seconds])
        for i, score in enumerate(scores, 1)
    ]
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    write_yaml(folder.path / "resolved.yaml", {"spec": {"train": {"phases": phases}}, "facts": {}})
    return str(Learning().render(folder))


def test_training_anew_is_a_line_of_its_own_and_the_attempt_that_was_kept_is_named(tmp_path):
    page = _learnt(tmp_path, [0.6, 0.9], None)
    assert "trained anew" in page
    assert "epoch 2 (step 20) of the second attempt validated best and were kept" in page
    figure = page.partition("y: accuracy by epoch")[2].partition("</figure>")[0]
    curves = re.findall(r'<polyline points="([^"]*)" class="curve (\w+)"', figure)
    assert [(len(points.split()), tone) for points, tone in curves] == [(3, "faint"), (2, "strong")]
    assert "attempt 1 (thin line): from 0.5 to 0.7; attempt 2 (thick line): from 0.6 to 0.9" in figure


def test_a_second_attempt_that_is_no_better_is_not_kept_and_the_last_of_several_phases_is(tmp_path):
    page = _learnt(tmp_path, [0.6, 0.8], None)
    assert "epoch 2 (step 20) of the first attempt validated best and were kept" in page
    page = _learnt(tmp_path, [0.6, 0.75], [{}, {}])
    assert "trained anew" not in page
    assert "epoch 2 (step 20) of the second phase validated best and were kept" in page


def test_the_model_card_escapes_names_too(tmp_path):
    folder = class_run(tmp_path, [EVIL, "a|b"], ["x"] * 60, column="col|umn")
    write_report(folder)
    card = (folder.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "<script" not in card
    assert "col\\|umn" in card
    assert "## Figures" in card


def test_the_manifest_knows_the_report(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    folder.manifest()
    write_report(folder)
    folder.verify()


def test_text_is_escaped_unless_it_was_made_by_el():
    assert el("p", "<b>", el("i", "&")) == "<p>&lt;b&gt;<i>&amp;</i></p>"
    assert el("p", title='"x"') == '<p title="&quot;x&quot;"></p>'


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_finds_nothing_to_complain_about(tmp_path, scheme, width):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    folder = class_run(tmp_path, [EVIL, "b", "很长的标签名字"], [QUOTES, "一段中文"] * 40, column=EVIL)
    report = write_report(folder)
    said, asked = [], []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(report.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        poor = page.evaluate(CONTRAST)
        browser.close()
    assert said == []
    assert [u for u in asked if not u.startswith(("file:", "data:"))] == []
    assert wide <= width, "the page scrolls sideways"
    assert poor == []


CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b };
  const parse = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)) };
  const behind = e => e ? (c => c[3] === 0 ? behind(e.parentElement) : (c[3] ?? 1) === 1 ? c.slice(0, 3)
                     : over(c, behind(e.parentElement)))(parse(getComputedStyle(e).backgroundColor)) : [255, 255, 255];
  const poor = [];
  for (const e of document.querySelectorAll('p,td,th,dd,dt,a,h1,h2,h3,h4,figcaption,caption,li,span,blockquote,text')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const s = getComputedStyle(e), svg = e.tagName === 'text';
    const a = light(parse(svg ? s.fill : s.color)), b = light(behind(svg ? e.closest('svg').parentElement : e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


def test_a_figure_without_an_interval_says_why_in_the_report_and_on_the_card(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x", "y"] * 20)
    found = folder.read_json("metrics.json")
    for figure in found["outputs"]["y"]["metrics"].values():
        figure |= {"low": 0.0, "high": 1.0}
    folder.write_json("metrics.json", found)
    assert ALIKE not in write_report(folder).read_text(encoding="utf-8") + card(folder)
    found["outputs"]["y"]["metrics"]["auroc"] |= {"low": None, "high": None}
    folder.write_json("metrics.json", found)
    assert f"–: {escaped(ALIKE)}" in write_report(folder).read_text(encoding="utf-8")
    assert f"–: {ALIKE}" in card(folder)
