"""What export and compress left, as tables that people read."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from made_run import class_run
from small_runs import EXPORTED, compressed

from dapeng.report.write import write_report


def rows(path: Path, anchor: str) -> list[list[str]]:
    """The cells of a section's tables, as text."""
    whole = path.read_text(encoding="utf-8")
    text = re.search(rf'<section id="{anchor}".*?</section>', whole, re.DOTALL)[0]  # type: ignore[index]
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        found.append([html.unescape(re.sub("<[^>]*>", "", c)) for c in cells])
    return found


def test_compression_stands_before_and_after_with_the_change_of_everything(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    found = compressed(("the y", "accuracy"), ("the y", "log_loss"), ("the y", "r2"))
    found["table"] += [
        {"measure": "price rmse", "before": 533.0312, "after": 532.8781, "unit": ""},
        {"measure": "price mse", "before": 0.00012, "after": 0.00011, "unit": ""},
        {"measure": "price mae", "before": 0.5, "after": None, "unit": ""},
        {"measure": "price r2", "before": 0.98207, "after": 0.98208, "unit": ""},
    ]
    folder.write_json("compress.json", found)
    said = rows(write_report(folder), "compress")
    assert ["Weights", "422 kB", "113 kB", "−73.3 %"] in said
    assert ["Latency of 1 rowp50", "2.75 ms", "2.69 ms", "−2.1 %"] in said
    assert ["Accuracy", "81.1%", "81.0%", "−0.08 ptworse"] in said
    assert ["Log loss", "0.811", "0.810", "−0.0008better"] in said
    assert ["Root mean squared error", "533.0", "532.9", "−0.15better"] in said
    assert ["mse", "0.00012", "0.00011", "−0.00001000worse"] in said
    assert ["Mean absolute error", "0.500", "–", ""] in said
    assert ["R2", "0.982", "0.982", "the same"] in said


def test_export_says_what_was_written_checked_and_how_near_it_is(tmp_path):
    folder = class_run(tmp_path, ["a", "b"], ["x"] * 60)
    inside = folder.path / "export" / "standalone"
    inside.mkdir(parents=True)
    (inside / "predict.py").write_bytes(b"x" * 2000)
    known = {**EXPORTED, "standalone": {**EXPORTED["standalone"], "folder": str(inside)}}
    folder.write_json("export.json", known)
    report = write_report(folder)
    said = rows(report, "export")
    assert said[1][:3] == ["onnx", "/elsewhere/model.onnx", "356 kB"]
    assert said[1][3:] == ["64 test rows of the run, in batches of 1, 5 and 64 (4.3 s)", "3.6e-07"]
    assert said[2][:3] == ["standalone", "export/standalonecolumns.json, model.onnx, predict.py", "2 kB"]
    assert said[2][4] == "none"
    text = report.read_text(encoding="utf-8")
    assert "it lacks trees 32%" in text
    assert "numpy&gt;=1.26, onnxruntime&gt;=1.20" in text
    assert ["opset", "18"] in said
