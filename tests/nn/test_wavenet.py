"""WaveNet: what a sample depends on, generation with and without what layers keep, and the values that samples can have."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dapeng.nn.sample_values import Mixture, MuLaw, squeezed, stretched
from dapeng.nn.wavenet import WaveNet


def net(says: MuLaw | Mixture, condition: int = 6, dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)) -> WaveNet:
    torch.manual_seed(3)
    return WaveNet(says, 16, 24, condition, dilations).eval()


@pytest.mark.parametrize("says", [MuLaw(), Mixture(4)], ids=["mulaw", "mixture"])
def test_generation_with_and_without_what_is_kept_gives_the_same_samples(says: MuLaw | Mixture) -> None:
    made = net(says)
    told = torch.randn(3, 700, 6)
    kept = made.generate(3, 700, told, seed=5)
    assert torch.equal(kept, made.generate(3, 700, told, seed=5, cached=False))
    assert not torch.equal(kept, made.generate(3, 700, told, seed=6))
    alone = made.generate(1, 700, told[1:2], seed=5)
    torch.testing.assert_close(alone[0], kept[1])


def test_generation_needs_no_condition() -> None:
    made = net(MuLaw(), condition=0)
    assert torch.equal(made.generate(2, 90, None, 1), made.generate(2, 90, None, 1, cached=False))


def test_a_sample_depends_on_those_before_it_as_far_as_the_network_reaches() -> None:
    made = net(MuLaw(), condition=0)
    heard = torch.randint(0, 256, (1, 60))
    whole = made(heard, None)
    assert made.reach == 15
    for at in (0, 30, 44, 45, 59):
        other = heard.clone()
        other[0, at] = (other[0, at] + 99) % 256
        changed = (made(other, None) != whole).any(2)[0].nonzero()[:, 0]
        assert changed.min() == at
        assert changed.max() <= at + made.reach - 1


def test_two_products_are_the_dilated_convolution_of_the_paper() -> None:
    made = net(MuLaw())
    layer = made.layers[2]
    x, told = torch.randn(2, 50, 16), torch.randn(2, 50, 6)
    kernel = torch.stack([layer.past.weight, layer.now.weight], 2)
    z = F.conv1d(F.pad(x.mT, (4, 0)), kernel, layer.now.bias, dilation=4) + layer.told(told).mT
    both = layer.out((torch.tanh(z[:, :16]) * torch.sigmoid(z[:, 16:])).mT)
    torch.testing.assert_close(torch.cat(layer(x, told), 2), both)


def test_mu_law_is_that_of_the_formula_and_goes_back() -> None:
    samples = torch.arange(-32768, 32768, 111)
    x = samples.double().numpy() / 32768
    wanted = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    np.testing.assert_allclose(squeezed(samples).numpy(), wanted, atol=1e-6)
    torch.testing.assert_close(stretched(squeezed(samples)), samples.float(), atol=0.5, rtol=1e-4)
    levels = torch.arange(256)
    assert torch.equal(MuLaw().seen(MuLaw().sound(levels)), levels)


def test_a_mixture_is_a_distribution_over_the_levels() -> None:
    says = Mixture(4)
    levels = torch.arange(256) / 255 * 2 - 1
    logits = torch.randn(1, 1, says.size).expand(1, 256, -1)
    total = torch.exp(-says.nats(logits, levels[None])).sum()
    assert float(total) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("says", [MuLaw(), Mixture(3)], ids=["mulaw", "mixture"])
def test_what_is_drawn_has_the_shares_that_the_network_says(says: MuLaw | Mixture) -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, says.size)
    if isinstance(says, Mixture):
        logits[:, 2 * says.parts :] = -3.0
    draw = torch.Generator().manual_seed(1)
    drawn = torch.stack([says.drawn(logits, says.noise(draw), 1.0)[0] for _ in range(4000)])
    seen = drawn if isinstance(says, MuLaw) else ((drawn.clamp(-1, 1) + 1) / 2 * 255).round().long()
    found = torch.bincount(seen, minlength=256) / 4000
    levels = torch.arange(256) if isinstance(says, MuLaw) else torch.arange(256) / 255 * 2 - 1
    wanted = torch.exp(-says.nats(logits[None].expand(1, 256, -1), levels[None]))[0]
    assert float((found.cumsum(0) - wanted.cumsum(0)).abs().max()) < 0.035


def test_it_learns_a_tone() -> None:
    torch.manual_seed(0)
    made = WaveNet(MuLaw(), 16, 16, 0, [1, 2, 4, 8]).train()
    tone = (8000 * torch.sin(torch.arange(4000) * 0.3)).to(torch.int16)
    optimiser = torch.optim.Adam(made.parameters(), 5e-3)
    first = last = 0.0
    for step in range(120):
        start = step * 31 % 3000
        loss = made.nats(tone[None, start : start + 400], None)[:, 40:].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first, last = (loss.item(), last) if step == 0 else (first, loss.item())
    assert first > 5.0
    assert last < 2.5


def test_keeping_is_many_times_faster() -> None:
    made = WaveNet(MuLaw(), 16, 16, 0, [2**i for i in range(9)] * 2).eval()

    def seconds(cached: bool) -> float:
        began = time.process_time()
        made.generate(1, 1500, None, 0, cached=cached)
        return time.process_time() - began

    assert seconds(False) > 3 * seconds(True)
