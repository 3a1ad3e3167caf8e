"""Small weights write what they say, alone and beside others, and the run stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dapeng import api
from dapeng.core.errors import RunError
from dapeng.engines.native import LARGE, native
from dapeng.nn import packed
from dapeng.nn.causal import Shape
from dapeng.nn.lora import LoraLinear
from dapeng.nn.packed import NARROW, TURNED, PackedLinear
from dapeng.nn.recurrent_writer import RecurrentShape, RecurrentWriter
from dapeng.nn.writer import Writer
from dapeng.train.machine import multiplies_bf16

SMALL = ("bf16", "int8", "int4")


def layer(inputs: int = 64, outputs: int = 48, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias)


def writer(width: int = 32, layers: int = 2) -> Writer:
    torch.manual_seed(0)
    model = Writer(Shape(width, layers, 4, 2, width // 4, 64), nn.Embedding(272, width)).eval()
    with torch.no_grad():
        for parameter in [*model.parameters(), model.matrix]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("tokens", [1, 2, NARROW, NARROW + 1, TURNED, TURNED + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_few_and_of_many_tokens_are_of_the_same_small_weights(kind: Any, tokens: int, dtype: Any) -> None:
    full = layer()
    small, x = PackedLinear(full.weight, full.bias, kind), torch.randn(tokens, 64)
    assert small.packed == (kind != "bf16")
    wanted = x @ small.weight.float().T + full.bias
    found = small(x.to(dtype))
    torch.testing.assert_close(found.float(), wanted, atol=0.02, rtol=0.02)
    assert found.is_contiguous(), "attention is several times slower on numbers that lie the other way round"


@pytest.mark.parametrize(("kind", "most"), [("bf16", 0.002), ("int8", 0.004), ("int4", 0.04)])
def test_small_weights_are_near_those_they_stand_for(kind: Any, most: float) -> None:
    full = layer()
    error = (PackedLinear(full.weight, None, kind).weight.float() - full.weight).abs().mean() / full.weight.abs().mean()
    assert error < most * 2
    assert error > 0


def test_the_range_of_a_group_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    searched = (packed.int4(weight)[2].float() - weight).square().mean()
    monkeypatch.setattr(packed, "SHRUNK", (1.0,))
    assert searched < 0.97 * (packed.int4(weight)[2].float() - weight).square().mean()


def test_weights_of_shapes_that_no_product_takes_are_bf16() -> None:
    assert not PackedLinear(layer(30, 20).weight, None, "int4").packed


def test_adapters_are_merged_before_weights_are_made_small() -> None:
    adapted = LoraLinear(layer(), {"all": (0, 48)}, 4, 8.0)
    nn.init.normal_(adapted.lora_b["all"])
    module = packed.packed(nn.Sequential(adapted), "bf16")
    torch.testing.assert_close(module[0].weight.float(), adapted.merged(), atol=0.05, rtol=0.01)  # type: ignore[operator]


@pytest.mark.parametrize("kind", SMALL)
@torch.inference_mode()
def test_a_text_beside_others_is_followed_by_nearly_the_same_as_alone(kind: Any) -> None:
    model = native(writer(), kind).model
    ids = torch.randint(0, 272, (NARROW + 4, 12))
    together, alone = model.start(len(ids), 20), model.start(1, 20)
    many, one = model.step(ids, together), model.step(ids[:1], alone)
    torch.testing.assert_close(many[:1], one, atol=0.15, rtol=0.05)
    for _ in range(4):
        token = one.argmax(-1, keepdim=True)
        many, one = model.step(token.expand(len(ids), 1), together), model.step(token, alone)
        torch.testing.assert_close(many[:1], one, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("kind", SMALL)
def test_small_weights_keep_small_keys_where_the_processor_multiplies_them(kind: Any) -> None:
    kept = native(writer(), kind).model.start(2, 8).cache
    assert {t.dtype for t in (*kept.keys, *kept.values)} == {torch.bfloat16 if multiplies_bf16() else torch.float32}
    plain = native(writer(), "fp32").model.start(2, 8).cache
    assert plain.keys[0].dtype == torch.float32


def test_the_original_is_left_as_it_is() -> None:
    model = writer()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    twin = native(model, "int4").model
    assert isinstance(twin.stack.blocks[0].mlp.up, PackedLinear)
    assert all(torch.equal(before[n], p) for n, p in model.state_dict().items())
    assert type(model.stack.blocks[0].mlp.up) is nn.Linear  # type: ignore[union-attr]
    assert model.head is None


def test_auto_says_why() -> None:
    few = native(writer())
    assert (few.weights, few.why.split()[-4:]) == ("fp32", ["read", "in", "no", "time"])
    many = native(Writer(Shape(512, 4, 4, 4, 128, 1536), nn.Embedding(LARGE // 512, 512)).eval())
    assert many.weights in ("bf16", "fp32")
    assert many.why in ("half the weights to read", "the processor lacks fast bfloat16")
    recurrent = native(RecurrentWriter(RecurrentShape("gru", 16, 16), nn.Embedding(300, 16)), "int4")
    assert (recurrent.weights, recurrent.why) == ("fp32", "a recurrent network is left as it is")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("engines")
    lines = [f"{a} and {b}" for a in ("cat", "dog", "cow", "hen") for b in ("bread", "milk", "honey", "rice")] * 16
    (folder / "lines.csv").write_text("line\n" + "\n".join(lines) + "\n")
    small = {"type": "llama", "embed_dim": 32, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
    return api.train(
        {
            "data": {"path": str(folder / "lines.csv"), "split": {"by": "random"}},
            "outputs": {"line": {"type": "text", "tokeniser": "bytes", "decoder": small}},
            "train": {"batch_size": 8, "learning_rate": 5e-3, "threads": 1, "epochs": 16},
            "evaluate": {"baselines": [], "resamples": 0},
        },
        runs=folder / "runs",
    )


def test_a_run_writes_with_small_weights_what_it_learnt(run: Any) -> None:
    wanted = run.write("cat and ", temperature=0, max_tokens=8, weights="fp32")
    for kind in ("auto", *SMALL):
        assert run.write("cat and ", temperature=0, max_tokens=8, weights=kind) == wanted
    assert run.write("cat and ", temperature=0, max_tokens=8, engine="native", weights="int8") == wanted


def test_engines_and_weights_that_there_are_not_are_refused_by_name(run: Any) -> None:
    with pytest.raises(RunError, match=r"(?s)no weights 'int3'.*did you mean 'int[48]'"):
        run.write("a", weights="int3")
    with pytest.raises(RunError, match=r"(?s)no engine 'nativ'.*did you mean 'native'"):
        run.write("a", engine="nativ")
