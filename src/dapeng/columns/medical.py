"""Slices of medical scans as pictures: NIfTI through nibabel, DICOM through pydicom (`pip install 'dapeng[medical]'`).

A slice of a volume is named by its number: `scan.nii.gz#42`, along the last axis, head up as radiologists' viewers show it (canonical
orientation, x to the right, y up). Grey values are brought to 0..255: those of a DICOM file by the window that it names, others by their
1st and 99th percentile. Masks keep their values.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.core.errors import need_extra

NIFTI, DICOM = (".nii", ".nii.gz"), (".dcm", ".dicom")
MAGIC = b"DICM"
MOST_UNPACKED = 1 << 30


def parted(cell: str) -> tuple[str, int | None]:
    """Path and number of a slice, out of PATH#NUMBER; None where a path names none."""
    path, mark, number = cell.rpartition("#")
    if mark and number.isdigit() and path.lower().endswith((*NIFTI, *DICOM)):
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
        except (OSError, EOFError):
            return ""
    return "nifti" if head[344:348] in (b"n+1\0", b"n+2\0") or head[4:8] == b"n+2\0" else ""


def slice_of(kind: str, source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(Y, X) values of a slice, and the same from 0 to 255 uint8. Raises ValueError with the reason; most: pixels of a slice."""
    values, window = _nifti(source, number, most) if kind == "nifti" else _dicom(source, number, most)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no numbers")
    low, high = window or np.percentile(values, [1, 99])
    grey = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    return values, grey.round().astype(np.uint8)


def _nifti(source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, None]:
    try:
        import nibabel
    except ImportError:
        raise need_extra("medical", "nibabel") from None
    library: Any = nibabel
    try:
        if isinstance(source, bytes):
            plain = _unpacked(source) if source[:2] == b"\x1f\x8b" else source
            scan = library.Nifti1Image.from_bytes(plain)
        else:
            scan = library.load(source)
        scan = library.as_closest_canonical(scan)
        shape = scan.shape
        _refuse_large(shape[0] * shape[1], most)
        at = _which(int(np.prod(shape[2:], initial=1)), number)
        volume = np.asarray(
            scan.dataobj[..., at] if len(shape) == 3 else np.asarray(scan.dataobj).reshape(*shape[:2], -1)[..., at]
        )
    except (library.filebasedimages.ImageFileError, OSError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"not a scan that can be read ({type(error).__name__})") from None
    return volume.astype(np.float64).T[::-1], None


def _unpacked(source: bytes) -> bytes:
    """A gzip stream within the limit."""
    with gzip.open(io.BytesIO(source)) as file:
        plain = file.read(MOST_UNPACKED + 1)
    if len(plain) > MOST_UNPACKED:
        raise ValueError(f"unpacks to more than {MOST_UNPACKED:,} bytes")
    return plain


def _dicom(source: Path | bytes, number: int | None, most: int) -> tuple[np.ndarray, tuple[float, float] | None]:
    try:
        import pydicom
    except ImportError:
        raise need_extra("medical", "pydicom") from None
    library: Any = pydicom

    def opened(**how: Any) -> Any:
        return library.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source, **how)

    try:
        header = opened(stop_before_pixels=True)
        _refuse_large(int(header.Rows) * int(header.Columns), most)
        at = _which(int(getattr(header, "NumberOfFrames", 1) or 1), number)
        scan = opened()
        pixels = np.asarray(scan.pixel_array, np.float64)
    except (
        library.errors.InvalidDicomError,
        AttributeError,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        KeyError,
    ) as error:
        raise ValueError(f"not a scan that can be read ({type(error).__name__})") from None
    pixels = pixels if pixels.ndim == 2 else pixels[at] if getattr(scan, "SamplesPerPixel", 1) == 1 else pixels.mean(-1)
    values = pixels * float(getattr(scan, "RescaleSlope", 1) or 1) + float(getattr(scan, "RescaleIntercept", 0) or 0)
    return (
        (values.max() + values.min() - values, None)
        if scan.PhotometricInterpretation == "MONOCHROME1"
        else (values, _window(scan))
    )


def _window(scan: Any) -> tuple[float, float] | None:
    """The grey values that are black and white, where the file says which; of several windows the first."""
    centre, width = getattr(scan, "WindowCenter", None), getattr(scan, "WindowWidth", None)
    if centre is None or width is None:
        return None
    middle, far = (
        float(v[0]) if hasattr(v, "__len__") and not isinstance(v, str) else float(v) for v in (centre, width)
    )
    return middle - far / 2, middle + far / 2


def _refuse_large(pixels: int, most: int) -> None:
    if pixels > most:
        raise ValueError(f"{pixels:,} pixels are over the cap of {most:,} (max_pixels)")


def _which(slices: int, number: int | None) -> int:
    if number is None and slices > 1:
        raise ValueError(f"a volume of {slices} slices: name one of them as PATH#NUMBER, from 0 to {slices - 1}")
    if number is not None and number >= slices:
        raise ValueError(f"there is no slice {number}: it has {slices}")
    return number or 0
