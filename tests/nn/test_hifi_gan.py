"""A generator of samples and its critics: steps as factors, what a sample depends on, and losses against the paper's formulas."""

from __future__ import annotations

import math

import pytest
import torch

from dapeng.nn.hifi_gan import Critics, Generator, PeriodCritic, factors, maps_apart, taken_for_true, told_apart


@pytest.mark.parametrize("step", [1, 2, 7, 64, 80, 128, 176, 221, 353])
def test_factors_of_a_step_give_the_step(step: int) -> None:
    assert math.prod(factors(step)) == step
    assert factors(64) == [8, 8]
    assert factors(176) == [11, 8, 2]


@pytest.mark.parametrize("step", [1, 6, 35, 64])
def test_a_sample_depends_on_frames_within_the_reach(step: int) -> None:
    torch.manual_seed(0)
    net = Generator(4, step, 8, [3, 5], [1, 3]).eval()
    bands = torch.randn(1, 40, 4)
    whole = net(bands)
    assert whole.shape == (1, 40 * step)
    for at in (0, 19, 39):
        other = bands.clone()
        other[0, at] += 1
        changed = (net(other) != whole)[0].nonzero()[:, 0]
        assert changed.min() >= max(0, at - net.reach) * step
        assert changed.max() < min(40, at + net.reach + 1) * step
        assert changed.min() <= at * step <= changed.max()


def test_a_critic_of_a_period_never_compares_samples_of_other_places_in_it() -> None:
    critic = PeriodCritic(3, 2)
    sound = torch.randn(1, 90)
    other = sound.clone()
    other[0, 31::3] += 1.0  # places 1 of the period
    for a, b in zip(critic(sound), critic(other)):
        assert torch.equal(a[..., [0, 2]], b[..., [0, 2]])
        assert not torch.equal(a[..., 1], b[..., 1])


def test_losses_are_those_of_the_paper() -> None:
    torch.manual_seed(1)
    critics = Critics([2, 5], 2, 2)
    with torch.no_grad():
        true, made = critics(torch.randn(3, 200)), critics(torch.randn(3, 200))
    assert len(true) == 4
    for row in range(3):
        game = sum(float(((1 - t[-1][row]) ** 2).mean() + (m[-1][row] ** 2).mean()) for t, m in zip(true, made))
        fooled = sum(float(((1 - m[-1][row]) ** 2).mean()) for m in made)
        maps = sum(float((a[row] - b[row]).abs().mean()) for t, m in zip(true, made) for a, b in zip(t[:-1], m[:-1]))
        assert float(told_apart(true, made)[row]) == pytest.approx(game, rel=1e-5)
        assert float(taken_for_true(made)[row]) == pytest.approx(fooled, rel=1e-5)
        assert float(maps_apart(true, made)[row]) == pytest.approx(maps, rel=1e-5)
