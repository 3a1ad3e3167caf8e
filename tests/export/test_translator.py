"""Translators as transformers opens them: continued from a public folder and trained from scratch; and what it has nothing for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dapeng import api
from dapeng.core.errors import RunError
from translators import pairs, public

transformers = pytest.importorskip("transformers", reason="opens what is written with the package transformers")
pytest.importorskip("sentencepiece", reason="its tokens need sentencepiece (dapeng[text])")
SMALL = {"type": "transformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0, "activation": "relu"}
SCRATCH = {
    "inputs": {"en": {"type": "text", "tokeniser": "words", "min_count": 1, "encoder": {**SMALL, "pre_norm": False}}},
    "outputs": {"de": {"type": "text", "vocab_size": 300, "decoder": SMALL}},
}


def trained(tmp_path: Path, columns: dict[str, Any], steps: int = 2) -> Any:
    rows = [{"en": e, "de": d} for e, d in pairs(40)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    spec = {
        "data": {"path": str(tmp_path / "pairs.jsonl"), "split": {"by": "random"}},
        **columns,
        "model": "network",
        "train": {"steps": steps, "batch_size": 8, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 0},
    }
    return api.train(spec, runs=tmp_path / "runs")


def begun(folder: Path, **written: Any) -> dict[str, Any]:
    part = {"type": "transformer", "weights": str(folder), "dropout": 0.0}
    return {
        "inputs": {"en": {"type": "text", "encoder": part}},
        "outputs": {"de": {"type": "text", "decoder": part, **written}},
    }


@pytest.mark.parametrize("like", [False, True])
def test_a_public_translator_is_trained_on_and_goes_back(like: bool, tmp_path: Path) -> None:
    folder = public(tmp_path / "m")
    run = trained(tmp_path, begun(folder, **({"like": "en"} if like else {})))
    found = run.export("transformers", tmp_path / "out")
    assert found["model"] == "MarianMTModel"
    assert found["largest_difference"] < 1e-4
    assert {"source.spm", "target.spm", "vocab.json", "model.safetensors", "generation_config.json"} <= {
        *found["files"]
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["share_encoder_decoder_embeddings"] is like
    for name in ("source.spm", "target.spm"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    assert json.loads((tmp_path / "out" / "vocab.json").read_text()) == json.loads((folder / "vocab.json").read_text())
    model = transformers.MarianMTModel.from_pretrained(tmp_path / "out").eval()
    before = transformers.MarianMTModel.from_pretrained(folder)
    moved = [not torch.equal(p, q) for p, q in zip(model.model.decoder.parameters(), before.model.decoder.parameters())]
    assert any(moved)
    tokeniser = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = ["the cat sat", "birds sing"]
    written = model.generate(**tokeniser(texts, padding=True, return_tensors="pt"))
    assert (
        tokeniser.batch_decode(written, skip_special_tokens=True)
        == run.predict([{"en": t} for t in texts])["de"].to_pylist()
    )
    again = trained(tmp_path, begun(tmp_path / "out", **({"like": "en"} if like else {})), steps=1)
    assert again.product.outputs["de"].codec.state["names"] == run.product.outputs["de"].codec.state["names"]


def test_a_translator_from_scratch_is_one_of_transformers(tmp_path: Path) -> None:
    run = trained(tmp_path, SCRATCH)
    found = run.export("transformers", tmp_path / "out")
    assert found["model"] == "MarianMTModel"
    assert found["largest_difference"] < 1e-4
    assert found["texts_compared"]["source"] == 10
    model = transformers.MarianMTModel.from_pretrained(tmp_path / "out").eval()
    sides = [
        transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "out", subfolder=s)
        for s in ("source", "target")
    ]
    text = "the cat sat"
    written = model.generate(**sides[0](text, return_tensors="pt", return_token_type_ids=False))
    assert sides[1].decode(written[0], skip_special_tokens=True) == run.predict([{"en": text}])["de"][0].as_py()
    again = trained(tmp_path, begun(tmp_path / "out"), steps=1)
    assert again.product.outputs["de"].size == run.product.outputs["de"].size


@pytest.mark.parametrize(
    ("encoder", "decoder", "what"),
    [
        ({"pre_norm": True}, {}, "norms behind each part"),
        ({"positions": "learned"}, {}, "sinusoidal positions"),
        ({"activation": "gelu"}, {}, "one activation"),
        ({}, {"eps": 1e-6}, "norms behind each part"),
    ],
)
def test_what_marian_is_not_is_refused(
    encoder: dict[str, Any], decoder: dict[str, Any], what: str, tmp_path: Path
) -> None:
    read, written = SCRATCH["inputs"]["en"], SCRATCH["outputs"]["de"]
    spec = {
        "inputs": {"en": {**read, "encoder": {**read["encoder"], **encoder}}},
        "outputs": {"de": {**written, "decoder": {**written["decoder"], **decoder}}},
    }
    run = trained(tmp_path, spec, steps=1)
    with pytest.raises(RunError, match=what):
        run.export("transformers", tmp_path / "out")


@pytest.mark.parametrize(
    ("break_it", "what"),
    [
        (lambda f: (f / "source.spm").unlink(), "no source.spm with a vocab.json"),
        (lambda f: (f / "source.spm").write_bytes(b"the cat"), "no model of sentencepiece"),
        (lambda f: (f / "vocab.json").write_text("{}"), "which piece has which id"),
        (lambda f: changed(f, vocab_size=10, decoder_vocab_size=10), "but the table of the model 10 rows"),
        (lambda f: changed(f, model_type="bart"), "holds bart, where marian is read"),
        (lambda f: changed(f, activation_function="tanh"), "activation tanh"),
        (lambda f: changed(f, decoder_start_token_id=5), "begins one otherwise than by padding"),
        (lambda f: changed(f, encoder_layers=3), "lack model.encoder.layers.2"),
    ],
)
def test_folders_that_are_wrong_are_refused(break_it: Any, what: str, tmp_path: Path) -> None:
    from dapeng.core.errors import SpecError

    folder = public(tmp_path / "m")
    break_it(folder)
    with pytest.raises(SpecError, match=what):
        trained(tmp_path, begun(folder))


def changed(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_adapters_are_merged_and_what_looks_at_inputs_stays_as_it_was(tmp_path: Path) -> None:
    folder = public(tmp_path / "m")
    columns = begun(folder)
    for part in (columns["inputs"]["en"], columns["outputs"]["de"]):
        key = "encoder" if "encoder" in part else "decoder"
        part[key] = {**part[key], "lora": {"rank": 2, "on": "all"}}
    found = trained(tmp_path, columns).export("transformers", tmp_path / "out")
    assert found["largest_difference"] < 1e-4
    before, after = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "out"))
    moved = {n for n, t in before.items() if n in after and not torch.equal(t, after[n])}
    assert any("encoder.layers.0.fc1.weight" in n for n in moved)
    assert any("decoder.layers.0.fc2.weight" in n for n in moved)
    assert not any("encoder_attn" in n or "norm" in n or "logits_bias" in n for n in moved)
