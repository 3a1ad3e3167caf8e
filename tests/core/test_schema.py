"""The JSON schema takes what the loader takes, shorthands included, and is the one that is committed."""

from pathlib import Path

import jsonschema
import pytest
from small_spec import Small

from dapeng.core.errors import SpecError
from dapeng.core.loader import read, validate
from dapeng.core.schema import schema, text
from dapeng.core.yaml12 import read as read_yaml

COMMITTED = Path(__file__).parents[2] / "schema" / "dapeng.schema.json"

GOOD = [
    "outputs: {y: category}",
    "data: r.csv\ninputs: {a: text, n: {type: number, encoder: auto}}\noutputs: {y: {type: category, loss: {label_smoothing: 0.1}}}",
    "data: {path: [a, b], split: time, encoding: auto}\noutputs: {y: number}".replace("time", "random"),
    "inputs: {t: {type: text, encoder: {num_layers: 4}}}\noutputs: {y: {type: category, weight: 2}}\nfusion: concat",
    "outputs: {y: number}\ntrain: {epochs: auto, time_limit: 20m, phases: [{epochs: 3}]}\ncolumns: {x: group}",
]
BAD = [
    "data: r.csv",
    "outputs: {y: categry}",
    "outputs: {y: {type: category, weight: 0}}",
    "outputs: {y: number}\ntrian: {}",
    "outputs: {y: {type: category, loss: mse}}",
    "outputs: {y: {loss: mse}}",
    "outputs: {}",
    "outputs: {y: number}\ntrain: {epochs: ten}",
    "outputs: {y: number}\ndata: 3",
]


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    made = schema(Small)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("spec", GOOD)
def test_good_specs_pass_both(checker, spec):
    assert list(checker.iter_errors(read_yaml(spec).value)) == []
    source, name, _ = read(spec, Small, "s")
    validate(source, Small, [], name)


@pytest.mark.parametrize("spec", BAD)
def test_bad_specs_fail_both(checker, spec):
    assert list(checker.iter_errors(read_yaml(spec).value))
    source, name, _ = read(spec, Small, "s")
    with pytest.raises(SpecError):
        validate(source, Small, [], name)


def test_the_schema_is_deterministic_and_has_the_help():
    assert text(Small) == text(Small)
    assert '"description": "Width of the state."' in text(Small)


def test_the_committed_schema_is_up_to_date():
    assert COMMITTED.read_text("utf-8") == text(), "run: python -m dapeng.core.schema > schema/dapeng.schema.json"
