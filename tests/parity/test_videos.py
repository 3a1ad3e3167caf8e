"""(2+1)D convolutions beside those in three dimensions, and frames with attention beside the network of one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dapeng.core.kinds import encoders, norms
from dapeng.data.batch import Cells
from dapeng.encoders.r2plus1d import Convolution, middle
from tests.contract.parts import batch_of, fitted


def video(tag: str, changes: dict[str, Any] | None = None, **options: Any) -> Any:
    """A column of videos, fitted on its examples, read by an encoder at the size in which it is tried."""
    return fitted("video", "x", encoder={"type": tag, **encoders.members()[tag].tiny, **(changes or {})}, **options)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (16, 32), (64, 64), (64, 128), (3, 64)])
def test_both_convolutions_have_as_many_weights_as_the_one_in_three_dimensions(inputs: int, outputs: int) -> None:
    between = middle(inputs, outputs)
    found, wanted = between * (9 * inputs + 3 * outputs), 27 * inputs * outputs
    assert wanted - (9 * inputs + 3 * outputs) < found <= wanted
    if inputs == outputs == 64:
        assert between == 144  # as in the published network of 18 layers


def test_a_separable_kernel_gives_what_its_product_gives_in_three_dimensions() -> None:
    torch.manual_seed(0)
    made = Convolution(2, 3, norms.members()["none"]())
    for weight in made.parameters():
        weight.data = weight.data.abs()  # nothing is below zero, so that ReLU changes nothing
    x = torch.rand(2, 2, 5, 7, 6)
    whole = torch.einsum("omt,mcyx->octyx", made.time.weight[..., 0, 0], made.space.weight[:, :, 0])
    torch.testing.assert_close(made(x), F.conv3d(x, whole, padding=1), rtol=1e-4, atol=1e-4)


def test_an_encoder_reads_the_first_clip_alone_and_looks_turn_the_others_to_it() -> None:
    column = video("r2plus1d", frames=4, clips=3)
    cells = batch_of({"x": column})["x"]
    network = column.options.encoder.build([column], None).eval()
    frames = cells["frames"]
    other = frames.clone()
    other[:, 4:] = 0
    with torch.no_grad():
        torch.testing.assert_close(network(cells).pooled, network(Cells({"frames": other})).pooled)
        for number, look in enumerate(column.looks(), 1):
            first = frames[:, 4 * number : 4 * number + 4].repeat(1, 3, 1, 1, 1)
            found = network(Cells(look(cells.tensors))).pooled
            torch.testing.assert_close(found, network(Cells({"frames": first})).pooled)


def test_shuffled_frames_are_the_same_frames_of_the_same_clip() -> None:
    column = video("frames", frames=4, clips=2)
    cells = batch_of({"x": column})["x"]
    draw = np.random.default_rng(0)
    found = column.controls()["frames shuffled"](cells.tensors, lambda n: draw.random((8, n)))["frames"]
    assert not torch.equal(found, cells["frames"])
    for clip in (slice(0, 4), slice(4, 8)):
        before, after = (x[:, clip].flatten(2).long().sum(2).sort(1).values for x in (cells["frames"], found))
        assert torch.equal(before, after)


@pytest.mark.parametrize("inner", ["resnet_small", "lenet", "vit"])
def test_any_network_of_pictures_reads_frames_as_it_reads_pictures(inner: str) -> None:
    tiny = encoders.members()[inner].tiny
    column = video("frames", {"network": {"type": inner, **tiny}}, size=32)
    cells = batch_of({"x": column})["x"]
    network = column.options.encoder.build([column], None).eval()
    seen: list[torch.Tensor] = []
    network.project.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.no_grad():
        network(cells)
        alone = network.network(Cells({"pixels": cells["frames"][:, 2]})).pooled
    torch.testing.assert_close(seen[0].unflatten(0, (8, -1))[:, 2], alone, rtol=1e-4, atol=1e-4)
