"""Exports predict what the original predicts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow.csv
import pytest

from dapeng.core.errors import RunError, SpecError
from dapeng.core.kinds import exporters
from dapeng.data.table import Frame
from dapeng.export.differences import largest, refuse_if_far
from dapeng.export.export import export
from dapeng.export.flat import names
from dapeng.export.portable import ngrams
from dapeng.product.files import load
from trained import blend_run, digits_run, iris_run, linear_run, mixed_run, reviews_run, trees_run

NETWORKS = {"table": iris_run, "blend": blend_run, "picture": digits_run, "bag": reviews_run}
NETWORKS |= {e: lambda e=e: reviews_run(e) for e in ("transformer", "text_cnn")}


@pytest.mark.parametrize("form", ["onnx", "torch"])
@pytest.mark.parametrize("what", NETWORKS)
def test_the_network_is_the_same_for_any_number_of_rows(what, form, tmp_path):
    pytest.importorskip("onnxruntime")
    folder, product, _ = NETWORKS[what]()
    found = export(folder, product, form, tmp_path / "out")
    assert set(found["differences_by_rows"]) == {"1", "5", "64"}
    assert found["largest_difference"] < 1e-5
    assert Path(found["file"]).is_file()
    assert "test rows of the run" in found["checked_on"]
    assert folder.read_json("export.json")[form]["largest_difference"] == found["largest_difference"]
    load(folder)  # the manifest knows of what was written


def test_what_a_blend_loses_is_said(tmp_path, capsys):
    folder, product, _ = blend_run()
    found = export(folder, product, "onnx", tmp_path / "m.onnx")
    assert found["lacks"]["species"] == {"trees": 0.2, "linear": 0.3}


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_a_product_without_a_network_is_refused_with_a_hint(form, tmp_path):
    folder, product, _ = trees_run()
    with pytest.raises(RunError, match="standalone"):
        export(folder, product, form, tmp_path / "out")


@pytest.mark.parametrize("make", [iris_run, blend_run, trees_run, linear_run, mixed_run, digits_run, reviews_run])
def test_a_standalone_folder_predicts_the_same_without_dapeng(make, tmp_path):
    folder, product, _ = make()
    found = export(folder, product, "standalone", tmp_path / "alone")
    assert found["largest_difference"] < 1e-5
    assert found["rows_compared"] > 20
    assert {"predict.py", "columns.json", "requirements.txt", "README.md"} <= set(found["files"])
    assert "dapeng" not in (tmp_path / "alone" / "requirements.txt").read_text()


def test_a_standalone_folder_reads_csv(tmp_path):
    folder, product, table = iris_run()
    export(folder, product, "standalone", tmp_path / "alone")
    pyarrow.csv.write_csv(table, tmp_path / "data.csv")
    command = [sys.executable, "-I", str(tmp_path / "alone" / "predict.py"), str(tmp_path / "data.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "species,species.setosa,species.versicolor,species.virginica"
    wanted = product.predict(Frame(table)).values["species"]
    assert [line.split(",")[0] for line in lines[1:]] == wanted


def test_a_standalone_folder_leaves_out_rows_that_it_can_not_read_and_names_missing_columns(tmp_path):
    folder, product, table = iris_run()
    export(folder, product, "standalone", tmp_path / "alone")
    cells = table.slice(0, 7).to_pydict()
    cells["petal.width"] = [*cells["petal.width"][:5], "abc", "0.2"]
    data = tmp_path / "data.csv"
    pandas.DataFrame(cells).to_csv(data, index=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(tmp_path / "alone" / "predict.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(str(data))
    assert done.returncode == 0
    assert done.stderr == f"warning: {data}:7: petal.width: 'abc' is not a number; no prediction\n"
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[6] == ",,,"
    assert [line.partition(",")[0] for line in (lines[1], lines[7])] == ["setosa", "setosa"]
    pandas.DataFrame(cells).drop(columns=["wide"]).to_csv(data, index=False)
    done = run(str(data))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {data} has no column 'wide'\n")
    done = run(str(tmp_path / "none.csv"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_an_unknown_format_gets_the_nearest_name():
    folder, product, _ = iris_run()
    with pytest.raises(SpecError, match="did you mean 'onnx'"):
        export(folder, product, "onxn")


def test_an_export_that_differs_is_refused():
    assert largest([np.array([1e6])], [np.array([1e6 + 1])]) < 1e-5  # of large units only the share counts
    for worst in (1e-3, float("nan")):
        with pytest.raises(RunError, match="differs"):
            refuse_if_far(worst, "it")


def test_names_are_different_where_the_originals_are():
    found = [n.name for n in names([("a b", "x"), ("a.b", "x"), ("价格", "x")])]
    assert found == ["a_b.x", "a_b.x_2", "__.x"]


@pytest.mark.parametrize("form", ["NFKC", "NFC", "none"])
@pytest.mark.parametrize("han", [False, True])
def test_hashed_ngrams_equal_those_of_scikit_learn(han, form):
    import pyarrow as pa

    from dapeng.columns.text import Text

    texts = ["A wonderful, moving film!", "我很喜欢这部电影", "a  b", "", "naïve café — ok", "x", "cafe\u0301 ﬁn Ａ１"]
    options = Text(normalise=form)
    summary = options.summary(False)
    summary.add(pa.array(texts))
    column = options.fitted("t", {**summary.result(), "han": han}, False)
    matrix = column.matrix(pa.array(texts))
    for i, text in enumerate(texts):
        row = matrix[i].tocsr()
        row.sum_duplicates()
        assert dict(zip(row.indices.tolist(), row.data.astype(int).tolist())) == ngrams.text_counts(
            text, han, True, form
        )


def test_every_format_has_its_example():
    assert set(exporters.members()) == {"gguf", "mlflow", "onnx", "standalone", "tensorboard", "torch", "transformers"}
    assert all("Example:" in (m.__doc__ or "") for m in exporters.members().values())


@pytest.mark.parametrize(
    "cell",
    [
        "1,234.5",
        "12%",
        "(300)",
        "1 234",
        "$5",
        "\u22123",
        "1_000",
        "12％",
        "1'000",
        "1,2",
        "￥7",
        "0x10",
        "1_0",
        "1e5",
        "--",
        "",
        "x",
    ],
)
def test_numbers_are_read_alike_by_the_column_the_standalone_folder_and_the_server(cell):
    import pyarrow as pa

    from dapeng.columns.number import Number, parse
    from dapeng.serve.cells import NumberReader as Served
    from dapeng.serve.cells import Unfit

    options = Number()
    summary = options.summary(False)
    summary.add(pa.array(["1", "2"]))
    column = options.fitted("x", summary.result(), False)
    kind, arguments = column.reader()
    values, present, bad = parse(pa.array([cell]), None, ".")
    if bad.rows:
        with pytest.raises(ValueError):
            kind(**arguments).number(cell)
        with pytest.raises(Unfit):
            Served(column).check(cell, [])
        return
    alone, served = kind(**arguments).number(cell), Served(column).check(cell, [])
    if present[0]:
        assert alone == served == values[0]
    else:
        assert alone is None
        assert served != served
