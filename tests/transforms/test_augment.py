"""Random changes of pictures: answers go with what is mixed, views are averaged, RandAugment's changes do what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dapeng.core.errors import SpecError
from dapeng.core.kinds import transforms
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch, Cells
from dapeng.models.build import Choices, build_model
from dapeng.models.predict import predict_batch
from dapeng.transforms.rand_augment import CHANGES, autocontrast, brightness, equalise, posterise, rotate, solarise
from dapeng.transforms.views import mirrored, moved
from tests.contract.parts import batch_of, fitted, with_encoder


def pictures(rows: int = 64) -> Batch:
    """Each picture is of one grey, its class is that grey's half."""
    greys = torch.arange(rows) * 4
    pixels = greys.view(-1, 1, 1, 1).expand(rows, 1, 8, 8).to(torch.uint8).contiguous()
    codes = (greys >= 128).long()
    columns = {"x": Cells({"pixels": pixels}), "y": Cells({"codes": codes}), "z": Cells({"values": greys.float()})}
    return Batch(columns, torch.arange(rows))


def mixing(tag: str, **options: Any) -> Any:
    outputs = {"y": fitted("category", "y", target=True), "z": fitted("number", "z", target=True)}
    outputs["y"].labels = ["0", "1"]  # type: ignore[attr-defined]
    member = transforms.members()[tag](**options)
    return member.with_outputs(member.build(None), outputs)


@pytest.mark.parametrize("tag", ["mixup", "cutmix"])
def test_answers_are_mixed_in_the_shares_of_the_pictures(tag: str) -> None:
    batch = pictures()
    out = mixing(tag, probability=1.0)(batch, "x", (0, 1, 2))
    mean = out["x"]["pixels"].float().mean((1, 2, 3))
    torch.testing.assert_close(out["z"]["values"], mean, atol=0.51, rtol=0)
    p = out["y"]["probabilities"]
    torch.testing.assert_close(p.sum(1), torch.ones(64))
    assert ((p > 0.01).sum(1) == 2).any(), "no pair of two classes was mixed"
    own = p.gather(1, batch["y"]["codes"][:, None])[:, 0]
    assert (own >= 0.5 - 1e-6).all(), "a row stays mostly itself"


def test_only_a_share_of_the_rows_is_mixed_and_alike_each_time() -> None:
    batch = pictures()
    step = mixing("mixup", probability=0.3)
    once, again, later = (step(batch, "x", (0, e, 2)) for e in (1, 1, 2))
    changed = (once["x"]["pixels"] != batch["x"]["pixels"]).flatten(1).any(1)
    assert 5 <= int(changed.sum()) <= 32
    assert torch.equal(once["x"]["pixels"], again["x"]["pixels"])
    assert not torch.equal(once["x"]["pixels"], later["x"]["pixels"])


def test_a_cut_piece_is_a_rectangle_of_one_other_picture() -> None:
    out = mixing("cutmix", probability=1.0)(pictures(), "x", (0, 1, 2))["x"]["pixels"]
    for picture in out:
        greys = picture.unique()
        assert len(greys) <= 2
        if len(greys) == 2:
            own = pictures()["x"]["pixels"]
            assert {int(g) for g in greys} <= {int(p[0, 0, 0]) for p in own}
            for grey in greys:
                rows, columns = torch.nonzero(picture[0] == grey, as_tuple=True)
                box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
                if int(box) == len(rows):
                    break
            else:
                pytest.fail("neither part is a rectangle")


def test_a_row_whose_partner_has_no_answer_counts_for_nothing() -> None:
    batch = pictures()
    there = torch.arange(64) % 2 == 0
    batch = batch.replace({"y": Cells(batch["y"].tensors, there)})
    out = mixing("mixup", probability=1.0)(batch, "x", (0, 1, 2))
    assert (out["y"].present <= there).all()  # type: ignore[operator]


def test_an_answer_that_cannot_be_mixed_is_refused_before_training() -> None:
    class Ranks:
        type = "ranks"
        of = None

        def layout(self) -> dict[str, Any]:
            return {"order": None}

    member = transforms.members()["mixup"]()
    with pytest.raises(SpecError, match=r"outputs\.y"):
        member.with_outputs(member.build(None), {"y": Ranks()})


