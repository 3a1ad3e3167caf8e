"""Tables of predictions that hold files: on standard output, and in a file with a folder beside it."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pytest

from dapeng.cli.results import write_table

MADE = pa.table({"word": ["a", "b"], "clip": pa.array([b"RIFF....WAVE", None], pa.binary())})


def test_files_stand_on_standard_output_in_base64_and_it_is_said_how_to_have_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_table(MADE, None, "csv")
    said = capsys.readouterr()
    assert said.out == f"word,clip\na,{base64.b64encode(b'RIFF....WAVE').decode()}\nb,\n"
    assert "clip: files, written in base64; --to FILE.csv" in said.err
    write_table(MADE.select(["word"]), None, "csv")
    assert capsys.readouterr().err == ""


def test_in_a_file_they_lie_in_a_folder_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(MADE, str(tmp_path / "said.csv"), "csv")
    assert capsys.readouterr().err == ""
    assert (tmp_path / "said.csv").read_text() == "word,clip\na,said-clip/000001.wav\nb,\n"
    assert (tmp_path / "said-clip" / "000001.wav").read_bytes() == b"RIFF....WAVE"
