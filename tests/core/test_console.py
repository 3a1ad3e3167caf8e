"""Data goes to standard output, everything else to standard error, readable without colour and in any script."""

import io

import pytest

from dapeng.core import console
from dapeng.core.console import Progress, clean, coloured, cut, emit, padded, say, table, warn, width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_data_and_messages_go_apart(capsys):
    emit("data")
    say("message")
    assert capsys.readouterr() == ("data\n", "message\n")


def test_a_warning_is_said_once(capsys, monkeypatch):
    monkeypatch.setattr(console, "_warned", set())
    for _ in range(3):
        warn("odd", hint="look")
    assert capsys.readouterr().err == "warning: odd\n  hint: look\n"


def test_colour_only_where_a_terminal_wants_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert coloured("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("x", "red", Terminal()) == "x"


def test_wide_characters_take_two_columns():
    assert (width("abc"), width("大鹏"), width("e\u0301"), width("ｶ")) == (3, 4, 1, 2) or width("ｶ") == 1
    assert cut("大鹏展翅", 5) == "大鹏…"
    assert width(padded("大", 6)) == 6


def test_tables_are_aligned_in_every_script():
    text = table([["大鹏", 1.5, None], ["roc", 12, "x"]], ["name", "score", "note"])
    assert text.splitlines() == [
        "name  score  note",
        "----  -----  ----",
        "大鹏    1.5",
        "roc      12  x",
    ]
    assert table([]) == ""


def test_control_characters_of_the_data_do_not_reach_the_terminal():
    assert clean("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\x0ac\\u202e"
    assert "\x1b" not in table([["\x1b[2J"]])


def test_progress_rewrites_its_line_in_a_terminal():
    stream = Terminal()
    with Progress("train", total=4, stream=stream) as progress:
        for step in range(5):
            progress.update(step, f"loss {1 / (step + 1):.2f}")
    assert stream.getvalue().startswith("\rtrain   0%  loss 1.00")
    assert stream.getvalue().endswith("\rtrain 100%  loss 0.20\n")


def test_progress_prints_now_and_then_elsewhere():
    stream = io.StringIO()
    with Progress("train", total=1000, stream=stream) as progress:
        for step in range(1001):
            progress.update(step)
    lines = stream.getvalue().splitlines()
    assert 10 <= len(lines) <= 12
    assert lines[-1] == "train 100%"


def test_an_old_terminal_gets_what_it_can_show(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, encoding="ascii"))
    say("大鹏 ok")
    assert raw.getvalue() == b"?? ok\n"


@pytest.mark.parametrize("text", ["", "a", "大" * 50])
def test_cut_never_exceeds_its_columns(text):
    for columns in range(1, 20):
        assert width(cut(text, columns)) <= columns
