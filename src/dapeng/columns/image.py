"""A picture: a path, or the bytes of a file. Read with Pillow, turned upright, scaled to one size, kept as uint8; drawn as an output.

What can't be read is quarantined with its reason; sizes are checked against the cap in the header, before anything is decoded.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from dapeng.columns.base import Answers, Bad, Cells, Dims, Encoded, Entry
from dapeng.columns.cells import FileSummary, raw_cells
from dapeng.columns.image_reader import ImageReader
from dapeng.columns.judged import Judged
from dapeng.columns.medical import parted
from dapeng.columns.pictures import (
    CONVERTED,
    KINDS,
    MAX_PIXELS,
    MIN_SIDE,
    Unreadable,
    checked_sides,
    fit_size,
    is_grey,
    open_picture,
    pixels_of,
    placement,
    png_of,
)
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, TransformOptions
from dapeng.core.registry import DEFAULT, AutoIsNone

if TYPE_CHECKING:
    from torch import Tensor

LOOK_AT = 1000
LARGEST_FOLLOWED = 512
"""Longer side of pictures that boxes or masks lie in, where nothing is said."""
MOST_DRAWN, MOST_BYTES = 5_000, 1 << 28
"""Pictures that are drawn for test rows, and what they may take of memory."""


@kinds.columns
class Image(ColumnOptions):
    """A picture, as a path or as bytes; read by convolutions or a vision transformer, drawn by a flow, by diffusion, or by a GAN."""

    type: Literal["image"] = "image"
    input_only: ClassVar[tuple[str, ...]] = ("encoder", "augment", "views", "window")
    output_only: ClassVar[tuple[str, ...]] = ("decoder", "weight", "judge", "shows")
    drawn: ClassVar[bool] = True
    holds: ClassVar[bool] = True
    reads_files: ClassVar[bool] = True
    levels: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "none": [],
        "light": [{"type": "shift", "share": 0.1}],
        "medium": [{"type": "flip"}, {"type": "shift", "share": 0.125}, {"type": "colour"}],
    }
    """What each level of `augment` stands for."""
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("image", auto=True)] = None
    """The network that reads it. auto: a small residual network."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("image", default="flow")] = DEFAULT
    """How it is drawn."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    judge: Annotated[str | None, AutoIsNone()] = None
    """A run that reads such pictures and says a category, by which drawn ones are judged: its folder, or recipe:NAME, which is trained
    where there is none. auto: none, and pixels alone are compared.
    """
    shows: Annotated[str | None, AutoIsNone()] = None
    """The input whose label the judge should see in a drawn picture. auto: the only category among the inputs."""
    size: int | list[int] | Literal["auto"] = "auto"
    """Height and width in pixels to which pictures are scaled. auto: the usual size in the data, at most 128; 512 where boxes or masks lie in them."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 turns to grey, 3 to colour. auto: 1 if all pictures are grey."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How a picture of another shape is brought to size."""
    augment: (
        Literal["auto", "none", "light", "medium"] | list[Annotated[TransformOptions, kinds.transforms.choice("image")]]
    ) = "auto"
    """Random changes in training: a level, or a list of transforms. auto: shifts for small pictures, flips and crops for photographs."""
    views: Literal["one", "mirror", "moved"] = "one"
    """Views whose predictions are averaged: the picture as it is; and its mirror image; and both moved along the diagonals (six)."""
    window: int | None = Field(None, ge=16, le=65_536)
    """Side in pixels of windows in which a large picture is looked at, one after the other, where each pixel gets an answer (masks). Train with
    `augment: [{type: crop, size: ...}]` of the same size. null: the whole at once.
    """
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest picture that is decoded."""
    min_side: int = Field(MIN_SIDE, ge=1)
    """Pictures with a shorter side are quarantined."""

    @field_validator("size")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        return checked_sides(value)

    @classmethod
    def examples(cls) -> list[Any]:
        from PIL import Image as Pillow

        cells = []
        for i in range(10):
            file = io.BytesIO()
            picture = Pillow.linear_gradient("L").resize((12, 12)).rotate(36 * i)
            Pillow.merge("RGB", [picture, picture.rotate(90), Pillow.new("L", (12, 12), 25 * i)]).save(file, "PNG")
            cells.append(file.getvalue() if i != 5 else None)
        return cells

    def summary(self, target: bool) -> ImageSummary:
        return ImageSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> ImageColumn:
        return ImageColumn(name, self, state, target)


