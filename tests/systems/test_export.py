"""A prediction as an ONNX file: the whole Model, inputs named by layout, any number of rows, absence as an input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dapeng.data.batch import Batch, Cells
from dapeng.models.model import Model
from tests.systems.painting import Boxes
from tests.systems.training import batch, pictures, single, table, tabular
from tests.systems.training import convolutional as conv


class Exported(nn.Module):
    """Named tensors in, tensors out."""

    def __init__(self, model: Model, rows: Batch):
        super().__init__()
        self.model = model.eval()
        self.names = [(n, t) for n in model.encoders for t in rows[n].tensors]
        self.names += [(n, "present") for n in model.encoders if rows[n].present is not None]

    def arguments(self, rows: Batch) -> tuple[Tensor, ...]:
        return tuple(rows[c].present if t == "present" else rows[c][t] for c, t in self.names)  # type: ignore[misc]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        columns: dict[str, dict[str, Tensor]] = {}
        for (column, name), tensor in zip(self.names, tensors):
            columns.setdefault(column, {})[name] = tensor
        cells = {
            c: Cells({n: t for n, t in ts.items() if n != "present"}, ts.get("present")) for c, ts in columns.items()
        }
        found = self.model(Batch(cells, torch.arange(tensors[0].shape[0])))
        return tuple(t for output in found.values() for t in output.values())


def members() -> tuple[Model, Batch]:
    return tabular(4), table()


def detector() -> tuple[Model, Batch]:
    return single("photo", conv(), {"cells": lambda w: Boxes(w, 2)}), batch(photo=pictures())


@pytest.mark.parametrize("system", [members, detector])
def test_a_prediction_leaves_as_onnx_and_is_the_same_for_other_numbers_of_rows(system: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model, rows = system()
    whole = Exported(model, rows).eval()
    size = torch.export.Dim("rows", min=1, max=4096)
    given = whole.arguments(rows)
    path = tmp_path / "model.onnx"
    with torch.no_grad():
        torch.onnx.export(
            whole,
            given,
            path,
            dynamo=True,
            dynamic_shapes=(tuple({0: size} for _ in given),),
            input_names=[".".join(n) for n in whole.names],
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == [".".join(n) for n in whole.names]
    for count in (1, 5, 32):
        few = whole.arguments(rows.take(slice(0, count)))
        with torch.no_grad():
            wanted = whole(*few)
        found = session.run(None, {".".join(n): t.numpy() for n, t in zip(whole.names, few)})
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted):
            assert a.shape[0] == count
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-4)


def test_one_graph_serves_the_whole_objective_whatever_the_number_of_rows() -> None:
    """torch.compile finds no break in a training step, and does not compile anew for every size."""
    from torch._dynamo.testing import CompileCounter

    from dapeng.objectives.base import Objective

    torch._dynamo.reset()
    torch.manual_seed(0)
    objective, rows = Objective(tabular()), table()
    counter = CompileCounter()
    compiled: Any = torch.compile(objective, backend=counter, fullgraph=True)
    for count in (32, 20, 9, 5):
        some = rows.take(slice(0, count))
        found, wanted = compiled(some, "model"), objective(some, "model")
        for name, loss in wanted.items():
            torch.testing.assert_close(found[name], loss)
    assert counter.frame_count <= 2, "once for the first size, once for any size"
