"""What holds for any data: encoding and back, batching, padding, blocks, splits."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dapeng.columns.category import Category, normal
from dapeng.columns.number import Number, parse
from dapeng.columns.text import Text
from dapeng.core.errors import DataError
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.splits.cross_validation import CrossValidation
from dapeng.data.splits.random import RandomSplit
from dapeng.data.splits.stratified import StratifiedSplit
from dapeng.data.table import Frame
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.models.predict import predict_rows

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
reals = st.floats(-1e12, 1e12, allow_nan=False)


def fitted(options: Any, cells: list[Any], target: bool, name: str = "c") -> Any:
    summary = options.summary(target)
    summary.add(pa.array(cells, pa.string() if isinstance(cells[0], str) else pa.float64()))
    return options.fitted(name, summary.result(), target)


@few
@given(st.lists(words, min_size=1, max_size=30))
def test_a_category_that_is_encoded_and_decoded_is_the_normal_label(cells: list[str]) -> None:
    column = fitted(Category(), cells, True)
    encoded = column.encode(pa.array(cells, pa.string()))
    present = np.ones(len(cells), bool) if encoded.present is None else encoded.present
    assert present.tolist() == [bool(normal(c)) for c in cells]
    assert not encoded.bad.rows
    assume(column.labels)
    certain = np.eye(len(column.labels), dtype=np.float32)[encoded.tensors["codes"]]
    decoded = column.decode({"probabilities": certain})
    assert [d for d, p in zip(decoded, present) if p] == [normal(c) for c, p in zip(cells, present) if p]


@few
@given(st.lists(words, min_size=1, max_size=30), st.lists(words, min_size=1, max_size=10))
def test_a_label_that_training_has_not_seen_is_code_0_and_no_other_is(seen: list[str], later: list[str]) -> None:
    column = fitted(Category(), seen, False)
    known = {normal(c) for c in seen} - {""}
    codes = column.encode(pa.array(later, pa.string())).tensors["codes"]
    assert [int(c) > 0 for c in codes] == [normal(c) in known for c in later]
    strange = Counter(normal(c) for c in later if normal(c) and normal(c) not in known)
    assert column.unseen(pa.array(later, pa.string())) == strange


@few
@given(st.lists(reals, min_size=1, max_size=30), st.sampled_from(["standard", "log", "none"]))
def test_a_number_that_is_encoded_and_decoded_is_itself_to_float32(cells: list[float], scale: str) -> None:
    column = fitted(Number(scale=scale), cells, True)
    encoded = column.encode(pa.array(cells)).tensors["values"]
    back = np.array(column.decode({"mean": column.target_values(encoded)}))
    wanted = np.array(cells)
    spread = column.state["std"] if scale == "standard" else 0.0
    biggest = max(abs(column.state["low"]), abs(column.state["high"])) if scale == "standard" else 0.0
    close = 1e-5 if scale != "log" else 1e-4 * (1 + abs(np.log1p(np.abs(wanted))).max())
    assert np.all(np.abs(back - wanted) <= close * (np.abs(wanted) + spread + biggest) + 1e-5)


@few
@given(reals, st.sampled_from(["{:r}", "{:,.3f}", "${:,.2f}", "({:.1f})", "{:.2f}%", "{:e}", " {:g} "]))
def test_numbers_as_people_write_them_are_read_as_they_mean(value: float, form: str) -> None:
    value = abs(value)
    text = repr(value) if form == "{:r}" else form.format(value)
    number = float(text.replace(",", "").strip(" $()%"))
    expected = number / 100 if "%" in form else -number if "(" in form else number
    found, present, bad = parse(pa.array([text]), None, ".")
    assert present.all()
    assert not bad.rows
    assert np.isclose(found[0], expected, rtol=1e-12)


@few
@given(st.lists(st.one_of(reals.map(repr), st.sampled_from(["+1", "1.", ".5", "1E5", "007", "-0"])), min_size=1))
def test_a_number_is_read_the_same_whatever_stands_beside_it(cells: list[str]) -> None:
    alone, present, bad = parse(pa.array(cells), None, ".")
    beside, _, _ = parse(pa.array([*cells, "n/a"]), None, ".")
    assert present.all()
    assert not bad.rows
    assert np.array_equal(alone, beside[:-1])


@few
@given(st.lists(words, min_size=1, max_size=60), st.lists(st.integers(1, 60), max_size=6))
def test_labels_counted_in_blocks_of_any_size_are_the_same_state(cells: list[str], cuts: list[int]) -> None:
    whole = Category().summary(False)
    whole.add(pa.array(cells, pa.string()))
    bounds = sorted({0, len(cells), *(c for c in cuts if c < len(cells))})
    parts = Category().summary(False)
    for a, b in itertools.pairwise(bounds):
        part = Category().summary(False)
        part.add(pa.array(cells[a:b], pa.string()))
        parts.merge(part)
    assert parts.result() == whole.result()


@few
@given(st.lists(st.one_of(st.none(), reals), min_size=1, max_size=60), st.lists(st.integers(1, 60), max_size=6))
def test_numbers_counted_in_blocks_of_any_size_agree(cells: list[float | None], cuts: list[int]) -> None:
    whole = Number().summary(False)
    whole.add(pa.array(cells, pa.float64()))
    bounds = sorted({0, len(cells), *(c for c in cuts if c < len(cells))})
    parts = Number().summary(False)
    for a, b in itertools.pairwise(bounds):
        part = Number().summary(False)
        part.add(pa.array(cells[a:b], pa.float64()))
        parts.merge(part)
    one, other = whole.result(), parts.result()
    exact = ("count", "missing", "low", "high", "whole", "quantiles", "distinct")
    assert {k: one[k] for k in exact} == {k: other[k] for k in exact}
    largest = max((abs(c) for c in cells if c is not None), default=0.0)
    assert abs(one["mean"] - other["mean"]) <= 1e-9 * (1 + largest)


@few
@given(st.lists(words, min_size=1, max_size=30), st.integers(1, 29))
def test_texts_counted_in_blocks_give_the_same_vocabulary(cells: list[str], cut: int) -> None:
    options = Text(tokeniser="words", min_count=1)
    whole, first, second = (options.summary(False) for _ in range(3))
    whole.add(pa.array(cells, pa.string()))
    first.add(pa.array(cells[:cut], pa.string()))
    second.add(pa.array(cells[cut:], pa.string()))
    first.merge(second)
    assert first.result() == whole.result()


@few
@given(st.lists(st.text(max_size=12), min_size=1, max_size=12))
def test_any_text_gives_ids_of_the_vocabulary_in_every_tokeniser(cells: list[str]) -> None:
    cells = [c.encode("utf-8", "replace").decode() for c in cells]
    for tokeniser in ("words", "characters", "ngrams"):
        column = fitted(Text(tokeniser=tokeniser), cells, False)
        encoded = column.encode(pa.array(["something else", *cells], pa.string()))
        ids = encoded.tensors["ids"]
        assert encoded.lengths.sum() == len(ids)
        assert not len(ids) or (ids.min() >= 0 and ids.max() < column.size)


@few
@given(st.integers(3, 400), st.integers(0, 50), st.booleans(), st.integers(2, 4))
def test_splits_give_every_row_one_side_and_are_the_same_again(
    rows: int, seed: int, stratified: bool, classes: int
) -> None:
    table = pa.table({"y": [str(i % classes) for i in range(rows)]})
    split = (StratifiedSplit if stratified else RandomSplit)()
    try:
        sides = split.assign(rows, table.column, seed, "y")
    except DataError:
        assume(rows > 12)  # too few rows to split are refused
        raise
    assert len(sides) == rows
    assert set(np.unique(sides)) <= {0, 1, 2}
    assert (sides == 0).sum() >= (sides == 2).sum()
    assert np.array_equal(sides, split.assign(rows, table.column, seed, "y"))


@few
@given(st.integers(20, 300), st.integers(0, 50))
def test_each_row_is_tested_in_exactly_one_fold_and_never_trains_there(rows: int, seed: int) -> None:
    table = pa.table({"y": [str(i % 2) for i in range(rows)]})
    split = CrossValidation()
    folds = split.folds_of(rows, table.column, seed, "y")
    tested = np.zeros(rows, int)
    for fold in range(int(folds.max()) + 1):
        sides = split.sides(folds, fold)
        assert np.array_equal(sides == 2, folds == fold)
        tested += sides == 2
    assert (tested == 1).all()


@functools.cache
def product() -> tuple[Any, Any, Any]:
    from dapeng.core.spec import Spec

    draw = np.random.default_rng(0)
    vocabulary = ["oak", "elm", "ash", "fir", "yew"]
    texts = [" ".join(draw.choice(vocabulary, int(draw.integers(0, 12)))) for _ in range(90)]
    table = pa.table(
        {
            "n": draw.normal(size=90),
            "c": [vocabulary[i % 5] for i in range(90)],
            "t": texts,
            "u": texts,
            "y": ["ab"[i % 2] for i in range(90)],
        }
    )
    inputs = {
        "n": "number",
        "c": "category",
        "t": "text",
        "u": {"type": "text", "encoder": {"type": "transformer", "embed_dim": 32}},
    }
    spec = Spec.model_validate({"inputs": inputs, "outputs": {"y": "category"}})
    wanted: dict[str, Any] = {n: (o, False) for n, o in spec.inputs.items()} | {"y": (spec.outputs["y"], True)}
    found = fit_columns(Frame(table), wanted, lambda a, n: np.ones(n, bool))
    ins = with_encoders({n: found[n] for n in inputs}, 90, Choices())
    outs = {"y": found["y"]}
    torch.manual_seed(0)
    model = build_model(spec, ins, outs, Choices())
    return model, Prepared(ins, outs, None, 1.0).store(Frame(table)), outs


@settings(few, max_examples=25)
@given(st.lists(st.integers(0, 89), min_size=1, max_size=40), st.integers(1, 50))
def test_predictions_depend_neither_on_the_batch_size_nor_on_the_padding_of_neighbours(
    rows: list[int], size: int
) -> None:
    model, store, outs = product()
    some = np.array(rows)
    alone = np.concatenate(
        [predict_rows(model, store, some[i : i + 1], outs, 1)["y"]["probabilities"] for i in range(len(some))]
    )
    together = predict_rows(model, store, some, outs, size)["y"]["probabilities"]
    assert np.isfinite(together).all()
    assert np.allclose(alone, together, atol=2e-6)


@settings(few, max_examples=25)
@given(st.integers(1, 89), st.integers(1, 30))
def test_padding_more_changes_nothing(row: int, more: int) -> None:
    from dapeng.data.batch import Batch, Cells
    from dapeng.data.feed import Rows

    model, store, _ = product()
    model.eval()
    batch = Rows(store, [g.key for g in store.inputs]).batch(np.array([row, 0]))

    def wider(cells: Cells) -> Cells:
        if "mask" not in cells:
            return cells
        longest = cells["mask"].shape[1]
        if longest + more > 12:  # a text has at most so many tokens here
            return cells
        grown = {n: torch.cat([t, torch.zeros(len(t), more, dtype=t.dtype)], 1) for n, t in cells.tensors.items()}
        return Cells(grown, cells.present)

    with torch.inference_mode():
        plain = model(batch)["y"]["probabilities"]
        padded = model(Batch({n: wider(c) for n, c in batch.columns.items()}, batch.rows))["y"]["probabilities"]
    assert torch.allclose(plain, padded, atol=2e-6)
