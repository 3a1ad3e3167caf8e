"""Single rows of explain.json in the report: readable in place, without colour, and escaped."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_run import EVIL, QUOTES, class_run
from small_runs import KINDS, run_of

from dapeng.explain.pictures import heat, picture
from dapeng.report.html import escaped, signed
from dapeng.report.pictures import heat_of, places
from dapeng.report.shading import pieces, shaded
from dapeng.report.write import write_report


def section(path: Path) -> str:
    text = (path / "report.html").read_text(encoding="utf-8")
    return re.search(r'<section id="explain".*?</section>', text, re.DOTALL)[0]  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
def test_every_explained_row_is_in_the_report_that_training_leaves(kind):
    folder = run_of(kind)
    rows = folder.read_json("explain.json")["rows"]
    text = section(folder.path)
    assert rows
    assert re.findall(r"<h4>Row (\d+):", text) == [str(r["row"]) for r in rows]
    assert "speaks against it" in text
    assert (folder.path / "report.html").stat().st_size < 3_000_000


def test_a_text_is_shaded_where_it_stands():
    folder = run_of("text")
    text = section(folder.path)
    for row in folder.read_json("explain.json")["rows"]:
        (found,) = row["outputs"].values()
        sentence = found["columns"][0]["value"]
        plain = [re.sub("<[^>]*>", "", p) for p in re.findall('<p class="shaded" dir="auto">(.*?)</p>', text)]
        assert str(escaped(sentence)) in plain
    spans = re.findall(r'<span class="(for|against) s[1-5]" title="([+−])[\d.]+">', text)
    assert spans
    assert all((way == "for") == (sign == "+") for way, sign in spans)


def test_the_strongest_pieces_are_told_in_figures():
    weights = [("not", -0.25), ("bad", 0.5), (",", 0.0), ("not", -0.25), ("good", -0.1)]
    said = shaded("not bad , not good", [{"token": t, "weight": w} for t, w in weights])
    plain = re.sub("<[^>]*>", "", said)
    assert "For: “bad” +0.500" in plain
    assert "Against: “not” −0.500, “good” −0.100" in plain
    assert '<span class="for s5" title="+0.500">bad</span>' in said
    assert '<span class="against s2" title="−0.250">not</span>' in said


@pytest.mark.parametrize(
    ("text", "tokens", "wanted"),
    [
        ("A Good film", [("a", 1), ("good", 2), ("film", 3)], [("A", 1), ("Good", 2), ("film", 3)]),
        ("很好看", [("很", 1), ("好", 2), ("看", 3)], [("很", 1), ("好", 2), ("看", 3)]),
        ("wonder ful", [("won", 1), ("der", 2), (" ful", 3)], [("won", 1), ("der", 2), ("ful", 3)]),
        ("no, no", [("no", 1), (",", 2), ("no", 3)], [("no", 1), (",", 2), ("no", 3)]),
        ("not so good", [("not", 1), ("good", 2), ("not so", 4)], [("not", 3), ("so", 2), ("good", 2)]),
        ("one two ...", [("one", 1), ("two", 2), ("three", 3)], [("one", 1), ("two", 2)]),
        ("", [("<unk>", 1)], [("<unk>", 1)]),
        ("cafe\u0301 Ａ１", [("cafe\u0301", 1), ("ａ１", 2)], [("cafe\u0301", 1), ("Ａ１", 2)]),
        ("abc", [("xyz", 1), ("q", 2)], [("xyz", 1), ("q", 2)]),
    ],
)
def test_tokens_are_found_in_their_text(text, tokens, wanted):
    found = pieces(text, tokens)
    assert [(p.text, p.weight) for p in found if p.weight is not None] == wanted
    if "".join(t for t, _ in wanted).lower() in text.replace(" ", "").lower() and text:
        assert "".join(p.text for p in found) == text


def test_a_picture_lies_beside_its_heat_with_words_for_both_maps():
    folder = run_of("picture")
    rows = folder.read_json("explain.json")["rows"]
    images = re.findall(r"<img [^>]*>", section(folder.path))
    assert len(images) == 3 * len(rows)
    for image in images:
        kind, data = re.search(r'src="data:image/(png|jpeg);base64,([^"]+)"', image).groups()  # type: ignore[union-attr]
        assert kind == "png"
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert re.search(r'alt="Row \d+', image)


def test_heat_is_mixed_over_the_picture_and_told_in_words():
    from PIL import Image

    values = np.zeros((9, 9), np.float32)
    values[:3, :3], values[6:, 3:6] = 1.0, -0.5
    made = heat_of(picture(np.full((1, 9, 9), 255, np.uint8)), heat(values))
    assert made is not None
    assert made.said == "most for at the upper left, most against at the bottom"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2]))), np.int64)
    assert shown[0, 0, 2] > shown[0, 0, 0]
    assert shown[8, 4, 0] > shown[8, 4, 2]
    assert (shown[4, 4] == 255).all()
    assert places(np.zeros((8, 8))) == "nothing stands out"
    assert places(np.ones((1, 1))) == "most for at the upper left"


@pytest.mark.parametrize("bad", [None, "", "AAAA", "not base64!", base64.b64encode(b"<svg onload=alert(1)>").decode()])
def test_a_map_that_is_no_picture_is_left_out(bad):
    good = picture(np.zeros((1, 4, 4), np.uint8))
    assert heat_of(bad, good) is None
    assert heat_of(good, bad) is None


def test_columns_are_signed_bars():
    folder = run_of("number")
    text = section(folder.path)
    found = folder.read_json("explain.json")["rows"][0]["outputs"]["petal.width"]
    first = max(found["columns"], key=lambda c: abs(c["adds"]))
    assert f"{first['column']} adds {'+' if first['adds'] > 0 else '−'}" in text
    assert "Smaller, larger" in text
    negative = sum(c["adds"] < 0 for r in folder.read_json("explain.json")["rows"] for c in r["outputs"]["petal.width"]["columns"])  # fmt: skip
    assert text.count('class="bar against"') == negative


def explained(**found: Any) -> dict[str, Any]:
    return {"importance": {}, "rows": [{"row": 0, "outputs": {EVIL: {"prediction": QUOTES, **found}}}]}


def test_hostile_names_stay_text(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    columns = [{"column": n, "value": n, "adds": 0.5} for n in (EVIL, QUOTES)]
    tokens = {EVIL: [{"token": EVIL, "weight": 1.0}, {"token": QUOTES, "weight": -0.5}]}
    pictures = {QUOTES: {"picture": EVIL, "heat": QUOTES, "occlusion": None}}
    folder.write_json("explain.json", explained(columns=columns, tokens=tokens, pictures=pictures, truth=EVIL))
    write_report(folder)
    text = section(folder.path)
    assert "<script" not in text
    assert "<img" not in text
    assert str(escaped(EVIL)) in text


def test_large_pictures_in_explanations_keep_the_report_small(tmp_path):
    random = np.random.default_rng(0)
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    rows = []
    for i in range(40):
        pixels = random.integers(0, 256, (3, 128, 128), np.uint8)
        maps = {k: heat(random.normal(size=(128, 128))) for k in ("heat", "occlusion")}
        one = {"prediction": "a", "columns": [], "pictures": {"p": {"picture": picture(pixels), **maps}}}
        rows.append({"row": i, "outputs": {"y": one}})
    folder.write_json("explain.json", {"importance": {}, "rows": rows})
    assert write_report(folder).stat().st_size < 1_200_000
    assert "28 more rows stand in explain.json" in section(folder.path)


def test_importance_of_columns_that_count_little_is_rounded(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    columns = [{"column": "x", "importance": 0.512}, {"column": "z", "importance": -1.13e-05}]
    folder.write_json("explain.json", {"importance": {"y": columns}, "rows": []})
    write_report(folder)
    text = section(folder.path)
    assert "0.512" in text
    assert "e-05" not in text


def test_importance_is_drawn_with_whiskers_and_told_in_figures(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    columns = [
        {"column": "x", "importance": 0.5, "low": 0.4, "high": 0.625},
        {"column": "z", "importance": 0.01, "low": -0.02, "high": 0.03},
        {"column": "w", "importance": 0.005},
    ]
    measured = {"rows": 1234, "repeats": 3, "resamples": 200, "confidence": 0.95}
    folder.write_json("explain.json", {"importance": {"y": columns}, "measured": measured, "rows": []})
    write_report(folder)
    text = section(folder.path)
    assert "x: 0.500, from 0.400 to 0.625" in text
    assert "−0.020 to 0.030" in text
    drawn = dict(zip("xzw", re.findall(r"<svg.*?</svg>", text, re.DOTALL)))
    assert [drawn[n].count('class="reach"') for n in "xzw"] == [3, 3, 0]
    assert ["unsure" in drawn[n] for n in "xzw"] == [False, True, False]
    low, high = map(float, re.search(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="9"', drawn["x"]).groups())  # type: ignore[union-attr]
    left, long = map(float, re.search(r'<rect x="([\d.]+)" y="5" width="([\d.]+)"', drawn["x"]).groups())  # type: ignore[union-attr]
    assert left < low < left + long < high
    assert "Measured on 1,234 test rows, each column shuffled 3 times" in text


def test_the_verdict_carries_which_columns_count():
    folder = run_of("number")
    found = folder.read_json("metrics.json")["outputs"]["petal.width"]["importance"]
    assert found["columns"] == folder.read_json("explain.json")["importance"]["petal.width"]
    assert all(c["low"] <= c["high"] for c in found["columns"])
    assert (found["confidence"], found["repeats"]) == (0.95, 3)


def test_zero_has_no_sign():
    assert [signed(v, 2) for v in (0.001, -0.001, 1.5, -1234.5)] == ["0.00", "0.00", "+1.50", "−1,234.50"]
