"""What is settled between columns before any data is read: encoders that decoders ask for, and vocabularies that are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dapeng import api
from dapeng.cli.resolved import resolved
from dapeng.core.errors import SpecError
from dapeng.core.loader import load_spec
from dapeng.core.needs import needed_encoders

TINY = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}
WORDS = ["apple pie", "pear tart", "fig jam", "plum cake"]


def spec_of(inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    return load_spec({"data": "none.csv", "inputs": inputs, "outputs": outputs})


def rows(count: int = 64) -> pa.Table:
    said = [WORDS[i % 4] for i in range(count)]
    return pa.table({"a": said, "b": [w + " now" for w in said], "c": [w.upper() for w in said]})


def test_a_text_from_which_a_text_is_written_is_read_in_order() -> None:
    spec = spec_of({"a": "text"}, {"c": "text"}).spec
    (encoder, why) = needed_encoders(spec.inputs, spec.outputs)["a"]
    assert encoder.type == "transformer"
    assert "decoder of c" in why


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"a": "text"}, {"c": "category"}),
        ({"a": {"type": "text", "encoder": "lstm"}}, {"c": "text"}),
        ({"a": {"type": "text", "tokeniser": "ngrams"}}, {"c": "text"}),
        ({"a": "number"}, {"c": "text"}),
    ],
)
def test_other_inputs_are_left_to_the_data_or_to_what_was_said(inputs: Any, outputs: Any) -> None:
    spec = spec_of(inputs, outputs).spec
    assert needed_encoders(spec.inputs, spec.outputs) == {}


def test_the_full_spec_shows_the_encoder_that_was_chosen_and_why() -> None:
    lines = resolved(spec_of({"a": "text"}, {"c": "text"})).splitlines()
    shown = next(line for line in lines if "type: transformer" in line)
    assert "chosen: keeps the order of the tokens" in shown


def trained(folder: Path, inputs: dict[str, Any]) -> Any:
    pq.write_table(rows(), folder / "rows.parquet")
    spec = {
        "data": str(folder / "rows.parquet"),
        "inputs": inputs,
        "outputs": {"c": {"type": "text", "tokeniser": "characters", "decoder": {"type": "llama", **TINY}}},
        "model": "network",
        "train": {"epochs": 1, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 10},
    }
    return api.train(spec, runs=folder / "runs")


def test_texts_that_are_alike_have_one_vocabulary_and_one_table_and_the_trunk_that_nobody_reads_is_not_built(
    tmp_path: Path, capsys: Any
) -> None:
    run = trained(
        tmp_path,
        {"a": {"type": "text", "encoder": {"type": "transformer", **TINY}}, "b": {"type": "text", "like": "a"}},
    )
    a, b = run.product.inputs["a"], run.product.inputs["b"]
    assert a.tokeniser.ids == b.tokeniser.ids
    assert "now" in a.tokeniser.ids  # a word of b alone
    names = [n for n, _ in run.product.model.named_parameters()]
    assert sum(n.startswith("tables.") for n in names) == 2  # that of both inputs, and the output's
    assert not any("trunk" in n for n in names)
    assert "no decoder looks at all inputs as one vector" in capsys.readouterr().err
    again = api.load(run.path)
    assert again.predict([{"a": "fig jam", "b": "fig jam now"}]).equals(
        run.predict([{"a": "fig jam", "b": "fig jam now"}])
    )


def test_labels_that_are_alike_have_one_vocabulary(tmp_path: Path) -> None:
    table = pa.table(
        {"home": ["x", "y", "z", "x"] * 20, "away": ["y", "w", "x", "z"] * 20, "won": ["1", "0", "1", "0"] * 20}
    )
    spec = {
        "inputs": {"home": "category", "away": {"type": "category", "like": "home"}},
        "outputs": {"won": "category"},
        "data": {"path": str(tmp_path / "games.parquet"), "split": {"by": "random"}},
        "model": "network",
        "train": {"epochs": 1, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 10},
    }
    pq.write_table(table, tmp_path / "games.parquet")
    run = api.train(spec, runs=tmp_path / "runs")
    assert (
        sorted(run.product.inputs["home"].labels) == sorted(run.product.inputs["away"].labels) == ["w", "x", "y", "z"]
    )


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"type": "text", "like": "c"}, "'c' is an output"),
        ({"type": "category", "like": "a"}, "'a' is a text, and this a category"),
        ({"type": "text", "like": "d"}, "no column 'd'"),
        ({"type": "text", "like": "a", "tokeniser": "bpe"}, "shares its table with a, which has another tokeniser"),
        (
            {"type": "text", "like": "a", "encoder": {"type": "transformer", "embed_dim": 32, "num_heads": 2}},
            "shares its table with a, which has another encoder",
        ),
    ],
)
def test_columns_that_cannot_be_alike_are_refused_before_training(second: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        trained(tmp_path, {"a": {"type": "text", "encoder": {"type": "transformer", **TINY}}, "b": second})
    assert said in str(caught.value)
