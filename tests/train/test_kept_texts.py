"""Trained language models whose texts are kept to a regular expression or a JSON schema, by every way that a user has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dapeng import api
from dapeng.cli.main import main
from dapeng.core.errors import RunError
from dapeng.nn.causal import plain_view

pytest.importorskip("llguidance", reason="needs llguidance (dapeng[constrain])")

SMALL = {"embed_dim": 32, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
BIRDS = ["大鹏", "鲲", "青鸟", "凤凰"]
SEEDS = range(20)
SCHEMA = {
    "type": "object",
    "properties": {
        "bird": {"enum": BIRDS},
        "miles": {"type": "integer", "minimum": 10, "maximum": 99999},
        "seen": {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 1, "maxItems": 2},
        "old": {"type": "boolean"},
    },
    "required": ["bird", "miles", "seen"],
    "additionalProperties": False,
}


def sightings(path: Path) -> Path:
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(400):
            said = {
                "bird": BIRDS[draw.integers(4)],
                "miles": int(draw.integers(10, 99999)),
                "seen": ["north-by，east"],
                "old": True,
            }
            file.write(json.dumps({"text": json.dumps(said, ensure_ascii=False)}, ensure_ascii=False) + "\n")
    return path


@pytest.fixture(scope="module", params=["bytes", "characters", "bpe", "unigram"])
def language(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A language model of every tokeniser that can be kept to something."""
    if request.param == "unigram":
        pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    folder = tmp_path_factory.mktemp(request.param)
    text = {"type": "text", "tokeniser": request.param, "decoder": {"type": "gpt", **SMALL}}
    spec = {
        "data": str(sightings(folder / "texts.jsonl")), "outputs": {"text": text}, "model": "network",
        "train": {"batch_size": 32, "learning_rate": 3e-3, "threads": 1, "epochs": 3},
        "evaluate": {"baselines": [], "resamples": 20},
    }  # fmt: skip
    return api.train(spec, runs=folder / "runs")


@pytest.mark.parametrize(
    "expression",
    [r"[0-9]{4}-(0[1-9]|1[0-2])", r"(大鹏|鲲|青鸟)，?[0-9]{2,5}|凤凰", r"(?i)[a-z]{1,5}( [a-z]+){0,2}", r"\w{3,6}", r"[^\d\s]{2,4}\d"],
)  # fmt: skip
def test_every_text_matches_the_whole_expression(language: Any, expression: str) -> None:
    found = [language.write("", logprobs=True, regex=expression, temperature=2, seed=s, max_tokens=200) for s in SEEDS]
    assert all(re.fullmatch(expression, w.text) for w in found if w.end == "stop")
    assert sum(w.end == "stop" for w in found) >= 15
    assert len({w.text for w in found}) > 3


