"""Shares of a blend: what few rows can't tell apart is averaged, what many rows can is chosen."""

from __future__ import annotations

import numpy as np
from tests.contract.parts import fitted

from dapeng.evaluate.blend import blend_shares


def numbers(errors: dict[str, float], rows: int, seed: int = 0) -> dict[str, float]:
    draw = np.random.default_rng(seed)
    wanted = draw.normal(size=rows)
    found = {m: {"mean": wanted + e * draw.normal(size=rows)} for m, e in errors.items()}
    return blend_shares(fitted("number", "y", target=True), found, wanted)


def test_members_that_few_rows_cannot_tell_apart_share_alike() -> None:
    shares = numbers({"a": 1.0, "b": 1.02, "c": 0.98}, 60)
    assert set(shares) == {"a", "b", "c"}
    assert max(shares.values()) < 0.6


def test_a_member_that_is_plainly_worse_gets_next_to_nothing() -> None:
    for rows in (60, 3000):
        shares = numbers({"good": 0.5, "bad": 3.0}, rows)
        assert shares.get("bad", 0.0) < 0.06, rows


def test_many_rows_choose_the_better_mean() -> None:
    shares = numbers({"a": 1.0, "b": 1.0, "c": 2.0}, 5000)
    assert abs(shares["a"] - shares["b"]) < 0.15
    assert shares.get("c", 0.0) < 0.2


def test_shares_sum_to_one_and_no_rows_choose_the_first() -> None:
    assert abs(sum(numbers({"a": 1.0, "b": 1.1}, 80).values()) - 1) < 1e-3
    assert blend_shares(fitted("number", "y", target=True), {"a": {"mean": np.empty(0)}}, np.empty(0)) == {"a": 1.0}
