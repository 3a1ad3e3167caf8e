"""A small U-Net that says what is noise in a picture.

Ho et al.: Denoising Diffusion Probabilistic Models, 2020 (https://arxiv.org/abs/2006.11239), after Ronneberger et al., 2015. Time and
condition scale and shift each block as in Dhariwal, Nichol, 2021 (https://arxiv.org/abs/2105.05233). Norms are over the channels of a
place, as in ConvNeXt, and the picture is folded first (2 x 2 pixels into channels): group norms take four times as long as the
convolutions on a processor, and so do full-size maps.

Legend: B rows, C channels, Y X map, D width of what is told.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DenoiserOptions, denoisers
from dapeng.nn.denoising import Folded, Told

SMALL = 16
"""Shorter side of pictures whose pixels are not folded."""


@denoisers
class UnetDenoiser(DenoiserOptions):
    """A residual U-Net with self-attention where maps are coarsest.

    Paper: Ho et al., 2020, https://arxiv.org/abs/2006.11239
    Example: `outputs: {picture: {type: image, decoder: {type: flow, denoiser: {type: unet, width: 96}}}}`
    """

    type: Literal["unet"] = "unet"
    tiny: ClassVar[dict[str, Any]] = {"width": 16, "blocks": 1, "levels": 2}
    width: int = Field(64, ge=4, le=4096)
    """Channels of the finest maps; each coarser level has twice as many, at most four times."""
    levels: int = Field(2, ge=1, le=6)
    """Sizes of maps, each half of the one before."""
    blocks: int = Field(2, ge=1, le=16)
    """Residual blocks of a level, on the way down and on the way up."""
    patch: int | Literal["auto"] = Field("auto", ge=1, le=16)
    """Side of the squares of pixels that become channels. auto: 1 for pictures of less than 16 pixels, 2 up to 64, 4 above."""
    heads: int = Field(4, ge=0, le=64)
    """Of the attention between all places of the coarsest maps; 0: none."""
    dropout: float = Field(0.0, ge=0, lt=1)

    def build(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        side = min(shape[1:])
        auto = 1 if side < SMALL else 2 if side <= 64 else 4
        return Denoiser(self, shape, condition, auto if self.patch == "auto" else self.patch)


class PlaceNorm(nn.Module):
    """(B, C, Y, X): the channels of each place have mean 0 and deviation 1. Maps are kept with channels last."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """(B, C, Y, X) -> (B, W, Y, X): two convolutions, scaled and shifted by what is told, beside the identity."""

    def __init__(self, inputs: int, outputs: int, told: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = PlaceNorm(inputs), PlaceNorm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.told = nn.Linear(told, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        y = self.norm2(y) * (1 + scale) + shift
        return self.skip(x) + self.conv2(self.drop(F.silu(y)))


class Among(nn.Module):
    """Each place of (B, C, Y, X) looks at all others."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.norm, self.heads = PlaceNorm(channels), heads
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm(x).permute(0, 2, 3, 1).flatten(1, 2)  # (B, Y X, C)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(seen).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(mixed).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class Denoiser(nn.Module):
    """What is wanted of a noisy picture (B, C, Y, X) at a time (B,) under a condition (B, K) or none."""

    def __init__(self, o: UnetDenoiser, shape: tuple[int, int, int], condition: int | None, patch: int):
        super().__init__()
        self.folded = Folded(shape, patch, 2 ** (o.levels - 1))
        widths = [o.width * min(2**i, 4) for i in range(o.levels)]
        told = 4 * o.width
        self.told = Told(condition, told)
        folded = shape[0] * patch**2
        self.first = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.down, self.up, kept, now = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
        for level, width in enumerate(widths):
            for _ in range(o.blocks):
                self.down.append(Block(now, width, told, o.dropout))
                now = width
                kept.append(now)
            if level < o.levels - 1:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        self.middle = Block(now, now, told, o.dropout)
        self.among = Among(now, o.heads) if o.heads else nn.Identity()
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(o.blocks + 1):
                self.up.append(Block(now + kept.pop(), width, told, o.dropout))
                now = width
            if level:
                self.up.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm, self.last = PlaceNorm(now), nn.Conv2d(now, folded, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        told = F.silu(self.told(t, condition))
        x = self.first(self.folded.maps(x).contiguous(memory_format=torch.channels_last))
        seen = [x]
        for part in self.down:
            x = part(x, told) if isinstance(part, Block) else part(x)
            seen.append(x)
        x = self.among(self.middle(x, told))
        for part in self.up:
            if isinstance(part, Block):
                x = part(torch.cat([x, seen.pop()], 1), told)
            else:
                x = part(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.folded.pictures(self.last(F.silu(self.norm(x))))
