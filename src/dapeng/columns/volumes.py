"""Whole volumes: NIfTI, a folder of DICOM slices, one DICOM file of many frames, or a TIFF of several pages.

A NIfTI file may hold several volumes, those of a time series or of several channels: PATH#NUMBER names one of them, from 0.

Volumes are shown as their slices are (`dapeng.columns.medical`): (Z, Y, X) from below, front up, x to the right, whatever order a file
stores them in. What is found in one is stored back in the file's own order and place: `Space`.

Legend: Z Y X a volume as it is shown, I J K as it is stored.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.columns.cells import located
from dapeng.columns.medical import MAGIC, Dicom, Nifti, Refused, as_grey, axes_of, kind_of, parted, refuse_large

MOST_VOXELS = 1 << 26
MOST_FILES = 5_000
UNEVEN = 0.1
"""Share by which distances between slices of a series may differ."""


@dataclass(frozen=True)
class Space:
    """Where a volume lies. affine: (4, 4) from stored indices to millimetres (right, front, up). shape: (I, J, K) as it is stored."""

    affine: np.ndarray
    shape: tuple[int, ...]

    @property
    def axes(self) -> list[tuple[int, bool]]:
        return axes_of(self.affine)

    @property
    def shown(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        across, down, along = (self.shape[axis] for axis, _ in self.axes)
        return along, down, across

    @property
    def spacing(self) -> np.ndarray:
        """(3,) millimetres from one voxel to the next along z, y and x."""
        each = np.sqrt((np.asarray(self.affine, np.float64)[:3, :3] ** 2).sum(0))
        return np.array([each[axis] for axis, _ in reversed(self.axes)])

    def show(self, values: np.ndarray) -> np.ndarray:
        """(I, J, K) -> (Z, Y, X)."""
        found = values.transpose([axis for axis, _ in self.axes])
        found = found[tuple(slice(None, None, -1 if turned else 1) for _, turned in self.axes)]
        return found.transpose(2, 1, 0)[:, ::-1]

    def store(self, shown: np.ndarray) -> np.ndarray:
        """(Z, Y, X) -> (I, J, K)."""
        found = shown[:, ::-1].transpose(2, 1, 0)
        found = found[tuple(slice(None, None, -1 if turned else 1) for _, turned in self.axes)]
        order = [axis for axis, _ in self.axes]
        return np.ascontiguousarray(found.transpose(np.argsort(order)))


@dataclass(frozen=True)
class Volume:
    """values: (Z, Y, X) float32. window: values that are black and white, where the file says which."""

    values: np.ndarray
    space: Space
    window: tuple[float, float] | None = None

    @property
    def grey(self) -> np.ndarray:
        """(Z, Y, X) uint8."""
        return as_grey(self.values, self.window)


def volume_of(cell: Any, base: Path | None, most: int = MOST_VOXELS) -> Volume:
    """The volume of a cell. Raises Refused with the reason; most: voxels, checked before anything is decoded."""
    found = opened(cell, base, most)()
    if not np.isfinite(found.values).all():
        raise Refused("it holds values that are no numbers")
    return found


def opened(cell: Any, base: Path | None, most: int = MOST_VOXELS) -> Callable[[], Volume]:
    """What reads the voxels of a cell's volume, whose headers are in order. Raises Refused with the reason."""
    if not isinstance(cell, (str, bytes)):
        raise Refused(f"neither a path nor the bytes of a volume, but {type(cell).__name__}")
    name, number = (cell, None) if isinstance(cell, bytes) else parted(cell)
    source = located(name, base)
    if isinstance(source, bytes):
        return _opened(source, kind_of(None, source), number, most)
    if os.path.isdir(source):
        return _series(source, most)
    if not os.path.isfile(source):
        raise Refused(f"no such file: {str(cell)[:200]}")
    return _opened(source, kind_of(source), number, most)


def _opened(source: Path | bytes, kind: str, number: int | None, most: int) -> Callable[[], Volume]:
    if not (len(source) if isinstance(source, bytes) else source.stat().st_size):
        raise Refused("the file is empty")
    if kind == "nifti":
        return _nifti(source, number, most)
    if number:
        raise Refused(f"there is no volume {number}: it has 1, name it without #{number}")
    return _frames(Dicom(source), most) if kind == "dicom" else _pages(source, most)


def _nifti(source: Path | bytes, number: int | None, most: int) -> Callable[[], Volume]:
    scan = Nifti(source)
    at = _which(scan, number, isinstance(source, bytes))
    shape = scan.shape[0], scan.shape[1], scan.shape[2]
    refuse_large(int(np.prod(shape, dtype=object)), most, "voxels", "max_voxels")
    if not scan.whole:
        raise Refused("not a scan that can be read (it is shorter than its header says)")
    space = Space(scan.affine, shape)
    return lambda: Volume(space.show(scan.stored(at)).astype(np.float32), space)


def _which(scan: Nifti, number: int | None, held: bool) -> int:
    """Which volume of a file is meant."""
    if number is None and scan.volumes > 1:
        shape = " x ".join(map(str, scan.shape))
        todo = "give the bytes of one of them" if held else f"name one as PATH#NUMBER, from 0 to {scan.volumes - 1}"
        raise Refused(f"{shape} values: {scan.volumes} volumes in one file, of times or channels; {todo}")
    if number is not None and number >= scan.volumes:
        raise Refused(f"there is no volume {number}: it has {scan.volumes}, numbered from 0")
    return number or 0


