"""A generator of samples out of mel bands, all at once, and critics that tell what it makes from true sound.

Kong, Kim, Bae: HiFi-GAN, 2020 (https://arxiv.org/abs/2010.05646); critics of averaged samples: Kumar et al.: MelGAN, 2019
(https://arxiv.org/abs/1910.06711); squared errors in the game: Mao et al.: Least Squares Generative Adversarial Networks, 2016
(https://arxiv.org/abs/1611.04076). Weights are not normalised here: small networks learn without it, and exports stay plain.

Legend: B rows, F frames, M bands, C channels, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
LARGEST = 8
"""A step is made of factors up to this, where it has such."""
CRITIC_WIDEST = 8
"""Channels of a critic's last maps, as a multiple of its first ones."""

Looks = list[list[Tensor]]
"""Of each critic its maps (B, ...) layer by layer; the last one says how real each place looks: 1 true, 0 made."""


def factors(step: int) -> list[int]:
    """Whole numbers whose product is the step, the largest first; primes above `LARGEST` stand alone."""
    out: list[int] = []
    while step > 1:
        small = [f for f in range(2, min(step, LARGEST) + 1) if step % f == 0]
        factor = small[-1] if small else next(f for f in range(2, step + 1) if step % f == 0)
        out.append(factor)
        step //= factor
    return sorted(out, reverse=True)


class Receptive(nn.Module):
    """(B, C, T) -> (B, C, T): residual convolutions of one width, each further apart than the one before."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel // 2)) for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x, SLOPE))
        return x


class Generator(nn.Module):
    """Bands (B, F, M) -> samples (B, F step), from -1 to 1: each enlargement halves the channels, and looks at several widths at once."""

    def __init__(self, bands: int, step: int, channels: int, kernels: Sequence[int], dilations: Sequence[int]):
        super().__init__()
        self.step = step
        self.first = nn.Conv1d(bands, channels, 7, padding=3)
        reach, rate = 3.0, 1
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for factor in factors(step):
            fewer = max(channels // 2, 4)
            odd = factor % 2
            self.ups.append(nn.ConvTranspose1d(channels, fewer, 2 * factor, factor, (factor + odd) // 2, odd))
            self.blocks.append(nn.ModuleList(Receptive(fewer, k, dilations) for k in kernels))
            channels = fewer
            reach += 1 / rate
            rate *= factor
            reach += sum(dilations) * (max(kernels) // 2) / rate
        self.reach = math.ceil(reach + 3 / rate)
        """Frames after a sample that it depends on."""
        self.last = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, bands: Tensor) -> Tensor:
        x = self.first(F.pad(bands.mT, (0, self.reach)))  # what is behind a sound is the same whatever it is padded to
        for up, block in zip(self.ups, self.blocks):
            x = up(F.leaky_relu(x, SLOPE))
            x = torch.stack([b(x) for b in block]).mean(0)  # type: ignore[union-attr]
        return self.last(F.leaky_relu(x, SLOPE))[:, 0, : bands.shape[1] * self.step].float().tanh()


class PeriodCritic(nn.Module):
    """Looks at every p-th sample: (B, T) folded to (B, 1, T / p, p), with convolutions along the first of these."""

    def __init__(self, period: int, width: int):
        super().__init__()
        self.period = period
        widths = [1, width, 4 * width, CRITIC_WIDEST * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)) for a, b in pairwise(widths))
        self.layers.append(nn.Conv2d(widths[-1], widths[-1], (5, 1), 1, (2, 0)))
        self.last = nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.pad(x, (0, -x.shape[1] % self.period)).unflatten(1, (-1, self.period))[:, None]
        return seen(self.layers, self.last, x)


class ScaleCritic(nn.Module):
    """Looks at the samples, or at means of 2^level of them."""

    def __init__(self, level: int, width: int):
        super().__init__()
        self.level = level
        widths = [width, 2 * width, 4 * width, CRITIC_WIDEST * width]
        self.layers = nn.ModuleList([nn.Conv1d(1, width, 15, 1, 7)])
        self.layers.extend(nn.Conv1d(a, b, 21, 4, 10, groups=width // 2 or 1) for a, b in pairwise(widths))
        self.layers.append(nn.Conv1d(widths[-1], widths[-1], 5, 1, 2))
        self.last = nn.Conv1d(widths[-1], 1, 3, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x[:, None]
        for _ in range(self.level):
            x = F.avg_pool1d(x, 4, 2, 2)
        return seen(self.layers, self.last, x)


def seen(layers: nn.ModuleList, last: nn.Module, x: Tensor) -> list[Tensor]:
    """The maps of each layer, and at the end how real each place looks."""
    maps = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        maps.append(x)
    return [*maps, last(x)]


class Critics(nn.Module):
    """Samples (B, T) -> what each critic sees; some look at periods, the others at scales."""

    def __init__(self, periods: Sequence[int], scales: int, width: int):
        super().__init__()
        self.each = nn.ModuleList([PeriodCritic(p, width) for p in periods])
        self.each.extend(ScaleCritic(level, width) for level in range(scales))

    def forward(self, x: Tensor) -> Looks:
        return [critic(x) for critic in self.each]


def told_apart(true: Looks, made: Looks) -> Tensor:
    """(B,) how badly critics tell true sound (1) from made sound (0)."""
    pairs = [(t[-1].float(), m[-1].float()) for t, m in zip(true, made)]
    return torch.stack([_mean((1 - t).square()) + _mean(m.square()) for t, m in pairs]).sum(0)


def taken_for_true(made: Looks) -> Tensor:
    """(B,) how far what was made is from being taken for true."""
    return torch.stack([_mean((1 - m[-1].float()).square()) for m in made]).sum(0)


def maps_apart(true: Looks, made: Looks) -> Tensor:
    """(B,) how far the critics' maps of made sound are from those of true sound, in the mean of each map."""
    pairs = [(t, m) for a, b in zip(true, made) for t, m in zip(a[:-1], b[:-1])]
    return torch.stack([_mean((t.float() - m.float()).abs()) for t, m in pairs]).sum(0)


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)
