"""Tokenisers out of files that a spec names: the library's ids, special tokens, what is no tokeniser, and the whole way."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import dapeng
from dapeng.cli.main import main
from dapeng.columns.text import Text
from dapeng.columns.text_reader import TextReader
from dapeng.core.errors import SpecError
from dapeng.tokens.base import Codec
from dapeng.tokens.given import read
from dapeng.tokens.kinds import CODECS

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dogs", "run", "in", "parks", "今天", "天气", "很好", "naïve"]
SMALL = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}


def texts(rows: int = 120) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=5)) for _ in range(rows)]


def byte_pairs(path: Path, special: tuple[str, ...] = ("<|endoftext|>",)) -> Path:
    library: Any = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(texts(), trainer)
    library.save(str(path))
    return path


def pieces(path: Path, kind: str = "unigram", **more: Any) -> Path:
    prefix = str(path.with_suffix(""))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts()), model_prefix=prefix, vocab_size=60 if kind == "unigram" else 90,
        model_type=kind, hard_vocab_limit=False, minloglevel=2, **more,
    )  # fmt: skip
    return path


def codec(path: Path) -> Codec:
    state = read(path)
    return CODECS[state["kind"]](state)


def column(path: Path, target: bool = False, **more: Any) -> Any:
    options = Text.model_validate({"type": "text", "tokeniser": str(path), **more}).settled(None)
    summary = options.summary(target)
    summary.add(pa.array(texts()))
    return options.fitted("t", summary.result(), target)


def test_a_tokenizer_json_gives_the_ids_of_the_library(tmp_path: Path) -> None:
    path = byte_pairs(tmp_path / "tokenizer.json")
    library, own = Tokenizer.from_file(str(path)), codec(path)
    for text in [*texts(5), "  unseen 😀\n"]:
        assert own.encode([text])[0].tolist() == library.encode(text).ids
        assert own.decode(library.encode(text).ids) == text
    assert own.bos == own.eos == library.token_to_id("<|endoftext|>")
    assert (own.pad, own.size) == (library.get_vocab_size(), library.get_vocab_size() + 1)
    assert own.state["added"] == ["pad"]
    assert own.unwritten == (own.pad,)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_model_of_sentencepiece_gives_the_ids_of_the_library(kind: str, tmp_path: Path) -> None:
    path = pieces(tmp_path / "m.model", kind)
    library, own = sentencepiece.SentencePieceProcessor(model_file=str(path)), codec(path)
    for text in texts(5):
        assert own.encode([text])[0].tolist() == library.encode(text)
        assert own.decode(library.encode(text)) == text
    assert (own.bos, own.eos, own.pad) == (library.bos_id(), library.eos_id(), library.get_piece_size())
    assert own.size == library.get_piece_size() + 1
    assert {*own.unwritten} == {own.pad, own.bos, library.unk_id()}
    assert own.decode([own.bos, *own.encode(["cat?"])[0].tolist(), own.eos, own.pad]) == "cat\ufffd"  # not learnt


def test_what_the_file_has_is_not_added(tmp_path: Path) -> None:
    own = codec(pieces(tmp_path / "m.model", pad_id=3))
    assert own.pad == 3
    assert own.state["added"] == []
    full = codec(byte_pairs(tmp_path / "tokenizer.json", ("<pad>", "<s>", "</s>")))
    assert (full.pad, full.bos, full.eos, full.state["added"]) == (0, 1, 2, [])


@pytest.mark.parametrize("name", ["unigram.json", "words.json", "bytes.json", "pieces.model"])
def test_special_tokens_in_a_text_are_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "pieces.model":
        pieces(path)
    elif name == "bytes.json":
        byte_pairs(path)
    else:
        vocab = {"<pad>": 0, "</s>": 1, "<unk>": 2, "<s>": 3, "a": 4, "s>": 5, "<": 6, "/s>": 7}
        model = (
            models.WordLevel(vocab, unk_token="<unk>")
            if name == "words.json"
            else models.Unigram([(w, -float(i)) for w, i in vocab.items()], unk_id=2)
        )
        library: Any = Tokenizer(model)
        library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        library.save(str(path))
    own = codec(path)
    special = {own.pad, own.bos, own.eos}
    text = "a </s> <s> <pad> <|endoftext|> a"
    assert special.isdisjoint(own.encode([text])[0].tolist())
    read_ids = column(path).encode(pa.array([text])).tensors["ids"]
    assert special.isdisjoint(read_ids.tolist())
    assert TextReader(**column(path).reader()[1]).encode([text])["ids"][0].tolist() == read_ids.tolist()


def test_an_input_reads_as_the_file_says_with_what_it_puts_around(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    path = byte_pairs(tmp_path / "tokenizer.json", ("<pad>", "<s>", "</s>"))
    library: Any = Tokenizer.from_file(str(path))
    library.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    library.save(str(path))
    found = column(path)
    assert found.encode(pa.array(["the cat"])).tensors["ids"].tolist() == library.encode("the cat").ids
    assert found.tokeniser.framing()[:3] == (0, 1, 2)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("gone.json", None, "no such file"),
        ("empty.json", b"", "is empty"),
        ("empty.model", b" \n", "is empty"),
        ("list.json", b"[]", "is no tokenizer.json"),
        ("half.json", b'{"model": ', "is no tokenizer.json"),
        ("latin.json", b'{"\xff": 1}', "is not UTF-8"),
        ("text.model", b"the cat sat", "is no model of sentencepiece"),
        ("words.txt", b"the cat", "ends neither in .json nor in .model"),
        ("folder.json", "folder", "is a folder"),
    ],
)
def test_files_that_hold_no_tokeniser_are_refused(
    name: str, content: Any, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    (tmp_path / "d.csv").write_text("a,b\n" + "the cat,x\nthe dog,y\n" * 20)
    for asked in (str(path), f"{{type: file, path: {path}}}"):
        spec = tmp_path / "spec.yaml"
        spec.write_text(f"data: d.csv\ninputs: {{a: {{type: text, tokeniser: {asked}}}}}\noutputs: {{b: category}}\n")
        assert main(["train", str(spec), "--runs", str(tmp_path / "runs")]) == 2
        said = capsys.readouterr().err
        assert what in said
        assert "inputs.a.tokeniser" in said


def test_a_vocabulary_out_of_a_file_has_its_own_size(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing to choose"):
        column(pieces(tmp_path / "m.model"), vocab_size=300)


def test_a_run_has_all_that_it_needs_of_the_files(tmp_path: Path) -> None:
    pieces(tmp_path / "m.model")
    byte_pairs(tmp_path / "tokenizer.json")
    rows = texts(60)
    (tmp_path / "d.csv").write_text("a,b\n" + "".join(f"{t},{t.upper()}\n" for t in rows), "utf-8")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"data: d.csv\ninputs: {{a: {{type: text, tokeniser: m.model, encoder: {{type: transformer, {flat(SMALL)}}}}}}}\n"
        "outputs: {b: {type: text, tokeniser: {type: file, path: tokenizer.json}, "
        f"decoder: {{type: transformer, {flat(SMALL)}}}}}}}\ntrain: {{steps: 2}}\n"
    )
    assert main(["train", str(spec), "--runs", str(tmp_path / "runs")]) == 0
    (tmp_path / "m.model").unlink()
    (tmp_path / "tokenizer.json").unlink()
    run = dapeng.load(next((tmp_path / "runs").glob("*-0001")))
    assert len(run.predict([{"a": t} for t in rows[:3]])) == 3
    assert run.product.outputs["b"].size == np.asarray(run.product.outputs["b"].codec.pad) + 1


def flat(options: dict[str, Any]) -> str:
    return ", ".join(f"{k}: {v}" for k, v in options.items())


def test_what_is_written_like_an_input_has_its_file_too(tmp_path: Path) -> None:
    path = pieces(tmp_path / "m.model")
    found = column(path)
    options = Text.model_validate({"type": "text", "like": "a"})
    summary: Any = options.summary(True)
    summary.add(pa.array(texts()))
    written: Any = options.fitted("b", summary.result_like(found.options, found.state), True)
    assert written.codec.encode(["the cat"])[0].tolist() == codec(path).encode(["the cat"])[0].tolist()
    assert {written.codec.pad, written.codec.bos, written.codec.eos} == {codec(path).pad, 1, 2}
