"""Specs from files: every problem at once, with its place; shorthands, overrides, extends."""

import pickle
from pathlib import Path

import pytest
from small_spec import Category, Lstm, Small, Text

from dapeng.core.errors import SpecError
from dapeng.core.loader import load_spec, read, validate

GOLDEN = Path(__file__).parent / "golden"


def load(source, overrides=(), name="reviews.yaml"):
    loaded, name, _ = read(source, Small, name)
    return validate(loaded, Small, overrides, name), loaded


def error_of(source, overrides=()) -> str:
    with pytest.raises(SpecError) as caught:
        load(source, overrides)
    return str(caught.value)


def test_shorthands_mean_their_long_forms():
    short, _ = load("data: r.csv\ninputs: {review: text}\noutputs: {y: category}\n")
    long, _ = load(
        "data: {path: r.csv}\ninputs: {review: {type: text, encoder: {type: transformer}}}\n"
        "outputs: {y: {type: category, loss: cross_entropy}}\n"
    )
    assert short == long
    assert load("data: [a.csv, b.csv]\noutputs: {y: number}\n")[0].data.path == ["a.csv", "b.csv"]


def test_a_column_may_bear_the_name_of_a_type_or_of_a_key():
    spec, _ = load("inputs: {text: text, type: text, encoder: number}\noutputs: {category: category, loss: number}\n")
    assert [c.type for c in spec.inputs.values()] == ["text", "text", "number"]
    text = error_of(
        "inputs: {text: {type: text, encoder: {type: lstm, hiden_size: 3}}}\noutputs: {category: category}\n"
    )
    assert "inputs.text.encoder.hiden_size: unknown key for lstm\n  hint: did you mean 'hidden_size'?" in text


@pytest.mark.parametrize("name", sorted(f.stem for f in GOLDEN.glob("*.yaml")))
def test_error_texts_are_as_agreed(name):
    source = (GOLDEN / f"{name}.yaml").read_text("utf-8")
    overrides = [line[3:] for line in source.splitlines() if line.startswith("#$ ")]
    assert error_of(source, overrides) + "\n" == (GOLDEN / f"{name}.txt").read_text("utf-8")


def test_errors_never_speak_pydantic():
    for file in GOLDEN.glob("*.txt"):
        text = file.read_text("utf-8")
        assert "pydantic" not in text
        assert "Input should" not in text
        assert "http" not in text


@pytest.mark.parametrize(
    "override",
    ["train.batch_size=0", "train.batch_size=-1", "train.learning_rate=.nan", "train.learning_rate=1e9",
     "train.epochs=1e9", "inputs.t.encoder.num_layers=1000000000", "train.epochs=.inf"],
)  # fmt: skip
def test_absurd_sizes_are_refused_by_the_schema_Y09(override):
    assert override + ": expected a" in error_of("inputs: {t: text}\noutputs: {y: category}\n", [override])


def test_an_override_goes_into_a_shorthand():
    spec, loaded = load(
        "data: r.csv\ninputs: {review: text}\noutputs: {y: category}\n",
        ["inputs.review.encoder.num_layers=7", "data.split.by=random", "data.split.test=0.3", "train.epochs=3"],
    )
    assert spec.inputs["review"].encoder.num_layers == 7
    assert spec.data.split.test == 0.3
    assert spec.data.path == "r.csv"
    assert str(loaded.marks["train", "epochs"]) == "typed: train.epochs=3"
    assert str(loaded.marks["data", "path"]) == "reviews.yaml:1"


def test_an_override_finds_columns_with_dots_in_their_names():
    spec, _ = load(
        "inputs: {a.b: text, a: text}\noutputs: {y.z: category}\n", ["inputs.a.b.encoder=lstm", "outputs.y.z.weight=2"]
    )
    assert spec.inputs["a.b"].encoder.type == "lstm"
    assert spec.inputs["a"].encoder.type == "transformer"
    assert spec.outputs["y.z"].weight == 2


def test_an_override_is_read_as_yaml_1_2_and_reported_as_typed():
    text = error_of(
        "outputs: {y: category}\n", ["train.epochs=no", "train.epoch=3", "nonsense", "outputs.y.weight.x=1"]
    )
    assert "train.epochs=no: expected a number or auto, found 'no'" in text
    assert "train.epoch=3: unknown key for train\n  hint: did you mean 'epochs'?" in text
    assert "nonsense: expected key.path=value" in text
    assert "reviews.yaml" not in text.partition("\n\n")[2]


def test_overrides_reach_into_lists():
    spec, _ = load("outputs: {y: category}\ntrain: {phases: [{epochs: 1}, {epochs: 2}]}\n", ["train.phases.1.epochs=9"])
    assert [p.epochs for p in spec.train.phases] == [1, 9]
    assert "nothing can be set" in error_of(
        "outputs: {y: category}\ntrain: {phases: [{epochs: 1}]}\n", ["train.phases.4.epochs=9"]
    )


