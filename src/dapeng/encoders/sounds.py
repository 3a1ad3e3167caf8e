"""From samples to frames of features: what every encoder of sounds does first."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from dapeng.columns.log_mel import FLOOR, filters, sizes, window
from dapeng.core.kinds import EncoderOptions
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.mel import LogMel, Samples, frames_in


class SoundOptions(EncoderOptions):
    """Options of an encoder that reads a sound as frames of features, which are worked out while it runs."""

    fits: ClassVar[tuple[str, ...]] = ("audio",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    features: Literal["log_mel", "mfcc", "raw"] = "log_mel"
    """What a frame is: the logarithm of the power in mel bands; its cepstrum; or the samples as they are."""
    bands: int = Field(40, ge=4, le=512)
    """Mel bands."""
    cepstra: int = Field(13, ge=2, le=512)
    """Coefficients of a frame's cepstrum (mfcc)."""
    frame: float = Field(0.025, gt=0, le=1)
    """Seconds of a frame."""
    hop: float = Field(0.010, gt=0, le=1)
    """Seconds from one frame to the next."""

    def front(self, column: Any) -> LogMel | Samples:
        """What makes frames of a fitted column's samples."""
        length, step, size = sizes(column.rate, self.frame, self.hop)
        if self.features == "raw":
            return Samples(step, 0.1)
        mean, std = column.normalisation(self.bands)
        cepstra = min(self.cepstra, self.bands) if self.features == "mfcc" else 0
        weights = filters(column.rate, self.bands, size)
        return LogMel(weights, window(length), size, step, mean, std, FLOOR, cepstra)


class SoundEncoder(Encoder):
    """Base of encoders of sounds: `embed` gives frames (B, F, M)."""

    def __init__(self, column: Any, o: SoundOptions):
        super().__init__()
        self.front, self.rate = o.front(column), column.rate

    def span(self, frames: int) -> dict[str, Any]:
        """How much of a sound a token of so many frames stands for, as `Widths` says it."""
        samples = self.front.step * frames
        return {"stride": samples, "seconds": samples / self.rate}

    def embed(self, cells: Cells) -> Tensor:
        return self.front(cells["samples"])

    def lengths(self, cells: Cells) -> Tensor:
        """(B,) frames that are of the sound."""
        return frames_in(cells["mask"], self.front.step)
