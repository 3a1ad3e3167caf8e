"""Language models as one file for llama.cpp: what the file says, its tensors, its tokeniser, and what doesn't go into one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_transformers import TEXTS, language, reading  # type: ignore[import-not-found]

from dapeng.core.errors import RunError
from dapeng.export.gguf_file import halved, interleaved
from dapeng.nn.attention import rotated

gguf = pytest.importorskip("gguf", reason="needs gguf (dapeng[gguf])")


def field(reader: Any, name: str) -> Any:
    return reader.get_field(name).contents()


def test_the_file_says_what_the_model_and_its_tokeniser_are(tmp_path: Path) -> None:
    run = language("llama")
    found = run.export("gguf", tmp_path / "model.gguf")
    assert (found["model"], found["file"]) == ("llama", str(tmp_path / "model.gguf"))
    assert found["largest_difference"] < 1e-4
    writer, codec = run.product.model.decoders["story"].writer, run.product.outputs["story"].codec
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    wanted = {
        "general.architecture": "llama",
        "llama.embedding_length": 32,
        "llama.block_count": 2,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 16,
        "llama.vocab_size": codec.size,
        "tokenizer.ggml.bos_token_id": codec.bos,
        "tokenizer.ggml.eos_token_id": codec.eos,
        "tokenizer.ggml.model": "gpt2",
    }
    assert {n: field(reader, n) for n in wanted} == wanted
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens[:4] == ["<pad>", "<bos>", "<eos>", "<unk>"]
    assert field(reader, "tokenizer.ggml.token_type")[:5] == [3, 3, 3, 3, 1]
    tensors = {t.name: np.asarray(t.data) for t in reader.tensors}
    qkv = writer.stack.blocks[1].attention.qkv.weight.detach()
    assert torch.equal(halved(torch.tensor(tensors["blk.1.attn_q.weight"]), 2), qkv[:32])
    assert torch.equal(halved(torch.tensor(tensors["blk.1.attn_k.weight"]), 1), qkv[32:48])
    assert torch.equal(torch.tensor(tensors["blk.1.attn_v.weight"]), qkv[48:])
    assert torch.equal(torch.tensor(tensors["output.weight"]), writer.head.weight.detach())
    assert torch.equal(torch.tensor(tensors["token_embd.weight"]), writer.table.module.weight.detach())


def test_the_file_s_tokens_and_merges_make_the_run_s_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    run = language("llama")
    run.export("gguf", tmp_path / "model.gguf")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    vocab = {t: i for i, t in enumerate(field(reader, "tokenizer.ggml.tokens"))}
    merges = [tuple(m.split(" ")) for m in field(reader, "tokenizer.ggml.merges")]
    library: Any = Tokenizer(models.BPE(vocab, merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # as GPT-2 cuts, which the file asks for
    codec = run.product.outputs["story"].codec
    for text in [*TEXTS[:3], "birds sing 😀 今天天气"]:
        assert library.encode(text).ids == codec.encode([text])[0].tolist()


def test_turning_neighbours_of_the_reordered_heads_is_turning_halves_of_ours() -> None:
    torch.manual_seed(0)
    heads, width, tokens = 3, 8, 5
    weight, x = torch.randn(heads * width, 16), torch.randn(tokens, 16)
    angles = torch.arange(tokens)[:, None] * 100.0 ** (-torch.arange(0, width, 2) / width)
    both = torch.cat([angles, angles], -1)
    ours = rotated((x @ weight.T).unflatten(-1, (heads, width)).transpose(0, 1), both.cos(), both.sin())
    pairs = (x @ interleaved(weight, heads).T).unflatten(-1, (heads, width // 2, 2)).transpose(0, 1)
    turned = torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles)
    theirs = torch.view_as_real(turned).flatten(-2)
    torch.testing.assert_close(ours @ ours.transpose(1, 2), theirs @ theirs.transpose(1, 2))
    assert torch.equal(halved(interleaved(weight, heads), heads), weight)


def test_texts_that_llama_cpp_cuts_otherwise_are_counted_and_said(tmp_path: Path, capsys: Any) -> None:
    run = language("llama")
    codec = run.product.outputs["story"].codec
    merged = dict(codec.published())
    merged["model"] = {**merged["model"], "vocab": dict(merged["model"]["vocab"]), "merges": [["3", "4"]]}
    special = {t["content"] for t in merged["added_tokens"]}  # one of these would come back, as one token more
    longer = next(t for t in merged["model"]["vocab"] if len(t) > 3 and t not in special)
    merged["model"]["vocab"]["34"] = merged["model"]["vocab"].pop(longer)
    other = type(codec)({**codec.state, "tokenizer": json.dumps(merged)})
    assert other.size == codec.size
    run.product.outputs["story"].codec = other
    try:
        found = run.export("gguf", tmp_path / "model.gguf")
    finally:
        run.product.outputs["story"].codec = codec
    assert found["texts_with_other_tokens"] == 1  # 12345: three digits at once here, all at once there
    assert "llama.cpp cuts 1 of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [("mixtral", "byte-level vocabularies alone"), ("qwen", "byte-level vocabularies alone")],
)
def test_what_does_not_go_into_a_file_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=said):
        language(name).export("gguf", tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_model_that_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no inputs"):
        reading({"type": "bert", "embed_dim": 16, "num_layers": 1, "num_heads": 2}).export("gguf", tmp_path / "m.gguf")
