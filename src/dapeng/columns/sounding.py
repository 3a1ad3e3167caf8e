"""A sound that is made: 16-bit samples at one rate, as long as the network says, and a WAV file for the user."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dapeng.columns.audio import Audio, AudioColumn
from dapeng.columns.base import Answers, Column, Dims, strings
from dapeng.columns.judged import judge_in, leave_judge
from dapeng.columns.quoting import as_numbers

if TYPE_CHECKING:
    from torch import Tensor

SPARE = 1.25
"""Longest sound that is made, as a share of the longest in training."""
MOST_MADE, MOST_SAMPLES = 2_000, 1 << 28
"""Sounds, and samples in all, that are made to be judged."""
LONGEST_ASKED = 400
"""Letters of what a judge should hear."""


class SoundingColumn(AudioColumn):
    """samples (B, T) int16, mask (B, T). Predictions: samples up to a fixed length, how many of them are the sound, and how it fits."""

    answers: ClassVar[Answers] = "sound"

    def __init__(self, name: str, options: Audio, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.most = max(1, round(SPARE * state["longest"] * self.rate))
        self.judge = None if options.judge is None else Path(options.judge)
        """Folder of the run that judges sounds that are made."""

    @property
    def most_tested(self) -> int:
        return max(1, min(MOST_MADE, MOST_SAMPLES // self.most))

    def leave(self, folder: Path) -> None:
        if self.judge is not None:
            leave_judge(self.judge, self.name, folder)

    def find(self, folder: Path) -> None:
        self.judge = judge_in(self.name, folder) or self.judge

    def noted(
        self, prediction: dict[str, np.ndarray], inputs: Mapping[str, Column], cells: Callable[[str], Any]
    ) -> dict[str, np.ndarray]:
        """Beside it, letter by letter, what a judge should hear."""
        shows = self.options.shows or _only(inputs, "text") or _only(inputs, "category")
        if self.judge is None or shows is None or shows not in inputs:
            return prediction
        texts = [c or "" for c in strings(cells(shows)).to_pylist()]
        return {**prediction, "asked": as_numbers(texts, LONGEST_ASKED)}

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """(N,) sounds, each an array of 16-bit samples; of a padded batch without what is behind them."""
        masks = tensors.get("mask")
        out = np.empty(len(tensors["samples"]), object)
        for row, samples in enumerate(tensors["samples"]):
            real = slice(None) if masks is None else np.asarray(masks[row], bool)
            out[row] = np.asarray(samples, np.int16)[real]
        return out

    def predictions(self) -> dict[str, Dims]:
        return {
            "samples": Dims(f"B {self.most}", "float32"),
            "length": Dims("B", "float32"),
            "misfit": Dims("B", "float32"),
        }

    def sounds(self, prediction: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Of each row its 16-bit samples."""
        rows = zip(prediction["samples"], np.asarray(prediction["length"]).astype(int).tolist())
        return [np.asarray(s)[:length].round().clip(-32768, 32767).astype(np.int16) for s, length in rows]

    def told(self, sounds: list[np.ndarray]) -> dict[str, np.ndarray]:
        """A prediction that says these sounds, cut where a network would end."""
        samples = np.zeros((len(sounds), self.most), np.float32)
        for row, sound in enumerate(sounds):
            samples[row, : len(sound)] = sound[: self.most]
        lengths = np.fromiter((min(len(s), self.most) for s in sounds), np.float32, len(sounds))
        return {"samples": samples, "length": lengths, "misfit": np.zeros(len(sounds), np.float32)}

    def lasts(self, tensors: Mapping[str, Any]) -> float:
        return float(tensors["length"].sum()) / self.rate if "length" in tensors else super().lasts(tensors)

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        """(B,) seconds."""
        return prediction["length"] / self.rate

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        return np.asarray(prediction["misfit"], np.float64)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """Less than 1 by what the loss is, as a geometric mean."""
        return "fit", float(np.exp(-np.mean(prediction["misfit"], dtype=np.float64))) if len(wanted) else 0.0

    def hopeless(self) -> tuple[str, str] | None:
        return None if self.state["seconds"] else ("no sound of the target can be read", "")

    def decode(self, prediction: dict[str, np.ndarray]) -> list[bytes]:
        """Of each row a WAV file of one channel, 16 bits a sample."""
        return [wav(s, self.rate) for s in self.sounds(prediction)]

    def in_brief(self, value: Any) -> str:
        return f"a sound of {max(0, len(value) - 44) / 2 / self.rate:.2f} s"

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"seconds": np.asarray(prediction["length"], np.float64) / self.rate}

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "audio/wav", "contentEncoding": "base64"}

    def describe(self) -> str:
        return f"{super().describe()}, to be made"


def _only(inputs: Mapping[str, Column], kind: str) -> str | None:
    """The only input of a type."""
    found = [n for n, c in inputs.items() if c.type == kind]
    return found[0] if len(found) == 1 else None


def wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file of 16-bit samples (T,)."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return out.getvalue()