def test_every_text_is_json_that_is_valid_by_the_schema(language: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (dapeng[dev])")
    found = [language.write("", logprobs=True, schema=SCHEMA, temperature=2, seed=s, max_tokens=400) for s in SEEDS]
    assert {w.end for w in found} == {"stop"}
    read = [json.loads(w.text) for w in found]
    for value in read:
        jsonschema.validate(value, SCHEMA)
    assert len({v["miles"] for v in read}) > 10


def test_free_texts_beside_kept_ones_are_what_they_are_alone(language: Any) -> None:
    from dapeng.generate.writing import stream
    from dapeng.product.writing import settings_of

    decoder, column = language.product.model.decoders["text"], language.product.outputs["text"]
    language.product.model.eval()
    free = {"temperature": 1.2, "max_tokens": 30}

    def texts(kept: int) -> list[list[int]]:
        writing = decoder.writing(column.codec)
        found: dict[int, list[int]] = {}
        for seed in range(3):
            found[writing.add([column.codec.bos], settings_of(**free, seed=seed))] = []
            for _ in range(kept):
                writing.add([column.codec.bos], settings_of(regex="[0-9]{5,40}", temperature=2, seed=seed))
        for piece in stream(writing):
            if piece.request in found and piece.token is not None:
                found[piece.request].append(piece.token)
        return list(found.values())

    assert texts(kept=2) == texts(kept=0)


def test_a_text_that_is_cut_says_so_and_one_that_is_complete_ends(language: Any) -> None:
    cut = language.write("", logprobs=True, regex="[0-9]+", max_tokens=3, temperature=1.5, seed=3)
    assert (cut.end, len(cut.tokens)) in {("length", 3), ("stop", len(cut.tokens))}
    whole = language.write("", logprobs=True, regex="[0-9]{2}", max_tokens=2, temperature=0)
    assert whole.end == "stop"
    assert re.fullmatch("[0-9]{2}", whole.text)
    assert language.write("", regex="", temperature=0) == ""
    assert language.write("", regex="[0-9]{500}", max_tokens=4, logprobs=True).end == "length"


def test_log_probabilities_are_those_of_the_whole_vocabulary(language: Any) -> None:
    writer, codec = language.product.model.decoders["text"].writer, language.product.outputs["text"].codec
    for settings in ({}, {"regex": "[0-9]{3}(大|鲲)"}, {"temperature": 1.5, "top_k": 3}):
        found = language.write("{", logprobs=True, max_tokens=6, **settings)
        assert found.text == language.write("{", max_tokens=6, **settings)
        ids, said = [codec.bos, *codec.encode(["{"])[0].tolist()], 0
        for text, logprob in found.tokens:
            with torch.no_grad():
                hidden = writer.hidden(torch.tensor([ids]), plain_view(1, len(ids)))
                believed = (hidden[0, -1] @ writer.matrix.T).log_softmax(-1)
            token = int((believed - logprob).abs().argmin())
            assert float(believed[token]) == pytest.approx(logprob, abs=1e-4)
            assert text == ("" if token == codec.eos else codec.decode([token]))
            ids.append(token)
            said += 1
        assert said >= 2
    assert [len(w.tokens) for w in language.write(["{", '{"'], logprobs=True, max_tokens=1)] == [1, 1]


def test_the_command_line_keeps_to_both(language: Any, tmp_path: Path, capsys: Any) -> None:
    words = ["chat", str(language.path), "--prompt", "", "--temperature", "2", "--seed", "4"]
    assert main([*words, "--regex", "(大鹏|鲲)[0-9]{3}"]) == 0
    assert re.fullmatch("(大鹏|鲲)[0-9]{3}\n", capsys.readouterr().out)
    schema = tmp_path / "s.json"
    schema.write_text(json.dumps(SCHEMA, ensure_ascii=False), encoding="utf-8")
    assert main([*words, "--schema", str(schema), "--max-tokens", "400"]) == 0
    assert json.loads(capsys.readouterr().out)["bird"] in BIRDS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--regex", "a(b"], "regex: character 2 of 'a(b': missing ), unterminated subpattern"),
        (["--regex", "(?=a)b"], "regex: looking ahead"),
        (["--regex", "(a)\\1"], "regex: repeating what a group found"),
        (["--regex", "a", "--stop", "b"], "stop: a text that is kept"),
        (["--regex", "a", "--schema", '{"type": "integer"}'], "found both"),
        (["--schema", '{"type": "integer",\n "minimum": }'], "schema.json:2: no JSON"),
        (["--schema", "[1]"], "schema: expected a JSON schema"),
        (["--schema", '{"properties": {"a": {"items": {"type": "strin"}}}}'], "schema#/properties/a/items: Invalid type: strin"),
        (["--schema", '{"type": "array", "uniqueItems": true}'], "uniqueItems"),
        (["--schema", '{"type": "string", "pattern": "("}'], "unclosed group"),
        (["--schema", '{"type": "integer", "minimum": 5, "maximum": 3}'], "Unsatisfiable schema"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(
    language: Any, words: list[str], said: str, tmp_path: Path, capsys: Any
) -> None:
    if "--schema" in words:
        path, at = tmp_path / "schema.json", words.index("--schema") + 1
        path.write_text(words[at], encoding="utf-8")
        words = [*words[:at], str(path)]
    assert main(["chat", str(language.path), "--prompt", "x", *words]) == 2
    found = capsys.readouterr().err
    assert said in found
    assert "Traceback" not in found


def test_a_file_of_a_schema_that_is_not_there_is_named(language: Any) -> None:
    with pytest.raises(RunError, match=r"nowhere\.json.*can't be read"):
        language.write("", schema="nowhere.json")


def test_letters_that_the_vocabulary_lacks_are_an_error_and_other_ways_are_taken(language: Any) -> None:
    if language.product.outputs["text"].codec.kind != "characters":
        assert language.write("", regex="龍€") == "龍€"
        return
    with pytest.raises(RunError, match="no token of this run's vocabulary"):
        language.write("", regex="龍€")
    found = {language.write("", regex="鲲(龍€|[0-9]龍|[0-9]{3})", temperature=2, seed=s) for s in SEEDS}
    assert all(re.fullmatch("鲲[0-9]{3}", text) for text in found)
    with pytest.raises(RunError, match="no token of this run's vocabulary"):
        language.write("", schema={"const": "龍€"})
