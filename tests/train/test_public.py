"""Training from public weights: what is frozen stays, what is slowed moves less, the run folder needs the weights' folder no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.contract.parts import batch_of, fitted

import dapeng
from dapeng.core.errors import DapengError, SpecError
from dapeng.core.kinds import encoders
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, build_model, fresh_model
from dapeng.objectives.base import Objective
from dapeng.train import remembered
from dapeng.train.strategies import Single

GOOD = ["a lovely film", "warm and funny", "great acting", "a joy", "truly good work"]
BAD = ["a dull film", "cold and empty", "bad acting", "a bore", "truly poor work"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))


def reviews() -> dict[str, list[str]]:
    texts, moods = [], []
    for i in range(60):
        for mood, some in (("good", GOOD), ("bad", BAD)):
            texts.append(f"{some[i % 5]} number {i // 5}")
            moods.append(mood)
    return {"review": texts, "mood": moods}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT as transformers saves it, with a tokeniser of its own."""
    transformers = pytest.importorskip("transformers", reason="makes public weights with the package transformers")
    words = [*sorted({w for t in GOOD + BAD for w in t.split()}), "number", *(str(i) for i in range(12))]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    path = tmp_path / "tiny-bert"
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(vocab))
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(vocab), **shape, max_position_embeddings=32)
    transformers.BertModel(config).save_pretrained(path)
    return path


def trained(folder: Path, runs: Path, **encoder: Any) -> Any:
    return dapeng.train(
        reviews(),
        inputs={"review": {"type": "text", "encoder": {"type": "bert", "weights": str(folder), **encoder}}},
        outputs={"mood": "category"},
        model="network",
        train={"epochs": 2, "threads": 1, "learning_rate": 1e-2, "patience": None},
        evaluate={"baselines": [], "resamples": 0},
        data={"split": {"by": "random"}},
        runs=str(runs),
    )


def weights(run: Any) -> dict[str, torch.Tensor]:
    return load_file(Path(run.path) / "weights.safetensors")


def public(folder: Path) -> dict[str, torch.Tensor]:
    options = encoders.members()["bert"](weights=str(folder)).resolved()
    return options.translated(load_file(folder / "model.safetensors"))


def test_a_run_predicts_without_the_folder_that_it_began_from(folder: Path, tmp_path: Path) -> None:
    run = trained(folder, tmp_path / "runs")
    before = run.predict({"review": GOOD + BAD})
    shutil.rmtree(folder)
    moved = tmp_path / "elsewhere"
    shutil.move(str(run.path), moved)
    again = dapeng.load(str(moved)).predict({"review": GOOD + BAD})
    assert again.equals(before) if hasattr(again, "equals") else again == before


def test_frozen_layers_are_the_public_weights_to_the_bit_and_the_others_are_not(folder: Path, tmp_path: Path) -> None:
    own = public(folder)
    found = weights(trained(folder, tmp_path / "runs", trained_layers=1))
    for name in ("positions", "norm.weight", "blocks.0.up.weight", "blocks.0.attention.qkv.weight"):
        assert torch.equal(found[f"encoders.review.{name}"], own[name]), name
    assert torch.equal(found["tables.review.weight"], own["table"])
    assert not torch.equal(found["encoders.review.blocks.1.up.weight"], own["blocks.1.up.weight"])


def test_features_of_a_frozen_encoder_are_worked_out_once_and_change_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = trained(folder, tmp_path / "once", trained_layers=0)
    assert "worked out once" in capsys.readouterr().err
    monkeypatch.setattr(remembered, "MOST_BYTES", 0)
    always = trained(folder, tmp_path / "always", trained_layers=0)
    assert "worked out once" not in capsys.readouterr().err
    found, wanted = weights(once), weights(always)
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-4, atol=1e-5)
    head = [n for n in found if n.startswith("decoders")]
    assert head


def test_layers_learn_the_slower_the_deeper_they_lie(folder: Path) -> None:
    options = encoders.members()["bert"](weights=str(folder), weights_rate=0.1, layer_decay=0.5).resolved()
    column = fitted("text", "x", encoder=options)
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "text"}}, outputs={"y": "category"})  # type: ignore
    model = fresh_model(spec, {"x": column}, outputs, Choices())
    strategy = Single()
    strategy.wrap(Objective(model), spec.train.optimiser, 1e-3)
    factor = {id(p): g.get("factor", 1.0) for g in strategy.optimisers["model"].param_groups for p in g["params"]}
    encoder = model.encoders["x"]
    by_level = [{factor[id(p)] for p in level.parameters()} for level in encoder.levels()]
    assert by_level == [{0.025}, {0.05}, {0.1}]
    assert {factor[id(p)] for p in model.decoders["y"].parameters()} == {1.0}
    strategy.learning_rate("model", 1e-3)
    assert sorted({g["lr"] for g in strategy.optimisers["model"].param_groups}) == pytest.approx(
        [2.5e-5, 5e-5, 1e-4, 1e-3]
    )


