"""Runs as transformers opens them: the same tokens, logits, greedy texts and probabilities; and what it has nothing for."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.core.errors import DapengError, RunError
from dapeng.tokens.kinds import CODECS
from trained import REVIEWS, iris_run

SENTENCES = [
    "the cat sat on the mat",
    "a dog runs in the park",
    "今天天气很好",
    "我们去公园吧",
    "birds sing 😀",
    "zero one two",
]
TEXTS = [
    "the cat",
    "今天天气",
    "<eos> is 😀 text, <bos>!",
    "  two  blanks\n\tcafe\u0301 12345 x²",
    "a \x1c b\x85c __init__",
]
WINDOW = 96
"""Longer than any text here with what is written behind it: beyond its window a run reads anew, which transformers does not."""
SMALL = {"embed_dim": 32, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
TRAIN = {"batch_size": 32, "learning_rate": 3e-3, "threads": 1, "epochs": 6}
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "gpt": ("bytes", {"type": "gpt", **SMALL}, "GPT2LMHeadModel"),
    "llama": ("bpe", {"type": "llama", **SMALL, "kv_heads": 1, "tie": False}, "LlamaForCausalLM"),
    "qwen": ("wordpiece", {"type": "llama", **SMALL, "qk_norm": True}, "Qwen3ForCausalLM"),
    "mixtral": ("characters", {"type": "llama", **SMALL, "experts": 2}, "MixtralForCausalLM"),
}


def stories(rows: int = 160) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(SENTENCES[i] for i in draw.integers(0, len(SENTENCES), 2)) + "." for _ in range(rows)]


@functools.cache
def language(name: str) -> Any:
    """A run that writes, without inputs."""
    tokeniser, decoder, _ = MODELS[name]
    folder = Path(tempfile.mkdtemp(prefix="dapeng-tests-"))
    (folder / "stories.jsonl").write_text("".join(json.dumps({"story": s}) + "\n" for s in stories()))
    spec = {
        "data": {"path": str(folder / "stories.jsonl"), "split": {"by": "random"}},
        "outputs": {"story": {"type": "text", "tokeniser": tokeniser, "max_length": WINDOW, "decoder": decoder}},
        "model": "network",
        "train": TRAIN,
        "evaluate": {"baselines": [], "resamples": 0},
    }
    return api.train(spec, runs=folder / "runs")


def reading(encoder: dict[str, Any], inputs: dict[str, Any] | None = None) -> Any:
    rows = REVIEWS * 8
    return dapeng.train(
        {"review": [r for r, _ in rows], "mood": [m for _, m in rows], "stars": [len(r) % 5 for r, _ in rows]},
        inputs={"review": {"type": "text", "encoder": encoder, **(inputs or {})}},
        outputs={"mood": "category"},
        model="network",
        train={"epochs": 2, "threads": 1, "learning_rate": 1e-2},
        evaluate={"baselines": [], "resamples": 0},
        data={"split": {"by": "random"}},
        runs=tempfile.mkdtemp(prefix="dapeng-tests-"),
    )


@pytest.mark.parametrize("name", MODELS)
def test_transformers_reads_and_writes_what_the_run_does(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
    run = language(name)
    found = run.export("transformers", tmp_path / "out")
    assert found["model"] == MODELS[name][2]
    assert found["largest_difference"] < 1e-4
    assert found["compared_with"] == f"transformers {transformers.__version__}"
    assert "generation_config.json" in found["files"]
    tokeniser = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == MODELS[name][2]
    codec, writer = run.product.outputs["story"].codec, run.product.model.decoders["story"].writer
    for text in TEXTS:
        ids = [codec.bos, *codec.encode([text])[0].tolist()]
        given = tokeniser(text, return_tensors="pt")
        assert given["input_ids"].tolist() == [ids]
        assert len(ids) + 12 <= WINDOW
        with torch.no_grad():
            wanted = writer.step(given["input_ids"], writer.start(1, len(ids)))
            torch.testing.assert_close(model(**given).logits[:, -1], wanted, rtol=1e-4, atol=1e-4)
        whole = model.generate(**given, max_new_tokens=12, do_sample=False)[0, len(ids) :]
        assert tokeniser.decode(whole, skip_special_tokens=True) == run.write(text, max_tokens=12, temperature=0)


def test_texts_of_several_lengths_are_gone_on_with_at_once(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
    run = language("llama")
    run.export("transformers", tmp_path / "out")
    tokeniser = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    given = tokeniser(["the", "a dog runs in the"], padding=True, return_tensors="pt")
    whole = model.generate(**given, max_new_tokens=8, do_sample=False)[:, given["input_ids"].shape[1] :]
    wanted = run.write(["the", "a dog runs in the"], max_tokens=8, temperature=0)
    assert tokeniser.batch_decode(whole, skip_special_tokens=True) == wanted


@pytest.mark.parametrize("kind", [k for k in CODECS if k not in ("file", "mapped")])
def test_a_tokenizer_json_reads_any_text_as_the_run_does(kind: str) -> None:
    from tokenizers import Tokenizer

    if kind == "unigram":
        pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    codec = CODECS[kind].trained(stories(60) + TEXTS * 3, 400, ["<user>"])
    library = Tokenizer.from_str(json.dumps(codec.published()))
    library.encode_special_tokens = True
    assert library.get_vocab_size() == codec.size
    for text in [*TEXTS, *made_up(400), "<user> <pad><unk>"]:
        ids = codec.encode([text])[0].tolist()
        assert library.encode(text).ids == ids, text
        assert library.decode(ids, skip_special_tokens=True) == codec.decode(ids), text


def made_up(texts: int) -> list[str]:
    """Texts of any characters that are assigned."""
    draw = random.Random(0)
    ranges = [(1, 0x7F), (1, 0x2FFF), (0x3000, 0x9FFF), (0x1F300, 0x1F6FF), (32, 33), (9, 11)]
    found = ["".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(0, 30))) for _ in range(texts)]
    return ["".join(c for c in t if unicodedata.category(c) not in ("Cn", "Cs", "Co")) for t in found]


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_text_that_is_read_is_cleaned_and_cut_the_same(kind: str, lowercase: bool) -> None:
    from tokenizers import Tokenizer

    from dapeng.columns.text import Text

    options = Text.model_validate(
        {"tokeniser": kind, "encoder": "bert", "lowercase": lowercase, "normalise": "NFC", "max_length": 99}
    )
    summary = options.summary(False)
    summary.add(pa.array(stories(60) + TEXTS))
    column: Any = options.fitted("x", summary.result(), False)
    values = column.tokeniser.published()
    values["normalizer"] = column.cleaning(values["normalizer"])
    library = Tokenizer.from_str(json.dumps(values))
    library.encode_special_tokens = True
    for text in [t for t in [*TEXTS, *made_up(300)] if t.strip()]:
        assert library.encode(text).ids[:99] == column.encode(pa.array([text])).tensors["ids"].tolist(), text


def test_a_bert_with_its_pooler_answers_as_the_run_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
    run = reading({"type": "bert", "embed_dim": 16, "num_layers": 2, "num_heads": 2, "pool": "pooler"})
    found = run.export("transformers", tmp_path / "out")
    assert (found["model"], found["answers"]) == ("BertForSequenceClassification", True)
    ask = transformers.pipeline("text-classification", model=str(tmp_path / "out"), top_k=None)
    texts = ["A wonderful  film!", "i hated it", "story 😀 [SEP] unknown"]
    told = run.predict({"review": texts}).to_pylist()
    for row, answer in zip(told, ask(texts, truncation=True)):
        assert {a["label"]: pytest.approx(a["score"], abs=1e-4) for a in answer} == {
            "good": row["mood.good"],
            "bad": row["mood.bad"],
        }


def test_a_bert_with_another_pool_gives_its_tokens_and_says_so(tmp_path: Path, capsys: Any) -> None:
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
    run = reading({"type": "bert", "embed_dim": 16, "num_layers": 1, "num_heads": 2})
    found = run.export("transformers", tmp_path / "out")
    assert (found["model"], found["answers"]) == ("BertModel", False)
    assert found["largest_difference"] < 1e-4
    assert "encoder.pool=pooler" in capsys.readouterr().err
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "out")).__name__ == "BertModel"


def test_what_transformers_has_nothing_for_is_refused_with_what_would_work(tmp_path: Path, capsys: Any) -> None:
    folder, _, _ = iris_run()
    assert main(["export", str(folder.path), "--format", "transformers", "--to", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "language models" in said
    assert "--format standalone" in said
    assert not (tmp_path / "out").exists()


def test_a_writer_that_reads_inputs_is_refused(tmp_path: Path) -> None:
    run = dapeng.train(
        {"a": ["one two", "two three", "three"] * 20, "b": ["two", "three four", "four"] * 20},
        inputs={"a": {"type": "text", "encoder": {"type": "transformer", "embed_dim": 16, "num_heads": 2}}},
        outputs={"b": {"type": "text", "decoder": {"type": "gpt", **SMALL}}},
        model="network",
        train={"epochs": 1, "threads": 1},
        evaluate={"baselines": [], "resamples": 0},
        data={"split": {"by": "random"}},
        runs=str(tmp_path / "runs"),
    )
    with pytest.raises(RunError, match="from what inputs say"):
        run.export("transformers", tmp_path / "out")


def test_a_stack_that_no_public_model_has_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    run = dapeng.load(language("gpt").path)
    writer = run.product.model.decoders["story"].writer
    writer.shape = replace(writer.shape, activation="squared_relu")
    with pytest.raises(RunError, match="no model made of such blocks"):
        run.export("transformers", tmp_path / "out")


def test_a_tokeniser_that_would_read_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dapeng.load(language("llama").path)
    codec = run.product.outputs["story"].codec
    other = {**codec.published(), "normalizer": {"type": "Lowercase"}}
    monkeypatch.setattr(codec, "published", lambda: other)
    with pytest.raises(DapengError, match="otherwise than the run"):
        run.export("transformers", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_transformers_the_files_are_read_back(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "import dapeng\n"
        f"found = dapeng.load({str(language('gpt').path)!r}).export('transformers', {str(tmp_path / 'out')!r})\n"
        "print(found['compared_with'], found['largest_difference'] < 1e-4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "the files, read back True"
