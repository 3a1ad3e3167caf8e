"""Data sets of Hugging Face: as they were saved, from memory, with the names of their labels and the bytes of their pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from small_pictures import digits  # type: ignore[import-not-found]

from dapeng.core.errors import DataError, MissingExtra
from dapeng.core.spec import Data
from dapeng.data.open import Opened, open_data

datasets = pytest.importorskip("datasets", reason="the package datasets writes what is read here")
datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def dataset():
    pictures, labels = digits(300)
    names = [f"digit {i}" for i in range(10)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names), "n": datasets.Value("int32")}
    rows = {"image": [{"bytes": p, "path": None} for p in pictures], "label": list(labels), "n": list(range(300))}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def opened(address: object) -> Opened:
    return open_data(Data(path=address)) if isinstance(address, str) else open_data(Data(), objects={"all": address})


def check(table: pa.Table) -> None:
    assert table.schema.types == [pa.binary(), pa.string(), pa.int32()]
    pictures, labels = digits(300)
    for row in table.to_pylist():
        assert row == {"image": pictures[row["n"]], "label": f"digit {labels[row['n']]}", "n": row["n"]}


@pytest.mark.parametrize("shards", [1, 3])
def test_a_saved_data_set_is_read_with_its_labels_and_pictures(dataset, tmp_path: Path, shards: int) -> None:
    dataset.shuffle(seed=1).select(range(200)).save_to_disk(str(tmp_path / "saved"), num_shards=shards)
    found = opened(str(tmp_path / "saved")).whole()
    table = found.read()
    assert len(table) == found.count() == 200
    check(table)
    assert next(b.columns.column_names for b in found.blocks(["n", "label"])) == ["n", "label"]
    assert found.fingerprint() == opened(str(tmp_path / "saved")).fingerprint()


def test_a_saved_data_set_is_read_without_the_package(dataset, tmp_path: Path) -> None:
    dataset.save_to_disk(str(tmp_path / "saved"))
    code = "import sys; sys.modules['datasets'] = None\n"
    code += "from dapeng.core.spec import Data; from dapeng.data.open import open_data\n"
    code += f"print(open_data(Data(path={str(tmp_path / 'saved')!r})).whole().read().num_rows)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "300", done.stderr


def test_splits_are_parts(dataset, tmp_path: Path) -> None:
    split = dataset.train_test_split(0.2, seed=0)
    split["validation"] = split["train"].select(range(10))
    split["extra"] = split["train"].select(range(5))
    split.save_to_disk(str(tmp_path / "saved"))
    for address in (str(tmp_path / "saved"), split):
        found = opened(address)
        assert {p: s.count() for p, s in found.parts.items()} == {"train": 240, "validation": 10, "test": 60}
        check(found.whole().read())
        assert any("not read: extra" in n.what for n in found.notes())


def test_objects_keep_their_shuffles_and_selections(dataset) -> None:
    chosen = dataset.shuffle(seed=3).select(range(50))
    found = opened(chosen).whole()
    check(found.read())
    assert found.read(["n"]).column("n").to_pylist() == chosen["n"][:]
    assert found.fingerprint() == opened(chosen).fingerprint() != opened(dataset).fingerprint()


def test_a_stream_is_refused_with_what_to_do(dataset) -> None:
    with pytest.raises(DataError, match=r"streams(.|\n)*without streaming"):
        opened(dataset.to_iterable_dataset())


def test_labels_of_minus_one_are_missing_and_strange_ones_are_refused(tmp_path: Path) -> None:
    def saved(labels: list[int]) -> str:
        shutil.rmtree(tmp_path / "s", ignore_errors=True)
        (tmp_path / "s").mkdir()
        table = pa.table({"y": labels})
        with pa.OSFile(str(tmp_path / "s" / "d.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        (tmp_path / "s" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "d.arrow"}]}))
        features = {"y": {"_type": "ClassLabel", "names": ["a", "b"]}}
        (tmp_path / "s" / "dataset_info.json").write_text(json.dumps({"features": features}))
        return str(tmp_path / "s")

    assert opened(saved([0, -1, 1])).whole().read().to_pylist() == [{"y": "a"}, {"y": None}, {"y": "b"}]
    with pytest.raises(DataError, match="the label 7 of 'y' is not among the 2"):
        opened(saved([0, 7])).whole().read()


def test_pictures_by_path_are_read_and_a_missing_one_is_left_to_its_column(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(digits(300)[0][0])
    paths = [str(tmp_path / "a.png"), str(tmp_path / "gone.png")]
    data = datasets.Dataset.from_dict({"image": [{"bytes": None, "path": p} for p in paths]})
    data = data.cast_column("image", datasets.Image())
    assert opened(data).whole().read().column("image").to_pylist() == [digits(300)[0][0], b""]


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("state.json", '{"_data_files": [{"filename": "../../secret.arrow"}]}', "leads out of the data set"),
        ("state.json", '{"_data_files": [{"filename": "data-9.arrow"}]}', "is missing: the data set is not whole"),
        ("state.json", '{"_data_files": []}', "no rows"),
        ("state.json", '{"_data', "state.json"),
        ("dataset_dict.json", '{"splits": ["../train"]}', "leads out of the data set"),
        ("dataset_dict.json", '{"splits": []}', "names no splits"),
        ("dataset_dict.json", '{"splits": ["train"]}', "is missing: the data set is not whole"),
    ],
)
def test_a_folder_that_is_damaged_or_an_attack_is_refused(
    dataset, tmp_path: Path, file: str, content: str, what: str
) -> None:
    dataset.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / file).write_text(content)
    with pytest.raises(DataError, match=what):
        opened(str(tmp_path / "saved"))


def test_a_data_file_that_is_cut_short_is_refused(dataset, tmp_path: Path) -> None:
    dataset.save_to_disk(str(tmp_path / "saved"))
    file = next((tmp_path / "saved").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="is not a whole Arrow file"):
        opened(str(tmp_path / "saved")).whole().read()


def test_a_name_on_the_hub_without_network_or_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from dapeng.core.spec import Data; from dapeng.data.open import open_data\n"
    code += "try: open_data(Data(path='hf://nobody/nothing'))\nexcept ValueError as error: print(error)"
    environment = {**__import__("os").environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "hf://nobody/nothing: can't be had from the hub (HF_HUB_OFFLINE is set)" in done.stdout, done.stderr
    assert "hint: check the name and the network" in done.stdout
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"dapeng\[datasets\]"):
        opened("hf://nobody/nothing")
