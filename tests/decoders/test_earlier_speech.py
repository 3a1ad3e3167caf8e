"""Runs and specs of speech from before vocoders had options of their own: those of a WaveNet were written beside its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_sounding import SPEECH, frame  # type: ignore[import-not-found]

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.core import manifest
from dapeng.core.errors import SpecError
from dapeng.core.kinds import decoders
from dapeng.core.run import RunFolder
from dapeng.layers.wavenet import WaveNetOptions

WAVENET = {"channels": 8, "skip": 8, "cycles": 1, "depth": 3}
FULL = {name: field.default for name, field in WaveNetOptions.model_fields.items()}


@pytest.fixture(scope="module", params=["wavenet", "griffin_lim"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A run, and the folder that an earlier release would have written of it."""
    folder = tmp_path_factory.mktemp(request.param)
    vocoder = {"type": request.param, **(WAVENET if request.param == "wavenet" else {})}
    decoder = {**SPEECH["outputs"]["clip"]["decoder"], "vocoder": vocoder}  # type: ignore[index]
    spec: dict[str, Any] = {"inputs": SPEECH["inputs"], "outputs": {"clip": {"type": "audio", "decoder": decoder}}}
    train = {"steps": 2, "batch_size": 8, "threads": 1, "precision": "fp32", "time_limit": "10m"}
    evaluate = {"baselines": [], "resamples": 0}
    run = api.train(frame(30), **spec, model="network", train=train, evaluate=evaluate, runs=folder)  # type: ignore[arg-type]
    shutil.copytree(run.path, folder / "earlier")
    return run, as_before(folder / "earlier")


def as_before(folder: Path) -> Path:
    described = json.loads((folder / "columns.json").read_text())
    decoder = described["outputs"]["clip"]["options"]["decoder"]
    chosen = decoder.pop("vocoder")
    decoder |= {**FULL, **chosen, "type": "speech", "vocoder": chosen["type"]}
    (folder / "columns.json").write_text(json.dumps(described))
    called_as_before(folder / "weights.safetensors")
    RunFolder(folder).manifest()
    return folder


def called_as_before(path: Path) -> int:
    """Gives the tensors of a file their earlier names; how many have another."""
    tensors = load_file(path)
    before = {"vocoder.told.": "told.", "vocoder.net.": "wavenet."}
    renamed = {n: n for n in tensors}
    for new, old in before.items():
        renamed = {n: o.replace(f"clip.{new}", f"clip.{old}") for n, o in renamed.items()}
    save_file({renamed[n]: t for n, t in tensors.items()}, path)
    return sum(n != o for n, o in renamed.items())


@pytest.mark.parametrize("unbeaten", [False, True], ids=["goes on", "its best stays the best"])
def test_a_run_that_an_earlier_release_began_goes_on(unbeaten: bool, tmp_path: Path) -> None:
    frame(30).to_parquet(tmp_path / "tones.parquet")
    decoder = {**SPEECH["outputs"]["clip"]["decoder"], "vocoder": "wavenet", **WAVENET}  # type: ignore[index]
    spec: dict[str, Any] = {
        "data": str(tmp_path / "tones.parquet"),
        "inputs": SPEECH["inputs"],
        "outputs": {"clip": {"type": "audio", "decoder": decoder}},
        "model": "network",
        "train": {"steps": 8, "batch_size": 8, "threads": 1, "precision": "fp32", "ema": 0.5, "checkpoint_every": 2},
        "evaluate": {"baselines": [], "resamples": 0},
    }
    run = api.train(spec, runs=tmp_path / "runs")
    wanted = load_file(run.path / "weights.safetensors")
    run.folder.mark("stopped")
    assert run.folder.checkpoints().steps()
    for checkpoint in run.folder.checkpoints().folder.iterdir():
        for name in ("objective", "best", "average"):
            assert called_as_before(checkpoint / f"{name}.safetensors") > 10, name
        if unbeaten:  # then the run ends with the weights of the checkpoint
            progress = json.loads((checkpoint / "progress.json").read_text())
            progress |= {"best_score": 1e9, "best_loss": -1e9}
            (checkpoint / "progress.json").write_text(json.dumps(progress))
        manifest.write(checkpoint, {"step": int(checkpoint.name)})
    found = load_file(dapeng.train(resume=run.path).path / "weights.safetensors")
    assert set(found) == set(wanted)
    assert unbeaten or all(torch.equal(value, wanted[name]) for name, value in found.items())


def test_a_run_of_an_earlier_release_says_what_it_said(runs: tuple[Any, Path], tmp_path: Path) -> None:
    run, earlier = runs
    assert '"vocoder": "' in (earlier / "columns.json").read_text()
    found, wanted = (r.answer([{"text": "abc"}]).tensors["clip"] for r in (dapeng.load(earlier), run))
    assert set(found) == set(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    (tmp_path / "said.csv").write_text("text\nab\n")
    assert main(["predict", str(earlier), str(tmp_path / "said.csv"), "--to", str(tmp_path / "out.csv")]) == 0


def test_options_beside_the_vocoder_are_read_as_its_own() -> None:
    speech: Any = decoders.members()["speech"]
    flat = speech.model_validate({"type": "speech", "vocoder": "wavenet", "channels": 32, "says": "mixture"})
    nested = speech.model_validate({"vocoder": {"type": "wavenet", "channels": 32, "says": "mixture"}})
    assert flat == nested
    full = speech.model_validate({"type": "speech", "vocoder": "griffin_lim", **FULL})
    assert full == speech.model_validate({"type": "speech"})


def test_options_of_a_wavenet_where_there_is_none_are_refused_with_what_to_write() -> None:
    speech: Any = decoders.members()["speech"]
    for said in ({"channels": 32}, {"vocoder": "gan", "channels": 32}):
        with pytest.raises(SpecError, match=r"vocoder: \{type: wavenet, channels: 32\}"):
            speech(**said)
    with pytest.raises(SpecError, match="channels"):
        speech(vocoder={"type": "wavenet"}, channels=32)


def test_a_run_with_options_that_no_release_knows_is_refused_in_words(
    runs: tuple[Any, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs[1], tmp_path / "strange")
    described = json.loads((tmp_path / "strange" / "columns.json").read_text())
    described["outputs"]["clip"]["options"]["decoder"]["bandz"] = 3
    (tmp_path / "strange" / "columns.json").write_text(json.dumps(described))
    RunFolder(tmp_path / "strange").manifest()
    (tmp_path / "said.csv").write_text("text\nab\n")
    assert main(["predict", str(tmp_path / "strange"), str(tmp_path / "said.csv")]) == 2
    said = capfd.readouterr().err
    assert "column 'clip' was saved with options that this release does not know" in said
    assert "bandz" in said
    assert "Traceback" not in said
