"""Adapters: begun equal to the base, alone trained and alone saved, the same when merged, resumed, and taken out of the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_public_writers import TEXTS, begun, logits, public, spec_of  # type: ignore[import-not-found]
from torch import nn

import dapeng
from dapeng import api
from dapeng.core.errors import DapengError, SpecError
from dapeng.core.kinds import decoders
from dapeng.models.build import parameters
from dapeng.nn.lora import LoraLinear, add_adapters, plain_parameters

transformers = pytest.importorskip("transformers", reason="makes public weights with the package transformers")
LORA = {"keep_base": False, "rank": 4, "alpha": 8.0, "on": ["q", "v", "down"]}


def shaken(model: Any) -> Any:
    """With adapters that say something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_b" in name:
                parameter.normal_(std=0.3)
    return model


def test_a_layer_with_adapters_is_the_layer_and_then_what_the_paper_says() -> None:
    torch.manual_seed(0)
    outer = nn.Sequential(nn.Linear(6, 10))
    plain = nn.Linear(6, 10)
    plain.load_state_dict(outer[0].state_dict())
    holder = nn.ModuleDict({"qkv": outer[0]})
    assert add_adapters(holder, ["q", "v"], {"qkv": (4, 3, 3)}, rank=2, alpha=6.0) == 2
    layer: Any = holder["qkv"]
    x = torch.randn(5, 6)
    assert torch.equal(layer(x), plain(x))
    with torch.no_grad():
        for b in layer.lora_b.values():
            b.normal_()
    wanted = plain.weight.detach().clone()
    wanted[0:4] += 3.0 * layer.lora_b["q"] @ layer.lora_a["q"]
    wanted[7:10] += 3.0 * layer.lora_b["v"] @ layer.lora_a["v"]
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, wanted, plain.bias))
    torch.testing.assert_close(plain_parameters(holder)["qkv.weight"], wanted)


def test_what_was_merged_is_worked_out_anew_after_a_change() -> None:
    torch.manual_seed(0)
    layer = LoraLinear(nn.Linear(4, 4), {"up": (0, 4)}, rank=2, alpha=2.0).eval()
    x = torch.randn(3, 4)
    with torch.no_grad():
        before = layer(x)
        layer.lora_b["up"].normal_()
        after = layer(x)
    assert (before - after).abs().max() > 0.01
    torch.testing.assert_close(after, layer(x), rtol=1e-5, atol=1e-5)  # with gradients nothing is merged
    layer.load_state_dict({n: torch.zeros_like(t) for n, t in layer.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(layer(x), torch.zeros(3, 4))


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "mixtral"])
@pytest.mark.parametrize("on", [["q", "v"], "all"])
def test_a_decoder_with_adapters_begins_exactly_as_its_base_and_merged_equals_unmerged(
    name: str, on: Any, tmp_path: Path
) -> None:
    path = public(tmp_path / "public", name)
    column, base = begun(path, name)
    _, model = begun(path, name, lora={"on": on})
    model.train()  # unmerged
    for text in TEXTS:
        assert torch.equal(logits(column, model, text), logits(column, base, text))
    shaken(model)
    for text in TEXTS:
        unmerged = logits(column, model.train(), text)
        merged = logits(column, model.eval(), text)
        torch.testing.assert_close(merged, unmerged, rtol=1e-5, atol=1e-5)
        assert (merged - logits(column, base, text)).abs().max() > 1e-3


def test_only_adapters_learn_and_what_was_asked_for(tmp_path: Path) -> None:
    path = public(tmp_path / "public", "llama")
    _, model = begun(path, "llama", lora=LORA)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in n for n in trained)
    assert parameters(model) == 2 * (4 * (32 + 32) + 4 * (32 + 16) + 4 * (48 + 32))
    _, model = begun(path, "llama", lora={**LORA, "train": ["head", "norms"]})
    more = {n.rpartition("stack.")[2] for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n}
    norms = {f"blocks.{i}.{n}.weight" for i in (0, 1) for n in ("norm1", "norm2")} | {"norm.weight"}
    assert more == {*norms, "decoders.story.writer.head.weight"}


