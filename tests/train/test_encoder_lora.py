"""Adapters on an encoder with public weights: alone trained, one weight in every export, and refused where they make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_public import cache, folder, public, refused, reviews, trained, weights  # type: ignore[import-not-found]
from torch import nn

from dapeng.core.kinds import encoders
from dapeng.encoders.adapted import EncoderLora, adapt
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Widths
from dapeng.nn.lora import LoraLinear, add_adapters, without_adapters

__all__ = ["cache", "folder"]
LORA = {"rank": 4, "on": "all"}


def test_the_base_stays_to_the_bit_and_the_adapters_learn(folder: Path, tmp_path: Path) -> None:
    found, base = weights(trained(folder, tmp_path / "runs", lora=LORA)), public(folder)
    own = {n.removeprefix("encoders.review."): t for n, t in found.items()}
    kept = {n: t for n, t in own.items() if n in base}
    assert len(kept) > 20
    assert all(torch.equal(t, base[n]) for n, t in kept.items())
    assert torch.equal(found["tables.review.weight"], base["table"])
    learnt = {n: t for n, t in own.items() if "lora_b" in n}
    assert set(learnt) == {
        f"blocks.{i}.{layer}"
        for i in (0, 1)
        for layer in (
            *(f"attention.qkv.lora_b.{n}" for n in "qkv"),
            "attention.out.lora_b.out",
            "up.lora_b.up",
            "down.lora_b.down",
        )
    }
    assert all(t.abs().max() > 0 for t in learnt.values())


def test_what_adapters_learnt_is_in_what_is_predicted_and_in_every_export(folder: Path, tmp_path: Path) -> None:
    run = trained(folder, tmp_path / "runs", lora={"rank": 4, "on": ["q", "v"]}, pool="pooler")
    rows = {"review": reviews()["review"][:12]}
    wanted = np.array(run.predict(rows)["mood.good"].to_pylist())
    for format in ("torch", "onnx", "transformers"):
        assert run.export(format, tmp_path / format)["largest_difference"] < 1e-4
    model = run.product.model
    with torch.no_grad():
        for layer in (m for m in model.modules() if isinstance(m, LoraLinear)):
            for b in layer.lora_b.values():
                b.zero_()
    assert np.abs(wanted - np.array(run.predict(rows)["mood.good"].to_pylist())).max() > 1e-3


def test_plain_layers_say_what_adapters_did_and_share_all_else() -> None:
    torch.manual_seed(0)
    module = nn.ModuleDict({"up": nn.Linear(6, 8), "down": nn.Linear(8, 6)})
    assert without_adapters(module) is module
    add_adapters(module, ["up"], {}, rank=2, alpha=4.0)
    layer: Any = module["up"]
    nn.init.normal_(layer.lora_b["up"])
    plain = without_adapters(module.eval())
    assert type(plain["up"]) is nn.Linear
    assert plain["down"] is module["down"]
    x = torch.randn(3, 6)
    torch.testing.assert_close(plain["up"](x), layer(x), rtol=1e-5, atol=1e-5)
    assert isinstance(module["up"], LoraLinear)


def test_adapters_without_weights_on_no_such_layer_or_on_adapters_are_refused(folder: Path, tmp_path: Path) -> None:
    assert "there is nothing to adapt without weights" in _of_spec({"lora": LORA})
    assert "lora.on.0: expected one of q, k, v, out, up, down, found 'gate'" in refused(folder, lora={"on": ["gate"]})
    assert "trained_layers says nothing beside it" in refused(folder, lora=LORA, trained_layers=0)
    first = trained(folder, tmp_path / "runs", lora=LORA)
    assert "holds adapters, not whole weights" in refused(first.path)


def _of_spec(encoder: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match="lora") as caught:
        encoders.members()["bert"](**encoder)
    return str(caught.value)


def test_a_network_without_such_layers_says_which_it_has() -> None:
    encoder: Any = Encoder()
    encoder.widths, encoder.head = Widths(pooled=3), nn.Linear(3, 3)
    with pytest.raises(ValueError, match="no layer is called q: one of head"):
        adapt(encoder, EncoderLora(on=["q"]))
