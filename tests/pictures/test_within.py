"""Encoders around another one: several sizes of a picture, the frames of a video; public weights of the one within."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.contract.parts import batch_of, fitted

import dapeng
from dapeng.core.errors import SpecError
from dapeng.core.kinds import encoders
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, build_model, fresh_model
from dapeng.nn.tables import Tables
from dapeng.transforms.compose import steps_of

transformers = pytest.importorskip("transformers", reason="makes public weights with the package transformers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny ResNet as transformers saves it."""
    torch.manual_seed(0)
    shape = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
    transformers.ResNetModel(transformers.ResNetConfig(**shape)).save_pretrained(tmp_path / "resnet")
    return tmp_path / "resnet"


def model(kind: str, encoder: dict[str, Any]) -> Any:
    inputs, outputs = {"x": fitted(kind, encoder=settled(encoder))}, {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": kind}}, outputs={"y": "category"})  # type: ignore[arg-type]
    return fresh_model(spec, inputs, outputs, Choices()), batch_of(inputs, outputs)


def settled(encoder: dict[str, Any]) -> Any:
    return encoders.members()[encoder["type"]].model_validate(encoder).resolved()


@pytest.mark.parametrize(("kind", "around"), [("image", "scales"), ("video", "frames")])
def test_the_one_within_begins_from_public_weights(kind: str, around: str, folder: Path) -> None:
    within = {"type": "resnet", "weights": str(folder), "trained_layers": 0}
    built, _ = model(kind, {"type": around, "network": within})
    wanted = settled(within)
    plain = wanted.build([fitted("image", encoder=wanted)], Tables())
    wanted.start(plain)
    (encoder,) = built.encoders.values()
    own = encoder.network.public_state()
    assert own
    assert all(torch.equal(own[n], t) for n, t in plain.public_state().items())
    assert not any(p.requires_grad for p in encoder.network.parameters())
    built.train()
    assert not encoder.network.training


def test_where_its_weights_lie_is_found_from_the_spec_s_folder(folder: Path) -> None:
    options = encoders.members()["scales"].model_validate({"network": {"type": "resnet", "weights": "resnet"}})
    assert Path(options.located(folder.parent).network.weights) == folder
    assert options.located(folder.parent).resolved().network.depth == 18


@torch.no_grad()
def test_maps_of_all_sizes_lie_side_by_side_on_the_grid_of_the_picture_s_own() -> None:
    built, batch = model(
        "image", {"type": "scales", "sizes": [0.5, 1.5], "network": {"type": "resnet_small", "width": 8}}
    )
    (encoder,) = built.eval().encoders.values()
    cells = batch["x"]
    pixels = encoder.embed(cells)
    found = encoder.read(pixels, cells)
    own, *further = (
        encoder.network.read(x, cells)
        for x in (pixels, *(F.interpolate(pixels, scale_factor=s, mode="bilinear") for s in (0.5, 1.5)))
    )
    assert [m.shape[1] for m in found.maps] == [c for c, _ in encoder.widths.maps]
    for level, whole in enumerate(found.maps):
        first, *others = whole.chunk(3, 1)
        torch.testing.assert_close(first, own.maps[level])
        for part, other in zip(others, further):
            torch.testing.assert_close(part, F.interpolate(other.maps[level], first.shape[2:], mode="bilinear"))
    torch.testing.assert_close(found.pooled, torch.cat([own.pooled, *(f.pooled for f in further)], 1))
    torch.testing.assert_close(found.tokens, own.tokens)


@pytest.mark.parametrize("network", [{"type": "vit", "embed_dim": 16, "num_heads": 2}, {"type": "cnn"}])
def test_a_network_of_one_size_alone_is_refused(network: dict[str, Any]) -> None:
    inputs = {"x": fitted("image", encoder={"type": "scales", "network": network})}
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "image"}}, outputs={"y": "category"})  # type: ignore[arg-type]
    with pytest.raises(SpecError) as refused:
        build_model(spec, inputs, outputs, Choices())
    assert f"{network['type']} can't read this picture at 0.75 of its size" in str(refused.value)
    assert refused.value.problems[0].where == "inputs.x.encoder.network"


def test_what_is_wrong_within_is_told_with_its_place() -> None:
    with pytest.raises(SpecError) as refused:
        settled({"type": "scales", "network": {"type": "efficientnet", "weights": "nowhere"}})
    assert refused.value.problems[0].where == "network.weights"


