"""Texts from public weights: begun from a folder as transformers saves it, what comes out of it, and folders that are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.core.errors import DapengError, SpecError
from dapeng.core.kinds import decoders
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, build_model, fresh_model
from dapeng.objectives.base import Objective
from dapeng.train.strategies import Single

transformers = pytest.importorskip("transformers", reason="makes public weights with the package transformers")

SENTENCES = ["the cat sat on the mat", "a dog runs in the park", "今天天气很好", "birds sing 😀", "zero one two"]
TEXTS = ["the cat", "今天天气很好", "<|endoftext|> is text", "  two blanks\nand 😀"]
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "llama": ("Llama", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": False, "rope_theta": 5e5}),
    "qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True}),
    "mixtral": ("Mixtral", {**SIZES, "num_key_value_heads": 2, "num_local_experts": 2, "num_experts_per_tok": 1}),
}


def stories(rows: int = 60) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(SENTENCES[i] for i in draw.integers(0, len(SENTENCES), 2)) + "." for _ in range(rows)]


def public(path: Path, name: str, shard: str = "1GB") -> Path:
    """A tiny model as transformers saves it, with more rows in its table than its tokeniser has tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library: Any = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(stories(), trainer)
    end = "<|endoftext|>"
    transformers.PreTrainedTokenizerFast(tokenizer_object=library, eos_token=end, bos_token=end).save_pretrained(path)
    kind, sizes = CASES[name]
    torch.manual_seed(0)
    # more rows than tokens, and a width of three blocks of experts, as large models have them
    config = getattr(transformers, f"{kind}Config")(vocab_size=336, bos_token_id=0, eos_token_id=0, **sizes)
    model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path, max_shard_size=shard)
    return path


def decoder_of(name: str) -> str:
    return "gpt" if name == "gpt2" else "llama"


def begun(path: Path, name: str, texts: list[str] | None = None, **more: Any) -> tuple[Any, Any]:
    """The written column and the network as training starts it."""
    import pyarrow as pa

    from dapeng.columns.text import Text

    options = decoders.members()[decoder_of(name)](weights=str(path), dropout=0.0, **more).resolved()
    text = Text(decoder=options)
    summary = text.summary(True)
    summary.add(pa.array(texts or stories()))
    column = text.fitted("story", summary.result(), True)
    spec = Spec(inputs={}, outputs={"story": text})  # type: ignore[arg-type]
    return column, fresh_model(spec, {}, {"story": column}, Choices()).eval()


def logits(column: Any, model: Any, text: str) -> torch.Tensor:
    writer = model.decoders["story"].writer
    ids = torch.tensor([[column.codec.bos, *column.codec.encode([text])[0].tolist()]])
    with torch.no_grad():
        return writer.step(ids, writer.start(1, ids.shape[1]))


@pytest.mark.parametrize("name", CASES)
def test_a_decoder_begins_as_the_public_model_is(name: str, tmp_path: Path) -> None:
    path = public(tmp_path / "public", name)
    column, model = begun(path, name)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(path, split_special_tokens=True)
    for text in TEXTS:
        ids = tokeniser(text, add_special_tokens=False)["input_ids"]
        assert column.codec.encode([text])[0].tolist() == ids
        assert column.codec.decode(ids) == text
        with torch.no_grad():
            wanted = theirs(torch.tensor([[0, *ids]])).logits[:, -1]
        torch.testing.assert_close(logits(column, model, text), wanted, rtol=1e-4, atol=1e-4)
    assert column.size == 336


def spec_of(weights: Path, name: str, runs: Path, **decoder: Any) -> dict[str, Any]:
    runs.mkdir(parents=True, exist_ok=True)
    data = runs / "stories.jsonl"
    data.write_text("".join(json.dumps({"story": s}) + "\n" for s in stories()))
    return {
        "data": {"path": str(data), "split": {"by": "random"}},
        "outputs": {
            "story": {"type": "text", "decoder": {"type": decoder_of(name), "weights": str(weights), **decoder}}
        },
        "model": "network",
        "train": {"epochs": 2, "threads": 1, "batch_size": 16},
        "evaluate": {"baselines": [], "resamples": 0},
    }


@pytest.mark.parametrize("name", ["gpt2", "qwen3"])
def test_a_run_goes_out_and_in_again_with_the_same_logits(name: str, tmp_path: Path) -> None:
    path = public(tmp_path / "public", name)
    run = api.train(spec_of(path, name, tmp_path / "a"), runs=tmp_path / "runs")
    assert run.metrics["outputs"]["story"]["metrics"]["bits_per_byte"]["value"] > 0
    shutil.rmtree(path)  # the run needs it no more
    run = dapeng.load(run.path)
    found = run.export("transformers", tmp_path / "out")
    assert found["largest_difference"] < 1e-4
    column, model = run.product.outputs["story"], run.product.model
    for place in (tmp_path / "out", run.path):
        again, begins = begun(Path(place), name)
        for text in TEXTS:
            torch.testing.assert_close(logits(again, begins, text), logits(column, model, text), rtol=1e-5, atol=1e-5)
            assert again.codec.encode([text])[0].tolist() == column.codec.encode([text])[0].tolist()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs("the cat")["input_ids"] == [0, *column.codec.encode(["the cat"])[0].tolist()]


def test_shards_are_read_together_and_other_layouts_beside_them_are_not(tmp_path: Path) -> None:
    whole, parts = public(tmp_path / "whole", "llama"), public(tmp_path / "parts", "llama", shard="20KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    save_file({"of.another.layout": torch.ones(2)}, parts / "consolidated.safetensors")
    save_file({"of.another.layout": torch.ones(2)}, whole / "consolidated.safetensors")
    one, other = (begun(p, "llama")[1].state_dict() for p in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[n], other[n]) for n in one)
    next(parts.glob("model-00002*")).unlink()
    with pytest.raises(SpecError, match="lacks model-00002"):
        begun(parts, "llama")