def test_extends_merges_deeply_and_remembers_each_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(
        "inputs:\n  review: text\n  price: number\noutputs:\n  y: {type: category, loss: {type: focal}}\n"
        "train: {epochs: 3, batch_size: 8}\n"
    )
    Path("child.yaml").write_text(
        "extends: base.yaml\ninputs:\n  review: {encoder: {hidden_size: 32, type: lstm}}\n"
        "outputs:\n  y: {loss: cross_entropy}\ntrain: {epochs: 9}\n"
    )
    source, name, folder = read("child.yaml", Small)
    spec = validate(source, Small, [], name)
    assert spec.inputs["review"].encoder == Lstm(hidden_size=32)
    assert spec.outputs["y"].loss.type == "cross_entropy"
    assert (spec.train.epochs, spec.train.batch_size) == (9, 8)
    assert str(source.marks["train", "epochs"]) == "child.yaml:6"
    assert str(source.marks["train", "batch_size"]) == "base.yaml:6"
    assert str(source.marks["inputs", "review", "encoder", "hidden_size"]) == "child.yaml:3"
    assert folder == Path()


def test_extending_with_another_kind_replaces_the_keys_of_the_old_one(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "inputs: {r: {type: text, encoder: {type: transformer, num_layers: 4}}}\noutputs: {y: number}\n"
    )
    (tmp_path / "c.yaml").write_text("extends: base.yaml\ninputs: {r: {encoder: {type: lstm}}}\n")
    assert load(tmp_path / "c.yaml")[0].inputs["r"].encoder == Lstm()


@pytest.mark.parametrize(
    ("text", "words"),
    [("extends: a.yaml\n", "extends this file in turn"), ("extends: none.yaml\n", "there is no file 'none.yaml'"),
     ("extends: http://169.254.169.254/x.yaml\n", "a local file"), ("extends: [a]\n", "a local file")],
)  # fmt: skip
def test_extends_refuses_circles_and_addresses_Y08(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text + "outputs: {y: number}\n")
    assert words in error_of(tmp_path / "a.yaml")


def test_a_problem_in_a_base_file_is_reported_there(tmp_path):
    (tmp_path / "base.yaml").write_text("outputs:\n  y: numbr\n")
    (tmp_path / "a.yaml").write_text("extends: base.yaml\ntrain: {epochs: ten}\n")
    with pytest.raises(SpecError) as caught:
        load(str(tmp_path / "a.yaml"), name=None)
    assert [p.where.rsplit("/", 1)[-1] for p in caught.value.problems] == ["a.yaml:2", "base.yaml:2"]


def test_typed_objects_and_mappings_are_specs_too():
    spec = Small(
        inputs={"review": Text(encoder=Lstm(hidden_size=8))}, outputs={"y": "category", "z": Category(weight=2)}
    )
    assert spec.inputs["review"].encoder.hidden_size == 8
    with pytest.raises(SpecError, match=r"outputs\.y: unknown type 'categry'\n  hint: did you mean 'category'\?"):
        Small(outputs={"y": "categry"})
    with pytest.raises(SpecError, match="this column is also an input"):
        Small(inputs={"y": "text"}, outputs={"y": "category"})
    with pytest.raises(SpecError, match="num_heads: expected a whole number of at least 1, found 0"):
        load({"inputs": {"t": {"type": "text", "encoder": {"num_heads": 0}}}, "outputs": {"y": "category"}})


def test_a_mapping_is_not_changed_by_loading_it():
    values = {"inputs": {"t": "text"}, "outputs": {"y": "category"}}
    load(values, ["inputs.t.encoder=lstm"])
    assert values["inputs"] == {"t": "text"}


def test_a_dumped_spec_loads_to_the_same():
    spec, _ = load("inputs: {t: {type: text, encoder: lstm}}\noutputs: {y: category}\ntrain: {epochs: 2}\n")
    assert load(spec.dump())[0] == spec


def test_errors_survive_pickling():
    with pytest.raises(SpecError) as caught:
        load("outputs: {y: categry}\n")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_files_that_are_not_there_or_no_specs(tmp_path):
    (tmp_path / "reviews.yaml").write_text("outputs: {y: category}\n")
    with pytest.raises(SpecError, match=r"did you mean .*reviews\.yaml"):
        load_spec(tmp_path / "review.yaml")
    with pytest.raises(SpecError, match="is a folder"):
        load_spec(tmp_path)


def test_a_markup_in_a_name_is_just_a_name_Y10():
    spec, _ = load("name: <script>alert(1)</script>\noutputs: {<script>: category}\n")
    assert spec.name == "<script>alert(1)</script>"
    assert "<script>" in spec.outputs
