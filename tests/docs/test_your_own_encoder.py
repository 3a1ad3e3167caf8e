"""The page on writing an encoder of one's own: its files are written out, its commands run, and show what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_readme import console, words  # type: ignore[import-not-found]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["your-own-encoder.md", "your-own-encoder.zh.md"]


def files(text: str) -> dict[str, str]:
    """The blocks of code that bear a file's name."""
    return dict(re.findall(r"```\w+ (\S+)\n(.*?)```", text, re.S))


def figures_aside(text: str) -> str:
    return words(re.sub(r"[-+]?\d+(\.\d+)?%?", "#", text))


def run(folder: Path, command: list[str] | str, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    source = os.pathsep.join([*more.values(), str(DOCS.parent / "src")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": source, "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_encoder_of_the_page_trains_and_predicts_by_import_and_as_a_package(tmp_path: Path) -> None:
    text = (DOCS / PAGES[0]).read_text(encoding="utf-8")  # the other one has the same
    for name, body in files(text).items():
        (tmp_path / name).write_text(body)
    plain = run(tmp_path, [sys.executable, "try_waves.py"])
    assert plain.returncode == 0, plain.stderr
    assert "'species': 'setosa'" in plain.stdout
    assert (
        "encoder: waves" in (tmp_path / "runs" / "iris-0001" / "resolved.yaml").read_text()
        or "type: waves" in (tmp_path / "runs" / "iris-0001" / "resolved.yaml").read_text()
    )
    assert re.search(r"Accuracy +0\.9\d", plain.stdout)

    if find_spec("setuptools") is None:
        pytest.skip("setuptools, which builds the package of the page, is not installed")
    (install, _), *others = console(text)
    assert install.startswith("pip install")
    built = run(tmp_path, [sys.executable, "-m", *install.split(), "--no-index", "--target", str(tmp_path / "site")])
    assert built.returncode == 0, built.stderr
    (tmp_path / "waves.py").rename(tmp_path / "elsewhere.txt")  # only what is installed is left
    assert len(others) == 3
    for command, shown in others:
        done = run(tmp_path, command.replace("dapeng ", f"{sys.executable} -m dapeng "), site=str(tmp_path / "site"))
        assert done.returncode == (2 if "typo" in command else 0), f"{command}\n{done.stderr}"
        for part in (p for p in shown.split("...") if p.strip()):
            assert figures_aside(part) in figures_aside(done.stdout + done.stderr), command


def test_both_languages_show_the_same_code_and_the_same_commands() -> None:
    one, two = ((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    assert files(one) == files(two)
    assert console(one) == console(two)
    assert one.count("\n## ") == two.count("\n## ")


def test_the_pages_are_named_where_parts_are_listed() -> None:
    assert "your-own-encoder.md" in (DOCS / "adding.md").read_text(encoding="utf-8")
