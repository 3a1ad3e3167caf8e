"""Pictures as an output, the whole way: trained, judged by a run that is named, drawn again, written as files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shades import shades  # type: ignore[import-not-found]

import dapeng
from dapeng.cli.main import main
from dapeng.core.errors import DapengError, SpecError

FLOW = {"type": "flow", "steps": 3, "denoiser": {"type": "unet", "width": 8, "blocks": 1, "heads": 0}}
TRAIN = {"steps": 12, "batch_size": 32, "threads": 1, "precision": "fp32", "samples": True}
SPLIT = {"by": "random", "train": 0.7, "validation": 0.15, "test": 0.15}


def rows() -> list[dict[str, Any]]:
    """Bright and dark pictures, and which they are."""
    return [{"kind": kind, "picture": picture} for kind, picture in shades()]


def trained(folder: Path, outputs: dict[str, Any], inputs: dict[str, Any], **more: Any) -> Any:
    spec = {"data": {"split": SPLIT}, "inputs": inputs, "outputs": outputs, "model": "network"}
    return dapeng.train(rows(), **{**spec, **more}, runs=folder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    train = {"steps": 30, "threads": 1, "learning_rate": 0.05}
    inputs = {"picture": {"type": "image", "encoder": {"type": "mlp", "hidden": [16]}, "augment": "none"}}
    folder = tmp_path_factory.mktemp("judge")
    return trained(folder, {"kind": "category"}, inputs, train=train, evaluate={"baselines": [], "resamples": 0})


@pytest.fixture(scope="module")
def run(judge: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    outputs = {"picture": {"type": "image", "judge": str(judge.path), "decoder": FLOW}}
    folder = tmp_path_factory.mktemp("run")
    return trained(folder, outputs, {"kind": "category"}, train=TRAIN, evaluate={"resamples": 60})


def test_the_verdict_names_the_judge_and_stands_beside_real_pictures(run: Any, judge: Any) -> None:
    found = run.metrics["outputs"]["picture"]
    assert {"fid", "kid", "recognised", "recognised_of_real", "fid_pixels"} <= set(found["metrics"])
    assert "mlp" in found["judge"]
    assert f"FID and KID are by the features of {found['judge']}" in run.metrics["verdict"]
    board = {r["name"]: r["metrics"] for r in found["leaderboard"]}
    assert board["training_pictures"]["fid"]["value"] < board["usual_picture"]["fid"]["value"]
    assert board["training_pictures"]["recognised"]["value"] > 0.9
    assert found["nearest"]["copies"] == 0


def test_the_judge_travels_with_the_run(run: Any, judge: Any, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run.path, tmp_path / "moved")
    moved = dapeng.load(tmp_path / "moved")
    column: Any = moved.product.outputs["picture"]
    assert column.judge == tmp_path / "moved" / "judges" / "picture"
    found = moved.evaluate(rows()[:40])["outputs"]["picture"]
    assert found["rows"] == 40
    assert found["judge"] == run.metrics["outputs"]["picture"]["judge"]


def test_the_report_shows_what_was_drawn_and_how_it_came_to_be(run: Any) -> None:
    html = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What was drawn" in html
    assert "Learnt by heart?" in html
    assert list((run.path / "samples").glob("picture-*.png"))


def test_the_same_seed_gives_the_same_pictures_and_rows_have_their_own(run: Any) -> None:
    asked = [{"kind": "bright"}, {"kind": "bright"}, {"kind": "dark"}]
    first, again, other = (run.answer(asked, **o).tensors["picture"]["pixels"] for o in ({}, {}, {"seed": 3}))
    assert first.shape == (3, 1, 8, 8)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()
    alone = run.answer(asked[:1]).tensors["picture"]["pixels"]
    assert np.abs(alone[0].astype(int) - first[0]).max() <= 1


def test_predict_leaves_a_folder_of_pngs_and_a_table_of_their_paths(run: Any, tmp_path: Path) -> None:
    data = tmp_path / "asked.csv"
    data.write_text("kind\nbright\ndark\n")
    assert main(["predict", str(run.path), str(data), "--to", str(tmp_path / "drawn.csv"), "--seed", "1"]) == 0
    lines = (tmp_path / "drawn.csv").read_text().splitlines()
    assert lines == ["picture", "drawn-picture/000001.png", "drawn-picture/000002.png"]
    for line in lines[1:]:
        assert Image.open(tmp_path / line).size == (8, 8)


def test_what_is_missing_of_a_picture_is_drawn_and_the_rest_stays(run: Any) -> None:
    asked = [{"kind": "bright"}, {"kind": "dark"}]
    pictures = np.full((2, 1, 8, 8), 77, np.uint8)
    keep = np.zeros((2, 8, 8), bool)
    keep[:, :4] = True
    found = run.fill(asked, pictures, keep, seed=2)
    assert (found[:, :, :4] == 77).all()
    assert (found[:, :, 4:] != 77).mean() > 0.5
    with pytest.raises(DapengError, match="expected pictures of"):
        run.fill(asked, pictures[:, :, :5], keep)


def test_pictures_are_drawn_from_nothing_too(tmp_path: Path) -> None:
    run = trained(tmp_path, {"picture": {"type": "image", "decoder": FLOW}}, {}, train=TRAIN, evaluate={"resamples": 0})
    assert "Without a judge, pixels alone are compared" in run.metrics["verdict"]
    assert run.predict([{"any": 1}, {"any": 2}]).num_rows == 2


def test_a_game_goes_the_whole_way(tmp_path: Path) -> None:
    decoder = {"type": "r3gan", "width": 8, "blocks": 1, "noise": 8}
    outputs = {"picture": {"type": "image", "decoder": decoder}}
    run = trained(tmp_path, outputs, {"kind": "category"}, train=TRAIN, evaluate={"resamples": 0})
    assert run.metrics["outputs"]["picture"]["metrics"]["fid_pixels"]["value"] > 0
    assert not (run.path / "critic.safetensors").exists()
    resolved = (run.path / "resolved.yaml").read_text()
    assert "ema: 0.999" in resolved


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"judge": "nowhere"}, "there is no run folder"),
        ({"judge": "recipe:mnist-lenett"}, "there is no recipe"),
        ({"encoder": "lenet"}, "'encoder' is for inputs only"),
        ({"decoder": "ctc"}, "ctc"),
    ],
)
def test_what_cant_be_is_refused_in_words(said: dict[str, Any], words: str, tmp_path: Path) -> None:
    outputs = {"picture": {"type": "image", **({"decoder": FLOW} if "decoder" not in said else {}), **said}}
    with pytest.raises(SpecError, match=words):
        trained(tmp_path, outputs, {"kind": "category"}, train=TRAIN)


def test_a_run_that_reads_no_picture_is_no_judge(run: Any, tmp_path: Path) -> None:
    outputs = {"picture": {"type": "image", "judge": str(run.path), "decoder": FLOW}}
    with pytest.raises(SpecError, match="must read one picture alone"):
        trained(tmp_path, outputs, {"kind": "category"}, train=TRAIN)


def test_pictures_that_cant_be_read_are_left_out_and_told(tmp_path: Path) -> None:
    data = rows()
    data[5]["picture"] = b"no picture"
    data[8]["picture"] = None
    outputs = {"picture": {"type": "image", "decoder": FLOW}}
    spec: Any = {"data": {"split": SPLIT}, "inputs": {"kind": "category"}, "outputs": outputs, "model": "network"}
    run = dapeng.train(data, **spec, train=TRAIN, evaluate={"baselines": [], "resamples": 0}, runs=tmp_path)
    assert run.metrics["outputs"]["picture"]["rows"] <= 24
    data[5:45] = [{**r, "picture": b"no picture"} for r in data[5:45]]
    with pytest.raises(DapengError, match=r"can.t be read|not a picture"):
        dapeng.train(data, **spec, train=TRAIN, runs=tmp_path)


def test_all_steps_from_noise_to_picture_are_in_the_export(run: Any, tmp_path: Path) -> None:
    found = run.export("torch", tmp_path / "export")
    assert found["outputs"] == ["picture.pixels"]
    assert found["largest_difference"] < 1e-2
