"""A column type from outside: colours as #rrggbb, read as shares of red, green and blue."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Summary, strings
from dapeng.core.kinds import ColumnOptions, EncoderOptions, columns, encoders

HEX = re.compile("#[0-9a-f]{6}")


@columns
class Colour(ColumnOptions):
    """A colour, written #rrggbb.

    Example: `inputs: {paint: colour}`
    """

    type: Literal["colour"] = "colour"
    encoder: Annotated[EncoderOptions | None, encoders.choice("colour", auto=True)] = None
    """How it is read."""
    grey: bool = False
    """Read as its brightness alone."""

    @classmethod
    def examples(cls) -> list[Any]:
        return ["#ff0000", "#00ff00", "#0000ff", "", "#123456", "#FFFFFF", "#000000", "#abcdef", "#808080", "#fedcba"]

    def summary(self, target: bool) -> ColourSummary:
        return ColourSummary()

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> ColourColumn:
        return ColourColumn(name, self, state, target)


class ColourSummary(Summary):
    """How many cells are missing."""

    def __init__(self) -> None:
        self.missing = 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        self.missing += sum(not v for v in strings(cells).to_pylist())

    def merge(self, other: ColourSummary) -> None:
        self.missing += other.missing

    def result(self) -> dict[str, Any]:
        return {"missing": self.missing}


class ColourColumn(Column):
    """channels (B, 3) from 0 to 1."""

    options: Colour

    def layout(self) -> dict[str, Dims]:
        return {"channels": Dims("B 3", "float32", low=0, high=1)}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        texts = [(v or "").strip().lower() for v in strings(cells).to_pylist()]
        channels, bad = np.zeros((len(texts), 3), np.float32), Bad()
        present = np.array([bool(t) for t in texts], bool)
        for row, text in enumerate(texts):
            if text and not HEX.fullmatch(text):
                bad.add(row, f"{text!r} is not a colour such as #ff8800")
                present[row] = False
            elif text:
                channels[row] = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        if self.options.grey:
            channels[:] = channels.mean(1, keepdims=True)
        return Encoded({"channels": channels}, present, bad=bad)

    def predictions(self) -> dict[str, Dims]:
        return {"channels": Dims("B 3", "float32", low=0, high=1)}

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return ["#" + "".join(f"{round(255 * float(c)):02x}" for c in row) for row in prediction["channels"]]

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        encoded = self.encode(cells)
        assert encoded.present is not None
        return np.where(encoded.present[:, None], encoded.tensors["channels"], np.nan).astype(np.float32)

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {c}" for c in ("red", "green", "blue")]
