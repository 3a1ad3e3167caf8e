"""Slices of scans: NIfTI by nibabel, DICOM by pydicom, as pictures and as masks."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dapeng.columns.image import Image
from dapeng.columns.medical import parted
from dapeng.columns.pictures import Unreadable, labels_in, open_picture

nibabel: Any = pytest.importorskip("nibabel")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A volume of 20 x 16 x 5; slice k has values k * 100 + the row, and a corner of -7."""
    values = np.zeros((20, 16, 5), np.int16)
    for k in range(5):
        values[:, :, k] = 100 * k + np.arange(16)[None]
    values[0, 0, :] = -7
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    return tmp_path


def test_a_slice_is_named_by_its_number_and_shown_head_up(scan: Path) -> None:
    assert parted("a/scan.nii.gz#3") == ("a/scan.nii.gz", 3)
    assert parted("a/photo#3.png") == ("a/photo#3.png", None)
    found = labels_in("scan.nii.gz#3", scan)
    assert found.shape == (16, 20)
    assert found[0, 5] == 315
    assert found[15, 5] == 300
    assert found[15, 0] == -7
    picture = np.asarray(open_picture("scan.nii.gz#3", scan))
    assert picture[0, 5] == 255
    assert picture[15, 5] < picture[7, 5] < picture[0, 5]


def test_bytes_are_told_by_what_they_begin_with(scan: Path) -> None:
    flat = nibabel.Nifti1Image(np.arange(48, dtype=np.uint8).reshape(8, 6), np.eye(4))
    assert labels_in(flat.to_bytes(), None).shape == (6, 8)
    assert labels_in(gzip.compress(flat.to_bytes()), None)[5, 1] == 6


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("scan.nii.gz", r"a volume of 5 slices: name one of them as PATH#NUMBER, from 0 to 4"),
        ("scan.nii.gz#5", "there is no slice 5: it has 5"),
        ("gone.nii.gz#1", "no such file"),
        ("cut.nii.gz#1", "not a scan that can be read"),
        ("text.dcm", "not a scan that can be read"),
    ],
)
def test_what_can_t_be_read_says_why(scan: Path, cell: str, why: str) -> None:
    (scan / "cut.nii.gz").write_bytes((scan / "scan.nii.gz").read_bytes()[:60])
    (scan / "text.dcm").write_text("this is no scan, only text " * 20)
    with pytest.raises(Unreadable, match=why):
        open_picture(cell, scan)


def test_a_slice_over_the_cap_is_refused_by_its_header(scan: Path) -> None:
    with pytest.raises(Unreadable, match="320 pixels are over the cap of 100"):
        open_picture("scan.nii.gz#1", scan, max_pixels=100)


def test_the_file_of_a_slice_is_the_scan(scan: Path) -> None:
    import pyarrow as pa

    options = Image()
    summary = options.summary(False)
    cells = pa.array(["scan.nii.gz#1", "scan.nii.gz#2"])
    summary.add(cells, scan)
    column: Any = options.fitted("x", summary.result(), False)
    assert {f.name for f in column.files(cells, scan)} == {"scan.nii.gz"}
    assert column.shape[0] == 1
    assert column.encode(cells, scan).tensors["pixels"].std() > 20


def test_a_real_dicom_file_is_a_picture() -> None:
    pydicom: Any = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    path = Path(str(get_testdata_file("CT_small.dcm")))
    values = labels_in(str(path), None)
    scan = pydicom.dcmread(path)
    assert (values == scan.pixel_array * scan.RescaleSlope + scan.RescaleIntercept).all()
    picture = open_picture(path.read_bytes(), None)
    assert picture.size == (128, 128)
    assert np.asarray(picture).std() > 30
