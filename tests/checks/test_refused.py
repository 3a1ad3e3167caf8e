"""What training refuses because of the spec or the data is an error of `dapeng check`, with the same words, and status 2."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dapeng.cli.main import main

ROWS = 24
NOTHING = "nothing found"
MASKED = "inputs: {picture: image}\noutputs: {outline: mask}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with pictures of 12 x 10 pixels, masks of the same size, boxes, words, and short sounds."""
    random = np.random.default_rng(0)
    lines = ["picture,outline,kind,words,clip"]
    pictures, things = [], []
    for i in range(ROWS):
        Image.fromarray(random.integers(0, 255, (10, 12, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray((random.random((10, 12)) > 0.5).astype(np.uint8)).save(tmp_path / f"{i}-mask.png")
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(random.integers(-900, 900, 800, dtype=np.int16).tobytes())
        lines.append(f"{i}.png,{i}-mask.png,{'ab'[i % 2]},word {i} of many,{i}.wav")
        pictures.append({"id": i, "file_name": f"{i}.png", "width": 12, "height": 10})
        box = {"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [1, 2, 3 + i % 5, 4]}
        things.append(box)
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    classes = [{"id": 1, "name": "disc"}, {"id": 2, "name": "cross"}]
    coco = {"images": pictures, "annotations": things, "categories": classes}
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    return tmp_path


def told(folder: Path, spec: str, capsys: pytest.CaptureFixture[str], *more: str, name: str = "rows.csv") -> str:
    """What `check` says of a spec that it must refuse, and that `train` says the same."""
    (folder / "spec.yaml").write_text(f"data: {name}\n{spec}model: network\n")
    assert main(["check", "--fast", str(folder / "spec.yaml"), *more]) == 2
    seen = capsys.readouterr()
    assert NOTHING not in seen.err
    assert main(["train", str(folder / "spec.yaml"), "--runs", str(folder / "runs"), *more]) == 2
    refused = capsys.readouterr().err.partition("error: ")[2]
    found = (seen.out + seen.err).partition("error: ")[2].partition("\n")[0]
    assert found
    assert found in refused
    return seen.out + seen.err


def test_a_label_that_the_spec_does_not_know(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = "inputs: {image: image}\noutputs: {boxes: {type: boxes, labels: [disc, ring]}}\n"
    said = told(data, spec, capsys, name="boxes.json")
    assert "error: boxes: the label 'cross' is none of disc, ring\n  hint: " in said


def test_boxes_without_an_area(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = json.loads((data / "boxes.json").read_text())
    read["annotations"][3]["bbox"][2] = -3
    (data / "boxes.json").write_text(json.dumps(read))
    said = told(data, "inputs: {image: image}\noutputs: {boxes: boxes}\n", capsys, name="boxes.json")
    assert "1 of 24 cells can't be read as boxes: boxes.json: 3.png: box 1 has no area" in said


def test_a_column_of_words_as_a_number_names_the_type_to_use(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(data, "inputs: {picture: image}\noutputs: {kind: number}\n", capsys)
    assert "24 of 24 cells can't be read as number: rows.csv:2: 'a' is not a number" in said
    assert "hint: `type: category` for outputs.kind" in said
    assert "max_bad" not in said


def test_sounds_as_pictures_are_told_once_with_the_type_to_use(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(data, "inputs: {clip: image}\noutputs: {kind: category}\n", capsys)
    assert "hint: `type: audio` for inputs.clip (paths of sounds), or mend the cells" in said
    assert said.count("can't be read") == 1
    assert "Error" not in said
    assert "max_bad" not in said


def test_a_mask_of_another_size_than_its_picture(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (5, 5)).save(data / "4-mask.png")
    said = told(data, MASKED, capsys)
    assert "1 of 24 cells can't be read as mask: rows.csv:6: a mask of 5 x 5 pixels on a picture of 12 x 10" in said
    assert "data.max_bad=0.1" in said
    (data / "spec.yaml").write_text(f"data: rows.csv\n{MASKED}model: network\n")
    assert main(["check", "--fast", str(data / "spec.yaml"), "data.max_bad=0.1"]) == 0
    assert "1 of 24 cells looked at can't be read; their rows would be left out" in capsys.readouterr().out


def test_a_mask_without_a_picture_and_a_judge_that_is_not_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(data, "inputs: {words: text}\noutputs: {outline: mask}\n", capsys)
    assert "outputs.outline: a column of type mask lies in a picture, and none is read" in said
    assert "is valid" not in said
    drawn = "inputs: {kind: category}\noutputs: {picture: {type: image, judge: runs/nope, decoder: dcgan}}\n"
    assert "outputs.picture.judge: there is no run folder" in told(data, drawn, capsys)


def test_a_judge_that_a_recipe_names_is_not_trained(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(data / "cache"))
    drawn = "data: rows.csv\ninputs: {kind: category}\noutputs: {picture: {type: image, judge: 'recipe:digits'}}\n"
    (data / "spec.yaml").write_text(drawn + "model: network\n")
    main(["check", "--fast", str(data / "spec.yaml")])
    assert "judge: training" not in capsys.readouterr().err
    assert not (data / "cache").exists()
    assert main(["check", str(data / "spec.yaml"), "outputs.picture.judge=recipe:nope", "--spec-only"]) == 2
    assert "outputs.picture.judge: there is no recipe 'nope'" in capsys.readouterr().err


def test_too_few_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("a,y\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(5)))
    said = told(tmp_path, "inputs: {a: number}\noutputs: {y: category}\n", capsys)
    assert "rows.csv: 5 rows are too few to train and to test on; 8 is the least" in said