def test_a_run_saves_adapters_alone_and_is_loaded_with_its_base(tmp_path: Path, monkeypatch: Any) -> None:
    path = public(tmp_path / "public", "llama")
    before = load_file(path / "model.safetensors")
    spec = spec_of(path, "llama", tmp_path / "a", lora=LORA)
    run = api.train({**spec, "train": {**spec["train"], "epochs": 6, "learning_rate": 1e-2}}, runs=tmp_path / "runs")
    kept = load_file(run.path / "weights.safetensors")
    assert all("lora_" in n for n in kept)
    assert any(t.abs().max() > 0 for n, t in kept.items() if "lora_b" in n)
    assert sum(t.numel() for t in kept.values()) < 0.2 * sum(t.numel() for t in before.values())
    monkeypatch.chdir(tmp_path / "runs")
    first = run.product.model  # read where it was trained
    moved = tmp_path / "moved"
    shutil.move(str(run.path), moved)
    again = dapeng.load(moved)
    writer = again.product.model.decoders["story"].writer
    assert torch.equal(writer.stack.blocks[1].mlp.up.weight, before["model.layers.1.mlp.up_proj.weight"])
    column = again.product.outputs["story"]
    for text in TEXTS:
        assert torch.equal(logits(column, again.product.model, text), logits(column, first, text))
    # as one model again
    found = again.export("transformers", tmp_path / "out")
    assert found["largest_difference"] < 1e-4
    _, merged = begun(tmp_path / "out", "llama")
    torch.testing.assert_close(
        logits(column, merged, "the cat"), logits(column, again.product.model, "the cat"), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(SpecError, match="holds adapters, not whole weights"):
        begun(moved, "llama")
    (path / "model.safetensors").unlink()
    public(path, "llama", shard="20KB")  # the same in several files
    assert dapeng.load(moved).write("the cat", temperature=0) == again.write("the cat", temperature=0)


def test_another_base_under_the_same_name_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = public(tmp_path / "public", "gpt2")
    run = api.train(spec_of(path, "gpt2", tmp_path / "a", lora=LORA), runs=tmp_path / "runs")
    state = load_file(path / "model.safetensors")
    save_file({n: t + 1e-3 for n, t in state.items()}, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DapengError, match="not those that the adapters were trained with"):
        dapeng.load(run.path).product  # noqa: B018 - it is read
    shutil.rmtree(path)
    with pytest.raises(DapengError, match="no such folder") as caught:
        dapeng.load(run.path).product  # noqa: B018 - it is read
    assert "keep_base=true" in str(caught.value)


def test_a_run_that_keeps_its_base_needs_the_folder_no_more(tmp_path: Path) -> None:
    path = public(tmp_path / "public", "gpt2")
    run = api.train(
        spec_of(path, "gpt2", tmp_path / "a", lora={n: v for n, v in LORA.items() if n != "keep_base"}),
        runs=tmp_path / "runs",
    )
    said = run.write("the cat", temperature=0, max_tokens=8)
    shutil.rmtree(path)
    assert dapeng.load(run.path).write("the cat", temperature=0, max_tokens=8) == said


def test_a_stopped_run_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    path = public(tmp_path / "public", "llama")
    spec = spec_of(path, "llama", tmp_path / "a", lora={**LORA, "dropout": 0.1})
    train = {**spec["train"], "epochs": 40, "patience": None, "checkpoint_every": "1ms"}
    place = tmp_path / "spec.yaml"
    place.write_text(json.dumps({**spec, "train": train}))
    whole = api.train(str(place), runs=tmp_path / "whole")
    # a training that stops by itself in the middle, as Ctrl-C would stop it
    code = (
        "import os, signal, sys\n"
        "from dapeng.train.state import State\n"
        "from dapeng.cli.main import main\n"
        "write, done = State.write, []\n"
        "def counted(self, *a, **k):\n"
        "    done.append(1)\n"
        "    if len(done) == 20: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return write(self, *a, **k)\n"
        "State.write = counted\n"
        f"sys.exit(main(['train', {str(place)!r}, '--runs', {str(tmp_path / 'cut')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (cut,) = (tmp_path / "cut").iterdir()
    newest = max((cut / "checkpoints").iterdir(), key=lambda p: p.name)
    small = load_file(newest / "objective.safetensors")
    assert small
    assert all("lora_" in n for n in small)
    resumed = [sys.executable, "-m", "dapeng", "train", "--resume", str(cut)]
    again = subprocess.run(resumed, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resumed at step" in again.stderr
    assert (cut / "weights.safetensors").read_bytes() == (whole.path / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "lora", "said"),
    [
        ("gpt2", {"on": ["gate"]}, "no layer is called gate: one of down, k, out, q, up, v"),
        ("llama", {"on": ["router"]}, "no layer is called router"),
        ("llama", {"rank": 0}, "rank"),
        ("llama", {"on": ["queries"]}, "queries"),
        ("llama", {"on": []}, "on"),
    ],
)
def test_what_cannot_be_adapted_is_said(name: str, lora: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = public(tmp_path / "public", name)
    with pytest.raises(DapengError) as caught:
        begun(path, name, lora=lora)
    assert said in str(caught.value)


def test_without_weights_there_is_nothing_to_adapt() -> None:
    with pytest.raises(SpecError, match="nothing to adapt without weights"):
        decoders.members()["llama"](lora=LORA)


def test_adapters_are_one_of_the_three_ways_of_a_layer_that_agree(tmp_path: Path) -> None:
    """Unmerged with gradients, merged, and written out whole: one gradient step changes all three alike."""
    path = public(tmp_path / "public", "llama")
    column, model = begun(path, "llama", lora={"on": "all"})
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.5)
    ids = torch.from_numpy(np.array([[0, *column.codec.encode(["a dog runs in the park"])[0]]]))
    writer = model.decoders["story"].writer
    losses = []
    for _ in range(4):
        loss = writer.losses(ids, torch.ones_like(ids, dtype=torch.bool)).sum()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    merged = logits(column, model.eval(), "a dog")
    torch.testing.assert_close(merged, logits(column, model.train(), "a dog"), rtol=1e-5, atol=1e-5)
