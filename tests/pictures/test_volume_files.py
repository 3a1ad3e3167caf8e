"""Files of volumes: how they are read and stored back, named, and refused."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dapeng.columns.medical import Refused, axes_of, parted
from dapeng.columns.pictures import labels_in
from dapeng.columns.volumes import nifti_of, volume_of
from dapeng.core.kinds import columns

nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel: pip install 'dapeng[medical]'")

TURNED = np.array([[0, 0, -2.0, 30], [-0.5, 0, 0, 10], [0, 3.0, 0, -5], [0, 0, 0, 1]])
"""Stored back to front, from below, right to left."""


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_a_volume_is_shown_as_nibabel_s_canonical_one_and_stored_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)
    path = write(tmp_path / "a.nii.gz", values, TURNED)
    found = volume_of(str(path), None)
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    wanted = np.asarray(canonical.dataobj).transpose(2, 1, 0)[:, ::-1]
    np.testing.assert_array_equal(found.values, wanted)
    np.testing.assert_array_equal(found.space.store(found.values), values)
    np.testing.assert_allclose(found.space.spacing, canonical.header.get_zooms()[::-1])
    assert found.space.shown == wanted.shape
    assert volume_of(path.read_bytes(), None).space.shown == wanted.shape
    orientation = nibabel.io_orientation(TURNED)
    assert [(int(np.flatnonzero(orientation[:, 0] == a)[0])) for a in range(3)] == [axis for axis, _ in axes_of(TURNED)]


def test_a_slice_of_a_volume_is_that_of_its_number(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)
    path = write(tmp_path / "a.nii.gz", values, TURNED)
    whole = volume_of(str(path), None).values
    for number in range(len(whole)):
        np.testing.assert_array_equal(labels_in(f"{path}#{number}", None), whole[number])


def test_a_stored_file_is_the_smallest_that_holds_its_values_and_always_the_same() -> None:
    labels = np.array([[[0, 1], [2, 700]]])
    content = nifti_of(labels, TURNED)
    assert content == nifti_of(labels, TURNED)
    found = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    assert found.get_data_dtype() == np.int16
    np.testing.assert_array_equal(found.dataobj, labels)
    np.testing.assert_allclose(found.affine, TURNED)


def dicom(path: Path, pixels: np.ndarray, z: float, **more: Any) -> None:
    pydicom: Any = pytest.importorskip("pydicom", reason="DICOM is read with pydicom: pip install 'dapeng[medical]'")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{round(z * 10) + 1000}"
    scan: Any = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    scan.Rows, scan.Columns = pixels.shape
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
    scan.BitsAllocated = scan.BitsStored = 16
    scan.HighBit, scan.PixelRepresentation = 15, 0
    scan.PixelSpacing, scan.SliceThickness, scan.SeriesInstanceUID = [0.7, 0.9], 2.5, "1.2.3.4"
    scan.ImageOrientationPatient, scan.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-20.0, -30.0, z]
    scan.PixelData = pixels.astype("<u2").tobytes()
    for name, value in more.items():
        setattr(scan, name, value)
    pydicom.dcmwrite(path, scan, enforce_file_format=True)


def test_a_folder_of_slices_is_a_volume_in_the_order_of_their_places(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (4, 6, 5))
    for number in (2, 0, 3, 1):  # names tell nothing
        dicom(tmp_path / f"{7 - number}.dcm", values[number], 2.5 * number)
    (tmp_path / "notes.txt").write_text("no slice")
    found = volume_of(str(tmp_path), None)
    # of a patient on his back the first line is front, and the first column right, which is shown on the right
    np.testing.assert_array_equal(found.values, values[:, :, ::-1])
    np.testing.assert_allclose(found.space.spacing, [2.5, 0.7, 0.9])
    world = found.space.affine @ [0, 0, 3, 1]
    np.testing.assert_allclose(world[:3], [20, 30, 7.5])  # right and front, where DICOM says left and back


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("gap", "distances between slices of 2.5 to 5 mm: some are missing"),
        ("series", "holds 2 series"),
        ("size", "differ in size or direction"),
        ("none", "holds no DICOM slices"),
        ("cap", "120 voxels are over the cap of 100"),
    ],
)
def test_slices_that_make_no_volume_are_refused(how: str, why: str, tmp_path: Path) -> None:
    for number in range(4 if how != "none" else 0):
        z = 2.5 * (number + (how == "gap" and number == 3))
        wide = 4 if how == "size" and number == 1 else 5
        more = {"SeriesInstanceUID": f"1.2.{number % 2}"} if how == "series" else {}
        dicom(tmp_path / f"{number}.dcm", np.zeros((6, wide), int), z, **more)
    with pytest.raises(Refused, match=why):
        volume_of(str(tmp_path), None, 100 if how == "cap" else 10_000)


def tiff(*pages: np.ndarray) -> bytes:
    out = io.BytesIO()
    first, *rest = (Image.fromarray(p) for p in pages)
    first.save(out, "TIFF", save_all=True, append_images=rest)
    return out.getvalue()


def test_the_pages_of_a_tiff_are_slices() -> None:
    pages = np.random.default_rng(0).integers(0, 255, (3, 6, 7)).astype(np.uint8)
    found = volume_of(tiff(*pages), None)
    np.testing.assert_array_equal(found.values, pages)
    deep = pages.astype(np.uint16) * 200
    np.testing.assert_array_equal(volume_of(tiff(*deep), None).values, deep)


PAGE = np.zeros((6, 7), np.uint8)
SCAN = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_bytes()
RGB = [("R", "u1"), ("G", "u1"), ("B", "u1")]
COLOURS = "it holds values of colours or complex numbers: save it anew with one real number a voxel"
BAD: dict[str, tuple[Any, str]] = {
    "empty": (b"", "the file is empty"),
    "one page": (tiff(PAGE), "not a volume that can be read"),
    "a text": (b"this is no volume", "not a volume that can be read"),
    "pages of two sizes": (tiff(PAGE, PAGE[:4]), "pages of 7 x 6 and of 7 x 4 pixels"),
    "a cut TIFF": (tiff(PAGE, PAGE)[:200], "not a volume|damaged"),
    "a cut scan": (SCAN[:400], "not a scan that can be read"),
    "four axes": (
        nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.int16), np.eye(4)).to_bytes(),
        "2 x 2 x 2 x 3 values: 3 volumes in one file, of times or channels; give the bytes of one of them",
    ),
    "complex": (nibabel.Nifti1Image(np.ones((2, 2, 2), np.complex64), np.eye(4)).to_bytes(), COLOURS),
    "colours": (nibabel.Nifti1Image(np.zeros((2, 2, 2), RGB), np.eye(4)).to_bytes(), COLOURS),
    "no numbers": (nibabel.Nifti1Image(np.full((2, 2, 2), np.nan, np.float32), np.eye(4)).to_bytes(), "no numbers"),
    "gone": ("gone.nii.gz", "no such file: gone.nii.gz"),
    "a number": (7, "neither a path nor the bytes of a volume, but int"),
}


def test_a_volume_of_a_time_series_is_named_by_its_number(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (4, 5, 6, 3)).astype(np.int16)
    for name in ("a.nii", "b.nii.gz"):
        path = write(tmp_path / name, values, TURNED)
        for number in range(3):
            alone = write(tmp_path / f"{number}.nii", values[..., number], TURNED)
            found, wanted = volume_of(f"{path}#{number}", None), volume_of(str(alone), None)
            np.testing.assert_array_equal(found.values, wanted.values)
            np.testing.assert_array_equal(found.space.affine, wanted.space.affine)
        with pytest.raises(
            Refused, match="3 volumes in one file, of times or channels; name one as PATH#NUMBER, from 0 to 2"
        ):
            volume_of(str(path), None)
        with pytest.raises(Refused, match="there is no volume 3: it has 3, numbered from 0"):
            volume_of(f"{path}#3", None)
    np.testing.assert_array_equal(volume_of(f"{alone}#0", None).values, wanted.values)
    five = write(tmp_path / "five.nii", values.reshape(4, 5, 6, 1, 3), TURNED)
    np.testing.assert_array_equal(volume_of(f"{five}#2", None).values, wanted.values)
    chosen: Any = columns.members()["volume"].model_validate({"type": "volume"})
    summary, cells = chosen.summary(False), pa.array([f"a.nii#{i}" for i in range(3)])
    summary.add(cells, tmp_path)
    column = chosen.fitted("x", summary.result(), False)
    assert not column.encode(cells, tmp_path).bad.rows
    assert {f.name for f in column.files(cells, tmp_path)} == {"a.nii"}


def test_volumes_of_two_further_axes_are_counted_as_they_lie_in_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (4, 5, 6, 2, 3)).astype(np.int16)
    path = write(tmp_path / "both.nii", values, TURNED)
    content, size = path.read_bytes(), values[..., 0, 0].nbytes
    for number in range(6):
        start = 352 + number * size
        alone = np.frombuffer(content[start : start + size], "<i2").reshape(4, 5, 6, order="F")
        np.testing.assert_array_equal(alone, values[..., number % 2, number // 2])
        found = volume_of(f"{path}#{number}", None)
        np.testing.assert_array_equal(found.space.store(found.values), alone)
        for z in range(4):  # slices of one place lie together
            np.testing.assert_array_equal(labels_in(f"{path}#{6 * z + number}", None), found.values[z])


@pytest.mark.parametrize(("unit", "many"), [("micron", 1e-3), ("meter", 1e3), ("mm", 1.0), ("unknown", 1.0)])
def test_a_scan_lies_where_its_header_says_in_the_unit_that_it_says(unit: str, many: float, tmp_path: Path) -> None:
    scan = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), TURNED)
    scan.header.set_xyzt_units(unit)
    nibabel.save(scan, tmp_path / "a.nii")
    found = volume_of(str(tmp_path / "a.nii"), None)
    np.testing.assert_allclose(found.space.affine[:3], TURNED[:3] * many, rtol=1e-6)
    again = volume_of(nifti_of(found.space.store(found.values), found.space.affine), None)
    np.testing.assert_allclose(again.space.affine, found.space.affine, rtol=1e-6)


def test_distances_have_the_largest_unit_in_which_voxels_are_not_tiny() -> None:
    chosen: Any = columns.members()["volume_mask"].model_validate({"type": "volume_mask"})
    summary = chosen.summary(True)
    summary.add(pa.array(chosen.examples(), pa.binary()))
    for finest, unit, many in ((0.7, "mm", 1), (0.008, "µm", 1e3), (8e-6, "nm", 1e6), (1e-9, "nm", 1e6)):
        column = chosen.fitted("x", {**summary.result(), "spacing": [50 * finest, finest, finest]}, True)
        assert column.unit == unit
        affine = np.zeros((1, 7, 4), np.float32)
        affine[0, range(3), range(3)] = 1
        affine[0, 3:6, :3], affine[0, 6, :3] = np.diag([finest, finest, 50 * finest]), 4
        np.testing.assert_allclose(
            column.spacing({"affine": affine})[0], many * finest * np.array([50, 1, 1]), rtol=1e-5
        )


@pytest.mark.parametrize("cell", ["a.nii#²", "a.nii#٣", "a.nii#", "a.nii#-1"])
def test_what_is_no_plain_number_names_no_volume(cell: str, tmp_path: Path) -> None:
    write(tmp_path / "a.nii", np.zeros((2, 3, 4), np.int16), TURNED)
    assert parted(cell) == (cell, None)
    with pytest.raises(Refused, match=r"no such file: a\.nii#"):
        volume_of(cell, tmp_path)


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_no_volume_is_quarantined_with_its_reason(name: str) -> None:
    cell, why = BAD[name]
    for kind, target in (("volume", False), ("volume_mask", True)):
        chosen: Any = columns.members()[kind].model_validate({"type": kind})
        summary = chosen.summary(target)
        summary.add(pa.array(chosen.examples(), pa.binary()))
        column = chosen.fitted("x", summary.result(), target)
        found = column.encode(pa.array([cell]))
        assert found.bad.rows == [0]
        assert any(w in found.bad.reasons[0] for w in why.split("|")), found.bad.reasons
        assert not found.present.any()


def test_a_volume_over_the_cap_is_refused_by_its_header(tmp_path: Path) -> None:
    head = nibabel.Nifti1Header()
    head.set_data_shape((30_000, 30_000, 30_000))
    with pytest.raises(Refused, match="27,000,000,000,000 voxels are over the cap of 67,108,864"):
        volume_of(head.binaryblock + bytes(100), None)
