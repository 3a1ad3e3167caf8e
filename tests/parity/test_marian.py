"""A translator of transformers (MarianMTModel) is the same network here: tokens, logits, gradients and texts with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from dapeng.data.batch import Batch, Cells
from dapeng.export.translator import Translator
from dapeng.public.families import marian
from tests.translators import begun, pairs, public

transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
pytest.importorskip("sentencepiece", reason="its tokens need sentencepiece (dapeng[text])")
CASES: dict[str, dict[str, Any]] = {
    "shared": {},
    "apart": {"share_encoder_decoder_embeddings": False, "activation_function": "relu"},
    "unscaled": {"scale_embedding": False, "activation_function": "gelu"},
}
TEXTS = ["the cat runs", "a dog", "birds sing in the park zero one two", ">>de<< the mat"]


def opened(path: Path) -> Any:
    return transformers.MarianMTModel.from_pretrained(path, attn_implementation="eager").eval()


def padded(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*r, *[pad] * (longest - len(r))] for r in rows])
    return ids, torch.tensor([[i < len(r) for i in range(longest)] for r in rows])


def encoded(column: Any, texts: list[str]) -> list[list[int]]:
    found = column.encode(pa.array(texts))
    flat, rows = found.tensors["ids"].tolist(), []
    for length in found.lengths.tolist():
        rows.append(flat[:length])
        flat = flat[length:]
    return rows


def batch_of(source: Any, target: Any, rows: list[tuple[str, str]]) -> Batch:
    read, mask = padded(encoded(source, [r for r, _ in rows]), 2)
    written, there = padded(encoded(target, [w for _, w in rows]), 2)
    cells = {"en": Cells({"ids": read, "mask": mask}), "de": Cells({"ids": written, "mask": there})}
    return Batch(cells, torch.arange(len(rows)))


@pytest.mark.parametrize("name", ["shared", "apart"])
def test_tokens_are_those_of_its_tokeniser(name: str, tmp_path: Path) -> None:
    source, target, _ = begun(public(tmp_path / "m", **CASES[name]))
    theirs = transformers.MarianTokenizer.from_pretrained(tmp_path / "m")
    assert encoded(source, TEXTS) == theirs(TEXTS)["input_ids"]
    texts = [d for _, d in pairs(8)]
    assert encoded(target, texts) == [[2, *row] for row in theirs(text_target=texts)["input_ids"]]
    for text in texts:
        assert target.codec.decode(target.codec.encode([text])[0].tolist()) == text
    assert target.codec.decode(target.codec.encode(["park </s> <pad>"])[0].tolist()).startswith("park")
    assert {target.codec.pad, target.codec.eos}.isdisjoint(target.codec.encode(["</s> <pad>"])[0].tolist())


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    source, target, model = begun(public(tmp_path / "m", **CASES[name]))
    theirs = opened(tmp_path / "m")
    batch = batch_of(source, target, pairs(6))
    writer, features = model.decoders["de"].writer, model.features(batch)
    ids, there = batch["de"]["ids"], batch["de"]["mask"]
    hidden = writer.behind(ids[:, :-1], None, features.tokens, features.mask)
    given = {"input_ids": batch["en"]["ids"], "attention_mask": batch["en"]["mask"].long()}
    wanted = theirs(**given, decoder_input_ids=ids[:, :-1]).logits
    torch.testing.assert_close(writer.logits(hidden), wanted, rtol=1e-4, atol=1e-4)
    writer.losses(ids, there, None, features.tokens, features.mask).sum().backward()
    labels = ids[:, 1:].masked_fill(~there[:, 1:], -100)
    F.cross_entropy(wanted.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum").backward()
    if name != "unscaled":  # there the table is another, by a factor
        compare(model, theirs)


def compare(model: Any, theirs: Any) -> None:
    """Gradients by their names: linear maps of ours, as the weights are. Padding's own row has none there."""
    grads = Translator.states(model, "en", "de", lambda p: torch.zeros_like(p) if p.grad is None else p.grad)
    layers = len(theirs.model.encoder.layers), len(theirs.model.decoder.layers)
    found = marian.theirs(*grads, layers, one_table=False)
    real = torch.arange(theirs.config.vocab_size) != theirs.config.pad_token_id
    trained = {n: p for n, p in theirs.named_parameters() if "embed_positions" not in n}
    assert len(trained) > 50
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        if name == "model.shared.weight":
            both = found["model.encoder.embed_tokens.weight"] + found["model.decoder.embed_tokens.weight"]
            torch.testing.assert_close(both[real], parameter.grad[real], rtol=1e-3, atol=1e-4)
        else:
            rows = real if "embed_tokens" in name else slice(None)
            torch.testing.assert_close(found[name][rows], parameter.grad[rows], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["shared", "apart"])
def test_weights_go_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    _, _, model = begun(public(tmp_path / "m", **CASES[name]))
    state = load_file(tmp_path / "m" / "model.safetensors")
    found = marian.theirs(*Translator.states(model, "en", "de"), (2, 1), name == "shared")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[n], t) for n, t in state.items())


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_texts_are_those_of_generate(name: str, beams: int, tmp_path: Path) -> None:
    source, target, model = begun(public(tmp_path / "m", **CASES[name]), beams=beams)
    theirs, decoder = opened(tmp_path / "m"), model.decoders["de"]
    batch = batch_of(source, target, pairs(6))
    found = decoder.predict(model.features(batch), 6)["ids"]
    wanted = theirs.generate(
        input_ids=batch["en"]["ids"], attention_mask=batch["en"]["mask"].long(), num_beams=beams, do_sample=False,
        max_length=target.max_length + 1, bad_words_ids=[[2]], length_penalty=1.0,
    )  # fmt: skip
    for own, their in zip(found, wanted):
        cut = [i for i in own.tolist() if i not in (0, 2)]
        assert cut == [i for i in their.tolist() if i not in (0, 2)]


def test_one_table_serves_both_where_the_output_is_like_the_input(tmp_path: Path) -> None:
    _, target, model = begun(public(tmp_path / "m"), like=True)
    assert model.encoders["en"].table.module is model.decoders["de"].writer.table.module
    assert target.codec.encode(["katze"])[0].tolist() == begun(tmp_path / "m")[1].codec.encode(["katze"])[0].tolist()


def test_tables_that_are_two_are_not_made_one(tmp_path: Path) -> None:
    from dapeng.core.errors import SpecError

    with pytest.raises(SpecError, match="a table of their own"):
        begun(public(tmp_path / "m", **CASES["apart"]), like=True)
