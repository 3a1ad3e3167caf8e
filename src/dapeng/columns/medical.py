"""Slices of medical scans as pictures: NIfTI through nibabel, DICOM through pydicom (`pip install 'dapeng[medical]'`).

A slice of a volume is named by its number: `scan.nii.gz#42`, along the last axis, head up as radiologists' viewers show it (canonical
orientation, x to the right, y up). Grey values are brought to 0..255: those of a DICOM file by the window that it names, others by their
1st and 99th percentile. Masks keep their values.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.core.errors import need_extra

NIFTI, DICOM = (".nii", ".nii.gz"), (".dcm", ".dicom")
MAGIC = b"DICM"
MOST_UNPACKED = 1 << 29
"""Bytes of values of a packed scan, all slices together: what unpacking one may cost."""
MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
"""Of the units in which a NIfTI header says how far voxels lie apart; where it says none, millimetres are usual."""
BROKEN = (OSError, EOFError, IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError, AssertionError)
"""What the libraries raise, beside their own errors, on files that were cut or changed."""


class Refused(ValueError):
    """A scan that can't be used, with the reason."""


def parted(cell: str) -> tuple[str, int | None]:
    """Path and number of a slice, out of PATH#NUMBER; None where a path names none."""
    path, mark, number = cell.rpartition("#")
    if mark and number.isascii() and number.isdigit() and path.lower().endswith((*NIFTI, *DICOM)):
        return path, int(number)
    return cell, None


def kind_of(path: Path | None, content: bytes | None = None) -> str:
    """ "nifti", "dicom", or nothing: by the ending, or of bytes by what they begin with."""
    if path is not None:
        name = path.name.lower()
        return "nifti" if name.endswith(NIFTI) else "dicom" if name.endswith(DICOM) else ""
    head = content or b""
    if head[128:132] == MAGIC:
        return "dicom"
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(head)) as file:
                head = file.read(352)
        except (OSError, EOFError, zlib.error):
            return ""
    return "nifti" if head[344:348] in (b"n+1\0", b"n+2\0") or head[4:8] == b"n+2\0" else ""


