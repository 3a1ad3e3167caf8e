"""Every column that leaves with a reader of its own is seen by classical learners of the folder as it was in training, gaps too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.contract.parts import fitted

import dapeng.export.formats.standalone as standalone
from dapeng.core.errors import RunError
from dapeng.core.kinds import columns, learners
from dapeng.core.spec import Spec
from dapeng.data.table import Frame
from dapeng.export.formats.standalone import write_standalone
from dapeng.learners.base import Target
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.product.product import NETWORK, Product

NEEDS = {"video": "av", "volume": "nibabel", "volume_mask": "nibabel"}


def read_alone() -> list[str]:
    """Types of columns that have a reader."""
    out = []
    for kind in columns.members():
        if kind in NEEDS:
            pytest.importorskip(NEEDS[kind])
        if fitted(kind).reader() is not None:
            out.append(kind)
    return out


def learnt(kind: str, learner: str) -> tuple[Product, Frame] | None:
    """A product of one learner over one column, with gaps in it; None where it doesn't read such."""
    column, output = fitted(kind), fitted("category", "y", target=True)
    cells = [*(list(type(column.options).examples()) * 10)[:30], None, None]
    rows = Frame(pa.table({"x": pa.array(cells)}))
    made = Product({"x": column}, {"y": output}, None, {"y": {}}, {"y": {learner: 1.0}})
    seen, target = made.matrices(rows.read(["x"])), Target(output, np.arange(len(cells)) % len(output.labels))  # type: ignore[attr-defined]
    options: Any = learners.members()[learner]()
    if not options.reads(seen, target):
        return None
    made.learners["y"][learner] = options.fit(seen, target, None, 5.0, 0).learner
    return made, rows


@pytest.mark.slow
@pytest.mark.parametrize(("learner", "least"), [("linear", 10), ("trees", 2)])
def test_classical_learners_see_columns_alike_without_dapeng(learner: str, least: int, tmp_path: Path) -> None:
    kinds = read_alone() if learner == "linear" else ["audio", "number"]  # what they see is the same for all learners
    checked = 0
    for kind in kinds:
        found = learnt(kind, learner)
        if found is not None:
            (folder := tmp_path / kind).mkdir()
            told = write_standalone(found[0], folder, found[1])
            assert told["largest_difference"] < 1e-6, kind
            assert told["rows_compared"] == found[1].rows
            checked += 1
    assert checked >= least


def test_a_column_whose_reader_knows_nothing_of_learners_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = learnt("category", "linear")
    assert found is not None
    monkeypatch.setattr(standalone, "SEEN", ())  # a column type of somebody else's, with a reader but no matrix
    with pytest.raises(RunError, match=r"see 'x', of type category, .*\n  hint: --format onnx"):
        write_standalone(*found[:1], tmp_path, found[1])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_that_predicts_in_bfloat16_is_compared_in_the_precision_of_files(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
    pytest.importorskip("onnxscript", reason="exports by the extra `export`")
    inputs, outputs = with_encoders({"x": fitted("vector")}, 40, Choices()), {"y": fitted("category", "y", target=True)}
    spec = Spec.model_validate({"inputs": {"x": "vector"}, "outputs": {"y": "category"}})
    torch.manual_seed(0)
    model = build_model(spec, inputs, outputs, Choices()).eval()
    made = Product(inputs, outputs, model, {"y": {}}, {"y": {NETWORK: 1.0}})
    rows = Frame(pa.table({"x": pa.array(type(inputs["x"].options).examples())}))
    full = made.predict(rows).tensors["y"]["probabilities"]
    made.autocast = torch.bfloat16
    assert np.abs(full - made.predict(rows).tensors["y"]["probabilities"]).max() > 1e-4  # what would be refused
    assert write_standalone(made, tmp_path, rows)["largest_difference"] < 1e-5
    assert made.autocast is torch.bfloat16
