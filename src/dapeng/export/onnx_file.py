"""The ONNX file of a network, checked with onnxruntime against the original."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dapeng.core.errors import RunError, need_extra
from dapeng.core.files import atomic_path
from dapeng.data.batch import Batch
from dapeng.data.table import Source
from dapeng.export.differences import refuse_if_far
from dapeng.export.flat import Flat, batches_of, eager, example, forget_sizes
from dapeng.product.product import Product


def write_onnx(product: Product, path: Path, rows: Source, opset: int = 18) -> dict[str, Any]:
    """Write the network and check it against the original; where it differs, what was there before stays."""
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  torch writes ONNX with it
    except ImportError as error:
        raise need_extra("export", error.name or "onnx") from None
    batch = example(product, rows)
    flat = Flat(product, batch)
    with atomic_path(path) as new:
        session, differs = _written(flat, batch, product, new, rows, opset)
    return {
        "bytes": path.stat().st_size,
        "opset": opset,
        "inputs": [{"name": i.name, "type": i.type, "shape": list(i.shape)} for i in session.get_inputs()],
        "outputs": [{"name": o.name, "type": o.type, "shape": list(o.shape)} for o in session.get_outputs()],
        "largest_difference": max(differs.values()),
        "differences_by_rows": differs,
    }


def _written(
    flat: Flat, batch: Batch, product: Product, path: Path, rows: Source, opset: int
) -> tuple[Any, dict[str, float]]:
    """A session of the file, and how far it is from the original by number of rows."""
    import onnxruntime

    forget_sizes()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            flat,
            flat.arguments(batch),
            dynamo=True,
            dynamic_shapes=(flat.dynamic(batch),),
            input_names=[n.name for n in flat.inputs],
            output_names=[n.name for n in flat.outputs],
            opset_version=opset,
            verbose=False,
        )
        assert program is not None
        program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differs = {}
    for size, real in zip(flat.sizes(batch), batches_of(product, rows, flat.sizes(batch))):
        given = {n.name: t.numpy() for n, t in zip(flat.inputs, flat.arguments(real))}
        found = [np.asarray(a) for a in _answers(session, [n.name for n in flat.outputs], given)]
        differs[str(size)] = refuse_if_far(flat.apart(found, eager(flat, real)), f"the ONNX file, for {size} rows,")
    return session, differs


def _answers(session: Any, outputs: list[str], given: dict[str, np.ndarray]) -> Any:
    """What the file says. Raises RunError where it takes cells of one length alone, as a recurrent network laid out step by step."""
    fixed = {i.name: i.shape[1] for i in session.get_inputs() if len(i.shape) > 1 and isinstance(i.shape[1], int)}
    for name, array in given.items():
        if name in fixed and array.shape[1] != fixed[name]:
            column = name.rsplit(".", 1)[0]
            what = f"{column}: the file would take {fixed[name]:,} steps alone, since a recurrent network is written out step by step"
            raise RunError(what, hint="give every cell as many steps, choose another encoder, or serve the run itself")
    return session.run(outputs, given)


@contextlib.contextmanager
def _quiet():
    """The exporter talks of its own steps; errors still come through."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
