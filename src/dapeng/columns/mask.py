"""Label pictures: of every pixel of a picture, what it shows; as an output the task is segmentation.

A cell is a path or the bytes of a picture (PNG, TIFF, ...) of the same size as the one that it lies in, whose grey value, palette index
or colour says the label; or it holds outlines, as COCO has them (`dapeng.columns.segments`). It is brought to the size at which the picture is read, by the nearest pixel, and answers have the
size of the picture as it came.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Answers, Bad, Cells, Column, Dims, Encoded, Entry, Summary, one_array
from dapeng.columns.cells import raw_cells
from dapeng.columns.medical import parted
from dapeng.columns.pictures import MAX_PIXELS, Unreadable, counted, fit_nearest, labels_in, open_picture, placement
from dapeng.columns.segments import NOTHING, is_segments, names_in
from dapeng.columns.segments import parsed as segments_in
from dapeng.core import kinds
from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import ColumnOptions, DecoderOptions
from dapeng.core.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

VOID = 255
"""Code of pixels that are neither learnt nor judged."""
MOST_VALUES = 64
"""Distinct values beyond which a picture is no label picture."""
GUESSED = 50
LOOKED_AT = 4
"""Pairs of pictures that are compared to see whether one has the labels of the other."""
MOST_LOOKED_AT = 200_000
"""Pixels of each."""
RARE = 0.01
"""Share of a mask's pixels whose value may be unknown; they are void."""


