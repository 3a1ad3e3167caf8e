"""The sizes of the detector: each is built, each is larger than the one before by what the pages say, and each learns."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch

from dapeng.core.errors import SpecError
from dapeng.core.loader import load_spec
from dapeng.data.batch import Cells
from dapeng.decoders.yolo import SIZES, Yolo, YoloDecoder
from dapeng.nn.features import Features, Widths

DOCS = Path(__file__).parents[2] / "docs"
RESNET_18 = ((64, 4), (128, 8), (256, 16), (512, 32))
TINY = ((8, 4), (16, 8), (16, 16))


def built(size: str, maps: tuple[tuple[int, int], ...], labels: int) -> YoloDecoder:
    column = SimpleNamespace(labels=[str(i) for i in range(labels)], max_boxes=20, frame=(64, 64))
    return Yolo.model_validate({"size": size}).build(column, Widths(maps=maps), None, None)


def parameters(size: str) -> int:
    """Of neck and head over the maps of ResNet-18, for the 80 labels of COCO; nothing is allocated."""
    with torch.device("meta"):
        return sum(p.numel() for p in built(size, RESNET_18, 80).parameters())


def test_a_spec_may_say_each_size_and_no_other() -> None:
    assert list(SIZES) == list(get_args(Yolo.model_fields["size"].annotation))
    spec: dict[str, Any] = {"data": "none.csv", "inputs": {"p": "image"}}
    for size in SIZES:
        outputs = {"b": {"type": "boxes", "decoder": {"type": "yolo", "size": size}}}
        loaded: Any = load_spec({**spec, "outputs": outputs}).spec.outputs["b"]
        assert loaded.decoder.size == size
    with pytest.raises(SpecError, match="huge"):
        load_spec({**spec, "outputs": {"b": {"type": "boxes", "decoder": {"type": "yolo", "size": "huge"}}}})


def test_each_size_is_larger_than_the_one_before() -> None:
    counts = [parameters(size) for size in SIZES]
    for smaller, larger in pairwise(counts):
        assert larger > 2 * smaller


@pytest.mark.parametrize("page", ["senses.md", "senses.zh-CN.md"])
def test_the_pages_and_the_help_say_how_large_each_is(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    help_text = Yolo.said_of("size")
    for size in SIZES:
        assert f"{parameters(size):,}" in text
        assert f"{parameters(size):,}" in help_text


@pytest.mark.parametrize("size", SIZES)
def test_each_size_learns(size: str) -> None:
    """Every weight gets a slope, of which none is beyond numbers, and the loss of two pictures falls within three steps."""
    torch.manual_seed(0)
    decoder = built(size, TINY, 2)
    maps = tuple(torch.randn(2, channels, 64 // stride, 64 // stride) for channels, stride in TINY)
    target = Cells(
        {
            "boxes": torch.tensor([[[8.0, 8, 40, 32], [0, 0, 0, 0]], [[20, 20, 60, 60], [4, 30, 18, 44]]]),
            "codes": torch.tensor([[0, 0], [1, 0]]),
            "mask": torch.tensor([[True, False], [True, True]]),
        }
    )
    optimiser = torch.optim.AdamW(decoder.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        loss = decoder.loss(Features(maps=maps), target).sum()
        loss.backward()
        losses.append(float(loss.detach()))
        optimiser.step()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in decoder.parameters())
    assert losses[-1] < losses[0]
    said = decoder.eval().predict(Features(maps=maps), 2)
    assert said["boxes"].shape == (2, 20, 4)
