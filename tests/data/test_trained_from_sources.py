"""The same rows train the same model, wherever they come from; a run that goes on knows its data again."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from small_pictures import digits  # type: ignore[import-not-found]

import dapeng
from dapeng.core.errors import RunError
from dapeng.core.spec import Data
from dapeng.data.open import open_data

QUICK = ["train.epochs=2", "model=linear", "evaluate.resamples=50", "evaluate.baselines=[]"]


def iris(folder: Path) -> dict[str, str]:
    """Addresses of the same table in every kind that holds tables."""
    pytest.importorskip("openpyxl", reason="openpyxl writes the workbook")
    pytest.importorskip("sqlalchemy", reason="the extra sql is not installed")
    data = load_iris(as_frame=True)
    frame = data.frame.rename(columns={"target": "species"}).sample(frac=1, random_state=0).reset_index(drop=True)
    frame["species"] = [str(data.target_names[i]) for i in frame["species"]]
    frame.to_parquet(folder / "iris.parquet", index=False)
    frame.to_feather(folder / "iris.feather")
    frame.to_excel(folder / "iris.xlsx", sheet_name="Flowers", index=False)
    with sqlite3.connect(folder / "iris.db") as base:
        frame.to_sql("flowers", base, index=False)
    return {
        "parquet": str(folder / "iris.parquet"),
        "arrow": str(folder / "iris.feather"),
        "excel": f"{folder / 'iris.xlsx'}#Flowers",
        "sql": f"sqlite:///{folder / 'iris.db'}?table=flowers",
    }


def test_workbook_database_and_feather_train_the_very_model_that_parquet_trains(tmp_path: Path) -> None:
    answers = {}
    for kind, address in iris(tmp_path).items():
        run = dapeng.train(address, outputs="species", overrides=QUICK, runs=tmp_path / "runs")
        assert run.metrics["outputs"]["species"]["metrics"]["accuracy"]["value"] > 0.9
        answers[kind] = run.predict(address).to_pylist()
        assert dapeng.load(run.path).evaluate(address)
    assert all(found == answers["parquet"] for found in answers.values())


def test_a_run_that_goes_on_refuses_rows_that_have_changed(tmp_path: Path) -> None:
    address = iris(tmp_path)["sql"]
    overrides = [*QUICK, "model=network", "train.epochs=3"]
    run = dapeng.train(address, outputs="species", overrides=overrides, runs=tmp_path / "runs")
    run.folder.mark("stopped")
    with sqlite3.connect(tmp_path / "iris.db") as base:
        base.execute('update flowers set "petal width (cm)" = 9 where rowid = 3')
    with pytest.raises(RunError, match="the data has changed"):
        dapeng.train(resume=run.path)


def shards(folder: Path) -> str:
    pictures, labels = digits()
    for start in (0, 300):
        with tarfile.open(folder / f"d-{start // 300}.tar", "w") as archive:
            for i in range(start, start + 300):
                record = json.dumps({"n": i}).encode()
                for ending, content in (("png", pictures[i]), ("cls", b"%d" % labels[i]), ("json", record)):
                    member = tarfile.TarInfo(f"{i:04d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return str(folder / "d-{0..1}.tar")


def saved(folder: Path) -> str:
    datasets = pytest.importorskip("datasets", reason="the package datasets writes the data set")
    pictures, labels = digits()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("abcdefghij"))})
    rows = {"image": [{"bytes": p, "path": None} for p in pictures[:600]], "label": list(labels[:600])}
    data = datasets.Dataset.from_dict(rows, features=features).train_test_split(0.2, seed=0)
    data.save_to_disk(str(folder / "saved"))
    return str(folder / "saved")


@pytest.mark.parametrize(("write", "target"), [(shards, "cls"), (saved, "label")])
def test_digits_are_learnt_from_shards_and_from_a_saved_data_set(tmp_path: Path, write, target: str) -> None:
    address = write(tmp_path)
    run = dapeng.train(address, outputs=target, overrides=QUICK, runs=tmp_path / "runs")
    assert run.metrics["outputs"][target]["metrics"]["accuracy"]["value"] > 0.8
    assert run.predict(address).num_rows == 600
    again = open_data(Data(path=address)).fingerprint()
    assert f"data: {again}" in (run.path / "resolved.yaml").read_text()
