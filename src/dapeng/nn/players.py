"""Two players: one makes pictures out of noise, the other says how real they look.

The convolutional pair is DCGAN's (Radford, Metz, Chintala, 2015, https://arxiv.org/abs/1511.06434), but its critic has no batch norms: rows
must not see each other there. The residual pair is made as R3GAN's (Huang et al., 2025, https://arxiv.org/abs/2501.05441): no norms at all,
first weights by Fixup (Zhang et al., 2019, https://arxiv.org/abs/1901.09321). A critic reads a condition by projection (Miyato, Koyama,
2018, https://arxiv.org/abs/1802.05637).

Legend: B rows, Z noise, K condition, C channels, Y X picture.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2


@contextlib.contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """What is worked out with its parameters gives them no gradient."""
    moved = [p for p in module.parameters() if p.requires_grad]
    for p in moved:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in moved:
            p.requires_grad_(True)


def sizes_of(shape: tuple[int, int, int], levels: int) -> list[tuple[int, int]]:
    """Heights and widths of maps, coarsest first; the finest is no smaller than the picture."""
    coarsest = [-(-side // 2**levels) for side in shape[1:]]
    return [(coarsest[0] * 2**i, coarsest[1] * 2**i) for i in range(levels + 1)]


class Projection(nn.Module):
    """How real maps (B, C, Y, X) look, (B,): one number, and how well they go with a condition (B, K)."""

    def __init__(self, features: int, condition: int | None):
        super().__init__()
        self.real = nn.Linear(features, 1)
        self.of_condition = nn.Linear(condition, features) if condition is not None else None

    def forward(self, seen: Tensor, condition: Tensor | None) -> Tensor:
        flat = seen.flatten(1)
        said = self.real(flat).squeeze(1)
        if self.of_condition is None or condition is None:
            return said
        return said + (self.of_condition(condition) * flat).sum(1) / math.sqrt(flat.shape[1])


class Start(nn.Module):
    """Noise (B, Z) and a condition (B, K) or none -> the coarsest maps (B, C, Y, X)."""

    def __init__(self, noise: int, condition: int | None, channels: int, size: tuple[int, int]):
        super().__init__()
        self.size = size
        self.full = nn.Linear(noise + (condition or 0), channels * size[0] * size[1])

    def forward(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        told = noise if condition is None else torch.cat([noise, condition], 1)
        return self.full(told).unflatten(1, (-1, *self.size))


class ConvolutionalGenerator(nn.Module):
    """DCGAN: each step doubles the maps by a transposed convolution behind a batch norm; the picture by tanh."""

    def __init__(self, shape: tuple[int, int, int], noise: int, condition: int | None, width: int, levels: int):
        super().__init__()
        self.shape = shape
        widths = [width * 2**i for i in reversed(range(levels))]
        self.start = Start(noise, condition, widths[0], sizes_of(shape, levels)[0])
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths)
        outputs = [*widths[1:], shape[0]]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(w, o, 4, 2, 1) for w, o in zip(widths, outputs))

    def forward(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        x = self.start(noise, condition).contiguous(memory_format=torch.channels_last)
        for norm, up in zip(self.norms, self.ups):
            x = up(F.relu(norm(x)))
        return x[:, :, : self.shape[1], : self.shape[2]].float().tanh()


class ConvolutionalCritic(nn.Module):
    """DCGAN's, without norms: each step halves the maps."""

    def __init__(self, shape: tuple[int, int, int], condition: int | None, width: int, levels: int):
        super().__init__()
        widths = [shape[0], *(width * 2**i for i in range(levels))]
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.finest = sizes_of(shape, levels)[-1]
        height, wide = sizes_of(shape, levels)[0]
        self.last = Projection(widths[-1] * height * wide, condition)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = grown(x, self.finest).contiguous(memory_format=torch.channels_last)
        for down in self.downs:
            x = F.leaky_relu(down(x), SLOPE)
        return self.last(x, condition)


def grown(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures with their border's own pixels below and on the right, up to a size."""
    extra = (0, size[1] - x.shape[3], 0, size[0] - x.shape[2])
    return F.pad(x, extra, mode="replicate") if any(extra) else x


class Fixed(nn.Module):
    """A residual block without norms: 1 x 1, 3 x 3 in groups, 1 x 1 that begins at zero. share: of the first weights, by depth."""

    def __init__(self, channels: int, share: float, group: int):
        super().__init__()
        wide = channels * 2
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=max(1, wide // group))
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, SLOPE)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                conv.weight.mul_(share)
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.conv1(x), SLOPE)
        return x + self.conv3(F.leaky_relu(self.conv2(y), SLOPE))


class ResidualGenerator(nn.Module):
    """As R3GAN's: blocks at each size, then the maps are doubled; pixels at last by 2 x 2 channels."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        noise: int,
        condition: int | None,
        width: int,
        levels: int,
        blocks: int,
        group: int,
    ):
        super().__init__()
        self.shape = shape
        widths = _widths(width, levels)[::-1]
        share = (levels * blocks) ** -0.25
        self.start = Start(noise, condition, widths[0], sizes_of(shape, levels)[0])
        self.stages = nn.ModuleList(nn.Sequential(*(Fixed(w, share, group) for _ in range(blocks))) for w in widths)
        self.changes = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 4 * shape[0], 3, padding=1)

    def forward(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        x = self.start(noise, condition).contiguous(memory_format=torch.channels_last)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.changes):
                x = self.changes[number](x)
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.pixel_shuffle(self.last(x), 2)
        return x[:, :, : self.shape[1], : self.shape[2]].float()


class ResidualCritic(nn.Module):
    """As R3GAN's: the generator's mirror image."""

    def __init__(
        self, shape: tuple[int, int, int], condition: int | None, width: int, levels: int, blocks: int, group: int
    ):
        super().__init__()
        widths = _widths(width, levels)
        share = (levels * blocks) ** -0.25
        self.finest = sizes_of(shape, levels)[-1]
        self.first = nn.Conv2d(4 * shape[0], widths[0], 3, padding=1)
        self.stages = nn.ModuleList(nn.Sequential(*(Fixed(w, share, group) for _ in range(blocks))) for w in widths)
        self.changes = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        height, wide = sizes_of(shape, levels)[0]
        self.last = Projection(widths[-1] * height * wide, condition)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = F.pixel_unshuffle(grown(x, self.finest), 2).contiguous(memory_format=torch.channels_last)
        x = self.first(x)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.changes):
                x = F.avg_pool2d(self.changes[number](x), 2)
        return self.last(x, condition)


def _widths(width: int, levels: int) -> list[int]:
    """Channels of the stages, finest first: the finest has half the picture's size, the coarsest a 2^levels-th."""
    return [width * min(2**i, 4) for i in range(levels)]
