"""A volume: a NIfTI file, a folder of DICOM slices, or a TIFF of several pages; a row is a whole volume, kept as uint8 at one size.

Rows are volumes and never slices, so a split can't put slices of one volume on two sides, and what is judged is judged by volume.
Networks see it in three dimensions; how far voxels are apart says which of them they halve first (`spacing`).

Legend: B rows, Z Y X volume.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry
from dapeng.columns.cells import FileSummary, guessed_files, named_files, raw_cells
from dapeng.columns.medical import Refused, parted
from dapeng.columns.pictures import Unreadable
from dapeng.columns.volumes import MOST_VOXELS, Space, Volume, volume_of
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, EncoderOptions, TransformOptions

LOOK_AT = 50
"""Cells of a block whose voxels are looked at to fit."""
LARGEST = 1 << 21
"""Voxels where the size is auto."""
SUFFIX = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
ROWS = 7
"""Rows of `affine`: three from (x, y, z) of voxels as they came and are shown to those that are read; three from stored indices to
millimetres; and the shape as stored.
"""


@kinds.columns
class VolumeOptions(ColumnOptions):
    """A volume, as a path or bytes of a NIfTI file or of a TIFF of several pages, or as a folder of DICOM slices. Of a file with several
    volumes, such as a time series, PATH#NUMBER is one of them.

    Example: `inputs: {scan: {type: volume, size: [32, 128, 128]}}`
    """

    type: Literal["volume"] = "volume"
    read_only: ClassVar[bool] = True
    holds: ClassVar[bool] = True
    reads_files: ClassVar[bool] = True
    dimensions: ClassVar[int] = 3
    levels: ClassVar[dict[str, list[dict[str, Any]]]] = {"none": [], "light": [{"type": "flip_volume"}]}
    """What each level of `augment` stands for."""
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("volume", auto=True)] = None
    """The network that reads it. auto: residual convolutions in three dimensions."""
    size: list[int] | Literal["auto"] = Field("auto")
    """Slices, lines and columns to which volumes are brought. auto: the usual ones in the data, smaller where they have over two million voxels."""
    augment: Literal["auto", "none", "light"] | list[Annotated[TransformOptions, kinds.transforms.choice("volume")]] = (
        "auto"
    )
    """Random changes in training: a level, or a list of transforms. auto: light, which mirrors left to right."""
    window: list[int] | None = None
    """Slices, lines and columns of windows in which a large volume is looked at, one after the other, where each voxel gets an answer. Train with
    `augment: [{type: crop_volume, size: ...}]` of the same size. null: the whole at once.
    """
    max_voxels: int = Field(MOST_VOXELS, ge=1)
    """Largest volume that is decoded."""

    @field_validator("size", "window")
    @classmethod
    def _three(cls, value: Any) -> Any:
        if isinstance(value, list) and (len(value) != 3 or not all(1 <= v <= 65_536 for v in value)):
            raise ValueError("expected slices, lines and columns: [32, 128, 128]")
        return value

    @classmethod
    def examples(cls) -> list[Any]:
        return [None if i == 4 else _pages(i) for i in range(10)]

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these are volumes: names of NIfTI files, without the number of a slice."""
        return (0.0, "") if as_target else guessed_files(cells, SUFFIX, lambda content: False, "volumes")

    def summary(self, target: bool) -> VolumeSummary:
        return VolumeSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> VolumeColumn:
        return VolumeColumn(name, self, state, target)


def _pages(number: int) -> bytes:
    """A TIFF of four pages with a bright block in it."""
    from PIL import Image

    values = np.full((4, 8, 8), 20 + number, np.uint8)
    values[number % 3 : number % 3 + 2, 2:6, 1 + number % 4 : 5] = 200
    out = io.BytesIO()
    first, *rest = (Image.fromarray(v) for v in values)
    first.save(out, "TIFF", save_all=True, append_images=rest)
    return out.getvalue()


