"""A compressed run is smaller, loads, and says what it cost."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dapeng.compress.compress import compress
from dapeng.compress.dynamic import DynamicLinear, available
from dapeng.compress.quantise import QuantisedEmbedding, quantise_tables, quantise_weights, quantised
from dapeng.core.errors import RunError, SpecError
from dapeng.core.run import RunFolder
from dapeng.data.table import Frame
from dapeng.export.export import export
from dapeng.nn.tables import Lent, Tables
from dapeng.product.files import load
from trained import blend_run, digits_run, iris_run, reviews_run, trees_run


@pytest.mark.parametrize("method", ["int8", "int8_dynamic"])
@pytest.mark.parametrize("make", [iris_run, blend_run, digits_run, reviews_run, lambda: reviews_run("transformer")])
def test_a_compressed_run_loads_and_predicts_nearly_the_same(make, method, tmp_path):
    folder, product, table = make()
    found = compress(folder, product, method, tmp_path / "small")
    lines = {r["measure"]: r for r in found.plain()["table"]}
    assert lines["weights"]["after"] < lines["weights"]["before"]
    assert lines["latency of 1 row"]["after"] > 0
    again = load(RunFolder.open(tmp_path / "small"))
    first, second = (p.predict(Frame(table)).tensors for p in (product, again))
    for output, tensors in first.items():
        for name, tensor in tensors.items():
            spread = max(1.0, float(np.ptp(tensor)))
            np.testing.assert_allclose(second[output][name], tensor, atol=0.1 * spread)
    assert any(m.endswith(("accuracy", "rmse")) for m in lines)
    assert "before" in found.text()
    assert RunFolder.open(tmp_path / "small").read_json("compress.json")["method"] == method


def test_answers_of_int8_do_not_depend_on_the_batch(tmp_path):
    folder, product, table = reviews_run("transformer")
    compress(folder, product, "int8", tmp_path / "small")
    again = load(RunFolder.open(tmp_path / "small"))
    together = again.predict(Frame(table)).tensors["mood"]["probabilities"]
    alone = again.predict(Frame(table.slice(7, 1))).tensors["mood"]["probabilities"]
    np.testing.assert_allclose(alone[0], together[7], atol=1e-5)


def test_a_compressed_run_can_be_exported(tmp_path):
    pytest.importorskip("onnxruntime")
    folder, product, _ = reviews_run()
    compress(folder, product, "int8", tmp_path / "small")
    small = RunFolder.open(tmp_path / "small")
    assert export(small, load(small), "onnx", tmp_path / "m.onnx")["largest_difference"] < 1e-5


def test_no_data_is_said_and_nothing_else_is_lost(tmp_path):
    folder, product, _ = iris_run()
    lost = RunFolder(tmp_path / "lost")
    import shutil

    shutil.copytree(folder.path, lost.path)
    spec = (lost.path / "spec.yaml").read_text()
    (lost.path / "spec.yaml").write_text(spec.replace("iris.parquet", "gone.parquet"))
    lost.manifest()
    found = compress(lost, product, "int8", tmp_path / "small").plain()
    assert found["metrics_on"].startswith("no metrics")
    assert "made-up" in found["timed_on"]


def test_what_can_not_be_compressed_is_refused(tmp_path):
    folder, product, _ = trees_run()
    with pytest.raises(RunError, match="no network"):
        compress(folder, product)
    with pytest.raises(SpecError, match="did you mean 'int8'"):
        compress(folder, product, "int9")
    folder, product, _ = iris_run()
    compress(folder, product, "int8", tmp_path / "small")
    small = RunFolder.open(tmp_path / "small")
    with pytest.raises(RunError, match="compressed already"):
        compress(small, load(small))
    with pytest.raises(RunError, match="exists"):
        compress(folder, product, "int8", tmp_path / "small")


def test_quantisation_is_within_half_a_step_by_channel():
    weight = torch.randn(64, 32) * torch.logspace(-3, 1, 64)[:, None]
    values, scale = quantised(weight)
    assert ((values.float() * scale - weight).abs() <= 0.5001 * scale).all()


def test_lent_tables_stay_one():
    tables = Tables()
    lent = Lent(tables.get("a", 100, 16))
    holder = nn.Module()
    holder.tables, holder.lent = tables, lent  # type: ignore[assignment]
    assert quantise_tables(holder) == 1600
    assert isinstance(lent.module, QuantisedEmbedding)
    assert lent.module is tables._modules["a"]


def test_weights_come_back_from_a_state_dict():
    first, second = nn.Linear(64, 64), nn.Linear(64, 64)
    plain = copy.deepcopy(first)
    for layer in (first, second):
        quantise_weights(layer)
    second.load_state_dict(first.state_dict())
    x = torch.randn(5, 64)
    torch.testing.assert_close(second(x), first(x))
    torch.testing.assert_close(second(x), plain(x), atol=0.05, rtol=0.05)


def test_layers_that_multiply_in_int8_are_near(monkeypatch):
    layer, x = nn.Linear(128, 32), torch.randn(3, 7, 128)
    made = DynamicLinear(layer)
    torch.testing.assert_close(made(x), layer(x), atol=0.1, rtol=0.1)
    made.packed = None  # as on a processor without kernels
    torch.testing.assert_close(made(x), layer(x), atol=0.05, rtol=0.05)
    assert available() in (True, False)
