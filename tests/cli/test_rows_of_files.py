"""Files as rows to predict: a folder of them, or one alone, and which file each prediction is about."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.trained import digits, make

from dapeng import api
from dapeng.core.errors import DataError
from dapeng.data.infer import guess


@pytest.fixture(scope="module")
def run() -> api.Run:
    """A run whose only input, `scan`, is a picture."""
    table = digits(60).rename_columns(["scan", "label"])
    spec = {"type": "image", "augment": "none", "encoder": {"type": "flatten"}}
    folder, _, _ = make("scans", table, {"scan": spec}, {"label": "category"}, None, 1)
    return api.load(folder.path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, cell in enumerate(digits(3).column("image").to_pylist()):
        (tmp_path / f"{number}.png").write_bytes(cell)
    return tmp_path


def test_files_of_a_folder_are_what_the_only_such_input_reads_and_are_named_beside_it(
    run: api.Run, pictures: Path
) -> None:
    said = run.predict(pictures)
    assert said.column_names[:2] == ["file", "label"]
    assert said.column("file").to_pylist() == ["0.png", "1.png", "2.png"]
    table = run.predict({"scan": [str(pictures / f"{i}.png") for i in range(3)]})
    assert "file" not in table.column_names
    assert said.drop_columns("file").to_pylist() == table.to_pylist()


def test_one_picture_is_one_row(run: api.Run, pictures: Path) -> None:
    assert run.predict(pictures / "1.png").to_pylist() == run.predict({"scan": str(pictures / "1.png")}).to_pylist()
    assert run.predict(str(pictures / "1.png")).num_rows == 1


def test_what_is_less_than_the_run_reads_is_refused_with_what_to_give(run: api.Run, pictures: Path) -> None:
    two = api.load(run.path)
    two.product.inputs["note"] = run.product.inputs["scan"]
    for given in (pictures / "1.png", pictures):
        with pytest.raises(DataError, match=r"the model reads scan, note\n  hint: give a table .* with scan, note"):
            two.predict(given)


def test_a_target_of_sounds_is_guessed_as_sounds() -> None:
    found = guess("clip", pa.array([f"say/{i}.wav" for i in range(40)]), True)
    assert (found.options, found.reason) == ({"type": "audio"}, "paths of sounds")