def slice_of(kind: str, source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(Y, X) values of a slice, and the same from 0 to 255 uint8. Raises Refused with the reason; most: pixels of a slice."""
    values, window = _nifti_slice(source, number, most) if kind == "nifti" else _dicom_slice(source, number, most)
    if not np.isfinite(values).all():
        raise Refused("it holds values that are no numbers")
    return values, as_grey(values, window)


def as_grey(values: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Values from black (0) to white (255) uint8: of a window, or from their 1st to their 99th percentile."""
    low, high = window or np.percentile(values, [1, 99])
    grey = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    return grey.round().astype(np.uint8)


@contextlib.contextmanager
def in_words(*errors: type[Exception]) -> Iterator[None]:
    """Errors of a library over a broken file as a reason; `errors`: its own."""
    try:
        with np.errstate(all="ignore"):
            yield
    except Refused:
        raise
    except (*errors, *BROKEN, struct.error, zlib.error, MemoryError, NotImplementedError, RuntimeError) as error:
        raise Refused(f"not a scan that can be read ({type(error).__name__})") from None


class Nifti:
    """A NIfTI scan whose header has been looked at. shape: of the values as they are stored, at least three axes.

    affine: (4, 4) from stored indices to millimetres. axes: as `axes_of` tells them.
    """

    def __init__(self, source: Path | bytes):
        try:
            import nibabel
        except ImportError:
            raise need_extra("medical", "nibabel") from None
        library: Any = nibabel
        self.errors = (library.filebasedimages.ImageFileError, library.spatialimages.HeaderDataError)
        with in_words(*self.errors):
            self.scan = _loaded(library, source)
            self.shape: tuple[int, ...] = (*self.scan.shape, 1, 1)[: max(3, len(self.scan.shape))]
            values = self.scan.get_data_dtype()
            self.size = int(np.prod(self.shape, dtype=object)) * values.itemsize
            self.affine = np.array(self.scan.affine, np.float64)
            self.affine[:3] *= MILLIMETRES.get(self.scan.header.get_xyzt_units()[0], 1.0)
            self.axes = axes_of(self.affine)
        if not all(self.shape):
            raise Refused("it holds no values")
        if values.kind not in "iufb":
            raise Refused("it holds values of colours or complex numbers: save it anew with one real number a voxel")
        packed = source[:2] == b"\x1f\x8b" if isinstance(source, bytes) else source.name.lower().endswith(".gz")
        self.bytes = None if packed else len(source) if isinstance(source, bytes) else source.stat().st_size
        if packed and self.size > MOST_UNPACKED:
            raise Refused(f"{self.size:,} bytes of values are over the cap of {MOST_UNPACKED:,} for a packed scan")

    @property
    def volumes(self) -> int:
        """How many volumes lie one behind the other: times, or channels, or both, of which the first axis runs fastest."""
        return int(np.prod(self.shape[3:], dtype=object))

    def stored(self, at: int = 0) -> np.ndarray:
        """(I, J, K) of a volume, as it is stored; volumes are counted as they lie in the file."""
        wanted = (slice(None),) * 3 + np.unravel_index(at, self.shape[3:], order="F")
        with in_words(*self.errors):
            return np.asarray(self.scan.dataobj[wanted[: len(self.scan.shape)]]).reshape(self.shape[:3])

    @property
    def whole(self) -> bool:
        """Whether there are as many bytes as the header says; of a packed scan that isn't known."""
        return self.bytes is None or self.bytes >= int(getattr(self.scan.dataobj, "offset", 0)) + self.size

    def slice(self, at: int) -> np.ndarray:
        """(Y, X) float64 of a slice; of a scan with more than three axes of all slices, those of one place together."""
        (across, left), (down, back), (axis, turned) = self.axes
        z, other = divmod(at, self.volumes)
        others = np.unravel_index(other, self.shape[3:], order="F")
        wanted: list[Any] = [slice(None)] * 3 + [int(o) for o in others]
        wanted[axis] = int(self.shape[axis] - 1 - z if turned else z)
        with in_words(*self.errors):
            found = np.asarray(self.scan.dataobj[tuple(wanted[: len(self.scan.shape)])], np.float64)
        kept = [i for i in range(3) if i != axis]
        found = found.reshape([self.shape[i] for i in kept]).transpose([kept.index(down), kept.index(across)])
        return found[:: 1 if back else -1, :: -1 if left else 1]  # lines run down, from front to back


def axes_of(affine: np.ndarray) -> list[tuple[int, bool]]:
    """For right, front and up the stored axis that runs nearest to it, and whether it runs the other way."""
    found = np.nan_to_num(np.asarray(affine, np.float64)[:3, :3])
    turns = found / np.maximum(np.sqrt((found**2).sum(0)), 1e-12)
    best = max(itertools.permutations(range(3)), key=lambda p: sum(abs(turns[a, p[a]]) for a in range(3)))
    return [(axis, bool(turns[a, axis] < 0)) for a, axis in enumerate(best)]


def _loaded(library: Any, source: Path | bytes) -> Any:
    if isinstance(source, Path):
        return library.load(source)
    stream: Any = gzip.GzipFile(fileobj=io.BytesIO(source)) if source[:2] == b"\x1f\x8b" else io.BytesIO(source)
    second = stream.read(8)[4:] == b"n+2\0"
    stream.seek(0)
    return (library.Nifti2Image if second else library.Nifti1Image).from_stream(stream)


def _nifti_slice(source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, None]:
    scan = Nifti(source)
    across, down = (scan.shape[axis] for axis, _ in scan.axes[:2])
    refuse_large(across * down, most)
    at = _which(int(np.prod([scan.shape[scan.axes[2][0]], *scan.shape[3:]], dtype=object)), number)
    return scan.slice(at), None


class Dicom:
    """A DICOM file whose header has been looked at."""

    def __init__(self, source: Path | bytes):
        try:
            import pydicom
            import pydicom.pixels
        except ImportError:
            raise need_extra("medical", "pydicom") from None
        self.library: Any = pydicom
        self.source = source
        with self.in_words():
            self.header = self.library.dcmread(self._opened(), stop_before_pixels=True)
            self.rows, self.columns = int(self.header.Rows), int(self.header.Columns)
            self.frames = int(getattr(self.header, "NumberOfFrames", 1) or 1)

    def in_words(self) -> Any:
        errors = self.library.errors
        return in_words(errors.InvalidDicomError, errors.BytesLengthException)

    def _opened(self) -> Any:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def values(self, at: int) -> np.ndarray:
        """(Y, X) float64 of a frame, dark where little is measured."""
        with self.in_words():
            pixels = np.asarray(self.library.pixels.pixel_array(self._opened(), index=at), np.float64)
            pixels = pixels.mean(-1) if int(getattr(self.header, "SamplesPerPixel", 1) or 1) > 1 else pixels
            slope, start = (
                float(getattr(self.header, n, d) or d) for n, d in (("RescaleSlope", 1), ("RescaleIntercept", 0))
            )
            values = pixels * slope + start
            inverse = getattr(self.header, "PhotometricInterpretation", "") == "MONOCHROME1"
        return values.max() + values.min() - values if inverse else values

    def number(self, name: str, default: float) -> float:
        """A number of the header."""
        with self.in_words():
            return float(getattr(self.header, name, None) or default)

    @property
    def spacing(self) -> tuple[float, float]:
        """Millimetres from line to line, and from column to column."""
        with self.in_words():
            found = getattr(self.header, "PixelSpacing", None) or (1.0, 1.0)
            return float(found[0]), float(found[1])

    @property
    def orientation(self) -> tuple[float, ...]:
        """Directions of lines, and of columns, in DICOM's axes (left, back, up)."""
        with self.in_words():
            found = getattr(self.header, "ImageOrientationPatient", None) or (1, 0, 0, 0, 1, 0)
            return tuple(round(float(v), 5) for v in found)

    @property
    def position(self) -> np.ndarray:
        """(3,) of the middle of the first pixel; of a slice without one, its number upwards."""
        with self.in_words():
            found = getattr(self.header, "ImagePositionPatient", None)
            if found is None:
                return np.array([0.0, 0.0, float(getattr(self.header, "InstanceNumber", 0) or 0)])
            return np.array([float(v) for v in found])

    @property
    def window(self) -> tuple[float, float] | None:
        """The grey values that are black and white, where the file says which; of several windows the first."""
        inverse = getattr(self.header, "PhotometricInterpretation", "") == "MONOCHROME1"
        centre, width = getattr(self.header, "WindowCenter", None), getattr(self.header, "WindowWidth", None)
        if centre is None or width is None or inverse:
            return None
        with self.in_words():
            middle, far = (
                float(v[0]) if hasattr(v, "__len__") and not isinstance(v, str) else float(v) for v in (centre, width)
            )
        return middle - far / 2, middle + far / 2


def _dicom_slice(source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, tuple[float, float] | None]:
    scan = Dicom(source)
    refuse_large(scan.rows * scan.columns, most)
    return scan.values(_which(scan.frames, number)), scan.window


def refuse_large(pixels: int, most: int, what: str = "pixels", option: str = "max_pixels") -> None:
    if pixels > most:
        raise Refused(f"{pixels:,} {what} are over the cap of {most:,} ({option})")


def _which(slices: int, number: int | None) -> int:
    if number is None and slices > 1:
        raise Refused(f"a volume of {slices} slices: name one of them as PATH#NUMBER, from 0 to {slices - 1}")
    if number is not None and number >= slices:
        raise Refused(f"there is no slice {number}: it has {slices}")
    return number or 0
