"""The README's commands run, in order, in an empty folder, and show what the README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEW = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n"
TYPO = """data: sample:iris
inputs:
  petal_length: {type: number, encoder: {type: piecewise, bin: 16}}
  petal_width: numbr
outputs:
  species: {type: category, loss: mse}
train:
  epochs: ten
  learning_rate: -1
"""


def more_data(folder: Path) -> None:
    """What the README's commands read beside samples: a workbook, a database, shards of pictures."""
    import io
    import sqlite3
    import tarfile

    from PIL import Image
    from sklearn.datasets import load_digits, load_iris

    found = load_iris(as_frame=True)
    table = found.frame.drop(columns="target").assign(species=found.target_names[found.target])
    table.to_excel(folder / "book.xlsx", sheet_name="Sheet1", index=False)
    with sqlite3.connect(folder / "iris.db") as database:
        table.to_sql("iris", database, index=False)
    digits = load_digits()
    for number in range(13):
        with tarfile.open(folder / f"shards-{number:03d}.tar", "w") as shard:
            for i in range(number * 30, number * 30 + 30):
                picture = io.BytesIO()
                Image.fromarray((digits.images[i] * 15.9).astype("uint8")).save(picture, "PNG")
                for ending, content in (("png", picture.getvalue()), ("cls", str(digits.target[i]).encode())):
                    member = tarfile.TarInfo(f"{i:06d}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


def console(text: str) -> list[tuple[str, str]]:
    """(command, what it shows) of every console block."""
    out: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            out.append((command, shown))
    return out


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def said_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[int, str]]:
    """Status and words of a command, run once for both languages, in one folder."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "new.csv").write_text(NEW)
    (folder / "typo.yaml").write_text(TYPO)
    more_data(folder)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    @cache
    def said(command: str) -> tuple[int, str]:
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_commands_of_the_readme_run_and_show_what_it_says(
    name: str, said_by: Callable[[str], tuple[int, str]]
) -> None:
    commands = console((ROOT / name).read_text(encoding="utf-8"))
    assert len(commands) >= 5
    assert len(dict(commands)) == len(commands), "a command that stands there twice would be run once"
    for command, shown in commands:
        status, said = said_by(command)
        assert status == (2 if "typo" in command else 0), f"{command}\n{said}"
        for line in [part for part in re.split(r"\.\.\.", shown) if part.strip()]:
            # figures are compared in the first lines alone: a machine's arithmetic may move the last digit of others
            expected = words(re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?", "#", line))
            assert expected in words(re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?", "#", said)), command


def test_the_python_of_the_readme_is_valid(tmp_path: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S):
        compile(block, "README.md", "exec")


def test_the_yaml_of_the_readme_is_a_valid_spec() -> None:
    from dapeng.core.loader import load_spec

    for name in ("README.md", "README.zh-CN.md"):
        for number, block in enumerate(
            re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
        ):
            load_spec(block, name=f"{name} block {number}")
