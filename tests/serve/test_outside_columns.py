"""A column type that serve has never heard of says itself how it is handed over."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry, strings
from dapeng.serve.cells import ColumnBlock, Reader, Unfit, reader_for
from dapeng.serve.openapi import row_schema
from dapeng.serve.page import Page


class Outside(Column):
    """A column that no package knows; `asked` is its entry."""

    def __init__(self, name: str, asked: Entry | None = None):
        super().__init__(name, SimpleNamespace(type="outside"), {}, False)  # type: ignore[arg-type]
        self.asked = asked

    def entry(self) -> Entry:
        return self.asked or super().entry()

    def layout(self) -> dict[str, Dims]:
        return {"size": Dims("B", "float32")}

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        values = [b"" if v is None else v for v in cells.to_pylist()]
        bad = Bad()
        for i, value in enumerate(values):
            if value in (b"bad", "bad"):
                bad.add(i, "it is bad")
        return Encoded({"size": np.array([len(str(v)) for v in values], np.float32)}, bad=bad)

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        return np.array([len(v or "") for v in strings(cells).to_pylist()], np.float32)[:, None]

    predictions = layout

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        return prediction["size"].tolist()


def page_and_schema(*columns: Outside) -> tuple[str, dict[str, Any], list[Reader]]:
    readers = [reader_for(c) for c in columns]
    product = SimpleNamespace(outputs={"y": SimpleNamespace(answers="number", of=None, overlay=dict)})
    engine: Any = SimpleNamespace(name="m", names=[c.name for c in columns], readers=readers, product=product)
    return Page(engine, ["m"]).html(False).decode(), row_schema(engine)["properties"], readers


def test_a_file_is_chosen_on_the_page_sent_as_base64_and_never_read_from_a_path():
    page, schema, (reader,) = page_and_schema(Outside("voice", Entry("file", accept="audio/*")))
    assert '<input type="file" accept="audio/*" id="f0" data-name="voice"' in page
    assert "Choose a file" in page
    assert '"voice": "&lt;base64&gt;"' in page.replace("&quot;", '"')
    assert schema["voice"]["contentEncoding"] == "base64"
    assert reader.check(base64.b64encode(b"RIFF").decode(), []) == b"RIFF"
    for wrong in ("/etc/passwd", 3, base64.b64encode(b"bad").decode()):
        with pytest.raises(Unfit):
            reader.check(wrong, [])


def test_a_number_and_a_choice_say_what_they_take():
    page, schema, (number, choice, line) = page_and_schema(
        Outside("level", Entry("number", "3", bounds=(1, 9))),
        Outside("tone", Entry("choice", choices=["high", "low"])),
        Outside("<b>"),
    )
    assert 'inputmode="decimal" id="f0" data-name="level" data-type="outside" value="3"' in page
    assert "seen in training: 1 to 9" in page
    assert '<option value="high">high</option>' in page
    assert 'data-name="&lt;b&gt;"' in page
    assert (number.kind, choice.kind, line.kind) == ("FP32", "BYTES", "BYTES")
    assert schema["level"]["type"] == ["number", "string", "null"]
    assert schema["tone"]["examples"] == ["high", "low"]
    assert schema["<b>"]["type"] == ["string", "null"]


def test_values_that_are_good_alone_are_good_in_one_batch():
    reader = reader_for(Outside("level", Entry("number")))
    values = [reader.check(v, []) for v in (1, "22", 3.5, None)]
    assert reader.alone(values).tensors["size"].shape == (4,)
    assert reader.matrix(values).tolist() == [[1.0], [2.0], [3.0], [0.0]]
    assert ColumnBlock([Outside("level")]).stack([(v,) for v in values]).tensors["size"].shape == (4, 1)