class ImageSummary(FileSummary):
    """Sizes and greyness from headers, and the mean and deviation of the pixels of the first pictures of each block."""

    looked: ClassVar[int] = LOOK_AT

    def __init__(self, options: Image):
        self.options = options
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.grey, self.colour, self.missing, self.bad, self.read = 0, 0, 0, 0, 0
        self.total, self.squares, self.pixels = np.zeros(3), np.zeros(3), 0
        self.renamed: Counter[str] = Counter()
        self.converted: Counter[str] = Counter()

    def _look(self, cell: str | bytes, base: Path | None) -> None:
        try:
            picture = open_picture(cell, base, self.options.max_pixels, self.options.min_side)
            size, grey = picture.size, is_grey(picture)
            ending = Path(cell).suffix.lower() if isinstance(cell, str) else ""
            if ending in KINDS and picture.format != KINDS[ending]:
                self.renamed[f"{picture.format} named {ending}"] += 1
            if picture.mode in CONVERTED:
                self.converted[picture.mode] += 1
            if self.read < LOOK_AT:
                small = pixels_of(picture, 3)
                small.thumbnail((64, 64))
                x = np.asarray(small, np.float64).reshape(-1, 3) / 255
                self.total, self.squares = self.total + x.sum(0), self.squares + (x * x).sum(0)
                self.pixels += len(x)
                self.read += 1
        except Unreadable:
            self.bad += 1
            return
        self.sizes[(size[1], size[0])] += 1
        self.grey, self.colour = self.grey + grey, self.colour + (not grey)

    def merge(self, other: ImageSummary) -> None:
        for name in ("sizes", "renamed", "converted"):
            getattr(self, name).update(getattr(other, name))
        for name in ("grey", "colour", "missing", "bad", "read", "total", "squares", "pixels"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        mean = self.total / max(self.pixels, 1)
        std = np.sqrt(np.maximum(self.squares / max(self.pixels, 1) - mean**2, 1e-6))
        height, width = self._size()
        return {
            **({"followed": True, "resize": self.options.resize} if self.followed else {}),
            "height": height,
            "width": width,
            "channels": self._channels(),
            "mean": [round(float(v), 6) for v in mean],
            "std": [round(float(v), 6) for v in std],
            "sizes": [[*size, n] for size, n in sorted(self.sizes.items(), key=lambda i: (-i[1], i[0]))[:20]],
            "missing": self.missing,
            "unreadable": self.bad,
            "renamed": dict(sorted(self.renamed.items())),
            "converted": dict(sorted(self.converted.items())),
        }

    @property
    def _wanted(self) -> dict[str, int]:
        """Size and channels that public weights were trained with."""
        return self.options.encoder.picture() if self.options.encoder is not None else {}

    def _channels(self) -> int:
        if self.options.channels == "auto" and "channels" in self._wanted:
            return self._wanted["channels"]
        return self.options.channels if self.options.channels != "auto" else (1 if self.grey and not self.colour else 3)

    def _size(self) -> tuple[int, int]:
        asked = self.options.size
        if isinstance(asked, list):
            return (asked[0], asked[-1])
        if isinstance(asked, int):
            return (asked, asked)
        if "size" in self._wanted:
            return (self._wanted["size"], self._wanted["size"])
        if not self.sizes:
            return (32, 32)
        (height, width), _ = min(self.sizes.items(), key=lambda i: (-i[1], i[0]))
        if self.followed:  # small things must stay visible, and a shape of its own costs nothing
            scale = min(1.0, LARGEST_FOLLOWED / max(height, width))
            return (max(32, round(height * scale / 32) * 32), max(32, round(width * scale / 32) * 32))
        if max(height, width) <= 64 and self.sizes[(height, width)] > 0.9 * sum(self.sizes.values()):
            return (height, width)
        side = int(np.median([min(s) for s, n in self.sizes.items() for _ in range(min(n, 100))]))
        side = next((s for s in (128, 96, 64, 48, 32, 16) if side >= s), max(8, side))
        return (side, side)


class ImageColumn(Judged):
    """pixels (B, C, Y, X) uint8; where boxes or masks lie in them also affine (B, 2, 3), which brought them to this size."""

    answers: ClassVar[Answers] = "picture"
    options: Image

    def __init__(self, name: str, options: Image, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.shape: tuple[int, int, int] = (state["channels"], state["height"], state["width"])

    @property
    def most_tested(self) -> int:
        return max(1, min(MOST_DRAWN, MOST_BYTES // int(np.prod(self.shape))))

    @property
    def places(self) -> float:
        return self.shape[1] * self.shape[2] / 8

    @property
    def usual_augment(self) -> str:
        """The level that `augment: auto` stands for: handwriting and print may move but not be mirrored; photographs may be both."""
        small = max(self.shape[1:]) <= 32 and self.shape[0] == 1
        return "light" if small else "medium"

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "resnet_small", f"trains from scratch on {rows:,} pictures"

    def layout(self) -> dict[str, Dims]:
        c, y, x = self.shape
        pixels = {"pixels": Dims(f"B {c} {y} {x}", "uint8", low=0, high=255)}
        return {**pixels, "affine": Dims("B 2 3", "float32")} if self.followed else pixels

    @property
    def followed(self) -> bool:
        """Whether other columns lie in these pictures."""
        return bool(self.state.get("followed"))

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the channels, of pixels from 0 to 1."""
        if self.shape[0] == 1:
            weights = (0.299, 0.587, 0.114)
            grey = [sum(w * m for w, m in zip(weights, self.state[k])) for k in ("mean", "std")]
            return [grey[0]], [grey[1]]
        return self.state["mean"], self.state["std"]

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        if pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type):
            return
        for cell in raw_cells(cells):
            if isinstance(cell, str):
                yield Path(parted(cell)[0]) if base is None else base / parted(cell)[0]

    def picture(self, cell: str | bytes, base: Path | None = None) -> np.ndarray:
        """One cell as (C, Y, X) uint8; raises Unreadable with the reason."""
        return self.sized(cell, base)[0]

    def sized(self, cell: str | bytes, base: Path | None = None) -> tuple[np.ndarray, tuple[int, int]]:
        """One cell as (C, Y, X) uint8, and its width and height as it came, upright; raises Unreadable with the reason."""
        c, y, x = self.shape
        opened = pixels_of(open_picture(cell, base, self.options.max_pixels, self.options.min_side), c)
        array = np.asarray(fit_size(opened, y, x, self.options.resize))
        return (array[None] if c == 1 else array.transpose(2, 0, 1)), opened.size

    def tensors(self, cell: str | bytes | None, base: Path | None = None) -> dict[str, np.ndarray]:
        """The tensors of one cell, blank where there is none; raises Unreadable with the reason."""
        pixels, size = (np.zeros(self.shape, np.uint8), (1, 1)) if cell is None else self.sized(cell, base)
        return {"pixels": pixels, **({"affine": self.affine(*size)} if self.followed else {})}

    def affine(self, width: int, height: int) -> np.ndarray:
        """(2, 3): from pixels of a picture of this size to those that are read."""
        return placement(width, height, *self.shape[1:], self.options.resize)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows = raw_cells(cells)
        out = np.zeros((len(rows), *self.shape), np.uint8)
        extents = np.ones((len(rows), 2), np.float32)
        present, bad = np.ones(len(rows), bool), Bad()
        for i, cell in enumerate(rows):
            if cell is None:
                present[i] = False
                continue
            try:
                out[i], extents[i] = self.sized(cell, base)
            except Unreadable as error:
                present[i] = False
                bad.add(i, str(error))
        tensors: dict[str, np.ndarray] = {"pixels": out}
        if self.followed:
            sizes = extents.astype(int)
            tensors["affine"] = np.array([self.affine(*s) for s in sizes], np.float32).reshape(-1, 2, 3)
        return Encoded(tensors, None if present.all() else present, bad=bad, extents=extents)

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        from PIL import Image

        channels, height, width = self.shape
        cells = []
        for _ in range(rows):
            pixels = draw.integers(0, 256, (height, width) if channels == 1 else (height, width, 3), np.uint8)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            cells.append(out.getvalue())
        return pa.array(cells, pa.binary())

    def predictions(self) -> dict[str, Dims]:
        return {"pixels": self.layout()["pixels"]}

    def to_units(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bytes out of what is drawn between -1 and 1; of rows that are only judged what was found of them."""
        import torch

        if "drawn" not in prediction:
            return prediction
        return {"pixels": ((prediction["drawn"].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)}

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        """(B,) how bright it is, 0 to 1."""
        return prediction["pixels"].float().mean((1, 2, 3)) / 255

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        apart = np.asarray(prediction["pixels"], np.float32) - np.asarray(wanted, np.float32)
        return np.square(apart / 127.5).reshape(len(apart), -1).mean(1)

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """What training can say cheaply: less the error of what is learnt, or of the pixels."""
        error = prediction["error"] if "error" in prediction else self.losses(prediction, wanted)
        return "less_error", -float(np.mean(error, dtype=np.float64)) if len(error) else 0.0

    def apart(self, found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
        """The mean difference of pixels from 0 to 1: a step of rounding at one pixel is nothing."""
        each = [np.abs(np.asarray(found[n], np.float32) - np.asarray(wanted[n], np.float32)).mean() for n in wanted]
        return float(max(each)) / 255

    def decode(self, prediction: dict[str, np.ndarray]) -> list[bytes]:
        """Of each row a PNG."""
        return [png_of(p) for p in np.asarray(prediction["pixels"]).round().clip(0, 255).astype(np.uint8)]

    def in_brief(self, value: Any) -> str:
        return f"a picture of {len(value):,} bytes"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "image/png", "contentEncoding": "base64"}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return self.matrix_of(self.encode(cells, base).tensors["pixels"])

    def matrix_of(self, pixels: np.ndarray) -> np.ndarray:
        """(N, C Y X) of encoded pictures (N, C, Y, X), as `ImageReader.seen`."""
        return ImageReader.seen(pixels)

    def matrix_names(self) -> list[str]:
        return []

    def entry(self) -> Entry:
        return Entry("file", accept="image/*")

    def remarks(self) -> list[str]:
        said = [f"{n:,} files are {what}: read by what they hold" for what, n in self.state.get("renamed", {}).items()]
        return said + [f"{n:,} pictures are {m}: converted to RGB" for m, n in self.state.get("converted", {}).items()]

    def describe(self) -> str:
        c, y, x = self.shape
        return f"image, {y} x {x}, {'grey' if c == 1 else 'colour'}"

    def reader(self) -> tuple[type, dict[str, Any]]:
        c, y, x = self.shape
        arguments = {"channels": c, "height": y, "width": x, "resize": self.options.resize}
        return ImageReader, {**arguments, **({"followed": True} if self.followed else {})}