def test_a_run_folder_is_a_place_to_start_from(folder: Path, tmp_path: Path) -> None:
    first = trained(folder, tmp_path / "runs")
    own = weights(first)
    options = encoders.members()["bert"](weights=str(first.path)).resolved()
    column = fitted("text", "other", encoder=options)
    assert (
        column.state["tokenizer"]
        == json.loads((Path(first.path) / "columns.json").read_text())["inputs"]["review"]["state"]["tokenizer"]
    )
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"other": {"type": "text"}}, outputs={"y": "category"})  # type: ignore
    model = fresh_model(spec, {"other": column}, outputs, Choices())
    state = model.state_dict()
    assert torch.equal(state["encoders.other.blocks.0.up.weight"], own["encoders.review.blocks.0.up.weight"])
    assert torch.equal(state["tables.other.weight"], own["tables.review.weight"])
    plain = build_model(spec, {"other": column}, outputs, Choices()).state_dict()
    assert not torch.equal(plain["tables.other.weight"], own["tables.review.weight"])
    with torch.no_grad():
        found = model(batch_of({"other": column}, outputs))["y"]["probabilities"]
    assert torch.isfinite(found).all()


def refused(folder: Path | str, **encoder: Any) -> str:
    with pytest.raises(DapengError) as caught:
        dapeng.train(
            reviews(),
            inputs={"review": {"type": "text", "encoder": {"type": "bert", "weights": str(folder), **encoder}}},
            outputs={"mood": "category"},
        )
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


def test_a_pickle_is_not_opened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/pwned'\ntR.")
    said = refused(folder)
    assert "pickle (pytorch_model.bin)" in said
    assert "safetensors" in said
    assert not Path("/tmp/pwned").exists()


def test_what_is_wrong_with_weights_is_said_before_anything_is_trained(folder: Path, tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert "did you mean sample:minilm?" in refused("sample:minlm")
    said = refused(folder, embed_dim=32)
    assert "inputs.review.encoder.embed_dim" in said
    assert "32" in said
    assert "16" in said
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    assert "holds no BERT" in refused(folder)
    (folder / "config.json").write_text("{")
    assert "is not JSON" in refused(folder)


def test_damaged_missing_and_infinite_weights_are_refused_in_words(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused(folder)
    path.write_bytes((1 << 40).to_bytes(8, "little") + whole[8:])
    assert "header" in refused(folder)
    state = load_file_from(whole, folder)
    save_file({n: t for n, t in state.items() if "layer.1" not in n}, path)
    assert "lack" in refused(folder)
    save_file({**state, "embeddings.LayerNorm.bias": torch.full((16,), float("nan"))}, path)
    assert "not finite" in refused(folder)


def load_file_from(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "whole.tmp"
    path.write_bytes(content)
    state = load_file(path)
    path.unlink()
    return state


def test_a_relative_folder_lies_beside_the_spec_or_where_the_user_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = encoders.members()["bert"](weights="tiny-bert")
    assert options.located(tmp_path).weights == str(folder)
    monkeypatch.chdir(tmp_path)
    assert options.located(tmp_path / "package").resolved().embed_dim == 16
    with pytest.raises(SpecError, match=r"^weights: nowhere: no such folder"):
        encoders.members()["bert"](weights="nowhere").located(tmp_path).resolved()


def test_a_text_that_is_longer_than_the_positions_is_cut_at_them(folder: Path) -> None:
    options = encoders.members()["bert"](weights=str(folder)).resolved()
    from dapeng.columns.text import Text

    summary = Text(encoder=options).summary(False)
    summary.add(pa.array(["a film " * 200] * 10))
    assert summary.result()["max_length"] == 32
    column = fitted("text", "x", encoder=options, max_length=64)
    spec = Spec(inputs={"x": {"type": "text"}}, outputs={"y": "category"})  # type: ignore
    outputs = {"y": fitted("category", "y", target=True)}
    with pytest.raises(SpecError, match="32 positions"):
        build_model(spec, {"x": column}, outputs, Choices())
