"""Tokens of a grid of places: where each lies, and how finely that is said."""

from __future__ import annotations

import math

import torch

from dapeng.encoders.grid_cnn import GridCnn, coordinates


def test_places_lie_row_by_row_and_each_further_wave_has_half_the_period() -> None:
    found = coordinates(4, 6, 3)
    assert found.shape == (24, 2 + 4 * 3)
    assert found[7, :2].tolist() == [torch.tensor(-0.25).item(), torch.tensor(-0.5).item()]  # second row, second place
    for wave in range(3):
        angles = math.pi * 2**wave * found[:, :2]
        torch.testing.assert_close(found[:, 2 + 2 * wave : 4 + 2 * wave], angles.sin())
        torch.testing.assert_close(found[:, 8 + 2 * wave : 10 + 2 * wave], angles.cos())


def test_more_waves_tell_places_that_lie_side_by_side_further_apart() -> None:
    def alike(waves: int) -> float:
        rows = torch.nn.functional.normalize(coordinates(1, 10, waves)[:, 2:], dim=1)
        return float((rows[:-1] * rows[1:]).sum(1).max())

    assert alike(5) < alike(3) < alike(1) < 1


def test_waves_are_as_many_as_the_spec_says() -> None:
    class Column:
        shape = (3, 40, 40)
        normalisation = ([0.5] * 3, [0.5] * 3)

    for waves in (1, 5):
        o = GridCnn(stages=2, width=4, embed_dim=8, waves=waves)
        assert o.build([Column()], {}).place.in_features == 2 + 4 * waves
