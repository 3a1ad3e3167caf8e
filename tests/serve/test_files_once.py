"""A file of a request is read once, where it is checked, whoever looks at it afterwards; and says the same as a file of a table."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dapeng import api
from dapeng.columns.sound_reader import SoundReader
from dapeng.columns.sounding import wav
from dapeng.serve.engine import BadRequest, Engine

RATE = 4000


def sound(hertz: float, seconds: float) -> bytes:
    return wav((6000 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.int16), RATE)


@pytest.fixture(scope="module", params=["network", "linear"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, draw = tmp_path_factory.mktemp("heard"), np.random.default_rng(0)
    rows = [(sound(300 + 900 * (i % 2), draw.uniform(0.1, 0.2)), "ab"[i % 2]) for i in range(40)]
    rows[3] = (None, "b")  # type: ignore[assignment]
    pd.DataFrame(rows, columns=["clip", "letter"]).to_parquet(folder / "sounds.parquet")
    spec: dict[str, Any] = {
        "data": str(folder / "sounds.parquet"),
        "inputs": {"clip": {"type": "audio", "encoder": "spectrogram"}},
        "outputs": {"letter": "category"},
        "model": request.param,
        "train": {"steps": 3, "threads": 1},
        "evaluate": {"resamples": 0, "baselines": []},
    }
    return api.train(spec, runs=folder / "runs")


def test_a_sound_is_decoded_once_and_answered_as_in_a_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [sound(350, 0.11), sound(1150, 0.19), None, sound(700, 0.15)]
    wanted = run.predict(pa.table({"clip": pa.array(clips, pa.binary())}))
    counted: list[int] = []
    decoded = SoundReader.decoded

    def counting(self: SoundReader, opened: Any) -> Any:
        counted.append(opened.frames)
        return decoded(self, opened)

    monkeypatch.setattr(SoundReader, "decoded", counting)
    engine = Engine(run.product, "heard")
    rows = engine.check([{"clip": None if c is None else base64.b64encode(c).decode()} for c in clips]).rows
    answers = engine.answers(rows)
    assert counted == [440, 760, 600]
    assert [a["letter"]["value"] for a in answers] == wanted["letter"].to_pylist()
    labels = run.product.outputs["letter"].labels
    for label in labels:
        column = next(n for n in wanted.column_names if n.endswith(label) and n != "letter")
        said = [a["letter"]["probabilities"][label] for a in answers]
        np.testing.assert_allclose(said, wanted[column].to_numpy(), atol=1e-5)


def test_what_is_no_sound_is_said_before_it_waits(run: Any) -> None:
    engine = Engine(run.product, "heard")
    for wrong in (base64.b64encode(b"RIFFnonsense").decode(), "/etc/passwd", 3):
        with pytest.raises(BadRequest, match=r"row\.clip"):
            engine.check([{"clip": wrong}])
