"""Alignment of tokens and frames, against every way that there is; spreading; and a sound from its mel bands."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dapeng.columns.log_mel import FLOOR, filters, log_mel, sizes, window
from dapeng.nn.griffin_lim import griffin_lim, spectrum
from dapeng.nn.monotonic import aligned, spread
from dapeng.nn.speech import Speech


def every_way(fit: np.ndarray, tokens: int, frames: int) -> list[int]:
    """Counts (S,) whose path through (S, F) has the largest sum."""
    best, found = -np.inf, [0] * tokens
    for cuts in itertools.combinations(range(1, frames), tokens - 1):
        ends = [0, *cuts, frames]
        total = sum(fit[s, a:b].sum() for s, (a, b) in enumerate(itertools.pairwise(ends)))
        if total > best:
            best, found = total, np.diff(ends).tolist()
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_alignment_is_the_best_of_all(seed: int) -> None:
    torch.manual_seed(seed)
    fit = torch.randn(4, 5, 9)
    tokens, frames = torch.tensor([5, 3, 1, 4]), torch.tensor([9, 7, 4, 4])
    counts = aligned(fit, tokens, frames)
    for row in range(4):
        wanted = every_way(fit[row].numpy(), int(tokens[row]), int(frames[row]))
        assert counts[row].tolist() == wanted + [0] * (5 - len(wanted))


def test_more_tokens_than_frames_leave_the_last_ones_without() -> None:
    counts = aligned(torch.randn(1, 6, 4), torch.tensor([6]), torch.tensor([4]))
    assert counts.tolist() == [[1, 1, 1, 1, 0, 0]]


def test_tokens_are_spread_over_their_frames() -> None:
    x = torch.arange(3.0)[None, :, None]
    long, where, real = spread(x, torch.tensor([[2, 0, 3]]), 7)
    assert long[0, :5, 0].tolist() == [0, 0, 2, 2, 2]
    assert real[0].tolist() == [True] * 5 + [False] * 2
    assert where[0, :5, 0].tolist() == pytest.approx([0, 1 / 2, 0, 1 / 3, 2 / 3])


def test_a_sound_comes_back_from_its_mel_bands() -> None:
    rate = 8000
    time = np.arange(4000) / rate
    tone = 9000 * np.sin(2 * np.pi * (300 + 500 * time) * time) + 3000 * np.sin(2 * np.pi * 1900 * time)
    samples = tone.astype(np.int16)
    length, step, size = sizes(rate)
    weights = filters(rate, 40, size)
    before = log_mel(samples, rate, 40)
    power = torch.tensor(np.exp(before) - FLOOR, dtype=torch.float32).clamp(min=0)[None]
    weights = torch.tensor(weights, dtype=torch.float32)
    made = griffin_lim(spectrum(power, weights), torch.tensor(window(length), dtype=torch.float32), step)[0].numpy()
    after = log_mel((made * 32768).clip(-32768, 32767).astype(np.int16), rate, 40)
    loud = before > before.max() - 8
    assert np.abs(after - before)[loud].mean() < 0.35


def test_a_sound_of_one_frame_is_made_too() -> None:
    made = griffin_lim(torch.rand(2, 1, 129), torch.hann_window(200), 80)
    assert made.shape == (2, 80)
    assert torch.isfinite(made).all()


def test_what_is_too_smooth_is_made_as_lively_as_the_truth() -> None:
    torch.manual_seed(0)
    net = Speech(4, 4, 16, 6, 3, (1,), 0.0).train()
    tokens, mask, general = torch.randn(8, 3, 4), torch.ones(8, 3, dtype=torch.bool), torch.randn(8, 4)
    bands = 2 * torch.randn(8, 40, 6)
    for _ in range(400):
        net.known(tokens, mask, general, bands, torch.full((8,), 40))
    said = net.eval().known(tokens, mask, general, bands, torch.full((8,), 40)).bands
    real = torch.ones(8, 40, dtype=torch.bool)
    livelier = net.livelier(said, real)
    assert float(livelier.std(1).mean() / said.std(1).mean()) == pytest.approx(float(net.lively.mean()), rel=0.1)
    assert float(net.lively.mean()) > 1.5
    torch.testing.assert_close(livelier.mean(1), said.mean(1))