def test_public_weights_learn_at_a_share_of_the_rate_and_what_is_new_at_all_of_it(tmp_path: Path) -> None:
    _, model = begun(public(tmp_path / "public", "llama"), "llama", weights_rate=0.25)
    strategy = Single()
    strategy.wrap(Objective(model), Spec(outputs={"x": "category"}).train.optimiser, 1e-3)  # type: ignore[arg-type]
    factors = {g.get("factor", 1.0) for g in strategy.optimisers["model"].param_groups if g["params"]}
    assert factors == {0.25}


def test_an_empty_text_stays_empty_where_begin_and_end_are_one_token(tmp_path: Path) -> None:
    column, _ = begun(public(tmp_path / "public", "gpt2"), "gpt2")
    assert column.codec.bos == column.codec.eos
    assert column.decode({"ids": np.array([[column.codec.eos, 0, 0]])}) == [""]
    import pyarrow as pa

    encoded = column.encode(pa.array(["the cat"]))
    assert column.truth({"ids": [encoded.tensors["ids"]]}).tolist() == ["the cat"]


def refused(path: Path | str, name: str, **decoder: Any) -> str:
    with pytest.raises(DapengError) as caught:
        begun(Path(path), name, **decoder)
    return str(caught.value)


def test_folders_that_are_wrong_are_refused_in_words(tmp_path: Path) -> None:
    path = public(tmp_path / "public", "llama")
    config, whole = json.loads((path / "config.json").read_text()), load_file(path / "model.safetensors")

    def written(**changed: Any) -> None:
        kept = {k: v for k, v in {**config, **changed}.items() if v is not None}
        (path / "config.json").write_text(json.dumps(kept))

    assert "no such folder" in refused(tmp_path / "nowhere", "llama")
    assert "holds llama, where gpt2 is read" in refused(path, "gpt2")
    assert "num_layers is 3, but the weights" in refused(path, "llama", num_layers=3)
    written(model_type="bert")
    assert "holds bert" in refused(path, "llama")
    written(hidden_act="swish_of_mine")
    assert "activation swish_of_mine" in refused(path, "llama")
    written(rope_scaling={"rope_type": "yarn", "factor": 4.0}, rope_parameters=None)
    assert "rotary positions of the kind yarn" in refused(path, "llama")
    written(attention_bias=True)
    assert "biases" in refused(path, "llama")
    written(num_hidden_layers=None)
    assert "num_hidden_layers" in refused(path, "llama")
    written(num_hidden_layers=3)
    assert "lack" in refused(path, "llama")
    written(intermediate_size=64)
    assert "[48, 32], but [64, 32] is expected" in refused(path, "llama")
    written(vocab_size=300)
    assert "but the table of the model 300 rows" in refused(path, "llama")
    written(eos_token_id=None)
    for name in ("generation_config.json", "tokenizer_config.json"):
        (path / name).unlink()
    assert "which token ends a text" in refused(path, "llama")
    written()
    save_file({n: t for n, t in whole.items() if "layers.1.mlp.up" not in n}, path / "model.safetensors")
    assert "layers.1.mlp.up_proj.weight" in refused(path, "llama")
    (path / "tokenizer.json").write_text("{}")
    assert "is no tokeniser" in refused(path, "llama")
    (path / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in refused(path, "llama")
    (path / "model.safetensors").unlink()
    (path / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def test_the_command_ends_in_words(tmp_path: Path, capsys: Any) -> None:
    path = public(tmp_path / "public", "gpt2")
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(spec_of(path, "gpt2", tmp_path / "data")))
    for typed, said in (
        ("outputs.story.decoder.weights=nowhere", "outputs.story.decoder.weights: nowhere: no such folder"),
        ("outputs.story.decoder.type=llama", "holds gpt2"),
        (
            "outputs.story.max_length=65",
            "outputs.story.max_length: 65 tokens at a time, but the decoder has 64 positions",
        ),
    ):
        assert main(["train", str(spec), typed, "--runs", str(tmp_path / "runs")]) == 2
        assert said in capsys.readouterr().err


def test_a_longer_text_than_the_positions_is_cut_at_them(tmp_path: Path) -> None:
    column, model = begun(public(tmp_path / "public", "gpt2"), "gpt2", ["the cat sat " * 90] * 10)
    assert column.max_length == 63
    assert model.decoders["story"].writer.shape.positions == 64


def test_beside_inputs_what_looks_at_them_is_new_and_the_rest_is_public(tmp_path: Path) -> None:
    path = public(tmp_path / "public", "gpt2")
    options = decoders.members()["gpt"](weights=str(path)).resolved()
    from tests.contract.parts import fitted

    given = fitted("text", "x", encoder={"type": "transformer", "embed_dim": 16, "num_heads": 2})
    column, _ = begun(path, "gpt2")
    spec = Spec(inputs={"x": {"type": "text"}}, outputs={"story": {"type": "text"}})  # type: ignore[dict-item]
    outputs = {
        "story": type(column)("story", column.options.model_copy(update={"decoder": options}), column.state, True)
    }
    model = fresh_model(spec, {"x": given}, outputs, Choices())
    own = load_file(path / "model.safetensors")
    stack = model.decoders["story"].writer.stack
    assert torch.equal(stack.blocks[1].mlp.up.weight, own["transformer.h.1.mlp.c_fc.weight"].T)
    assert stack.blocks[1].cross is not None
    other = build_model(spec, {"x": given}, outputs, Choices()).decoders["story"].writer.stack
    assert not torch.equal(other.blocks[1].mlp.up.weight, stack.blocks[1].mlp.up.weight)