@kinds.columns
class Mask(ColumnOptions):
    """What each pixel of a picture shows, as a picture of labels.

    Example: `outputs: {membranes: {type: mask, of: slice, labels: [membrane, cell]}}`
    """

    type: Literal["mask"] = "mask"
    lies_in_picture: ClassVar[bool] = True
    by_pixel: ClassVar[bool] = True
    reads_files: ClassVar[bool] = True
    of: str | None = None
    """The picture that it lies on. auto: the only one that is read."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("mask", default="unet")] = DEFAULT
    """How it is produced."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    labels: list[str] | None = Field(None, min_length=2, max_length=MOST_VALUES)
    """What the values mean, in rising order of the values. auto: the values themselves."""
    values: list[int] | None = Field(None, min_length=2, max_length=MOST_VALUES)
    """Values of pixels, one for each label (of colours red * 65536 + green * 256 + blue); any other is refused. auto: those of the rows that train."""
    ignore: list[int] = Field(default_factory=list)
    """Values that say nothing: such pixels are neither learnt nor judged."""
    background: str | None = None
    """The label that means over labels leave out. auto: that of the lowest value."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest picture that is decoded."""

    @classmethod
    def examples(cls) -> list[Any]:
        from PIL import Image

        cells: list[Any] = []
        for i in range(10):
            file = io.BytesIO()
            pixels = np.zeros((8, 8), np.uint8)
            pixels[: 1 + i % 7, : 8 - i % 5] = 255
            Image.fromarray(pixels).save(file, "PNG")
            cells.append(file.getvalue() if i != 4 else None)
        return cells

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these cells are outlines; label pictures look like any picture, and are named."""
        found = [c for c in raw_cells(one_array(cells)[:GUESSED]) if c is not None]
        try:
            every = sum(len(segments_in(c)[1]) for c in found) if all(map(is_segments, found)) else 0
        except ValueError:
            return 0.0, ""
        return (0.95, f"outlines, {every / len(found):.3g} a cell") if every else (0.0, "")

    @classmethod
    def guess_beside(cls, cells: Cells, pictures: Cells, base: Path | None) -> tuple[float, str]:
        """How surely these cells are label pictures: as large as the pictures of their rows, and of far fewer values."""
        first = (raw_cells(one_array(c)[:GUESSED]) for c in (cells, pictures))
        pairs = [(a, b) for a, b in zip(*first, strict=True) if a is not None and b is not None]
        values: set[int] = set()
        told = 0
        for cell, picture in pairs:
            try:
                sizes = [sorted(open_picture(c, base).size) for c in (cell, picture)]
                if sizes[0] != sizes[1]:
                    return 0.0, ""
                few, many = _values_in(cell, base), _values_in(picture, base)
            except Unreadable:
                continue
            if len(few) > MOST_VALUES:
                return 0.0, ""
            if len(few) > 1 and len(many) > 1:  # a blank one says nothing
                if len(many) < 4 * len(few):
                    return 0.0, ""
                told += 1
            values |= few
            if told == LOOKED_AT:
                break
        if not told or len(values) > MOST_VALUES:
            return 0.0, ""
        shown = sorted(values)
        said = ", ".join(map(str, shown)) if len(shown) <= 5 else f"{shown[0]} to {shown[-1]}"
        return 0.9, f"label pictures with the values {said}, as large as the pictures"

    def summary(self, target: bool) -> MaskSummary:
        return MaskSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> MaskColumn:
        return MaskColumn(name, self, state, target)


def _values_in(cell: Any, base: Path | None) -> set[int]:
    """The values of a picture, of pixels spread over it where it is large."""
    pixels = labels_in(cell, base)
    step = max(1, int((pixels.size / MOST_LOOKED_AT) ** 0.5))
    return set(np.unique(pixels[::step, ::step]).tolist())


class MaskSummary(Summary):
    """How many pixels have each value, and how large masks are."""

    def __init__(self, options: Mask):
        self.options = options
        self.counts: Counter[int] = Counter()
        self.sizes: Counter[tuple[int, ...]] = Counter()
        self.named: dict[int, str] = {}
        self.missing = self.unreadable = self.strange = 0

    def add(self, cells: Cells, base: Path | None = None) -> None:
        for cell in raw_cells(cells):
            if cell is None:
                self.missing += 1
                continue
            try:
                values = self._values(cell, base)
            except Unreadable:
                self.unreadable += 1
                continue
            found = counted(values)
            self.sizes[values.shape] += 1
            if len(found) > MOST_VALUES and self.options.values is None:
                self.strange += 1
                continue
            self.counts.update({v: n for v, n in found.items() if v != NOTHING})
            if is_segments(cell):
                self.named.update(names_in(cell))

    def _values(self, cell: Any, base: Path | None) -> np.ndarray:
        return labels_in(cell, base, self.options.max_pixels)

    def merge(self, other: MaskSummary) -> None:
        self.counts.update(other.counts)
        self.named.update(other.named)
        self.sizes.update(other.sizes)
        for name in ("missing", "unreadable", "strange"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        asked = self.options.values
        values = sorted(v for v in self.counts if v not in self.options.ignore) if asked is None else asked
        frame, _ = min(self.sizes.items(), key=lambda i: (-i[1], i[0]), default=((8, 8), 0))
        return {
            "values": values,
            "counts": [self.counts[v] for v in values],
            **({"named": [self.named.get(v, "background") for v in values]} if self.named else {}),
            "frame": list(frame),
            "resize": "stretch",
            "missing": self.missing,
            "unreadable": self.unreadable,
            "strange": self.strange,
        }

    def result_in(self, picture: dict[str, Any]) -> dict[str, Any]:
        return {**self.result(), "frame": [picture["height"], picture["width"]], "resize": picture["resize"]}


class MaskColumn(Column):
    """codes (B, Y, X) uint8 of the labels at the size at which the picture is read, 255 where nothing is said; affine (B, 2, 3) that
    brought them there.
    """

    answers: ClassVar[Answers] = "picture"
    options: Mask

    def __init__(self, name: str, options: Mask, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.values: list[int] = state["values"]
        self.frame: tuple[int, ...] = tuple(state["frame"])
        """Lines and columns at which the picture is read."""
        named = options.labels if options.labels and len(options.labels) == len(self.values) else None
        self.labels: list[str] = list(named or state.get("named") or map(str, self.values))
        self.background = self.labels.index(options.background) if options.background in self.labels else 0

    def layout(self) -> dict[str, Dims]:
        y, x = self.frame
        return {"codes": Dims(f"B {y} {x}", "uint8"), "affine": Dims("B 2 3", "float32")}

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        for cell in raw_cells(cells):
            if isinstance(cell, str) and not is_segments(cell):
                yield Path(parted(cell)[0]) if base is None else base / parted(cell)[0]

    def _coded(self, values: np.ndarray) -> np.ndarray:
        """(Y, X) codes of a label picture's values. Raises Unreadable where many of them are unknown, DataError where none may be."""
        out = np.full(values.shape, VOID, np.uint8)
        for code, value in enumerate(self.values):
            out[values == value] = code
        strange = (out == VOID) & ~np.isin(values, [NOTHING, *self.options.ignore])
        if strange.any() and self.options.values is not None:
            what = (
                f"a mask holds the value {int(values[strange][0])}, which is none of {', '.join(map(str, self.values))}"
            )
            hint = f"add it to outputs.{self.name}.values, or to outputs.{self.name}.ignore"
            raise DataError(Problem(self.name, what, hint))
        if strange.mean() > RARE:
            raise Unreadable(
                f"{strange.mean():.0%} of its pixels have values that no training mask has, such as {int(values[strange][0])}"
            )
        return out

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, (high, wide) = raw_cells(cells), self.frame
        codes = np.full((len(rows), high, wide), VOID, np.uint8)
        affine = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (len(rows), 1, 1))
        extents = np.zeros((len(rows), 2), np.float32)
        present, bad = np.ones(len(rows), bool), Bad()
        for i, cell in enumerate(rows):
            if cell is None:
                present[i] = False
                continue
            try:
                found = self._coded(labels_in(cell, base, self.options.max_pixels))
            except Unreadable as error:
                present[i] = False
                bad.add(i, str(error))
                continue
            height, width = found.shape
            extents[i] = width, height
            codes[i] = fit_nearest(found, high, wide, self.state["resize"], VOID)
            affine[i] = placement(width, height, high, wide, self.state["resize"])
        tensors = {"codes": codes, "affine": affine}
        return Encoded(tensors, None if present.all() else present, bad=bad, extents=extents)

    def placed(self, encoded: Encoded, picture: Encoded) -> Encoded:
        """Masks that have another size than their picture are bad."""
        if picture.extents is None or encoded.extents is None:
            return encoded
        there = np.ones(len(encoded.extents), bool) if encoded.present is None else encoded.present.copy()
        seen = np.ones(len(there), bool) if picture.present is None else picture.present
        for row in np.flatnonzero(there & seen & (encoded.extents != picture.extents).any(1)):
            own, of = (" x ".join(f"{n:g}" for n in e[row]) for e in (encoded.extents, picture.extents))
            encoded.bad.add(row, f"a mask of {own} pixels on a picture of {of}")
            there[row] = False
        return Encoded(encoded.tensors, None if there.all() else there, bad=encoded.bad, extents=encoded.extents)

    def remarks(self) -> list[str]:
        said = []
        if self.state["strange"]:
            what = f"{self.state['strange']:,} cells have over {MOST_VALUES} different values and are no label pictures"
            said.append(f"{what} (a photograph, or a JPEG?): say outputs.{self.name}.values")
        return said

    def hopeless(self) -> tuple[str, str] | None:
        if len(self.values) < 2:
            return "all pixels of all masks have one value", ""
        named, every = self.options.labels, max(sum(self.state["counts"]), 1)
        if named is None or "named" in self.state or len(named) == len(self.values):
            return None
        shares = [f"{v} ({100 * n / every:.2g} % of pixels)" for v, n in zip(self.values[:10], self.state["counts"])]
        what = f"{len(named)} labels are named, and the masks that train hold {len(self.values)} values: {', '.join(shares)}"
        rarest = self.values[int(np.argmin(self.state["counts"]))]
        if len(self.values) > len(named):
            return (
                what,
                f"name a label for each value, or say outputs.{self.name}.ignore=[{rarest}] if {rarest} means nothing",
            )
        return what, f"say outputs.{self.name}.values, a value for each label, or leave out labels that no mask has"

    def predictions(self) -> dict[str, Dims]:
        y, x = self.frame[-2:]
        return {
            "codes": Dims(f"B {y} {x}", "uint8"),
            "shares": Dims(f"B {len(self.labels)}", "float32"),
            "affine": Dims("B 2 3", "float32"),
        }

    def to_units(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """The likeliest label of each pixel, and the share of the picture that each label has."""
        import torch

        x = prediction["probabilities"]  # (B, A, Y, X)
        return {"codes": x.argmax(1).to(torch.uint8), "shares": x.flatten(2).mean(2), "affine": prediction["affine"]}

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        """(B,) the share of the picture that is not background."""
        return 1 - prediction["shares"][:, self.background]

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        return 1 - mean_dice(confusions(prediction["codes"], wanted, len(self.labels)), self.background)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        both = confusions(prediction["codes"], wanted, len(self.labels)).sum(0, keepdims=True)
        return "dice", float(mean_dice(both, self.background)[0])

    def aligned(self, prediction: dict[str, np.ndarray], fitted: Any) -> dict[str, np.ndarray]:
        places = np.full(256, self.background, np.uint8)
        known = {value: code for code, value in enumerate(self.values)}
        for code, value in enumerate(fitted.values):
            places[code] = known.get(value, self.background)
        shares = np.zeros((len(prediction["codes"]), len(self.labels)), np.float32)
        for code, place in enumerate(places[: len(fitted.values)].tolist()):
            shares[:, place] += prediction["shares"][:, code]
        return {**prediction, "codes": places[np.asarray(prediction["codes"]).astype(np.uint8)], "shares": shares}

    def spacing(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(N, 1) pixels of the picture as it came to one as it is read."""
        affine = np.asarray(prediction["affine"], np.float64).reshape(-1, 2, 3)
        return 1 / np.sqrt(np.abs(affine[:, 0, 0] * affine[:, 1, 1]))[:, None]

    @property
    def unit(self) -> str:
        """What `spacing` is in."""
        return "pixels"

    def decode(self, prediction: dict[str, np.ndarray]) -> list[bytes]:
        """Of each row a PNG of the size of its picture, whose pixels have the values that masks have."""
        values, affine = np.asarray(self.values), np.asarray(prediction["affine"], np.float64)
        codes = np.asarray(prediction["codes"]).round().astype(np.int64)
        return [_png(values[_at_first_size(c, a)]) for c, a in zip(codes, affine)]

    def in_brief(self, value: Any) -> str:
        return f"a label picture of {len(value):,} bytes"

    def apart(self, found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
        """The share of the pixels with another label: where two are as likely, rounding decides."""
        rest = {n: wanted[n] for n in wanted if n != "codes"}
        return max(float((found["codes"] != wanted["codes"]).mean()), super().apart(found, rest))

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {label: prediction["shares"][:, i] for i, label in enumerate(self.labels)}

    def overlay(self) -> dict[str, Any]:
        return {"values": dict(zip(self.labels, self.values)), "background": self.labels[self.background]}

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "image/png", "contentEncoding": "base64"}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, A) share of each label; nan where there is no value."""
        found = self.encode(cells, base)
        codes = found.tensors["codes"].reshape(len(found.tensors["codes"]), -1)
        out = np.stack([(codes == c).mean(1) for c in range(len(self.labels))], 1).astype(np.float32)
        if found.present is not None:
            out[~found.present] = np.nan
        return out

    def matrix_names(self) -> list[str]:
        return [f"{self.name} {label}" for label in self.labels]

    def entry(self) -> Entry:
        return Entry("file", accept="image/*")

    def describe(self) -> str:
        every = max(sum(self.state["counts"]), 1)
        shares = ", ".join(f"{c} {n / every:.0%}" for c, n in list(zip(self.labels, self.state["counts"]))[:6])
        return f"mask of {self.of}: {shares}" if self.of else f"mask: {shares}"


def confusions(codes: np.ndarray, wanted: np.ndarray, labels: int) -> np.ndarray:
    """(N, A, A) pixels of each row by true label and by the one that was said; void ones left out."""
    out = np.zeros((len(wanted), labels, labels))
    for row, (said, true) in enumerate(zip(codes, wanted)):
        said, true = np.asarray(said).ravel().astype(np.int64), np.asarray(true).ravel().astype(np.int64)
        counted = true != VOID
        out[row] = np.bincount(true[counted] * labels + said[counted], minlength=labels**2).reshape(labels, labels)
    return out


def dice(both: np.ndarray) -> np.ndarray:
    """(N, A) twice the pixels that both have, by the sum of those of each; nan where neither has any. both: as `confusions`."""
    hits, sums = both.diagonal(0, 1, 2), both.sum(1) + both.sum(2)
    return np.divide(2 * hits, sums, out=np.full(hits.shape, np.nan), where=sums > 0)


def mean_dice(both: np.ndarray, background: int) -> np.ndarray:
    """(N,) over labels that occur, without the background; 1 where none does."""
    each = np.delete(dice(both), background, 1)
    known = ~np.isnan(each)
    return np.divide(np.where(known, each, 0).sum(1), known.sum(1), out=np.ones(len(each)), where=known.any(1))


def _at_first_size(codes: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(Y, X) codes of a picture as it is read -> those of the picture as it came: the middle of both is the same place."""
    height, width = codes.shape
    wide, high = (max(1, round((s - 2 * affine[i, 2]) / affine[i, i])) for i, s in enumerate((width, height)))
    across = np.clip(((np.arange(wide) + 0.5) * affine[0, 0] + affine[0, 2]).astype(int), 0, width - 1)
    down = np.clip(((np.arange(high) + 0.5) * affine[1, 1] + affine[1, 2]).astype(int), 0, height - 1)
    return codes[down][:, across]


def _png(values: np.ndarray) -> bytes:
    from PIL import Image

    if values.max(initial=0) < 256:
        picture = Image.fromarray(values.astype(np.uint8))
    else:
        picture = Image.fromarray(np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], -1).astype(np.uint8))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
