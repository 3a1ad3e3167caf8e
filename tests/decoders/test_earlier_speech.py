"""Runs and specs of speech from before vocoders had options of their own: those of a WaveNet were written beside its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from test_sounding import SPEECH, frame  # type: ignore[import-not-found]

import dapeng
from dapeng import api
from dapeng.cli.main import main
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
    tensors = load_file(folder / "weights.safetensors")
    before = {"vocoder.told.": "told.", "vocoder.net.": "wavenet."}
    for new, old in before.items():
        tensors = {n.replace(f"clip.{new}", f"clip.{old}"): t for n, t in tensors.items()}
    save_file(tensors, folder / "weights.safetensors")
    RunFolder(folder).manifest()
    return folder


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
