"""Log-mel spectra and cepstra of sounds, worked out while a network runs.

Davis, Mermelstein: Comparison of Parametric Representations for Monosyllabic Word Recognition, 1980. The Fourier transform is a
convolution with cosines and sines: for frames of a few hundred samples that costs little beside the network, and any export holds it.

Legend: B rows, T samples, F frames, M bands, K frequencies.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.transforms import transformed

FULL_SCALE = 32768.0


class LogMel(nn.Module):
    """samples (B, T) int16 -> (B, F, M): the logarithm of the power in each band, standardised.

    A frame stands for `step` samples, and begins (length - step) / 2 before them; sounds have silence on either side. So T / step frames,
    rounded up, are of the sound; F is one or two more, which `frames_in` tells from them.

    filters: (M, K) weights of the frequencies of a transform of `size`. window: (length,) weights of a frame's samples. step: samples
    from a frame to the next. mean, std: (M,) of the logarithms. floor: least power. cepstra: how many coefficients of the
    cosine transform of the bands are given in their place; 0: the bands.
    """

    basis: Tensor
    filters: Tensor
    mean: Tensor
    scale: Tensor
    cosines: Tensor | None

    def __init__(
        self,
        filters: np.ndarray,
        window: np.ndarray,
        size: int,
        step: int,
        mean: np.ndarray,
        std: np.ndarray,
        floor: float,
        cepstra: int = 0,
    ):
        super().__init__()
        self.step, self.length = step, len(window)
        self.floor = (
            floor * FULL_SCALE**2
        )  # in steps of 16 bits: what writes ONNX takes 1e-8 for nothing, and leaves it out
        bands, frequencies = filters.shape
        used = filters.sum(0) > 0
        turns = 2 * math.pi / size * np.arange(frequencies)[:, None] * np.arange(self.length)
        waves = np.stack([np.cos(turns), np.sin(turns)]) * window  # (2, K, length)
        self._buffer("basis", waves[:, used].reshape(-1, 1, self.length))
        self._buffer("filters", filters[:, used])
        self._buffer("mean", mean + math.log(FULL_SCALE**2))
        self._buffer("scale", 1 / std)
        self._buffer("cosines", dct(bands, cepstra) if cepstra else None)
        self.width = cepstra or bands

    def _buffer(self, name: str, value: np.ndarray | None) -> None:
        tensor = (
            None if value is None else torch.tensor(value, dtype=torch.float32)
        )  # a copy, so that it may lie on "meta"
        self.register_buffer(name, tensor, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(samples.device.type):
            return self._frames(samples)
        with torch.autocast(samples.device.type, enabled=False):  # quiet bands would drown in bf16's rounding
            return self._frames(samples)

    def _frames(self, samples: Tensor) -> Tensor:
        left = (self.length - self.step) // 2
        x = F.pad(samples.float(), (left, self.length))
        real, imaginary = F.conv1d(x[:, None], self.basis, stride=self.step).chunk(2, 1)  # (B, K, F)
        power = F.linear((real.square() + imaginary.square()).mT, self.filters)  # (B, F, M)
        x = (torch.log(power + self.floor) - self.mean) * self.scale
        return x if self.cosines is None else x @ self.cosines


def dct(bands: int, count: int) -> np.ndarray:
    """(M, count): the orthonormal cosine transform (DCT-II) of the bands, as far as it is asked for."""
    waves = math.sqrt(2 / bands) * np.cos(math.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count))
    waves[:, 0] *= math.sqrt(0.5)
    return waves


class Samples(nn.Module):
    """samples (B, T) int16 -> (B, F, step): as they are, from about -1 to 1, `step` of them a frame; the raw form of a sound."""

    places: Tensor

    def __init__(self, step: int, level: float):
        super().__init__()
        self.step, self.width = step, step
        places = torch.tensor(np.eye(step)[:, None] / (FULL_SCALE * level), dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        return F.conv1d(F.pad(samples.float(), (0, self.step))[:, None], self.places, stride=self.step).mT


def frames_in(mask: Tensor, step: int) -> Tensor:
    """(B, T) of samples -> (B,) frames that are of the sound."""
    return halved(mask.sum(1), step)


def halved(lengths: Tensor, step: int = 2) -> Tensor:
    """(B,) of what a convolution with this stride, padded on both sides, makes of so many steps."""
    return torch.div(lengths + step - 1, step, rounding_mode="floor")


def within(lengths: Tensor, x: Tensor, dim: int = 1) -> Tensor:
    """(B, F) which of the steps of x along `dim` are within the lengths (B,).

    Made from x and not from a mask that is thinned like it: then an export knows that both have one length, whatever it is.
    """
    return torch.arange(x.shape[dim], device=x.device) < lengths[:, None]


def as_picture(frames: Tensor) -> Tensor:
    """(B, F, M) -> (B, 1, F, M), in the order in memory with which a processor's convolutions are up to twice as fast."""
    if torch.compiler.is_exporting() or transformed():
        return frames[:, None]
    x = frames.contiguous()[:, None]
    size, width = x.shape[2:]
    return x.as_strided(x.shape, (size * width, 1, width, 1))  # one channel has both orders: say which
