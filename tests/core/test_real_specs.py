"""The machinery on the real registries: the specs of the design load, and their mistakes are found."""

import pyarrow as pa
import pytest

from dapeng.core.errors import SpecError
from dapeng.core.loader import load_spec


def test_the_shortest_spec_is_enough():
    loaded = load_spec(
        "data: reviews.csv\ninputs:\n  review: text\noutputs:\n  sentiment: category\n", name="reviews.yaml"
    )
    assert loaded.spec.data.path == "reviews.csv"
    assert loaded.spec.inputs["review"].type == "text"
    assert loaded.spec.train.epochs == "auto"
    assert loaded.origins["inputs", "review"] == "reviews.yaml:3"
    assert loaded.spec.train.phases is None


def test_what_is_written_auto_is_none_where_none_means_auto():
    spec = load_spec(
        "data: {path: a.csv, split: auto, encoding: auto}\noutputs: {y: category}\ntrain: {phases: auto, epochs: auto}"
    ).spec
    assert spec.data.split is None
    assert spec.data.encoding is None
    assert spec.train.phases is None
    assert (
        load_spec("outputs: {y: number}\ntrain: {phases: [supervised]}").spec.train.phases[0].objective.type
        == "supervised"
    )


def test_a_spec_with_several_mistakes_has_them_all():
    text = (
        "inputs:\n  n: {type: number, scale: standrad}\n  c: categry\n"
        "outputs:\n  y: {type: category, loss: mse}\n  z: {type: number, wieght: 2}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(text, ["train.batch_size=0"], name="s.yaml")
    assert [p.where for p in caught.value.problems] == [
        "s.yaml:2",
        "s.yaml:3",
        "s.yaml:5",
        "s.yaml:6",
        "train.batch_size=0",
    ]
    text = str(caught.value)
    assert "'mse' does not fit a category" in text
    assert "did you mean 'weight'?" in text
    assert "did you mean 'standard'?" in text


@pytest.mark.parametrize("kind", ["date"])
def test_what_nothing_produces_is_no_output(kind):
    with pytest.raises(
        SpecError, match=f"s.yaml:1: outputs.y: a column of type {kind} can't be an output yet"
    ) as caught:
        load_spec(f"outputs: {{y: {kind}}}", name="s.yaml")
    assert caught.value.problems[0].hint == "outputs.y=category (or number)"


def test_a_guess_that_nothing_produces_is_refused_before_anything_is_trained():
    from dapeng.columns.date import Date
    from dapeng.product.product import Product

    summary = Date().summary(True)
    summary.add(pa.array(["2024-03-05", "2024-04-06"]))
    with pytest.raises(SpecError, match=r"outputs\.y: a column of type date can't be an output yet"):
        Product({}, {"y": Date().fitted("y", summary.result(), True)}, None, {}, {"y": {}})


@pytest.mark.parametrize("size", ["0", "-1", "1e9", ".nan", "x", "1.5", "[]", "true"])
def test_no_odd_batch_size_comes_through_Y09(size):
    with pytest.raises(SpecError, match=r"train\.batch_size"):
        load_spec("outputs: {y: number}", [f"train.batch_size={size}"])
