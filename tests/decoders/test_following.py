"""A WaveNet that goes along with a sound that is heard: told its frames in time, as long as it is, without random changes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.contract.parts import fitted
from torch import Tensor

from dapeng import api
from dapeng.columns.sounding import wav
from dapeng.core.errors import SpecError
from dapeng.core.kinds import decoders, encoders
from dapeng.data.batch import Cells
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Tables
from dapeng.transforms.compose import steps_of

RATE = 4000
SMALL = {"type": "wavenet", "channels": 8, "skip": 8, "cycles": 1, "depth": 4}


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.int16)


def decoder_of(seconds: float, **options: Any) -> tuple[Any, Any]:
    column = fitted("audio", "y", target=True, decoder={**SMALL, **options})
    torch.manual_seed(0)
    return column, column.options.decoder.build(column, Widths(6, 6, seconds=seconds), Tables(), None).eval()


def heard(tokens: Tensor, real: list[int]) -> Features:
    mask = torch.arange(tokens.shape[1]) < torch.tensor(real)[:, None]
    return Features(torch.zeros(len(tokens), 6), tokens, mask)


@pytest.mark.parametrize("seconds", [0.01, 0.0101, 0.1])
def test_what_is_made_lasts_as_long_as_what_is_heard(seconds: float) -> None:
    column, decoder = decoder_of(seconds)
    tokens = torch.randn(3, 5, 6)
    found = decoder.predict(heard(tokens, [5, 1, 3]), 3)
    wanted = [min(round(n * seconds * column.rate), column.most) for n in (5, 1, 3)]
    assert found["length"].tolist() == wanted


@pytest.mark.parametrize("seconds", [0.01, 0.0101])
def test_each_sample_is_told_what_is_heard_at_its_time(seconds: float) -> None:
    column, decoder = decoder_of(seconds)
    tokens = torch.randn(1, 60, 6)
    other = tokens.clone()
    other[:, 30] += 1.0
    lengths = torch.tensor([60 * seconds * column.rate])
    most = int(lengths) // decoder.step
    told = [decoder._told(heard(t, [60]), lengths, most) for t in (tokens, other)]
    changed = (told[0] != told[1]).any(2)[0].nonzero()[:, 0]
    times = (changed + 0.5) * decoder.step / column.rate
    assert times.min() > 28 * seconds - 1e-3
    assert times.max() < 33 * seconds + 1e-3
    assert len(changed) == 5, "the token itself and two on either side"


def test_it_does_not_matter_how_long_others_are() -> None:
    _, decoder = decoder_of(0.01)
    tokens = torch.randn(2, 9, 6)
    samples = torch.randint(-5000, 5000, (2, 900)).to(torch.int16)
    real = torch.arange(900) < torch.tensor([[900], [450]])
    target = Cells({"samples": samples * real, "mask": real})
    short = Cells({"samples": samples[1:, :450], "mask": real[1:, :450]})
    both = decoder.misfit(heard(tokens, [9, 3]), target)
    alone = decoder.misfit(heard(tokens[1:, :3], [3]), short)
    torch.testing.assert_close(both[1:], alone)


def test_random_changes_of_what_is_heard_are_left_out_where_nobody_asks_for_them() -> None:
    outputs = {"y": decoder_of(0.01)[0]}
    assert steps_of(fitted("audio", "x"), outputs) == []
    assert len(steps_of(fitted("audio", "x"), {})) == 5
    assert len(steps_of(fitted("audio", "x", augment=["noise"]), outputs)) == 1
    apart = {"y": decoder_of(0.01, follows=False)[0]}
    assert len(steps_of(fitted("audio", "x"), apart)) == 5


def test_where_no_sound_is_heard_it_says_what_is_wrong() -> None:
    with pytest.raises(SpecError, match=r"decoder\.follows: no sound"):
        decoder_of(0.0, follows=True)
    assert decoder_of(0.01, follows=False)[1].lasts is not None


def test_frames_are_those_of_the_spectrum() -> None:
    column = fitted("audio", "x")
    encoder = encoders.members()["spectrogram"](bands=8).build([column], Tables())
    samples = torch.randint(-5000, 5000, (2, 800)).to(torch.int16)
    mask = torch.arange(800) < torch.tensor([[800], [400]])
    found = encoder(Cells({"samples": samples * mask, "mask": mask}))
    assert found.mask.sum(1).tolist() == [10, 5]
    torch.testing.assert_close(found.tokens, encoder.front(samples * mask) * found.mask[..., None])
    torch.testing.assert_close(found.pooled, found.tokens.sum(1) / torch.tensor([[10.0], [5.0]]))
    assert dataclasses.asdict(encoder.widths)["seconds"] == pytest.approx(0.01)


def test_a_sound_is_made_of_a_spectrum_the_whole_way(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    clips = [wav(tone(draw.uniform(150, 1500), draw.uniform(0.1, 0.2)), RATE) for _ in range(60)]
    pd.DataFrame({"clip": clips, "said": clips}).to_parquet(tmp_path / "tones.parquet")
    spec: dict[str, Any] = {
        "data": str(tmp_path / "tones.parquet"),
        "inputs": {"clip": {"type": "audio", "encoder": {"type": "spectrogram", "bands": 24}}},
        "model": "network",
        "train": {"steps": 40, "batch_size": 8, "learning_rate": 1e-2, "threads": 1},
        "evaluate": {"resamples": 0, "baselines": []},
    }
    runs = {}
    for follows in (True, False):
        decoder = {**SMALL, "channels": 16, "piece": 0.05, "follows": follows}
        outputs = {"said": {"type": "audio", "decoder": decoder}}
        runs[follows] = api.train({**spec, "outputs": outputs}, runs=tmp_path / "runs")
    asked = pd.DataFrame({"clip": clips[:3]})
    said = runs[True].predict(asked)["said"].to_pylist()
    assert said == runs[True].predict(asked)["said"].to_pylist()
    for made, true in zip(said, clips):
        assert abs(len(made) - len(true)) <= 2 * 0.01 * RATE, "no longer than a frame more"
    figures = {f: r.metrics["outputs"]["said"]["metrics"]["seconds_off"]["value"] for f, r in runs.items()}
    assert figures[True] < 0.01
    assert "wavenet" in decoders.members()
