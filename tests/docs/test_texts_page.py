"""The page on texts as outputs: its files are written out, its commands run with fewer epochs, and show what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import said_by  # type: ignore[import-not-found]
from test_readme import console, words  # type: ignore[import-not-found]
from test_your_own_encoder import files  # type: ignore[import-not-found]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["texts.md", "texts.zh-CN.md"]
WRITES = ("dapeng predict", "dapeng chat")


def figures_aside(text: str) -> str:
    """Texts whose numbers, and the rules of tables as wide as these, don't count."""
    return words(re.sub(r"-{3,}", "---", re.sub(r"[-+]?\d[\d,]*(\.\d+)?%?", "#", text)))


@pytest.mark.slow
def test_the_commands_of_the_page_run_and_show_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text]), whose figures the page shows")
    text = (DOCS / PAGES[0]).read_text(encoding="utf-8")  # the other one has the same
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name, body in files(text).items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    commands = console(text)
    assert len(commands) >= 10
    for command, shown in commands:
        status, out, err = said_by(command, tmp_path, ["train.epochs=1"])
        refused = shown.startswith("error:")
        assert status == (2 if refused else 0), f"{command}\n{err}"
        if command.startswith(WRITES) and not refused:  # after one epoch it writes something else, in as many lines
            if "predict" in command:
                assert len(out.splitlines()) == len(shown.splitlines()), command
            continue
        for part in (p for p in shown.split("...") if p.strip()):
            perfect = re.match(r"\s*(\w+: \w+) \S+ on .* test rows", part)  # which one epoch doesn't reach
            expected = perfect[1] if perfect else part
            assert figures_aside(expected) in figures_aside(out + err), command


def test_both_languages_show_the_same_files_and_commands() -> None:
    english, chinese = ((DOCS / p).read_text(encoding="utf-8") for p in PAGES)
    assert files(english) == files(chinese)
    assert console(english) == console(chinese)


def test_the_settings_of_the_page_are_those_that_there_are_with_their_defaults() -> None:
    from dapeng.generate.sampling import Sampling

    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for name, field in Sampling.__dataclass_fields__.items():
            assert f"`{name}`" in text, (page, name)
            if isinstance(field.default, int | float) and name not in ("top_k", "top_p", "min_p"):
                row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
                assert row.rstrip(" |").endswith(f"{field.default:g}"), (page, name)