def test_a_network_learns_from_mixed_rows() -> None:
    import dapeng
    from tests.trained import digits

    run = dapeng.train(
        digits(300),
        inputs={"image": {"type": "image", "augment": ["mixup", "cutmix"], "encoder": "lenet"}},
        outputs={"label": "category"},
        model="network",
        train={"epochs": 30, "threads": 1, "batch_size": 16},
        data={"split": {"by": "random"}},
        evaluate={"baselines": [], "resamples": 0},
    )
    board = run.metrics["outputs"]["label"]["leaderboard"]
    assert board[0]["metrics"]["accuracy"]["value"] > 0.6


def test_erase_paints_one_square_with_the_picture_s_mean() -> None:
    x = torch.randint(0, 256, (16, 3, 12, 12), dtype=torch.uint8)
    batch = Batch({"x": Cells({"pixels": x})}, torch.arange(16))
    out = transforms.members()["erase"](share=0.5).build(None)(batch, "x", (0, 0, 0))["x"]["pixels"]
    for before, after in zip(x, out):
        changed = (before != after).any(0)
        assert 0 < int(changed.sum()) <= 7 * 7
        inside = after[:, changed]
        assert (inside == before.float().mean((1, 2)).to(torch.uint8)[:, None]).all()


def test_what_rand_augment_s_changes_do() -> None:
    torch.manual_seed(0)
    x = torch.rand(5, 3, 9, 9)
    none, full = torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1)
    for change in CHANGES:
        assert change(x, full).shape == x.shape
        if change not in (autocontrast, equalise, posterise):
            torch.testing.assert_close(change(x, none), x, atol=1e-5, rtol=0, msg=change.__name__)
    torch.testing.assert_close(brightness(x, full), x * 1.9)
    flat = autocontrast(x * 0.5 + 0.2, full)
    torch.testing.assert_close(flat.amin((2, 3)), torch.zeros(5, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat.amax((2, 3)), torch.ones(5, 3), atol=1e-4, rtol=0)
    assert (solarise(x, 0.5 * full) <= 0.5 + 1e-6).all()
    assert len(posterise(x, full).unique()) <= 16
    quarter = rotate(x, 3 * full)  # a right angle
    torch.testing.assert_close(quarter, x.rot90(1, (2, 3)), atol=1e-4, rtol=0)


def test_equalise_is_pillow_s() -> None:
    from PIL import Image, ImageOps

    pixels = (np.random.default_rng(0).normal(120, 25, (160, 160)).clip(0, 255)).astype(np.uint8)
    wanted = np.asarray(ImageOps.equalize(Image.fromarray(pixels)), np.float32)
    found = equalise(torch.from_numpy(pixels).float()[None, None] / 255, torch.zeros(1, 1, 1, 1))[0, 0] * 255
    assert np.abs(found.numpy() - wanted).mean() < 1.5


def test_views_are_averaged_and_one_view_is_the_picture_as_it_is() -> None:
    def model_of(views: str) -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        column = fitted("image", "x", encoder="lenet", views=views)
        outputs = {"y": fitted("category", "y", target=True)}
        spec = Spec(inputs={"x": {"type": "image"}}, outputs={"y": "category"})  # type: ignore
        return build_model(spec, {"x": column}, outputs, Choices()).eval(), batch_of({"x": column}, outputs), outputs

    plain, batch, outputs = model_of("one")
    twice, _, _ = model_of("mirror")
    wanted = predict_batch(plain, batch, outputs)["y"]["probabilities"]
    flipped = batch.replace({"x": Cells({"pixels": mirrored(batch["x"]["pixels"])}, batch["x"].present)})
    other = predict_batch(plain, flipped, outputs)["y"]["probabilities"]
    found = predict_batch(twice, batch, outputs)["y"]["probabilities"]
    torch.testing.assert_close(found, (wanted + other) / 2)
    assert not torch.allclose(found, wanted)
    six, _, _ = model_of("moved")
    assert len(six.views) == 5
    assert torch.isfinite(predict_batch(six, batch, outputs)["y"]["probabilities"]).all()


def test_a_moved_view_is_moved_by_a_sixteenth() -> None:
    x = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    x[0, 0, 10, 10] = 200
    assert moved(x, 1, False)[0, 0, 12, 12] == 200
    assert moved(x, -1, False)[0, 0, 8, 8] == 200
    assert moved(x, 1, True)[0, 0, 12, 23] == 200


def test_pictures_of_a_contract_column_pass_through_rand_augment() -> None:
    column = with_encoder("image", "lenet")
    batch = batch_of({"x": column})
    out = transforms.members()["rand_augment"](changes=3, strength=9).build(column)(batch, "x", (0, 1, 0))
    assert out["x"]["pixels"].dtype == torch.uint8
    assert not torch.equal(out["x"]["pixels"], batch["x"]["pixels"])
