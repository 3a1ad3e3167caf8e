"""Every registered column type, from its own examples: fitting merges, encoding follows the layout, the reader agrees."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pyarrow as pa
import pytest

from dapeng.core.kinds import columns
from dapeng.core.spec import plain
from tests.contract.parts import fitted

KINDS = sorted(columns.members())


@pytest.mark.parametrize("kind", KINDS)
def test_summaries_of_blocks_merge_to_the_same_state_whoever_counted_them(kind: str) -> None:
    member = columns.members()[kind]()
    cells = member.examples()
    blocks = [cells[:3], cells[3:4], cells[4:]]

    def merged(order: list[list[object]]) -> str:
        total = member.summary(False)
        for block in order:
            part = member.summary(False)
            part.add(pa.array(block, pa.array(cells).type))
            total.merge(part)
        return json.dumps(total.result())

    assert merged(blocks) == merged([list(b) for b in blocks])
    alone = member.summary(False)
    alone.add(pa.array(cells))
    assert set(json.loads(merged(blocks))) == set(alone.result())


@pytest.mark.parametrize("kind", KINDS)
def test_state_is_json_and_a_column_is_the_same_after_a_round_trip(kind: str) -> None:
    column = fitted(kind)
    options = type(column.options).model_validate(plain(column.options, every=True))
    again = options.fitted("x", json.loads(json.dumps(column.state)), False)
    cells = pa.array(type(column.options).examples())
    for name, array in column.encode(cells).tensors.items():
        np.testing.assert_array_equal(array, again.encode(cells).tensors[name])


@pytest.mark.parametrize("kind", KINDS)
def test_encoded_tensors_follow_the_layout(kind: str) -> None:
    column = fitted(kind)
    cells = pa.array(type(column.options).examples())
    encoded = column.encode(cells)
    for name, array in encoded.tensors.items():
        dims = column.layout()[name]
        assert array.dtype == np.dtype(dims.dtype)
        rows = len(cells) if not dims.ragged else int(encoded.lengths.sum())  # type: ignore[union-attr]
        assert array.shape[0] == rows
        if dims.low is not None:
            assert array.min() >= dims.low
        if dims.high is not None:
            assert array.max() <= dims.high
    assert not encoded.bad.rows


@pytest.mark.parametrize("kind", KINDS)
def test_no_cells_at_all_are_encoded_too(kind: str) -> None:
    column = fitted(kind)
    empty = pa.array([], pa.array(type(column.options).examples()).type)
    assert all(len(a) == 0 for a in column.encode(empty).tensors.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_portable_reader_needs_nothing_of_dapeng_and_encodes_alike(kind: str) -> None:
    column = fitted(kind)
    reader = column.reader()
    if reader is None:
        pytest.skip(f"{kind} has no portable reader")
    cls, arguments = reader
    space: dict[str, object] = {}
    exec(compile(inspect.getsource(cls), "reader", "exec"), space)
    cells = type(column.options).examples()
    alone = space[cls.__name__](**json.loads(json.dumps(arguments))).encode(cells)  # type: ignore[operator]
    encoded = column.encode(pa.array(cells))
    if encoded.lengths is None:
        for name, array in encoded.tensors.items():
            np.testing.assert_allclose(alone[name], array, rtol=1e-6)
    else:
        at = np.concatenate([[0], np.cumsum(encoded.lengths)])
        for name, array in encoded.tensors.items():
            for row, length in enumerate(encoded.lengths):
                np.testing.assert_array_equal(alone[name][row, :length], array[at[row] : at[row + 1]])


@pytest.mark.parametrize(
    "kind",
    [k for k in KINDS if hasattr(columns.members()[k], "decoder") or "decoder" in columns.members()[k].model_fields],
)
def test_predictions_decode_to_one_value_a_row(kind: str) -> None:
    column = fitted(kind, target=True)
    made = {}
    for name, dims in column.predictions().items():
        made[name] = np.full(dims.sizes(B=3, T=4), 0.5, dims.dtype)
    assert made
    assert len(column.decode(made)) == 3


@pytest.mark.parametrize("kind", [k for k in KINDS if columns.members()[k].read_only])
def test_a_type_that_is_only_read_predicts_nothing_and_says_so(kind: str) -> None:
    column = fitted(kind)
    assert column.predictions() == {}
    with pytest.raises(NotImplementedError, match=f"type {kind}, it is only read"):
        column.decode({})