def read(cell: Any, base: Path | None, most: int) -> Volume:
    """The volume of a cell. Raises Unreadable with the reason."""
    try:
        return volume_of(cell, base, most)
    except Refused as error:
        raise Unreadable(str(error)) from None


def files_of(cells: Cells, base: Path | None) -> Iterator[Path]:
    """The files that cells of volumes name: of a folder all that lie in it."""
    for path in named_files(cells, base):
        path = Path(parted(str(path))[0])
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def sized(values: np.ndarray, frame: tuple[int, ...]) -> np.ndarray:
    """(Z, Y, X) uint8 at another size: between voxels along straight lines, blurred where there are fewer than before."""
    from scipy import ndimage as library

    if values.shape == frame:
        return values
    ndimage: Any = library
    scale = np.array(frame) / values.shape
    blurred = ndimage.gaussian_filter(values.astype(np.float32), np.maximum(0, (1 / scale - 1) / 2))
    found = ndimage.zoom(blurred, scale, order=1, mode="nearest", grid_mode=True)
    return found.round().clip(0, 255).astype(np.uint8)


def place_of(space: Space, frame: tuple[int, ...]) -> np.ndarray:
    """(7, 4) float32, as `ROWS` says."""
    out = np.zeros((ROWS, 4), np.float32)
    out[range(3), range(3)] = [n / s for n, s in zip(reversed(frame), reversed(space.shown))]
    out[3:6], out[6, :3] = space.affine[:3], space.shape
    return out


