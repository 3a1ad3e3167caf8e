"""What does not belong: a whole picture that is good or faulty, and where in it; learnt from good ones alone.

A cell is a label ("good", or anything else for faulty), or a path or the bytes of a mask whose pixels are not 0 where something is wrong.
Rows that train and are faulty teach nothing. A prediction is a score of the picture, higher the stranger, and one of each pixel.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Answers, Bad, Cells, Column, Dims, Encoded, Entry, Summary
from dapeng.columns.cells import raw_cells
from dapeng.columns.medical import parted
from dapeng.columns.pictures import MAX_PIXELS, Unreadable, fit_nearest, labels_in, placement
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions
from dapeng.core.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

GOOD, FAULTY, UNKNOWN = 0, 1, 255
"""Codes of pixels; unknown ones are those of a faulty picture without a mask."""
LARGEST_SIDE = 96
"""Longest side of heat maps and of masks as they are kept; those of larger pictures have one place for several pixels."""
PICTURE = re.compile(r"\.(png|bmp|tiff?|gif|webp|pgm|ppm|jpe?g|svg|(nii|nii\.gz|dcm|dicom)(#\d+)?)$", re.IGNORECASE)


@kinds.columns
class Anomaly(ColumnOptions):
    """Whether something is wrong with a picture, and where; trained on good ones alone.

    Example: `outputs: {fault: {type: anomaly, of: part, false_alarms: 0.02}}`
    """

    type: Literal["anomaly"] = "anomaly"
    lies_in_picture: ClassVar[bool] = True
    reads_files: ClassVar[bool] = True
    of: str | None = None
    """The picture that it lies in. auto: the only one that is read."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("anomaly", default="patch_memory")] = DEFAULT
    """How it is produced."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    good: list[str] = Field(["good", "ok", "normal", "0", "false", "no"], min_length=1)
    """Cells that mean that nothing is wrong, in lower case; any other text that names no picture is a kind of fault."""
    false_alarms: float = Field(0.02, ge=0, lt=1)
    """Share of good pictures that may be called faulty: the threshold is where so many of the good validation rows are above it."""
    misses: float | None = Field(None, ge=0, lt=1)
    """Instead: share of faulty pictures that may be called good, by the faulty validation rows."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest mask that is decoded."""

    @classmethod
    def examples(cls) -> list[Any]:
        from PIL import Image

        cells: list[Any] = []
        for i in range(10):
            pixels, file = np.zeros((8, 8), np.uint8), io.BytesIO()
            if i in (6, 8):
                pixels[2:5, 1 : 1 + i // 2] = 255
            Image.fromarray(pixels).save(file, "PNG")
            cells.append(file.getvalue() if i != 4 else None)
        return cells

    def summary(self, target: bool) -> AnomalySummary:
        return AnomalySummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> AnomalyColumn:
        return AnomalyColumn(name, self, state, target)


def mask_of(cell: Any, options: Anomaly, base: Path | None) -> np.ndarray | bool:
    """(Y, X) bool of the pixels that are faulty; or of a label, whether it says so. Raises Unreadable."""
    if isinstance(cell, bytes) or PICTURE.search(str(cell)):
        return labels_in(cell, base, options.max_pixels) != 0
    return str(cell).strip().lower() not in options.good


class AnomalySummary(Summary):
    """How many cells are good, how many faulty, and what is said of the latter."""

    def __init__(self, options: Anomaly):
        self.options = options
        self.good = self.missing = self.unreadable = 0
        self.faulty: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()

    def add(self, cells: Cells, base: Path | None = None) -> None:
        for cell in raw_cells(cells):
            if cell is None:
                self.missing += 1
                continue
            try:
                found = mask_of(cell, self.options, base)
            except Unreadable:
                self.unreadable += 1
                continue
            if isinstance(found, np.ndarray):
                self.sizes[(found.shape[0], found.shape[1])] += 1
                found, cell = bool(found.any()), "a mask"
            self.good += not found
            self.faulty.update([str(cell)[:60]] if found else [])

    def merge(self, other: AnomalySummary) -> None:
        for name in ("good", "missing", "unreadable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faulty.update(other.faulty)
        self.sizes.update(other.sizes)

    def result(self) -> dict[str, Any]:
        (height, width), _ = min(self.sizes.items(), key=lambda i: (-i[1], i[0]), default=((8, 8), 0))
        return {
            "frame": [height, width],
            "resize": "stretch",
            "channels": 3,
            "good": self.good,
            "faulty": [[f, n] for f, n in sorted(self.faulty.items(), key=lambda i: (-i[1], i[0]))[:20]],
            "missing": self.missing,
            "unreadable": self.unreadable,
        }

    def result_in(self, picture: dict[str, Any]) -> dict[str, Any]:
        frame = [picture["height"], picture["width"]]
        return {**self.result(), "frame": frame, "resize": picture["resize"], "channels": picture["channels"]}


class AnomalyColumn(Column):
    """codes (B, Y, X) uint8: 0 good, 1 faulty, 255 somewhere in a faulty picture. Y, X: `frame`, the size at which the picture is read by `step`."""

    answers: ClassVar[Answers] = "label"
    unscaled: ClassVar[bool] = True
    options: Anomaly

    def __init__(self, name: str, options: Anomaly, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.read: tuple[int, int] = (state["frame"][0], state["frame"][1])
        self.step = -(-max(self.read) // LARGEST_SIDE)
        self.frame = (-(-self.read[0] // self.step), -(-self.read[1] // self.step))
        self.channels: int = state["channels"]
        """Of the picture that it lies in."""

    def layout(self) -> dict[str, Dims]:
        y, x = self.frame
        return {"codes": Dims(f"B {y} {x}", "uint8")}

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        for cell in raw_cells(cells):
            if isinstance(cell, str) and PICTURE.search(cell):
                yield Path(parted(cell)[0]) if base is None else base / parted(cell)[0]

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows = raw_cells(cells)
        codes = np.zeros((len(rows), *self.frame), np.uint8)
        extents = np.zeros((len(rows), 2), np.float32)
        present, bad = np.array([c is not None for c in rows], bool), Bad()
        for i in np.flatnonzero(present):
            try:
                found = mask_of(rows[i], self.options, base)
            except Unreadable as error:
                present[i] = False
                bad.add(i, str(error))
                continue
            if isinstance(found, np.ndarray):
                extents[i] = found.shape[1], found.shape[0]
                codes[i] = self._fitted(found)
            else:
                codes[i] = UNKNOWN if found else GOOD
        return Encoded({"codes": codes}, None if present.all() else present, bad=bad, extents=extents)

    def _fitted(self, mask: np.ndarray) -> np.ndarray:
        """A mask at the size at which it is kept: faulty where any pixel is; a fault that is too small to be read leaves one place."""
        how = self.state["resize"]
        out = fit_nearest(mask.astype(np.uint8), *self.read, how, GOOD)
        if mask.any() and not out.any():
            place = placement(mask.shape[1], mask.shape[0], *self.read, how)
            y, x = np.argwhere(mask)[0]
            at = [int(np.clip(v, 0, n - 1)) for v, n in zip(place @ [x, y, 1.0], self.read[::-1])]
            out[at[1], at[0]] = FAULTY
        return self._blocks(out).max((1, 3))

    def _blocks(self, x: np.ndarray) -> np.ndarray:
        """(Y, step, X, step) of a picture as it is read."""
        (high, wide), step = self.frame, self.step
        x = np.pad(x, [(0, n * step - s) for n, s in zip((high, wide), x.shape)], mode="edge")
        return x.reshape(high, step, wide, step)

    def kept(self, heat: np.ndarray) -> np.ndarray:
        """(Y, X) of heat at the size at which the picture is read: means of what lies together."""
        return self._blocks(heat).mean((1, 3))

    def placing(self, affine: Any) -> Any:
        """(..., 2, 3) from pixels of a picture as it came to places of heat, out of that to pixels as they are read."""
        return affine / self.step

    def placed(self, encoded: Encoded, picture: Encoded) -> Encoded:
        """Masks that have another size than their picture are bad."""
        if picture.extents is None or encoded.extents is None:
            return encoded
        there = np.ones(len(encoded.extents), bool) if encoded.present is None else encoded.present.copy()
        seen = np.ones(len(there), bool) if picture.present is None else picture.present
        drawn = (encoded.extents > 0).all(1)
        for row in np.flatnonzero(there & seen & drawn & (encoded.extents != picture.extents).any(1)):
            (wide, high), (across, down) = encoded.extents[row], picture.extents[row]
            encoded.bad.add(row, f"a mask of {wide:g} x {high:g} pixels on a picture of {across:g} x {down:g}")
            there[row] = False
        return Encoded(encoded.tensors, None if there.all() else there, bad=encoded.bad)

    def predictions(self) -> dict[str, Dims]:
        y, x = self.frame
        return {
            "score": Dims("B", "float32"),
            "heat": Dims(f"B {y} {x}", "float32"),
            "affine": Dims("B 2 3", "float32"),
        }

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        return prediction["score"]

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        return np.where(is_faulty(wanted), -prediction["score"], prediction["score"])

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """How little strange good rows look: faulty ones, which may be there or not, don't choose the weights."""
        good = np.asarray(prediction["score"])[~is_faulty(wanted)]
        return "strangeness of good rows, negative", -float(good.mean()) if len(good) else 0.0

    def settle(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Any]:
        """The threshold, by the stated rate."""
        scores, faulty = np.asarray(prediction["score"], np.float64), is_faulty(wanted)
        if self.options.misses is not None and faulty.any():
            cut = np.quantile(scores[faulty], self.options.misses, method="lower")
            return {"cut": float(cut), "by": "misses", "rests_on": int(faulty.sum())}
        if not (~faulty).any():
            return {}
        cut = np.quantile(scores[~faulty], 1 - self.options.false_alarms, method="higher")
        above = float(np.nextafter(np.float32(cut), np.float32(np.inf)))
        return {"cut": above, "by": "false alarms", "rests_on": int((~faulty).sum())}

    def keep(self, settings: dict[str, Any]) -> None:
        self.state.update(settings)

    @property
    def cut(self) -> float | None:
        return self.state.get("cut")

    def decision(self) -> str:
        if self.cut is None:
            return f"{self.name}: no threshold could be chosen, so nothing is called faulty."
        misses = self.state["by"] == "misses"
        share = (self.options.misses if misses else self.options.false_alarms) or 0.0
        rows = self.state.get("rests_on")  # runs of before it was counted don't say
        which = f"{'' if rows is None else f'{rows:,} '}{'faulty' if misses else 'good'} validation rows"
        words = f"{self.name}: called faulty from a score of {self.cut:.4g} on"
        if rows is None or rows * share >= 1 or not share:
            return f"{words}, where {share:.1%} of the {which} are {self.state['by']}."
        few = f"{which} are too few to set a rate of {share:.1%}, which takes {math.ceil(1 / share):,} at least"
        return f"{words}: {few}."

    def said(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(B,) whether it is called faulty."""
        scores = np.asarray(prediction["score"])
        return np.zeros(len(scores), bool) if self.cut is None else scores >= self.cut

    def agreed(self, settings: list[dict[str, Any]]) -> dict[str, Any]:
        if not settings:
            return {}
        cut = float(np.median([s["cut"] for s in settings]))
        return {**settings[0], "cut": cut, "rests_on": sum(s.get("rests_on", 0) for s in settings)}

    def decode(self, prediction: dict[str, np.ndarray]) -> list[str]:
        return ["faulty" if f else "good" for f in self.said(prediction)]

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The score, and the heat map as a PNG of the size at which the picture is read: 0 none, 128 at the threshold, 255 twice that and more."""
        heat = np.empty(len(prediction["score"]), object)
        for i, each in enumerate(prediction["heat"]):
            heat[i] = self._png(np.asarray(each))
        return {"score": np.asarray(prediction["score"]), "heat": heat}

    def overlay(self) -> dict[str, Any]:
        return {"heat": "heat"}

    def _png(self, heat: np.ndarray) -> bytes:
        from PIL import Image

        scale = self.cut or float(heat.max(initial=0)) or 1.0
        out = io.BytesIO()
        Image.fromarray(np.clip(np.rint(128 * heat / scale), 0, 255).astype(np.uint8)).save(out, "PNG")
        return out.getvalue()

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": ["good", "faulty"]}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, 1) whether it is faulty; nan where nothing is said."""
        found = self.encode(cells, base)
        out = is_faulty(found.tensors["codes"]).astype(np.float32)[:, None]
        return out if found.present is None else np.where(found.present[:, None], out, np.nan)

    def entry(self) -> Entry:
        return Entry("file", accept="image/*")

    def remarks(self) -> list[str]:
        faulty = sum(n for _, n in self.state["faulty"])
        told = [f"{faulty:,} rows that train are faulty: nothing is learnt from them"] if faulty else []
        return told + (["not one row that trains is good"] if not self.state["good"] else [])

    def describe(self) -> str:
        return f"anomalies, {self.state['good']:,} good rows" + (f", in {self.of}" if self.of else "")


def is_faulty(codes: np.ndarray) -> np.ndarray:
    """(N,) of codes (N, Y, X)."""
    codes = np.asarray(codes)
    return (codes != GOOD).reshape(len(codes), -1).any(1)
