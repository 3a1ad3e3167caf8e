"""Masked pretraining: what is hidden and how it reads, whose rows it sees, what it leaves for later trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.contract.parts import batch_of, fitted

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import encoders, objectives
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch, Cells
from dapeng.models.build import Choices, build_model
from dapeng.nn.vocabulary import IGNORED
from dapeng.objectives.masked import MaskedTokens, places

TINY = {"type": "bert", "embed_dim": 32, "num_layers": 1, "num_heads": 2, "positions": 16, "dropout": 0.0}
QUIET = {"evaluate": {"baselines": [], "resamples": 0}, "model": "network"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def objective(encoder: dict[str, Any], text: dict[str, Any] | None = None, **options: Any) -> MaskedTokens:
    columns = {"x": fitted("text", encoder=encoder, **(text or {})), "y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "text"}}, outputs={"y": "category"})  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = build_model(spec, {"x": columns["x"]}, {"y": columns["y"]}, Choices())
    return objectives.members()["masked"](**options).build(model, {}, columns)


def many(rows: int = 400, tokens: int = 40, size: int = 20) -> Batch:
    draw = torch.Generator().manual_seed(0)
    mask = torch.arange(tokens) < torch.randint(1, tokens + 1, (rows, 1), generator=draw)
    ids = torch.randint(4, size, (rows, tokens), generator=draw) * mask
    return Batch({"x": Cells({"ids": ids.int(), "mask": mask})}, torch.arange(rows))


def test_a_share_of_the_tokens_is_hidden_and_four_fifths_of_those_read_as_a_token_that_no_text_has() -> None:
    batch, o = many(), objective({**TINY, "positions": 40})
    size = o.head.bias.shape[0]
    torch.manual_seed(3)
    drawn = o.draw(many(size=size), "model")
    real = batch["x"]["mask"].sum(1)
    counts = torch.as_tensor(o.counts(drawn, "model")["x"])
    assert torch.equal(counts, (real * 0.15).round().clamp(min=1).float())
    before, after = many(size=size)["x"]["ids"], drawn["x"]["ids"]
    places_, originals = drawn["@hidden"]["at"], drawn["@hidden"]["ids"]
    taken = originals != IGNORED
    read = after.long().gather(1, places_)[taken]
    was = before.long().gather(1, places_)[taken]
    assert torch.equal(was, originals[taken])
    hidden = o.vocabulary.hides
    assert float((read == hidden).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((read == was).float().mean()) == pytest.approx(0.1 + 0.1 / (size - 4), abs=0.03)
    assert bool(o.vocabulary.ordinary[read[read != hidden]].all()), "what stands in another's place is a word too"
    elsewhere = torch.ones_like(batch["x"]["mask"])
    elsewhere.scatter_(1, places_, ~taken)
    assert torch.equal(after[elsewhere], before[elsewhere]), "nothing else is touched"
    assert not bool((~batch["x"]["mask"]).gather(1, places_)[taken].any()), "no padding is hidden"


def test_what_is_hidden_is_a_function_of_seed_step_and_rank_alone() -> None:
    o, batch = objective({**TINY, "positions": 40}), many(50)
    drawn = []
    for seed in (5, 6, 5):
        torch.default_generator.manual_seed(seed)
        drawn.append(o.draw(batch, "model")["x"]["ids"])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_validation_hides_the_same_of_a_row_in_whatever_batch_it_comes() -> None:
    o, batch = objective({**TINY, "positions": 40}).eval(), many(60)
    whole = o.tell(batch)
    parts = [o.tell(batch.take(slice(a, a + 7))) for a in range(0, 60, 7)]
    for name in ("nats", "accuracy"):
        for part in (0, 1):
            torch.testing.assert_close(sum(p[name][part] for p in parts), whole[name][part], rtol=1e-4, atol=1e-4)
    shorter = batch.take(slice(0, 20))
    width = int(shorter["x"]["mask"].sum(1).max())
    cut = shorter.replace({"x": Cells({n: t[:, :width] for n, t in shorter["x"].tensors.items()})})
    torch.testing.assert_close(o.tell(cut)["nats"][0], o.tell(shorter)["nats"][0], rtol=1e-4, atol=1e-4)


def test_whole_words_are_hidden_to_their_last_piece() -> None:
    goes_on = torch.tensor([[False, True, True, False, False, True, False, True, True, True]]).expand(300, -1)
    torch.manual_seed(0)
    at, taken = places(torch.rand(300, 10), torch.ones(300, 10, dtype=torch.bool), 0.2, goes_on)
    hidden = torch.zeros(300, 10, dtype=torch.bool).scatter(1, at, taken)
    for word in ((0, 3), (3, 4), (4, 6), (6, 10)):
        whole = hidden[:, word[0] : word[1]]
        assert bool((whole.all(1) | ~whole.any(1)).all()), word
        assert bool(whole.any()), "every word's turn comes"
    assert bool((hidden.sum(1) >= 2).all())


def test_pieces_of_words_are_known_of_a_byte_level_tokeniser_and_refused_of_characters() -> None:
    o = objective(TINY, {"tokeniser": "bpe", "max_length": 16}, whole_words=True)
    assert o.vocabulary.goes_on is not None
    assert bool(o.vocabulary.goes_on.any())
    with pytest.raises(SpecError, match="no pieces of words"):
        objective(TINY, {"tokeniser": "characters", "max_length": 16}, whole_words=True)


@pytest.mark.parametrize("tag", [t for t, c in encoders.members().items() if c.finds_hidden and "text" in c.fits])
def test_every_encoder_that_can_learns_to_find_what_is_hidden(tag: str) -> None:
    member = encoders.members()[tag]
    o = objective({"type": tag, **member.tiny, **({"dropout": 0.0} if "dropout" in member.model_fields else {})})
    batch = batch_of({"x": fitted("text", encoder={"type": tag, **member.tiny})})
    parameters = o.trainable("model")
    optimiser = torch.optim.Adam(parameters, 1e-2)
    losses = []
    for _ in range(80):
        torch.manual_seed(7)
        drawn = o.draw(batch, "model")
        loss = o(drawn, "model")["x"].sum() / torch.as_tensor(o.counts(drawn, "model")["x"]).sum()
        losses.append(float(loss.detach()))
        loss.backward()
        assert all(p.grad is not None for p in parameters), "every parameter gets a gradient on every step"
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.5 * losses[0]


def test_an_encoder_that_reads_tokens_one_by_one_is_refused_with_those_that_can() -> None:
    with pytest.raises(SpecError, match="one that is hidden") as error:
        objective({"type": "text_cnn"})
    assert {"bert", "transformer", "lstm", "gru"} <= set(error.value.problems[0].hint.replace(",", "").split())


def test_a_column_that_is_no_text_is_refused() -> None:
    with pytest.raises(SpecError, match="'z' is no text"):
        objective(TINY, column="z")


def sentences(rows: int, seed: int) -> list[str]:
    """Texts in which every second word tells the next."""
    draw = np.random.default_rng(seed)
    pairs = [
        ("red", "apple"),
        ("blue", "sky"),
        ("green", "leaf"),
        ("white", "snow"),
        ("black", "night"),
        ("grey", "stone"),
    ]
    return [" ".join(w for i in draw.integers(0, 6, 4) for w in pairs[i]) for _ in range(rows)]


def trained(table: dict[str, Any], phases: list[dict[str, Any]], runs: Path, **encoder: Any) -> Any:
    return dapeng.train(
        table,
        inputs={"x": {"type": "text", "encoder": {**TINY, **encoder}}},
        outputs={"y": "category"},
        train={"phases": phases, "threads": 1, "learning_rate": 1e-2, "batch_size": 16},
        data={"split": {"by": "random"}},
        runs=str(runs),
        **QUIET,
    )


def told(run: Any, phase: int = 0) -> list[dict[str, Any]]:
    lines = [json.loads(x) for x in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [x for x in lines if x.get("phase") == phase and "loss" in x]


def test_rows_without_a_target_are_read_while_masked_and_by_nothing_else(tmp_path: Path) -> None:
    texts = sentences(240, 0)
    some = [("warm" if "apple" in t else "cold") if i % 8 == 0 else None for i, t in enumerate(texts)]
    phases = [{"objective": "masked", "epochs": 12}, {"objective": "supervised", "epochs": 2}]
    run = trained({"x": texts, "y": some}, phases, tmp_path / "runs")
    first, second = told(run)[-1], told(run, 1)[-1]
    steps = [first["step"] / 12, second["step"] / 2]  # of an epoch, of 16 rows each
    assert steps[0] >= 10, "two thirds and more of 240 rows"
    assert steps[1] <= 3, "an eighth of them"
    assert first["x.masked_perplexity"] < 0.6 * told(run)[0]["x.masked_perplexity"]
    assert first["x.masked_accuracy"] > 0.3, "half of the words are told by the word beside them"


def test_a_run_that_only_pretrains_is_begun_from_and_its_head_goes_on(tmp_path: Path) -> None:
    texts = sentences(160, 1)
    table = {"x": texts, "y": ["warm" if "apple" in t else "cold" for t in texts]}
    first = trained(table, [{"objective": "masked", "epochs": 6}], tmp_path / "runs")
    kept = load_file(first.path / "beside.safetensors")
    assert "masked.x.transform.weight" in kept
    assert "beside.safetensors" in json.loads((first.path / "MANIFEST.json").read_text())["files"]
    weights = {"weights": str(first.path), "weights_rate": 1.0}
    again = trained(table, [{"objective": "masked", "epochs": 1}], tmp_path / "runs", **weights)
    assert told(again)[0]["loss"] < told(first)[0]["loss"], "it goes on from where the first run ended"
    tuned = trained(table, [{"objective": "supervised", "epochs": 3}], tmp_path / "runs", **weights)
    assert not (tuned.path / "beside.safetensors").exists(), "the head belongs to another network by now"
    assert tuned.product.inputs["x"].state["vocab"] == first.product.inputs["x"].state["vocab"]
    assert tuned.predict({"x": texts[:3]}).num_rows == 3


def test_the_report_shows_how_pretraining_went(tmp_path: Path) -> None:
    texts = sentences(160, 1)
    table = {"x": texts, "y": ["warm" if "apple" in t else "cold" for t in texts]}
    phases = [{"objective": "masked", "epochs": 3}, {"objective": "supervised", "epochs": 3}]
    run = trained(table, phases, tmp_path / "runs")
    page = (run.path / "report.html").read_text()
    assert "masked perplexity" in page
    assert "label" not in page or "trained anew" not in page
