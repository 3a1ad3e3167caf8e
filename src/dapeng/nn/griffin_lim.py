"""A sound from the power in its mel bands: spectra that would have them, and phases that agree with their neighbours.

Griffin, Lim: Signal Estimation from Modified Short-Time Fourier Transform, 1984; with momentum: Perraudin et al.: A Fast Griffin-Lim
Algorithm, 2013. The spectrum by multiplicative updates: Lee, Seung: Algorithms for Non-negative Matrix Factorization, 2001.

Legend: B rows, F frames, M bands, K frequencies, T samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS = 60
MOMENTUM = 0.99
UPDATES = 30
SMALL = 1e-10


def spectrum(bands: Tensor, filters: Tensor) -> Tensor:
    """(B, F, K) power of the frequencies whose bands (B, F, M) are nearest to these, none negative. filters: (M, K)."""
    spread = filters / filters.sum(0).clamp(min=SMALL)
    power = (bands @ spread).clamp(min=SMALL)  # a band's mean power, at each of its frequencies
    wanted = bands @ filters
    for _ in range(UPDATES):
        power = power * wanted / (power @ filters.T @ filters).clamp(min=SMALL)
    return power


def griffin_lim(power: Tensor, window: Tensor, step: int, rounds: int = ROUNDS) -> Tensor:
    """(B, F step) samples of power (B, F, K) under this window (length,); a frame lies around the samples that it stands for.

    The first phases are the same in every call, so that the same power gives the same sound.
    """
    size = 2 * (power.shape[2] - 1)
    length = power.shape[1] * step
    wanted = F.pad(power.sqrt().mT, (0, max(0, -(-size // step) - power.shape[1])))  # no shorter than a window
    how = {"n_fft": size, "hop_length": step, "win_length": len(window), "window": window}
    draw = torch.Generator().manual_seed(0)
    angles = torch.rand(wanted.shape[1:], generator=draw).to(wanted.device) * (2 * torch.pi)
    phases = torch.polar(torch.ones_like(wanted), angles.expand(wanted.shape))
    before = torch.zeros_like(phases)
    samples = torch.istft(wanted * phases, center=True, **how)
    for _ in range(rounds):
        made = torch.stft(F.pad(samples, (0, step)), center=True, pad_mode="constant", return_complex=True, **how)[
            :, :, : wanted.shape[2]
        ]
        ahead = made + MOMENTUM * (made - before)
        before = made
        phases = ahead / ahead.abs().clamp(min=SMALL)
        samples = torch.istft(wanted * phases, center=True, **how)
    late = F.pad(samples, (step // 2, length))  # the middle of a frame is half a step behind its first sample
    return late[:, :length]
