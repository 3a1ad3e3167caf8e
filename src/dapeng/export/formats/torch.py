"""torch.export: the network as a .pt2 program, for torch without dapeng, for AOTInductor and ExecuTorch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from dapeng.core.errors import RunError
from dapeng.core.files import atomic_path
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.batch import Batch
from dapeng.data.table import Source
from dapeng.export.differences import refuse_if_far
from dapeng.export.flat import Flat, batches_of, eager, example, forget_sizes
from dapeng.export.place import refuse_other_file
from dapeng.export.shares import network_alone
from dapeng.product.product import Product


@exporters
class Torch(ExporterOptions):
    """The network as a torch.export program (.pt2).

    Example: `dapeng export runs/reviews-0001 --format torch`
    """

    type: Literal["torch"] = "torch"
    tensors: ClassVar[bool] = True

    def refuse_place(self, to: Path) -> None:
        refuse_other_file(to, ".pt2")

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        path = to if to.suffix == ".pt2" else to / "model.pt2"
        lacks = network_alone(product, "the .pt2 file")
        batch = example(product, rows)
        flat = Flat(product, batch)
        with atomic_path(path) as new:
            differs = _written(flat, batch, product, new, rows)
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            "inputs": [n.name for n in flat.inputs],
            "outputs": [n.name for n in flat.outputs],
            "largest_difference": max(differs.values()),
            "differences_by_rows": differs,
            "lacks": lacks,
        }


def _written(flat: Flat, batch: Batch, product: Product, path: Path, rows: Source) -> dict[str, float]:
    """Write a file; how far what it says is from the original, by number of rows."""
    from torch._dynamo.exc import UserError  # costs a second

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        forget_sizes()
        try:
            program = torch.export.export(flat, flat.arguments(batch), dynamic_shapes=(flat.dynamic(batch),))
        except UserError as error:
            what = f"torch.export can't write this network for cells of any length: {str(error).splitlines()[0]}"
            raise RunError(
                what, hint="--format onnx where all cells have one length, or serve the run itself"
            ) from None
        torch.export.save(program, path)
        again = torch.export.load(
            path
        ).module()  # our own file of a moment ago, so that what is checked is what was written
    differs = {}
    for size, real in zip(flat.sizes(batch), batches_of(product, rows, flat.sizes(batch))):
        with torch.inference_mode():
            found = [t.float().numpy() for t in again(*flat.arguments(real))]
        differs[str(size)] = refuse_if_far(flat.apart(found, eager(flat, real)), f"the program, for {size} rows,")
    return differs
