"""Every registered encoder and fusion leaves as ONNX and answers as the network does, for other numbers of rows and lengths too."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.contract.parts import encoder_cases, fitted, with_encoder

from dapeng.core.kinds import columns, encoders, fusions
from dapeng.core.spec import Spec
from dapeng.data.table import Frame
from dapeng.export.formats.standalone import write_standalone
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
    found = exported(made, tmp_path)
    assert found["largest_difference"] < 1e-3, found
    assert (tmp_path / "network.onnx").stat().st_size > 0


@pytest.mark.slow
def test_a_folder_of_its_own_reads_texts_of_other_lengths_by_a_recurrent_network(tmp_path: Path) -> None:
    made = product({"x": with_encoder("text", "lstm", bidirectional=True, num_layers=2)}, {})
    write_standalone(made, tmp_path, Frame(pa.table({"x": pa.array(["dull", "a lovely little film"])})))
    texts = ["bad", "a lovely film " * 3, "it's so-so: no lovely bad film a little dull " * 2]
    (tmp_path / "rows.csv").write_text("".join(f"{t}\n" for t in ["x", *texts]))
    told = [sys.executable, "predict.py", "rows.csv"]
    found = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    rows = list(csv.DictReader(found.stdout.splitlines()))
    wanted = made.predict(Frame(pa.table({"x": pa.array(texts)}))).tensors
    labels = made.outputs["y"].labels  # type: ignore[attr-defined]
    shares = np.array([[float(r[f"y.{label}"]) for label in labels] for r in rows])
    np.testing.assert_allclose(shares, wanted["y"]["probabilities"], atol=1e-5)


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
