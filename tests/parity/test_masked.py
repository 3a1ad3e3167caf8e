"""Masked pretraining against transformers' BertForMaskedLM: the loss, every gradient, and the layout that both read and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import dapeng
from dapeng.core.kinds import objectives
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch
from dapeng.models.build import Choices, fresh_model
from dapeng.nn.vocabulary import IGNORED
from dapeng.public.families import bert
from tests.contract.parts import batch_of, fitted

transformers = pytest.importorskip("transformers", reason="parity needs the package transformers (dapeng[hf])")
TEXTS = ["a lovely film", "warm and funny acting", "great acting", "a joy", "truly good work", "a bore", "dull", "cold"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT with the head of its pretraining, as transformers saves it."""
    words = sorted({w for t in TEXTS for w in t.split()} | {"act", "##ing", "##s"})
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    path = tmp_path / "tiny-bert"
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(vocab))
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(
        vocab_size=len(vocab),
        **shape,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertForMaskedLM(config)
    with torch.no_grad():  # a head whose every part counts
        for parameter in model.cls.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path)
    return path


def ours(folder: Path) -> tuple[Any, Batch]:
    """The objective around our network with these weights, and a batch of texts with tokens hidden."""
    encoder = {"type": "bert", "weights": str(folder), "dropout": 0.0}
    options = dapeng.core.kinds.columns.members()["text"].model_validate({"type": "text", "encoder": encoder})  # type: ignore[attr-defined]
    options = options.model_copy(update={"encoder": options.encoder.resolved()})
    summary = options.summary(False)
    import pyarrow as pa

    summary.add(pa.array(TEXTS))
    column = options.fitted("x", summary.result(), False)
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "text"}}, outputs={"y": "category"})  # type: ignore[arg-type]
    model = fresh_model(spec, {"x": column}, outputs, Choices())
    objective = objectives.members()["masked"](share=0.4).build(model, {}, {"x": column, **outputs}).eval()
    encoded = column.encode(pa.array(TEXTS))
    batch = batch_of({"x": column}, outputs)
    longest = int(encoded.lengths.max())
    ids, mask = torch.zeros(len(TEXTS), longest, dtype=torch.int32), torch.zeros(len(TEXTS), longest, dtype=torch.bool)
    at = 0
    for row, length in enumerate(encoded.lengths.tolist()):
        ids[row, :length] = torch.from_numpy(encoded.tensors["ids"][at : at + length])
        mask[row, :length] = True
        at += length
    from dapeng.data.batch import Cells

    batch = batch.replace({"x": Cells({"ids": ids, "mask": mask})})
    torch.manual_seed(1)
    return objective, objective.draw(batch, "model")


def labels(batch: Batch) -> torch.Tensor:
    """(B, T) as transformers wants them."""
    shape = batch["x"]["ids"].shape
    return torch.full(shape, IGNORED).scatter(1, batch["@hidden"]["at"], batch["@hidden"]["ids"])


def test_loss_and_gradients_are_those_of_bert_for_masked_lm(folder: Path) -> None:
    objective, batch = ours(folder)
    theirs = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    cells = batch["x"]
    found = theirs(input_ids=cells["ids"].long(), attention_mask=cells["mask"].long(), labels=labels(batch))
    count = objective.counts(batch, "model")["x"].sum()
    assert 8 <= count < cells["mask"].sum()
    loss = objective(batch, "model")["x"].sum() / count
    torch.testing.assert_close(loss, found.loss, rtol=1e-5, atol=1e-6)
    loss.backward()
    found.loss.backward()
    gradients = {n: p.grad for n, p in theirs.named_parameters()}
    head = {n: p.grad for n, p in objective.head.named_parameters()}
    for own, public in bert.HEAD.items():
        torch.testing.assert_close(head[own], gradients[public], rtol=1e-3, atol=1e-6, msg=lambda m, n=own: f"{n}: {m}")
    encoder = objective.encoder
    own = {n: p.grad for n, p in encoder.named_parameters()} | {"table": encoder.table.module.weight.grad}
    given = encoder_options(folder).translated({n: g for n, g in gradients.items() if g is not None})
    # theirs gives the padding's row of the table no gradient from below, and neither has ours any
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, given[name], rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def encoder_options(folder: Path) -> Any:
    from dapeng.core.kinds import encoders

    return encoders.members()["bert"](weights=str(folder)).resolved()


def test_the_head_is_read_and_a_folder_without_one_begins_anew(folder: Path) -> None:
    objective, _ = ours(folder)
    state = load_file(folder / "model.safetensors")
    for own, public in bert.HEAD.items():
        assert torch.equal(objective.head.state_dict()[own], state[public]), own
    save_file(
        {n: t for n, t in state.items() if not n.startswith("cls.")}, folder / "model.safetensors", {"format": "pt"}
    )
    fresh, _ = ours(folder)
    assert not fresh.head.bias.any()


def test_a_pretrained_run_is_opened_by_transformers_with_the_same_logits(folder: Path, tmp_path: Path) -> None:
    run = dapeng.train(
        {"x": TEXTS * 10, "y": ["for", "for", "for", "for", "for", "against", "against", "against"] * 10},
        inputs={"x": {"type": "text", "encoder": {"type": "bert", "weights": str(folder), "weights_rate": 1.0}}},
        outputs={"y": "category"},
        model="network",
        train={"phases": [{"objective": "masked", "epochs": 3}], "threads": 1, "learning_rate": 1e-2},
        evaluate={"baselines": [], "resamples": 0},
        data={"split": {"by": "random"}},
        runs=str(tmp_path / "runs"),
    )
    found = run.export("transformers", tmp_path / "out")
    assert found["model"] == "BertForMaskedLM"
    assert found["largest_difference"] < 1e-4
    theirs = transformers.BertForMaskedLM.from_pretrained(tmp_path / "out").eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokeniser.mask_token == "[MASK]"
    given = tokeniser(TEXTS, padding=True, return_tensors="pt")
    product = dapeng.load(run.path).product
    encoder = product.model.encoders["x"]
    from dapeng.data.batch import Cells

    with torch.no_grad():
        tokens = encoder(Cells({"ids": given["input_ids"], "mask": given["attention_mask"].bool()})).tokens
        head = {n.removeprefix("masked.x."): t for n, t in product.beside.items()}
        wanted = bert.logits(tokens, head, encoder.table.module.weight, 1e-12)
        logits = theirs(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
    real = given["attention_mask"].bool()
    torch.testing.assert_close(logits[real], wanted[real], rtol=1e-4, atol=1e-4)
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert not torch.equal(
        before["cls.predictions.transform.dense.weight"], after["cls.predictions.transform.dense.weight"]
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