def _frames(scan: Dicom, most: int) -> Callable[[], Volume]:
    """All frames of one DICOM file."""
    refuse_large(scan.rows * scan.columns * scan.frames, most, "voxels", "max_voxels")
    (down, across), along = scan.spacing, scan.number("SpacingBetweenSlices", scan.number("SliceThickness", 1.0))
    affine = np.diag([across, -down, along, 1.0])

    def read() -> Volume:
        values = np.stack([scan.values(at) for at in range(scan.frames)]).astype(np.float32)
        return _stacked(values, affine, scan.window)

    return read


def _stacked(values: np.ndarray, affine: np.ndarray, window: tuple[float, float] | None) -> Volume:
    """A volume out of (K, J, I): slices, lines, places in a line."""
    stored = values.transpose(2, 1, 0)
    space = Space(affine, stored.shape)
    return Volume(space.show(stored), space, window)


def _series(folder: Path, most: int) -> Callable[[], Volume]:
    """The slices of a folder, in the order in which they lie in the body."""
    slices = list(_slices(folder))
    if not slices:
        raise Refused("the folder holds no DICOM slices")
    first = slices[0]
    refuse_large(first.rows * first.columns * len(slices), most, "voxels", "max_voxels")
    known = {str(getattr(s.header, "SeriesInstanceUID", "")) for s in slices}
    if len(known) > 1:
        raise Refused(f"the folder holds {len(known)} series: name one folder for each")
    if any((s.rows, s.columns, s.orientation) != (first.rows, first.columns, first.orientation) for s in slices):
        raise Refused("the slices of the folder differ in size or direction")
    line, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    through = np.cross(line, column)
    slices.sort(key=lambda s: float(through @ s.position))
    at = np.array([through @ s.position for s in slices])
    steps = np.diff(at)
    step = float(np.median(steps)) if len(steps) else first.number("SliceThickness", 1.0)
    if len(steps) and (step <= 0 or np.abs(steps - step).max() > UNEVEN * step):
        raise Refused(
            f"distances between slices of {steps.min():g} to {steps.max():g} mm: some are missing, or twice there"
        )
    down, across = first.spacing
    affine = np.eye(4)
    affine[:3] = np.stack([line * across, column * down, through * step, slices[0].position], 1)

    def read() -> Volume:
        values = np.stack([s.values(0) for s in slices]).astype(np.float32)
        return _stacked(values, np.diag([-1.0, -1, 1, 1]) @ affine, first.window)  # DICOM's axes run left and back

    return read


def _slices(folder: Path) -> Iterator[Dicom]:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    if len(files) > MOST_FILES:
        raise Refused(f"{len(files):,} files are over the cap of {MOST_FILES:,}")
    for path in files:
        with open(path, "rb") as file:
            if file.read(132)[128:] != MAGIC:
                continue
        scan = Dicom(path)
        if scan.frames != 1:
            raise Refused(f"{path.name} holds {scan.frames} frames, among slices")
        yield scan


def _pages(source: Path | bytes, most: int) -> Callable[[], Volume]:
    """The pages of a TIFF; a voxel is taken to be as deep as it is wide."""
    from dapeng.columns.pictures import open_picture

    with _in_words():
        picture = open_picture(source if isinstance(source, bytes) else str(source), None, most, 1)
        count = int(getattr(picture, "n_frames", 1))
        if picture.format != "TIFF" or count < 2:
            raise Refused("not a volume that can be read (NIfTI, DICOM, or a TIFF of several pages)")
        refuse_large(picture.width * picture.height * count, most, "voxels", "max_voxels")

    def read() -> Volume:
        with _in_words():
            pages = list(_each(picture, count))
        return _stacked(np.stack(pages), np.diag([1.0, -1.0, 1.0, 1.0]), None)

    return read


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Errors of a broken TIFF as a reason."""
    from PIL import Image

    from dapeng.columns.pictures import DAMAGED, Unreadable

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Refused:
        raise
    except Unreadable as error:
        raise Refused(str(error).replace("not a picture that", "not a volume that")) from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise Refused(f"damaged ({str(error)[:80]})") from None


def _each(picture: Any, count: int) -> Iterator[np.ndarray]:
    size = picture.size
    for at in range(count):
        picture.seek(at)
        if picture.size != size:
            raise Refused(f"pages of {size[0]} x {size[1]} and of {picture.size[0]} x {picture.size[1]} pixels")
        picture.load()
        plain = picture if picture.mode in ("L", "I", "F") or picture.mode.startswith("I;16") else picture.convert("L")
        yield np.asarray(plain, np.float32)


def nifti_of(stored: np.ndarray, affine: np.ndarray) -> bytes:
    """A packed NIfTI file of whole values (I, J, K), in the smallest type that holds them."""
    import gzip

    from dapeng.core.errors import need_extra

    try:
        import nibabel
    except ImportError:
        raise need_extra("medical", "nibabel") from None
    library: Any = nibabel
    kinds = (np.uint8, np.int16, np.int32)
    kind = next(
        k for k in kinds if np.iinfo(k).min <= stored.min(initial=0) and stored.max(initial=0) <= np.iinfo(k).max
    )
    scan = library.Nifti1Image(stored.astype(kind), np.asarray(affine, np.float64))
    scan.header.set_xyzt_units("mm")
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=6) as file:
        file.write(scan.to_bytes())
    return out.getvalue()
