"""The cosine transform that makes cepstra of spectra: for networks, and for figures beside them."""

from __future__ import annotations

import numpy as np


def dct(bands: int, count: int) -> np.ndarray:
    """(M, count): the orthonormal cosine transform (DCT-II) of the bands, as far as it is asked for."""
    waves = np.sqrt(2 / bands) * np.cos(np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count))
    waves[:, 0] *= np.sqrt(0.5)
    return waves
