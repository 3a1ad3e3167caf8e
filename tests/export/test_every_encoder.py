"""Every registered encoder and fusion leaves as ONNX and answers as the network does, for other numbers of rows and lengths too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.contract.parts import encoder_cases, fitted, with_encoder

from dapeng.core.errors import RunError
from dapeng.core.kinds import columns, encoders, fusions
from dapeng.core.spec import Spec
from dapeng.data.table import Frame
from dapeng.export.onnx_file import write_onnx
from dapeng.models.build import Choices, build_model
from dapeng.product.product import NETWORK, Product

pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
pytest.importorskip("onnxscript", reason="exports by the extra `export`")


def product(inputs: dict[str, Any], fusion: dict[str, Any]) -> Product:
    torch.manual_seed(0)
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec.model_validate(
        {"inputs": {n: {"type": c.type} for n, c in inputs.items()}, "outputs": {"y": "category"}, "fusion": fusion}
    )
    model = build_model(spec, inputs, outputs, Choices()).eval()
    return Product(inputs, outputs, model, {"y": {}}, {"y": {NETWORK: 1.0}})


def exported(made: Product, folder: Path) -> dict[str, Any]:
    cells = {n: pa.array(type(c.options).examples()) for n, c in made.inputs.items()}
    return write_onnx(made, folder / "network.onnx", Frame(pa.table(cells)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tag"), encoder_cases())
def test_an_encoder_leaves_as_onnx(kind: str, tag: str, tmp_path: Path) -> None:
    made = product({"x": with_encoder(kind, tag)}, {"dropout": 0.0})
    if kind == "series":  # of other lengths: a recurrent network is written out step by step
        with pytest.raises(RunError, match="the file would take 3 steps alone"):
            exported(made, tmp_path)
        assert not (tmp_path / "network.onnx").exists()
        return
    found = exported(made, tmp_path)
    assert found["largest_difference"] < 1e-3, found
    assert (tmp_path / "network.onnx").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("tag", sorted(fusions.members()))
def test_a_fusion_leaves_as_onnx(tag: str, tmp_path: Path) -> None:
    inputs = {"a": with_encoder("text", "text_cnn", "a"), "b": with_encoder("number", "piecewise", "b")}
    found = exported(product(inputs, {"type": tag, "hidden": [16]}), tmp_path)
    assert found["largest_difference"] < 1e-3, found


def test_there_are_cases() -> None:
    assert {t for _, t in encoder_cases()} == {
        t for t, m in encoders.members().items() if set(m.fits) & set(columns.members())
    }
    assert np.unique([k for k, _ in encoder_cases()]).size >= 5
