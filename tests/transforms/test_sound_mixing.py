"""Sounds mixed under others: the ratio that is asked for is found, the answer stays, and nothing is mixed with silence or with itself."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor

from dapeng.core.errors import SpecError
from dapeng.core.kinds import transforms
from dapeng.data.batch import Batch, Cells
from dapeng.transforms.background import repeated

DRAW = (0, 3, 1)


def sounds(rows: int = 40, level: float = 3000.0) -> Batch:
    """Tones of their own pitch and loudness, between 0.1 and 0.3 seconds at 8 kHz, with a class each."""
    draw = random.Random(1)
    lengths = torch.tensor([draw.randrange(800, 2400) for _ in range(rows)])
    time = torch.arange(2400)
    mask = time < lengths[:, None]
    hertz = torch.tensor([draw.uniform(100, 3000) for _ in range(rows)])[:, None]
    loud = torch.tensor([level * draw.uniform(0.2, 1.0) for _ in range(rows)])[:, None]
    samples = (loud * torch.sin(2 * math.pi * hertz * time / 8000) * mask).round().to(torch.int16)
    columns = {"x": Cells({"samples": samples, "mask": mask}), "y": Cells({"codes": torch.arange(rows)})}
    return Batch(columns, torch.arange(rows) + 100)


def mixed(batch: Batch, **options: float) -> Batch:
    return transforms.members()["background"](**{"probability": 1.0, **options}).build(None)(batch, "x", DRAW)


def ratios(batch: Batch, out: Batch) -> Tensor:
    """(B,) decibel between a sound and what was added to it."""
    own = batch["x"]["samples"].double()
    added = out["x"]["samples"].double() - own
    return 10 * torch.log10(own.square().sum(1) / added.square().sum(1))


@pytest.mark.parametrize("asked", [0.0, 6.0, 25.0])
def test_the_ratio_that_is_asked_for_is_the_ratio_that_is_found(asked: float) -> None:
    batch = sounds()
    found = ratios(batch, mixed(batch, least=asked, most=asked))
    torch.testing.assert_close(found, torch.full_like(found, asked), atol=0.1, rtol=0)


def test_ratios_lie_all_over_their_range_and_in_it() -> None:
    batch = sounds(200)
    found = ratios(batch, mixed(batch, least=20, most=5))
    assert found.min() > 4.9
    assert found.max() < 20.1
    counts = torch.histc(found, 5, 5.0, 20.0)
    assert counts.min() >= 20, "no fifth of the range has less than half of its share"


def test_both_become_softer_where_their_sum_is_too_loud() -> None:
    batch = sounds(level=32000.0)
    out = mixed(batch, least=3, most=3)
    own, both = batch["x"]["samples"].double(), out["x"]["samples"].double()
    peak = both.abs().amax(1)
    assert peak.max() <= 32767
    assert (peak >= 32766).sum() >= 5, "some are brought down to full scale"
    factor = (own * both).sum(1) / own.square().sum(1)
    assert ((peak < 32766) | (factor < 0.999)).all(), "such are softer as a whole"
    crest = (both.abs() >= 32766).sum(1)
    assert crest.max() < 30, "nothing is cut flat"


def test_answers_lengths_and_what_lies_behind_the_end_stay() -> None:
    batch = sounds()
    out = mixed(batch)
    assert torch.equal(out["y"]["codes"], batch["y"]["codes"])
    assert torch.equal(out["x"]["mask"], batch["x"]["mask"])
    assert not out["x"]["samples"][~out["x"]["mask"]].any()
    assert out["x"]["samples"].dtype == torch.int16


def test_only_a_share_of_the_rows_is_mixed_and_alike_each_time() -> None:
    batch = sounds(200)
    once, again = (mixed(batch, probability=0.3)["x"]["samples"] for _ in range(2))
    changed = (once != batch["x"]["samples"]).any(1)
    assert 40 <= int(changed.sum()) <= 80
    assert torch.equal(once, again)


def test_a_row_alone_or_beside_silence_stays_as_it_is() -> None:
    alone = sounds(1)
    assert torch.equal(mixed(alone)["x"]["samples"], alone["x"]["samples"])
    cells = sounds(2)["x"]
    quiet = torch.stack([cells["samples"][0], torch.zeros(2400, dtype=torch.int16)])
    gone = torch.stack([cells["mask"][0], torch.zeros(2400, dtype=torch.bool)])
    for mask in (cells["mask"], gone):
        pair = Batch({"x": Cells({"samples": quiet, "mask": mask})}, torch.arange(2))
        assert torch.equal(mixed(pair)["x"]["samples"], quiet)


def test_a_short_sound_begins_anywhere_and_again_where_it_ends() -> None:
    sound = torch.tensor([[1.0, 2.0, 3.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5])
    found = repeated(sound, torch.tensor([[3], [5], [0]]), torch.tensor([[0.4], [0.99], [0.5]]))
    assert found.tolist() == [[2.0, 3.0, 1.0, 2.0, 3.0], [5.0, 1.0, 2.0, 3.0, 4.0], [0.0] * 5]


def test_a_background_that_is_louder_than_the_sound_is_refused() -> None:
    with pytest.raises(SpecError, match="least: expected a number of at least 0"):
        transforms.members()["background"](least=-3)
