"""Whatever moves a picture in training, what lies in it stays where it belongs: boxes by the affine, masks pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scenes import COLOURS, scenes  # type: ignore[import-not-found]

from dapeng.api.columns import Chosen, settle
from dapeng.core.errors import SpecError
from dapeng.core.kinds import transforms
from dapeng.core.loader import load_spec
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.table import Frame
from dapeng.nn.boxes import clipped, moved
from dapeng.nn.unet import warped
from dapeng.transforms.compose import transforms_for
from dapeng.transforms.placed import masks_as_read

CARRY = sorted(t for t, m in transforms.members().items() if m.carries and "image" in m.fits)
STILL = {"colour", "erase"}
BOXES, MASK = {"things": {"type": "boxes"}}, {"mask": {"type": "mask"}}


def batch_of(outputs: dict[str, Any], augment: Any, resize: str = "pad") -> tuple[Batch, Any, dict[str, Any]]:
    """Twelve pictures of another shape than they are read at, what lies in them, and the change that training makes."""
    photo = {"type": "image", "size": [64, 64], "resize": resize, "augment": augment}
    spec = load_spec({"data": "none.csv", "inputs": {"photo": photo}, "outputs": outputs}).spec
    chosen = Chosen(dict(spec.inputs), dict(spec.outputs))
    settle(chosen, None)
    source = Frame(scenes(12, seed=4))
    wanted = {"photo": (chosen.inputs["photo"], False), **{n: (o, True) for n, o in chosen.outputs.items()}}
    columns = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    inputs, answers = {"photo": columns["photo"]}, {n: columns[n] for n in outputs}
    store = Prepared(inputs, answers, None, 1.0).store(source)
    return Rows(store).batch(np.arange(12)), transforms_for(inputs, answers, seed=3), columns


def seen(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes as they are read, cut at the border, and which are there."""
    boxes = moved(batch["things"]["boxes"], batch["photo"]["affine"])
    return clipped(boxes, *batch["photo"]["pixels"].shape[2:]), batch["things"]["mask"]


def options_of(tag: str) -> dict[str, Any]:
    more = {
        "mosaic": {"probability": 1.0},
        "mixup": {"probability": 1.0, "alpha": 20.0},
        "colour": {"brightness": 0.1, "contrast": 0.0, "saturation": 0.0},
    }
    return {"type": tag, **more.get(tag, {})}


@pytest.mark.parametrize("resize", ["pad", "stretch"])
@pytest.mark.parametrize("tag", [t for t in CARRY if t not in ("elastic", "erase")])
def test_boxes_lie_around_what_they_lay_around(tag: str, resize: str) -> None:
    batch, change, columns = batch_of(BOXES, [options_of(tag)], resize)
    changed = change(batch, 5)
    if tag not in STILL:
        assert not torch.equal(changed["photo"]["pixels"], batch["photo"]["pixels"])
    boxes, mask = seen(changed)
    pixels = changed["photo"]["pixels"].float()
    looked = 0
    for row in range(12):
        for box, code in zip(boxes[row][mask[row]], changed["things"]["codes"][row][mask[row]].tolist()):
            x1, y1, x2, y2 = (box + torch.tensor([1.5, 1.5, -1.5, -1.5])).round().long().tolist()
            if x2 - x1 < 2 or y2 - y1 < 2:
                continue
            looked += 1
            inside = pixels[row, :, y1:y2, x1:x2].mean((1, 2)) - 128
            wanted = torch.tensor(COLOURS[columns["things"].labels[code]]).float() - 128
            alike = (inside @ wanted) / (wanted @ wanted)
            if tag == "mixup":  # things of both pictures may lie on each other: both are dark in green
                alike = -inside[1] / 70
            assert alike > (0.3 if tag == "mixup" else 0.6), (tag, row, box)
    assert looked > (4 if tag == "crop" else 12)


@pytest.mark.parametrize("tag", [t for t in CARRY if t not in ("mixup", "erase")])
def test_masks_lie_over_what_they_lay_over(tag: str) -> None:
    batch, change, _ = batch_of(MASK, [options_of(tag)])
    changed = change(batch, 5)
    picture, mask = changed["photo"], changed["mask"]
    high, wide = picture["pixels"].shape[2:]
    codes = masks_as_read(mask, picture, 255).long()
    red = picture["pixels"][:, 0].float() - picture["pixels"][:, 2].float()
    said = torch.where(red > 60, 1, torch.where(red < -60, 2, 0))
    counted = codes != 255
    assert ((said == codes)[counted]).float().mean() > 0.96
    for code in (1, 2):
        both, sums = ((said == code) & (codes == code)).sum(), (said == code).sum() + (codes == code).sum()
        assert 2 * both / sums > 0.8, (tag, code)
    first, now = mask["affine"], picture["affine"]
    step = torch.zeros_like(now)
    step[:, :, :2] = now[:, :, :2] @ torch.linalg.inv(first[:, :, :2])
    step[:, :, 2] = now[:, :, 2] - (step[:, :, :2] @ first[:, :, 2:])[..., 0]
    torch.testing.assert_close(warped(mask["codes"], step, high, wide, 255), codes)  # as the decoder does it


def test_draws_are_functions_of_seed_epoch_and_row() -> None:
    batch, change, _ = batch_of(BOXES, ["flip", "zoom", {"type": "mosaic", "probability": 0.5}])
    one, again, later = change(batch, 2), change(batch, 2), change(batch, 3)
    torch.testing.assert_close(one["photo"].tensors, again["photo"].tensors)
    torch.testing.assert_close(one["things"].tensors, again["things"].tensors)
    assert not torch.equal(one["photo"]["pixels"], later["photo"]["pixels"])


def test_what_can_t_be_carried_is_refused_in_words() -> None:
    with pytest.raises(SpecError, match="elastic bends the picture"):
        batch_of(BOXES, ["elastic"])
    with pytest.raises(SpecError, match="mixup mixes answers, and those of a column of type mask can't be mixed"):
        batch_of(MASK, ["mixup"])
    with pytest.raises(SpecError, match="cutmix moves the picture"):
        batch_of(BOXES, ["cutmix"])
