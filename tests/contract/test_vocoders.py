"""Every registered vocoder, without being asked: gradients, a misfit a row, and sounds that hang on their own bands alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dapeng.columns.log_mel import FLOOR, filters, sizes, window
from dapeng.core.kinds import vocoders
from dapeng.nn.vocoder import Bands, Vocoder

RATE, BANDS = 4000, 12
TAGS = sorted(vocoders.members())


def bands_of(hop: float = 0.008) -> Bands:
    length, step, size = sizes(RATE, 0.032, hop)
    return Bands(
        filters(RATE, BANDS, size), window(length), size, step, np.full(BANDS, -9.0), np.full(BANDS, 3.0), FLOOR, RATE
    )


def made(tag: str, hop: float = 0.008) -> Vocoder:
    torch.manual_seed(0)
    member = vocoders.members()[tag]
    return member(**member.tiny).build(bands_of(hop))


def sounds(hop: float = 0.008) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bands, frames of the sound, samples, and which are of it: the second one is shorter."""
    bands = bands_of(hop)
    time = torch.arange(20 * bands.step) / RATE
    real = torch.stack([time >= 0, time < 12 * bands.step / RATE])
    samples = (6000 * torch.stack([torch.sin(2800 * time), torch.sin(900 * time)]) * real).to(torch.int16)
    heard = real[:, :: bands.step]
    return bands.log_mel()(samples)[:, :20], heard, samples, real


@pytest.mark.parametrize("hop", [0.008, 0.00925], ids=["32 samples", "37 samples"])
@pytest.mark.parametrize("tag", TAGS)
def test_a_frame_becomes_its_samples_and_a_shorter_sound_hangs_on_itself_alone(tag: str, hop: float) -> None:
    vocoder, (bands, heard, samples, _) = made(tag, hop).eval(), sounds(hop)
    with torch.no_grad():
        both = vocoder.made(bands, heard)
        alone = vocoder.made(bands[1:, :12], heard[1:, :12])
        noise = torch.where(heard[..., None], bands, torch.randn_like(bands))
        again = vocoder.made(noise, heard)
    assert both.shape == samples.shape
    assert both.abs().max() <= 32768
    assert torch.isfinite(both).all()
    size = alone.shape[1]
    if vocoder.learns:  # phases that agree with all frames hang on where these end
        torch.testing.assert_close(both[1:, :size], alone, atol=1.0, rtol=0)
    torch.testing.assert_close(both[1, :size], again[1, :size], atol=1.0, rtol=0)


@pytest.mark.parametrize("tag", [t for t in TAGS if made(t).learns])
def test_it_learns_from_true_samples_a_misfit_a_row(tag: str) -> None:
    vocoder, heard = made(tag), sounds()
    losses = []
    optimiser = torch.optim.Adam(vocoder.parameters(), 1e-2)
    for _ in range(25):
        torch.manual_seed(1)
        found = vocoder.tried(*heard)
        assert found.misfit.shape == (2,)
        found.misfit.sum().backward()
        losses.append(float(found.misfit.detach().sum()))
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in vocoder.parameters())
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("tag", [t for t in TAGS if made(t).learns])
def test_what_it_is_judged_by_hangs_on_the_row_alone(tag: str) -> None:
    vocoder, (bands, heard, samples, real) = made(tag).eval(), sounds()
    whole = vocoder.tried(bands, heard, samples, real).misfit
    size = samples.shape[1] * 12 // 20
    alone = vocoder.tried(bands[1:, :12], heard[1:, :12], samples[1:, :size], real[1:, :size]).misfit
    torch.testing.assert_close(whole[1:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tag", TAGS)
def test_it_is_built_without_memory_and_keeps_only_what_it_learns(tag: str) -> None:
    member = vocoders.members()[tag]
    with torch.device("meta"):
        planned: Any = member(**member.tiny).build(bands_of())
    assert all(p.device.type == "meta" for p in planned.parameters())
    assert planned.state_dict().keys() == {n for n, _ in made(tag).named_parameters()}
