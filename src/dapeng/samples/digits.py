"""Handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class Digits(Sample):
    """1,797 handwritten digits, 8 x 8 pixels, 43 writers; rows in the original order."""

    type: Literal["digits"] = "digits"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = "UCI: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998 (in scikit-learn)"
    rows: ClassVar = 1797
    columns: ClassVar = ("image", "label")
    target: ClassVar = "label"

    def load(self) -> dict[str, Source]:
        from PIL import Image
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        # Pixels count ink from 0 to 16; 255 / 16 uses the whole range of a grey picture.
        pictures = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        cells = []
        for pixels in pictures:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            cells.append(file.getvalue())
        columns = {"image": pa.array(cells, pa.binary()), "label": pa.array(bunch.target.astype(str), pa.string())}
        return {"all": part(self.type, "all", columns)}