class VolumeSummary(FileSummary):
    """Shapes, distances of voxels, and mean and deviation of the grey values of some volumes."""

    looked: ClassVar[int] = LOOK_AT

    def __init__(self, options: VolumeOptions):
        self.options = options
        self.sizes: Counter[tuple[int, int, int]] = Counter()
        self.spacings: Counter[tuple[float, float, float]] = Counter()
        self.missing = self.bad = self.read = 0
        self.total = self.squares = 0.0

    def _look(self, cell: Any, base: Path | None) -> None:
        try:
            found = read(cell, base, self.options.max_voxels)
        except Unreadable:
            self.bad += 1
            return
        x = found.grey.astype(np.float64) / 255
        self.sizes[found.space.shown] += 1
        self.spacings[tuple(_short(s) for s in found.space.spacing)] += 1  # type: ignore[index]
        self.total, self.squares, self.read = self.total + x.mean(), self.squares + (x * x).mean(), self.read + 1

    def merge(self, other: VolumeSummary) -> None:
        self.sizes.update(other.sizes)
        self.spacings.update(other.spacings)
        for name in ("missing", "bad", "read", "total", "squares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        mean = self.total / max(self.read, 1)
        usual, _ = min(self.sizes.items(), key=lambda i: (-i[1], i[0]), default=((8, 8, 8), 0))
        apart, _ = min(self.spacings.items(), key=lambda i: (-i[1], i[0]), default=((1.0, 1.0, 1.0), 0))
        frame = self._frame(usual)
        return {
            **({"followed": True} if self.followed else {}),
            "frame": list(frame),
            "spacing": [_short(s * u / n) for s, u, n in zip(apart, usual, frame)],
            "mean": round(mean, 6),
            "std": round(float(np.sqrt(max(self.squares / max(self.read, 1) - mean**2, 1e-6))), 6),
            "sizes": [[*size, n] for size, n in sorted(self.sizes.items(), key=lambda i: (-i[1], i[0]))[:20]],
            "spacings": [[*s, n] for s, n in sorted(self.spacings.items(), key=lambda i: (-i[1], i[0]))[:20]],
            "missing": self.missing,
            "unreadable": self.bad,
        }

    def _frame(self, usual: tuple[int, int, int]) -> tuple[int, ...]:
        if self.options.size != "auto":
            return tuple(self.options.size)
        scale = min(1.0, (LARGEST / np.prod(usual, dtype=float)) ** 0.5)  # there are fewer slices than lines: they stay
        return usual[0], max(1, round(usual[1] * scale)), max(1, round(usual[2] * scale))


def _short(value: float) -> float:
    """To six digits, however small: of electron microscopes voxels are some nanometres wide."""
    return float(f"{value:.6g}")


class VolumeColumn(Column):
    """pixels (B, 1, Z, Y, X) uint8; where masks lie in them also affine (B, 7, 4): `ROWS`."""

    options: VolumeOptions

    def __init__(self, name: str, options: VolumeOptions, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.frame: tuple[int, int, int] = tuple(state["frame"])
        self.spacing: tuple[float, float, float] = tuple(state["spacing"])
        """Millimetres from one voxel to the next along z, y and x, as they are read."""

    @property
    def places(self) -> float:
        return float(np.prod(self.frame)) / 8

    @property
    def usual_augment(self) -> str:
        """The level that `augment: auto` stands for."""
        return "light"

    @property
    def followed(self) -> bool:
        """Whether other columns lie in these volumes."""
        return bool(self.state.get("followed"))

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "volume_cnn", f"trains from scratch on {rows:,} volumes"

    def layout(self) -> dict[str, Dims]:
        z, y, x = self.frame
        pixels = {"pixels": Dims(f"B 1 {z} {y} {x}", "uint8", low=0, high=255)}
        return {**pixels, "affine": Dims(f"B {ROWS} 4", "float32")} if self.followed else pixels

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        return files_of(cells, base)

    def tensors(self, cell: Any, base: Path | None = None) -> dict[str, np.ndarray]:
        """The tensors of one cell, blank where there is none; raises Unreadable with the reason."""
        found = None if cell is None else read(cell, base, self.options.max_voxels)
        pixels = np.zeros(self.frame, np.uint8) if found is None else sized(found.grey, self.frame)
        space = Space(np.eye(4), self.frame[::-1]) if found is None else found.space
        return {"pixels": pixels[None], **({"affine": place_of(space, self.frame)} if self.followed else {})}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, bad = raw_cells(cells), Bad()
        out = np.zeros((len(rows), 1, *self.frame), np.uint8)
        affine = np.zeros((len(rows), ROWS, 4), np.float32)
        affine[:] = place_of(Space(np.eye(4), self.frame[::-1]), self.frame)
        extents = np.ones((len(rows), 3), np.float32)
        present = np.array([c is not None for c in rows], bool)
        for row in np.flatnonzero(present):
            try:
                found = read(rows[row], base, self.options.max_voxels)
            except Unreadable as error:
                present[row] = False
                bad.add(row, str(error))
                continue
            out[row, 0], affine[row], extents[row] = (
                sized(found.grey, self.frame),
                place_of(found.space, self.frame),
                found.space.shown,
            )
        tensors = {"pixels": out, **({"affine": affine} if self.followed else {})}
        return Encoded(tensors, None if present.all() else present, bad=bad, extents=extents)

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, 16): shares of voxels by how bright they are; nan where unread."""
        found = self.encode(cells, base)
        out = (
            np.stack([np.bincount(p.ravel() // 16, minlength=16) / p.size for p in found.tensors["pixels"]])
            if len(cells)
            else np.zeros((0, 16))
        )
        return (out if found.present is None else np.where(found.present[:, None], out, np.nan)).astype(np.float32)

    def matrix_names(self) -> list[str]:
        return []

    def entry(self) -> Entry:
        return Entry("file", accept=".nii,.nii.gz,.tif,.tiff")

    @property
    def expected(self) -> str:
        return "a volume (NIfTI, or a TIFF of several pages)"

    def remarks(self) -> list[str]:
        several = len(self.state["spacings"])
        return (
            [f"{several} different distances of voxels: volumes are brought to one size, not to one distance"]
            if several > 1
            else []
        )

    def describe(self) -> str:
        z, y, x = self.frame
        return f"volume, {z} x {y} x {x} voxels of {' x '.join(f'{s:g}' for s in self.spacing)} mm"
