"""What makes samples of mel bands, as decoders of sounds see it.

Legend: B rows, F frames, M bands, K frequencies, T samples.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from dapeng.nn.mel import LogMel


class Bands(NamedTuple):
    """How bands are made of samples, as `dapeng.nn.mel.LogMel` takes it."""

    filters: np.ndarray
    """(M, K) weights of the frequencies of a transform of `size`."""
    window: np.ndarray
    """(length,) weights of a frame's samples."""
    size: int
    step: int
    """Samples from a frame to the next."""
    mean: np.ndarray
    """(M,) of the logarithms, with which they are standardised."""
    std: np.ndarray
    floor: float
    """Least power of a band."""
    rate: int
    """Samples a second."""

    def log_mel(self) -> LogMel:
        return LogMel(self.filters, self.window, self.size, self.step, self.mean, self.std, self.floor)

    def frames(self, seconds: float) -> int:
        """How many last so long; at least one."""
        return max(1, round(seconds * self.rate / self.step))


class Tried(NamedTuple):
    """What a vocoder makes of bands whose samples are known: how far off it is (B,), and a stretch of its own samples beside the true
    ones (B, T), from -1 to 1; None where it makes none while it learns.
    """

    misfit: Tensor
    made: Tensor | None = None
    true: Tensor | None = None


class Vocoder(nn.Module):
    """Standardised bands (B, F, M), of which some frames are of the sound (B, F), to samples (B, F step)."""

    learns: ClassVar[bool] = True
    """False if it has nothing to learn: then it is never tried."""
    lively: ClassVar[bool] = False
    """True if it wants bands that stray from their mean as far as true ones do; one that learns has heard others."""

    def tried(self, bands: Tensor, heard: Tensor, samples: Tensor, real: Tensor) -> Tried:
        """samples: (B, T) 16-bit values whose bands these are, or should be. real: (B, T) which of them are of the sound."""
        raise NotImplementedError

    def made(self, bands: Tensor, heard: Tensor) -> Tensor:
        """(B, F step) 16-bit values, the same for the same bands."""
        raise NotImplementedError
