"""Recurrent layers as programs: what is exported answers as the layers do, for every number of rows and steps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from dapeng.export.flat import forget_sizes
from dapeng.nn.recurrent import Recurrent

KINDS = [("lstm", 1, False), ("lstm", 2, True), ("gru", 1, True), ("gru", 2, False)]
SHAPES = [(2, 9), (1, 1), (5, 40), (7, 3), (3, 2)]
AXES = ({0: Dim("rows", min=1), 1: Dim("steps", min=1, max=65_536)},) * 2


def made(kind: str, layers: int, both: bool) -> Recurrent:
    torch.manual_seed(0)
    stack = Recurrent(kind, 4, 6, layers, both, 0.3).eval()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return stack


@pytest.fixture(autouse=True)
def _nothing_noticed() -> None:
    forget_sizes()  # as every export does


def ragged(rows: int, steps: int) -> tuple[Tensor, Tensor]:
    """Rows of other lengths, the first one whole; what is padded is no zero."""
    lengths = torch.randint(1, steps + 1, (rows,))
    lengths[0] = steps
    return torch.randn(rows, steps, 4), torch.arange(steps) < lengths[:, None]


@pytest.mark.parametrize(("kind", "layers", "both"), KINDS)
def test_a_program_takes_any_number_of_steps(kind: str, layers: int, both: bool) -> None:
    stack = made(kind, layers, both)
    with torch.no_grad():
        program = torch.export.export(stack, ragged(7, 3), dynamic_shapes=AXES).module()
        for shape in SHAPES:
            given = ragged(*shape)
            torch.testing.assert_close(program(*given), stack(*given))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "layers", "both"), KINDS)
def test_an_onnx_file_takes_any_number_of_steps(kind: str, layers: int, both: bool, tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime", reason="needs onnxruntime (dapeng[export])")
    pytest.importorskip("onnxscript", reason="needs onnxscript (dapeng[export])")
    stack = made(kind, layers, both)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            stack, ragged(7, 3), dynamo=True, dynamic_shapes=AXES, opset_version=18, verbose=False
        )
        assert program is not None
        program.save(tmp_path / "net.onnx", external_data=False)
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    for shape in SHAPES:
        given = ragged(*shape)
        found = session.run(None, {n: t.numpy() for n, t in zip(names, given)})[0]
        torch.testing.assert_close(torch.from_numpy(found), stack(*given).detach(), atol=1e-5, rtol=1e-5)
