"""A tokeniser out of a file that a spec names: the tokens are the library's, with and without special ones, and the run needs the file no more."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import columns

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dogs", "run", "今天", "天气", "很好"]


def texts(count: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=4)) for _ in range(count)]


def tokenizer_json(path: Path, special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library: Any = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(texts(200), trainer)
    library.save(str(path))
    return library


def spec(tokens: str, **inputs: Any) -> dict[str, Any]:
    small = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2}
    return {
        "data": {"split": {"by": "random"}},
        "inputs": inputs,
        "outputs": {"line": {"type": "text", "tokens": tokens, "decoder": small}},
        "model": "network",
        "train": {"steps": 3, "batch_size": 8, "threads": 1, "time_limit": "10m"},
        "evaluate": {"baselines": [], "resamples": 0},
    }


@pytest.mark.parametrize("special", [[], ["<s>", "</s>", "<pad>"], ["<|endoftext|>"]], ids=["none", "three", "one"])
def test_a_tokenizer_json_is_what_texts_are_written_and_read_with(special: list[str], tmp_path: Path) -> None:
    library = tokenizer_json(tmp_path / "tokenizer.json", special)
    asked = spec(str(tmp_path / "tokenizer.json"))
    run = dapeng.train([{"line": t} for t in texts(60)], **asked, runs=str(tmp_path / "runs"))
    (tmp_path / "tokenizer.json").unlink()
    codec = dapeng.load(run.path).product.outputs["line"].codec  # type: ignore[attr-defined]
    for text in ["the cat 今天", "</s> is text <|endoftext|>", "  two"]:
        library.encode_special_tokens = True
        assert codec.encode([text])[0].tolist() == library.encode(text, add_special_tokens=False).ids
        assert codec.decode(codec.encode([text])[0].tolist()) == text
    assert codec.size >= library.get_vocab_size() + (3 - len(special) if not special else 0)
    assert len({codec.bos, codec.eos}) == 2
    assert isinstance(dapeng.load(run.path).write("the", max_tokens=3, temperature=0), str)


def test_a_model_of_sentence_piece_is_what_texts_are_written_with(tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    (tmp_path / "corpus.txt").write_text("\n".join(texts(400)), "utf-8")
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(tmp_path / "m"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    theirs = library.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    rows = [{"read": t.upper(), "line": t} for t in texts(60)]
    reads = {
        "read": {
            "type": "text",
            "tokeniser": "characters",
            "encoder": {"type": "transformer", "embed_dim": 16, "num_layers": 1},
        }
    }
    run = dapeng.train(rows, **spec(str(tmp_path / "m.model"), **reads), runs=str(tmp_path / "runs"))
    (tmp_path / "m.model").unlink()
    again = dapeng.load(run.path)
    codec: Any = again.product.outputs["line"].codec  # type: ignore[attr-defined]
    assert codec.encode(["the cat sat"])[0].tolist() == theirs.encode("the cat sat")
    assert codec.size == theirs.get_piece_size()
    assert again.predict(rows[:3]).num_rows == 3


def test_a_text_that_is_read_alone_has_the_tokens_of_a_tokenizer_json_too(tmp_path: Path) -> None:
    library = tokenizer_json(tmp_path / "tokenizer.json", ["<s>", "</s>"])
    rows = [{"line": t, "first": t.split()[0]} for t in texts(80)]
    asked = spec(
        "", line={"type": "text", "lowercase": False, "tokens": str(tmp_path / "tokenizer.json"), "encoder": "text_cnn"}
    )
    asked["outputs"] = {"first": "category"}
    run = dapeng.train(rows, **asked, runs=str(tmp_path / "runs"))
    column: Any = run.product.inputs["line"]
    said = column.tokeniser.encode(["the cat"], 20)[0].tolist()
    assert said == library.encode("the cat").ids
    assert dapeng.load(run.path).predict([{"line": "the cat sat"}]).num_rows == 1


def test_what_can_not_be_used_is_said(tmp_path: Path) -> None:
    Text: Any = columns.members()["text"]
    (tmp_path / "no.json").write_text("{}")
    (tmp_path / "no.model").write_bytes(b"nothing")
    with pytest.raises(SpecError, match=r"there\.json: no such file"):
        Text(tokens="there.json").settled(tmp_path)
    found = Text(tokens="no.json").settled(tmp_path)
    assert found.tokens == str(tmp_path / "no.json")
    with pytest.raises(SpecError, match="weights bring the tokeniser"):
        Text(tokens="no.json", decoder={"type": "llama", "weights": str(tmp_path)}).settled(tmp_path)
    for side in (True, False):
        with pytest.raises(SpecError, match=r"no.json is no tokenizer.json"):
            found.summary(side)
    with pytest.raises(SpecError, match=r"no.model"):
        Text(tokens=str(tmp_path / "no.model")).summary(True)
    with pytest.raises(SpecError, match=r"texts that are read alone take a tokenizer.json"):
        Text(tokens=str(tmp_path / "no.model")).summary(False)
    with pytest.raises(ValueError, match="tokens names a tokeniser that is there already, and like asks for another"):
        Text(tokens="no.json", like="other")