def test_a_network_within_that_stays_as_it_is_sees_pictures_as_they_are() -> None:
    frozen = {"type": "efficientnet", "weights": "there", "trained_layers": 0}
    for encoder, changes in (
        (frozen, False),
        ({"type": "scales", "network": frozen}, False),
        ({"type": "scales"}, True),
    ):
        column = fitted("image", augment="auto", encoder=encoder)
        assert bool(steps_of(column)) == changes


@pytest.mark.parametrize(("kind", "around"), [("image", "scales"), ("video", "frames")])
def test_filters_within_are_made_of_training_rows(kind: str, around: str) -> None:
    further = {"sizes": [1.5]} if around == "scales" else {}
    built, batch = model(kind, {"type": around, "network": "airbench", **further})
    (encoder,) = built.encoders.values()
    before = encoder.network.filters.clone()
    encoder.prime(batch["x"])
    assert not torch.allclose(before, encoder.network.filters)


def test_a_size_is_planned_without_memory() -> None:
    inputs = {"x": fitted("image", encoder={"type": "scales", "sizes": [1.5], "network": "airbench"})}
    outputs = {"y": fitted("category", "y", target=True)}
    spec = Spec(inputs={"x": {"type": "image"}}, outputs={"y": "category"})  # type: ignore[arg-type]
    with torch.device("meta"):
        assert build_model(spec, inputs, outputs, Choices()).encoders


def test_the_whole_way_with_two_sizes(tmp_path: Path) -> None:
    from tests.pictures.test_anomalies import rows

    seen, asked = rows(24, 0, 0), rows(6, 2, 3)
    run = dapeng.train(
        [{"part": r["part"], "fault": r["fault"]} for r in seen],
        inputs={
            "part": {
                "type": "image",
                "size": 48,
                "augment": "none",
                "encoder": {"type": "scales", "network": {"type": "resnet_small", "width": 8}},
            }
        },
        outputs={"fault": {"type": "anomaly", "decoder": {"type": "patch_memory", "size": 20, "apart": True}}},
        model="network",
        train={"epochs": 1, "threads": 1, "batch_size": 8, "precision": "fp32"},
        evaluate={"baselines": [], "resamples": 0},
        runs=str(tmp_path / "runs"),
    )
    said = run.predict([{"part": r["part"]} for r in asked]).column("fault.score").to_pylist()
    again = dapeng.load(run.path).predict([{"part": r["part"]} for r in asked]).column("fault.score").to_pylist()
    assert said == again
    assert len(set(said)) == len(said)


def pixels(count: int) -> list[dict[str, Any]]:
    """Dark and bright pictures, as PNG."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    draw, out = np.random.default_rng(0), []
    for i in range(count):
        file = BytesIO()
        Image.fromarray(draw.integers(0, 90, (32, 32, 3), np.uint8) + np.uint8(150 * (i % 2))).save(file, "PNG")
        out.append({"x": file.getvalue(), "y": ["dark", "bright"][i % 2]})
    return out


def test_a_run_with_two_sizes_starts_another_one_alone_and_within(tmp_path: Path) -> None:
    def trained(encoder: dict[str, Any]) -> Any:
        return dapeng.train(
            pixels(24),
            inputs={"x": {"type": "image", "size": 32, "augment": "none", "encoder": encoder}},
            outputs={"y": "category"},
            model="network",
            train={"steps": 1, "threads": 1, "batch_size": 8, "precision": "fp32", "learning_rate": 1e-9},
            evaluate={"baselines": [], "resamples": 0},
            runs=str(tmp_path / "runs"),
        )

    first = trained({"type": "scales", "sizes": [1.5], "network": {"type": "resnet", "depth": 18}})
    (own,) = first.product.model.encoders.values()
    wanted = dict(own.network.named_parameters())
    for encoder in (
        {"type": "resnet", "weights": str(first.path)},
        {"type": "scales", "sizes": [1.5], "network": {"type": "resnet", "weights": str(first.path)}},
    ):
        (other,) = trained(encoder).product.model.encoders.values()
        found = dict(getattr(other, "network", other).named_parameters())
        assert found.keys() == wanted.keys()
        assert all(torch.allclose(found[n], wanted[n], atol=1e-5) for n in wanted)
    with pytest.raises(SpecError) as told:
        trained({"type": "vit", "weights": str(first.path)})
    assert "resnet, scales" in str(told.value)
