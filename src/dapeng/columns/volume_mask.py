"""Label volumes: of every voxel of a volume, what it shows; as an output the task is segmentation, and answers are NIfTI files.

A cell is a volume of the same shape as the one that it lies in, whose values say the label. It is brought to the size at which the volume
is read, by the nearest voxel; answers have the shape, the place and the order of the volume's own file. Distances between outlines are in
millimetres, or in smaller units where voxels are that small.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Bad, Cells, Dims, Encoded, Entry
from dapeng.columns.cells import guessed_files, raw_cells
from dapeng.columns.mask import VOID, Mask, MaskColumn, MaskSummary
from dapeng.columns.pictures import Unreadable, whole
from dapeng.columns.volume import ROWS, SUFFIX, files_of, place_of, read
from dapeng.columns.volumes import MOST_VOXELS, Space, nifti_of
from dapeng.core import kinds
from dapeng.core.kinds import DecoderOptions
from dapeng.core.registry import DEFAULT

UNITS = {"mm": 1.0, "µm": 1e3, "nm": 1e6}
"""How many are a millimetre."""
SMALL = 0.01
"""A unit is taken in which voxels are at least this wide."""


@kinds.columns
class VolumeMask(Mask):
    """What each voxel of a volume shows, as a volume of labels.

    Example: `outputs: {organs: {type: volume_mask, of: scan, labels: [background, liver, tumour]}}`
    """

    type: Literal["volume_mask"] = "volume_mask"  # type: ignore[assignment]
    task: ClassVar[str] = "mask"
    dimensions: ClassVar[int] = 3
    of: str | None = None
    """The volume that it lies in. auto: the only one that is read."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("volume_mask", default="unet3d")] = DEFAULT
    """How it is produced."""
    max_pixels: int = Field(MOST_VOXELS, ge=1)
    """Largest volume that is decoded, in voxels."""

    @classmethod
    def examples(cls) -> list[Any]:
        from dapeng.columns.volume import VolumeOptions

        return VolumeOptions.examples()

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these are label volumes: names of NIfTI files, as a target."""
        return guessed_files(cells, SUFFIX, lambda content: False, "volumes") if as_target else (0.0, "")

    def summary(self, target: bool) -> VolumeMaskSummary:
        return VolumeMaskSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> VolumeMaskColumn:
        return VolumeMaskColumn(name, self, state, target)


def labels_of(cell: Any, base: Path | None, most: int) -> tuple[np.ndarray, Space]:
    """(Z, Y, X) int32 labels of a volume, and where it lies. Raises Unreadable."""
    found = read(cell, base, most)
    return whole(found.values), found.space


class VolumeMaskSummary(MaskSummary):
    """How many voxels have each value, and how large volumes are."""

    def _values(self, cell: Any, base: Path | None) -> np.ndarray:
        return labels_of(cell, base, self.options.max_pixels)[0]

    def result(self) -> dict[str, Any]:
        found = super().result()
        return {**found, "frame": found["frame"] if self.sizes else [8, 8, 8]}

    def result_in(self, picture: dict[str, Any]) -> dict[str, Any]:
        return {**self.result(), "frame": picture["frame"], "spacing": picture["spacing"]}


class VolumeMaskColumn(MaskColumn):
    """codes (B, Z, Y, X) uint8 of the labels at the size at which the volume is read, 255 where nothing is said; affine (B, 7, 4), as
    `dapeng.columns.volume.ROWS` has it.
    """

    options: VolumeMask  # type: ignore[assignment]

    def layout(self) -> dict[str, Dims]:
        z, y, x = self.frame
        return {"codes": Dims(f"B {z} {y} {x}", "uint8"), "affine": Dims(f"B {ROWS} 4", "float32")}

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        return files_of(cells, base)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, bad = raw_cells(cells), Bad()
        codes = np.full((len(rows), *self.frame), VOID, np.uint8)
        affine = np.zeros((len(rows), ROWS, 4), np.float32)
        affine[:] = place_of(Space(np.eye(4), self.frame[::-1]), self.frame)
        extents = np.zeros((len(rows), 3), np.float32)
        present = np.array([c is not None for c in rows], bool)
        for row in np.flatnonzero(present):
            try:
                values, space = labels_of(rows[row], base, self.options.max_pixels)
                found = self._coded(values)
            except Unreadable as error:
                present[row] = False
                bad.add(row, str(error))
                continue
            codes[row], affine[row], extents[row] = nearest(found, self.frame), place_of(space, self.frame), space.shown
        return Encoded({"codes": codes, "affine": affine}, None if present.all() else present, bad=bad, extents=extents)

    def placed(self, encoded: Encoded, picture: Encoded) -> Encoded:
        """Masks that have another shape than their volume, or lie elsewhere, are bad."""
        found = super().placed(encoded, picture)
        if picture.extents is None or "affine" not in picture.tensors:
            return found
        there = np.ones(len(encoded.tensors["codes"]), bool) if found.present is None else found.present.copy()
        seen = np.ones(len(there), bool) if picture.present is None else picture.present
        one, other = (e.tensors["affine"][:, 3:6] for e in (encoded, picture))
        apart = np.abs(one - other).max((1, 2), initial=0) > 1e-2 * np.abs(other).max((1, 2), initial=0)
        for row in np.flatnonzero(there & seen & apart):
            found.bad.add(row, "a mask that lies elsewhere than its volume: their affines differ")
            there[row] = False
        return Encoded(found.tensors, None if there.all() else there, bad=found.bad, extents=found.extents)

    def predictions(self) -> dict[str, Dims]:
        return {**super().predictions(), **self.layout()}

    def spacing(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(N, 3) from one voxel to the next along z, y and x, as they are read, in `unit`."""
        affine = np.asarray(prediction["affine"], np.float64).reshape(-1, ROWS, 4)
        return UNITS[self.unit] * np.stack([_space(a).spacing / np.abs(a[:3, :3].diagonal()[::-1]) for a in affine])

    @property
    def unit(self) -> str:
        finest = min(self.state.get("spacing", (1.0, 1.0, 1.0)))
        return next((name for name, many in UNITS.items() if finest * many >= SMALL), "nm")

    def decode(self, prediction: dict[str, np.ndarray]) -> list[bytes]:
        """Of each row a packed NIfTI file in the place and order of its volume's, whose voxels have the values that masks have."""
        values = np.asarray(self.values)
        codes = np.asarray(prediction["codes"]).round().astype(np.int64)
        out = []
        for each, affine in zip(codes, np.asarray(prediction["affine"], np.float64)):
            space = _space(affine)
            out.append(nifti_of(space.store(values[nearest(each, space.shown)]), space.affine))
        return out

    def in_brief(self, value: Any) -> str:
        return f"a label volume of {len(value):,} bytes"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "application/gzip", "contentEncoding": "base64"}

    def entry(self) -> Entry:
        return Entry("file", accept=".nii,.nii.gz,.tif,.tiff")


def _space(affine: np.ndarray) -> Space:
    """Where a volume lies, out of `place_of`; of one that has no shape, as decoders make them up, one voxel."""
    world = np.vstack([affine[3:6], [0, 0, 0, 1]])
    i, j, k = (max(1, round(float(s))) for s in affine[6, :3])
    return Space(world, (i, j, k))


def nearest(codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(Z, Y, X) at another size, by the nearest voxel."""
    if codes.shape == tuple(shape):
        return codes
    at = [((np.arange(n) + 0.5) * s / n).astype(int) for n, s in zip(shape, codes.shape)]
    return codes[np.ix_(*at)]
