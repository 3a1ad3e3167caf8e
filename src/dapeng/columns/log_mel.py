"""The logarithm of a sound's power in mel bands, over time; numpy, for statistics and for classical learners.

Stevens, Volkmann, Newman: the mel scale, 1937, as in O'Shaughnessy, 1987; triangular filters: Davis and Mermelstein, 1980. What
encoders work out while they train (`dapeng.nn.mel`) is equal to this.

Legend: T samples, F frames, M bands, K frequencies.
"""

from __future__ import annotations

import numpy as np

# --- shipped from here ---

FLOOR = 1e-8
"""Least power of a band: 80 dB below full scale, where quiet rooms and 16-bit noise end."""
FRAME, HOP = 0.025, 0.010
"""Seconds of a frame, and from one to the next."""


def to_mel(hertz: np.ndarray | float) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, np.float64) / 700.0)


def from_mel(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def sizes(rate: int, frame: float = FRAME, hop: float = HOP) -> tuple[int, int, int]:
    """Samples of a frame, from one frame to the next, and of the (zero-padded) Fourier transform."""
    length, step = max(2, round(frame * rate)), max(1, round(hop * rate))
    return length, min(step, length), 1 << (length - 1).bit_length()


def centres(rate: int, bands: int) -> np.ndarray:
    """(M,) middle frequency of each band in mel, between 20 Hz and half the rate."""
    return np.linspace(to_mel(20.0), to_mel(rate / 2), bands + 2)[1:-1]


def filters(rate: int, bands: int, size: int) -> np.ndarray:
    """(M, K) weights of the frequencies of a transform of this size: triangles whose weights sum to 1, whatever their width."""
    edges = from_mel(np.linspace(to_mel(20.0), to_mel(rate / 2), bands + 2))
    hertz = np.arange(size // 2 + 1) * rate / size
    up = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0.0, np.minimum(up, down))
    narrow = weights.sum(1) < 1e-6  # a band that lies between two frequencies has the nearer one
    weights[narrow, np.abs(hertz - edges[1:-1, None]).argmin(1)[narrow]] = 1.0
    return weights / weights.sum(1, keepdims=True)


def window(length: int) -> np.ndarray:
    """(length,) Hann, scaled so that a full-scale tone has a power of about 1 in its band's middle."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)
    return hann * 2 / hann.sum()


def log_mel(samples: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """(F, M) float32 of int16 samples (T,): one frame a hop, the last one reaching beyond the end."""
    length, step, size = sizes(rate)
    count = max(1, -(-len(samples) // step))
    left = (length - step) // 2
    padded = np.zeros((count - 1) * step + length + left, np.float32)
    padded[left : left + len(samples)] = samples[: len(padded) - left]
    padded /= 32768.0
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: count * step : step]
    power = np.abs(np.fft.rfft(frames * window(length), size)) ** 2
    return np.log(power @ filters(rate, bands, size).T + FLOOR).astype(np.float32)
