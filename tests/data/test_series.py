"""Series: what cells may look like, what is refused, what is missing, what networks and trees see; trained, served, shipped."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.columns.series import Series
from dapeng.core.errors import DapengError
from dapeng.data.batch import Cells


def column_of(cells: list[Any], **options: Any) -> Any:
    member = Series.model_validate(options)
    summary = member.summary(False)
    summary.add(pa.array(cells))
    return member.fitted("s", summary.result(), False)


def waves(rows: int = 240, seed: int = 0) -> dict[str, Any]:
    """Series of other lengths whose class is the order in which two bumps come: no mean, no extreme, no end tells it."""
    draw = np.random.default_rng(seed)
    cells, labels = [], []
    for _ in range(rows):
        length = int(draw.integers(14, 26))
        x = 0.1 * draw.standard_normal((length, 2))
        first, second = sorted(draw.choice(np.arange(2, length - 2), 2, replace=False).tolist())
        late = bool(draw.integers(2))
        x[first, int(late)] += 3
        x[second, 1 - int(late)] += 3
        cells.append(x.tolist())
        labels.append("b first" if late else "a first")
    return {"s": cells, "label": labels}


@pytest.mark.parametrize(
    ("cell", "steps"),
    [
        ("1 2 3", [[1], [2], [3]]),
        ("[1, 2.5,-3e1]", [[1], [2.5], [-30]]),
        ("1 2; 3 4", [[1, 2], [3, 4]]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[1,2]]", [[1, 2]]),
        ("((1 2) (3 4) (5 6))", [[1, 2], [3, 4], [5, 6]]),
        ("1,2|3,4\n5,6", [[1, 2], [3, 4], [5, 6]]),
        ("7", [[7]]),
        ([1, 2], [[1], [2]]),
        ([[1.0, None], [2, 3]], [[1, np.nan], [2, 3]]),
        ("1 NA; 2 3", [[1, np.nan], [2, 3]]),
    ],
)
def test_a_cell_is_read_as_it_is_meant(cell: Any, steps: list[list[float]]) -> None:
    found = Series().summary(False).reader.steps(cell)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found, np.array(steps, float))


@pytest.mark.parametrize("cell", ["", "  ", "NA", "null", None, [], "[]", [[]], "nan nan"])
def test_a_cell_without_a_value_is_missing_and_not_bad(cell: Any) -> None:
    reader = Series().summary(False).reader  # type: ignore[attr-defined]
    assert reader.steps(cell) is None


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1 2 x", "'1 2 x' is not a list of numbers"),
        ("1 2; 3", "steps of 1 and of 2 numbers in one series"),
        ("1e39 2", "finite|not a list"),
        ("1 2 3", "1 numbers a step, where 2 are expected"),
        ([[1, 2, 3]], "3 numbers a step, where 2 are expected"),
        ([[1, [2]]], "not a list of numbers"),
        ([["a", 2]], "not a list of numbers"),
    ],
)
def test_what_is_no_series_of_these_channels_is_bad_with_its_reason(cell: Any, said: str) -> None:
    column = column_of(["1 2; 3 4", "5 6"[:0] + "5 6; 7 8"])
    with pytest.raises(ValueError, match=said):
        column._reader.steps(cell)
    if isinstance(cell, str):
        assert column.encode(pa.array([cell, "1 2; 2 1"])).bad.rows == [0]


def test_what_is_missing_within_is_as_it_was_before_and_the_mean_at_the_beginning() -> None:
    column = column_of(["1 10; 3 30", "2 20; 2 20"], max_length=4)
    found = column.encode(pa.array(["nan 30; 3 nan; nan nan; 1 10"])).tensors["values"]
    mean, std = np.array(column.state["mean"]), np.array(column.state["std"])
    np.testing.assert_allclose(found * std + mean, [[2, 30], [3, 30], [3, 30], [1, 10]], rtol=1e-6)


def test_scales_are_of_the_training_rows_of_each_cell_or_none() -> None:
    cells = [[1.0, 2.0, 3.0], [10.0, 20.0], [5.0]]
    flat = np.concatenate([np.array(c) for c in cells])
    standard = column_of(cells)
    assert standard.state["mean"] == pytest.approx([flat.mean()])
    assert standard.state["std"] == pytest.approx([flat.std()])
    each = column_of(cells, scale="each").encode(pa.array(cells)).tensors["values"][:, 0]
    np.testing.assert_allclose(each, [-1.2247449, 0, 1.2247449, -1, 1, 0], atol=1e-6)
    plain = column_of(cells, scale="none").encode(pa.array(cells)).tensors["values"][:, 0]
    np.testing.assert_array_equal(plain, flat.astype(np.float32))


def test_of_long_series_the_last_steps_are_looked_at_openly() -> None:
    column = column_of([list(range(9)), [1.0, 2.0]], max_length=4, scale="none")
    found = column.encode(pa.array([list(range(9))]))
    assert found.tensors["values"][:, 0].tolist() == [5, 6, 7, 8]
    assert column.remarks() == ["1 series have more than 4 steps: the last 4 are looked at"]


def test_trees_see_seven_figures_of_each_channel_and_the_length() -> None:
    column = column_of([[[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]]])
    (row,) = column.matrix(pa.array([[[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]]]))
    np.testing.assert_allclose(row, [4, np.std([1, 3, 8]), 1, 8, 1, 8, 3.5, 5, 0, 5, 5, 5, 5, 0, 3], rtol=1e-6)
    assert len(column.matrix_names()) == len(row)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], True),
        ([[[1.0, 2.0]], [[3.0, 4.0]]], True),
        ([[1.0, 2.0], [3.0, 4.0]], False),  # a vector
        (["1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8"], True),
        (["12 34", "5 6 7"], False),  # short texts of numbers may be anything
        (["good film", "bad film"], False),
        (["12", "13"], False),
    ],
)
def test_series_are_told_from_vectors_texts_and_numbers(cells: list[Any], wanted: bool) -> None:
    surety, why = Series.guess(pa.array(cells), False)
    assert (surety > 0.8) is wanted
    assert bool(why) is wanted
    assert Series.guess(pa.array(cells), True)[0] == 0


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_encoder_is_torchs_over_the_steps_forward_and_gradient(kind: str) -> None:
    torch.manual_seed(0)
    cells = [[[1.0, 2.0, 0.5]] * 3, [[0.1, -2.0, 0.5], [3.0, 1.0, 1.0]], [[0.0, 1.0, 2.0]] * 5]
    column = column_of(cells, encoder={"type": kind, "hidden": 6, "num_layers": 2, "dropout": 0.0})
    encoder = column.options.encoder.build([column], None)
    theirs = (nn.LSTM if kind == "lstm" else nn.GRU)(3, 6, 2, batch_first=True)
    with torch.no_grad():
        for number, layer in enumerate(encoder.stack.layers.forwards):
            for name, parameter in layer.named_parameters():
                getattr(theirs, name.replace("_l0", f"_l{number}")).copy_(parameter)
    found = column.encode(pa.array(cells))
    lengths = torch.from_numpy(found.lengths)
    values = nn.utils.rnn.pad_sequence(list(torch.from_numpy(found.tensors["values"]).split(lengths.tolist())), True)
    ours, x = values.clone().requires_grad_(), values.clone().requires_grad_()
    mask = torch.arange(values.shape[1]) < lengths[:, None]
    pooled = encoder.read(ours, Cells({"values": ours, "mask": mask})).pooled
    states, _ = nn.utils.rnn.pad_packed_sequence(
        theirs(nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False))[0], True
    )
    wanted = states[torch.arange(3), lengths - 1]
    torch.testing.assert_close(pooled, wanted)
    pooled.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(ours.grad, x.grad)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dapeng.train(
        waves(600),
        inputs={"s": {"type": "series", "encoder": {"type": "lstm", "hidden": 24, "dropout": 0.0}}},
        outputs={"label": "category"},
        model="network",
        train={"epochs": 12, "batch_size": 32, "learning_rate": 1e-2, "threads": 1},
        evaluate={"resamples": 50},
        runs=tmp_path_factory.mktemp("series") / "runs",
    )


def test_an_lstm_learns_the_order_of_events_that_no_summary_tells(run: Any) -> None:
    new = waves(200, seed=1)
    right = np.mean(run.predict({"s": new["s"]}).column("label").to_numpy() == np.array(new["label"]))
    assert right > 0.9


def test_texts_lists_and_arrays_are_the_same_and_a_missing_cell_is_predicted_too(
    run: Any, tmp_path: Path, capsys: Any
) -> None:
    cells = [c for c in waves(60, seed=2)["s"] if len(c) >= 16][:4]
    cells = [c[-16:] for c in cells]
    wanted = run.predict({"s": cells}).to_pylist()
    for other in (
        np.array(cells),
        list(np.array(cells)),
        ["; ".join(" ".join(map(repr, s)) for s in c) for c in cells],
    ):
        assert run.predict({"s": other}).to_pylist() == wanted
    path = tmp_path / "few.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["s"], [json.dumps(cells[0])], ["1 2 3"]])
    assert main(["predict", str(run.path), str(path)]) == 0
    said = capsys.readouterr()
    assert wanted[0]["label"] in said.out.splitlines()[1]
    assert "few.csv:3: s: 1 numbers a step, where 2 are expected; no prediction" in said.err


def test_the_standalone_export_answers_alike(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (dapeng[export])")
    pytest.importorskip("onnxscript", reason="needs onnxscript (dapeng[export])")
    cells = waves(5, seed=3)["s"]
    run.export("standalone", tmp_path / "out")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["s"], *[[json.dumps(c)] for c in cells]])
    script = next(p for p in (tmp_path / "out").glob("*.py"))
    found = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "rows.csv")], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    wanted = run.predict({"s": cells}).column("label").to_pylist()
    assert all(label in found.stdout for label in set(wanted))


def test_a_recurrent_network_over_series_is_a_torch_program_for_any_number_of_steps(run: Any, tmp_path: Path) -> None:
    from dapeng.data.table import Frame
    from dapeng.export.differences import largest
    from dapeng.export.flat import Flat, batches_of, eager, example

    found = run.export("torch", tmp_path / "out")
    program = torch.export.load(found["file"]).module()
    cells = [c * n for n, c in zip((1, 2, 4), waves(3, seed=5)["s"])]  # up to four times as long as any in training
    rows = Frame(pa.table({"s": pa.array(cells)}))
    flat = Flat(run.product, example(run.product, rows))
    for size in (1, 3):
        batch = batches_of(run.product, rows, (size,))[0]
        answers = [t.detach().numpy() for t in program(*flat.arguments(batch))]
        assert largest(answers, eager(flat, batch)) < 1e-5


def test_a_series_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(DapengError, match="series"):
        dapeng.train(waves(40), inputs={"label": "category"}, outputs={"s": "series"}, runs=tmp_path / "runs")


def test_jet_engines_real_sensors_foretell_the_cycles_that_are_left(tmp_path: Path) -> None:
    import os
    import zipfile

    path = Path(os.environ.get("DAPENG_SAMPLES", "")) / "cmapss_fd001.zip"
    if not path.is_file():
        pytest.skip("the data set cmapss_fd001.zip is not in DAPENG_SAMPLES")
    text = zipfile.ZipFile(path).read("CMAPSS/train_FD001.txt").decode()
    table = np.array([[float(v) for v in line.split()] for line in text.splitlines()])
    columns: dict[str, list[Any]] = {"sensors": [], "life": [], "split": []}
    for unit in np.unique(table[:, 0]):
        x = table[table[:, 0] == unit][:, 2:]
        for end in range(30, len(x) + 1, 12):
            columns["sensors"].append(x[end - 30 : end].tolist())
            columns["life"].append(float(min(125, len(x) - end)))
            columns["split"].append("train" if unit % 5 else "test")
    pq.write_table(pa.table(columns), tmp_path / "engines.parquet")
    run = api.train(
        {
            "data": {"path": str(tmp_path / "engines.parquet"), "split": {"by": "column", "column": "split"}},
            "inputs": {"sensors": {"type": "series", "encoder": {"type": "lstm", "hidden": 32}}},
            "outputs": {"life": "number"},
            "model": "network",
            "train": {"epochs": 6, "threads": 1, "learning_rate": 5e-3, "batch_size": 32},
            "evaluate": {"resamples": 50},
        },
        runs=tmp_path / "runs",
    )
    test = [i for i, s in enumerate(columns["split"]) if s == "test"]
    found = run.predict({"sensors": [columns["sensors"][i] for i in test]}).column("life").to_numpy()
    error = np.sqrt(np.mean((found - np.array(columns["life"])[test]) ** 2))
    assert error < 22  # the mean alone: about 41


def test_the_server_takes_steps_and_its_page_asks_for_a_line_each(run: Any) -> None:
    from dapeng.serve.engine import Engine
    from dapeng.serve.openapi import row_schema
    from dapeng.serve.page import Page

    engine = Engine(run.product, "m")
    field = row_schema(engine)["properties"]["s"]
    assert field["type"] == ["array", "string", "null"]
    row = {"s": [[0.0, 1.0], [None, 2.0]]}
    assert engine.check([row]).rows
    assert "a step on each line: 2 numbers" in Page(engine, ["m"]).html(False).decode()
