"""Parts that live outside of the package, one file each, are found by entry points and are members like any other.

`outside/` is copied beside a dist-info folder, as an installed package lies; every command runs in a process that has it
on its path, so this process' registries stay as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = Path(__file__).parent / "outside"
SECONDS = 120

ENTRIES = {
    "columns": "colour = colour:Colour",
    "encoders": "tint = tint:Tint",
    "decoders": "prototypes = prototypes:Prototypes",
    "losses": "brier_loss = brier_loss:BrierLoss",
    "metrics": "within_two = within_two:WithinTwo",
    "learners": "nearest_mean = nearest_mean:NearestMean",
    "samples": "paints = paints:Paints",
}
NAMES = [e.partition(" ")[0] for e in ENTRIES.values()]

SPEC = """
data: {path: "sample:paints", split: random}
inputs: {paint: {type: colour, encoder: {type: tint, width: 32}}, shine: number}
outputs: {label: {type: category, decoder: prototypes, loss: brier_loss}}
fusion: {type: concat, hidden: [32]}
learners: {mine: nearest_mean}
train: {epochs: 40, batch_size: 16, learning_rate: 0.01, threads: 1, precision: fp32}
evaluate: {resamples: 20, baselines: [constant, nearest_mean]}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with the plugin in it."""
    place = tmp_path_factory.mktemp("site")
    for file in OUTSIDE.glob("*.py"):
        shutil.copy(file, place)
    about = place / "dapeng_colours-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dapeng-colours\nVersion: 1.0\n")
    groups = "\n".join(f"[dapeng.{group}]\n{entry}\n" for group, entry in ENTRIES.items())
    (about / "entry_points.txt").write_text(groups)
    return place


def python(installed: Path | None, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*([str(installed)] if installed else []), str(ROOT)])
    more = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "DAPENG_CACHE": str(cwd / "cache")}
    if cwd == ROOT:
        del more["DAPENG_CACHE"]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_help_and_schema_know_each_of_them_and_a_process_without_the_plugin_does_not(installed: Path) -> None:
    program = (
        "import json, sys; from dapeng.cli.main import main; from dapeng.core.schema import *; from dapeng.core import schema\n"
        "from dapeng.core.registry import Registry\n"
        "from dapeng.cli import describe\n"
        "from dapeng.core.spec import Spec\n"
        "told = {n: '\\n'.join(describe.find(n)) for n in sys.argv[1:]}\n"
        "print(json.dumps({'help': told, 'schema': json.dumps(Spec.model_json_schema())}))"
    )
    found = python(installed, "-c", program, *NAMES)
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    for name in NAMES:
        assert name in said["help"][name], f"dapeng help {name}"
    assert "Width of the features." in said["help"]["tint"]
    assert "Read as its brightness alone." in said["help"]["colour"]
    for name in ("colour", "tint", "prototypes", "brier_loss", "nearest_mean"):  # what a spec may name
        assert f'"{name}"' in said["schema"], f"the JSON schema lacks {name}"
    without = json.loads(python(None, "-c", program, *NAMES).stdout)
    assert [n for n in NAMES if without["help"][n]] == ["colour"], "there is a transform of that name"
    assert '"tint"' not in without["schema"]


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    (place / "paints.yaml").write_text(SPEC)
    done = python(installed, "-m", "dapeng", "train", "paints.yaml", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    return place / done.stdout.strip()


def test_a_spec_of_parts_from_outside_is_trained_judged_and_reported(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    text = json.dumps(metrics)
    assert "within_two" in text
    assert "nearest_mean" in text
    assert "mine" in text
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    scores = [e["label.accuracy"] for e in log if "label.accuracy" in e]
    assert max(scores) > 0.75, "the network of parts from outside learns"
    report = (trained / "report.html").read_text()
    assert "Among the two likeliest" in report
    assert "paint" in report


def test_its_product_predicts_where_the_plugin_is_installed_and_says_what_lacks_where_it_is_not(
    trained: Path, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("paint,shine\n#ff0000,255\n#00ff00,255\n#0000ff,255\n,300\nred,255\n")
    found = python(installed, "-m", "dapeng", "predict", str(trained), "new.csv", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    said = found.stdout.splitlines()
    for line, wanted in zip(said[1:4], ("red", "green", "blue")):
        assert wanted in line
    assert "not a colour" in found.stdout + found.stderr
    lacking = python(None, "-m", "dapeng", "predict", str(trained), "new.csv", cwd=tmp_path)
    assert lacking.returncode == 2
    assert "which is not installed here" in lacking.stderr


def test_a_mistake_in_an_option_from_outside_is_told_like_any_other(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "paints.yaml").write_text(SPEC.replace("width: 32", "widht: 32"))
    found = python(installed, "-m", "dapeng", "train", "paints.yaml", cwd=tmp_path)
    assert found.returncode == 2
    assert "widht" in found.stderr
    assert "width" in found.stderr.replace("widht", "")


@pytest.mark.parametrize(("file", "name"), [("test_columns.py", "colour"), ("test_encoders.py", "tint")])
def test_the_contract_tests_run_on_it_without_being_asked(file: str, name: str, installed: Path) -> None:
    options = ("-o", "addopts=", "-p", "no:cacheprovider", "-v", "-k", name)
    found = python(installed, "-m", "pytest", f"tests/contract/{file}", *options)
    assert found.returncode == 0, found.stdout[-3000:]
    passed = [line for line in found.stdout.splitlines() if "PASSED" in line and re.search(rf"\[.*{name}.*\]", line)]
    assert len(passed) >= 4, found.stdout
