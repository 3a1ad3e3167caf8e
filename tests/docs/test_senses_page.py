"""The page on the senses: its files are written out, its commands run with two steps of training, and show what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import said_by  # type: ignore[import-not-found]
from test_readme import console  # type: ignore[import-not-found]
from test_texts_page import figures_aside  # type: ignore[import-not-found]
from test_your_own_encoder import files  # type: ignore[import-not-found]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["senses.md", "senses.zh-CN.md"]
SHORT = ["train.steps=2", "train.epochs=auto", "evaluate.resamples=20", "train.threads=1"]


def test_the_commands_of_the_page_run_and_show_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="needs PyAV (dapeng[video]), which reads the videos of the page")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / PAGES[0]).read_text(encoding="utf-8")
    for name, body in files(text).items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    commands = console(text)
    assert len(commands) >= 15
    for command, shown in commands:
        status, out, err = said_by(command, tmp_path, SHORT)
        assert status == 0, f"{command}\n{err}"
        if command.startswith(
            ("dapeng predict", "cat ")
        ):  # it says something else, in as many lines, of the same columns
            lines, wanted = (out or err).splitlines(), shown.splitlines()
            assert (lines[0], len(lines)) == (wanted[0], len(wanted)), command
            continue
        for part in (p for p in shown.split("...") if p.strip()):
            verdict = re.match(r"\s*(\w+: [A-Za-z]\S*(?: [a-z]\S*)*) .* test rows", part)
            expected = verdict[1] if verdict else part  # what is reached after two steps may have no interval
            assert figures_aside(expected) in figures_aside(out + err), command


def test_both_languages_show_the_same_files_and_commands() -> None:
    english, chinese = ((DOCS / p).read_text(encoding="utf-8") for p in PAGES)
    assert files(english) == files(chinese)
    assert console(english) == console(chinese)
    assert english.count("\n## ") == chinese.count("\n## ")


@pytest.mark.parametrize("page", PAGES)
def test_figures_of_recipes_are_those_of_their_heads(page: str) -> None:
    from dapeng.api import recipe_file

    rows = re.findall(r"^\| `(?:recipe:)?([\w-]+)` \|[^|]*\|([^|]*)\|", (DOCS / page).read_text(encoding="utf-8"), re.M)
    assert len(rows) >= 12
    for name, told in rows:
        head = recipe_file(name).read_text(encoding="utf-8").split("\nname:")[0]
        for figure in re.findall(r"\d+\.\d+", told):
            assert figure in head, (name, figure)
