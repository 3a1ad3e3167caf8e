"""From the tokens of a text to the mel bands of speech, all frames at once: how long each token lasts, and how it then sounds.

Durations that are found while training: Kim et al.: Glow-TTS, 2020 (https://arxiv.org/abs/2005.11129). All frames at once from durations:
Ren et al.: FastSpeech, 2019 (https://arxiv.org/abs/1905.09263). What is said of many voices is smoother than any of them, and is made as
lively again: Toda, Tokuda: A Speech Parameter Generation Algorithm Considering Global Variance, 2007.

Legend: B rows, S tokens, F frames, D width, M bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.dilated import DilatedStack
from dapeng.nn.monotonic import aligned, spread

PLACES = 8
"""Waves that say where in its token a frame lies."""
SLOWLY = 0.01
"""How fast what is known of liveliness follows a batch."""


class Sung(NamedTuple):
    """Bands (B, F, M), standardised, which frames are real (B, F), and the (B,) loss of text, durations and bands where the truth is known."""

    bands: Tensor
    real: Tensor
    misfit: Tensor


class Speech(nn.Module):
    """Tokens (B, S, C) and what holds for all of them (B, G) -> bands (B, F, M).

    lively: (M,) how much further the true bands of a sound stray from their mean than those that are said.
    """

    lively: Tensor

    def __init__(
        self, tokens: int, general: int, dim: int, bands: int, kernel: int, dilations: Sequence[int], dropout: float
    ):
        super().__init__()
        self.tokens = nn.Linear(tokens, dim)
        self.general = nn.Linear(general, dim)
        self.reading = DilatedStack(dim, 3, (1, 1), dropout)
        self.first = nn.Linear(dim, bands)
        self.lasts = DilatedStack(dim, 3, (1, 1), dropout)
        self.lasting = nn.Linear(dim, 1)
        self.places = nn.Linear(2 * PLACES + 1, dim)
        self.sounding = DilatedStack(dim, kernel, dilations, dropout)
        self.head = nn.Linear(dim, bands)
        self.register_buffer("lively", torch.ones(bands))

    def read(self, tokens: Tensor, mask: Tensor, general: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) of the tokens, and the logarithm of how many frames each lasts (B, S)."""
        x = self.reading(self.tokens(tokens) + self.general(general)[:, None], mask)
        lasts = self.lasting(self.lasts(x.detach(), mask))[..., 0].float()
        return x, lasts

    def sound(self, x: Tensor, counts: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Bands (B, F, M) of tokens that last so many frames (B, S), and which frames are real."""
        long, where, real = spread(x, counts, size)
        waves = where[..., :1] * torch.arange(1, PLACES + 1, device=x.device) * torch.pi
        places = self.places(torch.cat([waves.sin(), waves.cos(), where[..., 1:]], 2).to(x.dtype))
        return self.head(self.sounding(long + places, real)).float(), real

    def known(self, tokens: Tensor, mask: Tensor, general: Tensor, bands: Tensor, frames: Tensor) -> Sung:
        """As it sounds with the durations of the truth, bands (B, F, M), of which `frames` (B,) are real."""
        x, lasts = self.read(tokens, mask, general)
        first = self.first(x).float()
        with torch.no_grad():
            fit = -torch.cdist(first, bands).square()
            counts = aligned(fit, mask.sum(1), frames) * mask
        drafts, _, real = spread(first, counts, bands.shape[1])
        said, _ = self.sound(x, counts, bands.shape[1])
        if self.training:
            with torch.no_grad():
                more = (_deviation(bands, real) / _deviation(said, real).clamp(min=1e-3)).clamp(0.5, 2).mean(0)
                self.lively.lerp_(more.to(self.lively.dtype), SLOWLY)
        apart = _mean((said - bands).abs().mean(2), real)
        draft = _mean((drafts - bands).square().mean(2), real)
        off = _mean((lasts - counts.clamp(min=1).float().log()).square(), mask)
        return Sung(said, real, apart + 0.5 * draft + 0.5 * off)

    def livelier(self, bands: Tensor, real: Tensor) -> Tensor:
        """Bands (B, F, M) that stray from their mean as far as true ones do."""
        mean = _mean(bands, real[..., None])[:, None]
        return mean + self.lively * (bands - mean)

    def unknown(self, tokens: Tensor, mask: Tensor, general: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """Bands (B, F, M) and how many frames are real (B,), at most so many."""
        x, lasts = self.read(tokens, mask, general)
        counts = lasts.exp().round().clamp(1, most).long() * mask
        before = counts.cumsum(1) - counts
        counts = torch.minimum(counts, (most - before).clamp(min=0))
        frames = counts.sum(1)
        bands, _ = self.sound(x, counts, int(frames.max()))
        return bands, frames


def _deviation(x: Tensor, real: Tensor) -> Tensor:
    """(B, M) over the real frames of (B, F, M)."""
    seen = real[..., None]
    return _mean((x - _mean(x, seen)[:, None]).square(), seen).sqrt()


def _mean(x: Tensor, real: Tensor) -> Tensor:
    """(B,) or (B, M) over the real frames of (B, F) or (B, F, M)."""
    return (x * real).sum(1) / real.sum(1).clamp(min=1)


class Conditions(nn.Module):
    """Bands (B, F, M) -> what a vocoder is told of each frame (B, F, K), from those around it."""

    def __init__(self, bands: int, width: int):
        super().__init__()
        self.layer = nn.Conv1d(bands, width, 5, padding=2)

    def forward(self, bands: Tensor, real: Tensor) -> Tensor:
        return F.silu(self.layer((bands * real[..., None]).mT)).mT


def pieces(
    samples: Tensor, real: Tensor, frames: Tensor, told: Tensor, step: int, size: int, anywhere: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Stretches of `size` frames, cut anywhere or in the middle: samples (B, T), which are real (B, T), and what is told (B, size, K).

    samples, real: (B, N). frames: (B,) how many are real. told: (B, F, K), a frame for `step` samples.
    """
    room = (frames - size).clamp(min=0)
    first = (torch.rand(len(room), device=room.device) * (room + 1)).long() if anywhere else room // 2
    at = first[:, None] + torch.arange(size, device=room.device)
    inside = at < told.shape[1]
    some = told.gather(1, at.clamp(max=told.shape[1] - 1)[..., None].expand(-1, -1, told.shape[2]))
    where = (first * step)[:, None] + torch.arange(size * step, device=room.device)
    there = where < samples.shape[1]
    where = where.clamp(max=samples.shape[1] - 1)
    counted = real.gather(1, where) & there & inside.repeat_interleave(step, 1)
    return samples.gather(1, where), counted, some * inside[..., None]
