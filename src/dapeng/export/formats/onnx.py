"""ONNX: the whole network from encoded cells to the user's units, for onnxruntime and everything that reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.table import Source
from dapeng.export.onnx_file import write_onnx
from dapeng.export.place import refuse_other_file
from dapeng.export.shares import network_alone
from dapeng.product.product import Product


@exporters
class Onnx(ExporterOptions):
    """The network as one ONNX file, with any number of rows and any length of text.

    Example: `dapeng export runs/reviews-0001 --format onnx`
    """

    type: Literal["onnx"] = "onnx"
    tensors: ClassVar[bool] = True
    opset: int = Field(18, ge=18, le=23)
    """Version of ONNX's operators."""

    def refuse_place(self, to: Path) -> None:
        refuse_other_file(to, ".onnx")

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        path = to if to.suffix == ".onnx" else to / "model.onnx"
        lacks = network_alone(product, "the ONNX file")
        facts = write_onnx(product, path, rows, self.opset)
        return {"file": str(path), **facts, "lacks": lacks}
