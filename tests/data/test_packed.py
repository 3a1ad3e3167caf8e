"""Texts laid one behind the other: every token once an epoch, borders known, the same whatever was read before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dapeng.columns.base import Dims
from dapeng.data.groups import Group
from dapeng.data.packed import PackedFeed, windows_of
from dapeng.data.stored import Stored

BOS, EOS = 1, 2


def texts(lengths: list[int]) -> Stored:
    """Texts whose tokens all differ: begin, numbers from 10 on, end."""
    rows, first = [], 10
    for length in lengths:
        rows.append(np.concatenate([[BOS], np.arange(first, first + length), [EOS]]))
        first += length
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    group = Group("t", ["t"], False)
    layout = {"ids": Dims("B T", "int32")}
    return Stored(group, layout, {"ids": np.concatenate(rows).astype(np.int32)}, None, offsets)


def epoch(feed: PackedFeed, position: int = 0) -> list[torch.Tensor]:
    steps = feed.steps(position)
    return [batch["t"]["ids"] for _ in range(feed.steps_per_epoch) for batch in next(steps)]


def test_an_epoch_has_every_window_once_and_no_padding() -> None:
    stored = texts([50, 3, 1, 700, 20, 9])
    feed = PackedFeed("t", stored, np.arange(6), 16, 4, seed=3)
    windows = torch.cat(epoch(feed))
    assert windows.shape == (windows_of(783 + 12, 16), 17)
    learnt = windows[:, 1:].flatten()
    plain = learnt[learnt >= 10]
    assert len(plain.unique()) == len(plain)  # none twice
    assert len(plain) >= 783 - 16  # at most a window's worth is left for another epoch


def test_tokens_follow_each_other_within_a_text_and_documents_tell_where_it_ends() -> None:
    stored = texts([5, 30, 12, 8])
    feed = PackedFeed("t", stored, np.arange(4), 10, 2, seed=1)
    steps = feed.steps(0)
    for _ in range(3 * feed.steps_per_epoch):
        (batch,) = next(steps)
        cells = batch["t"]
        ids = cells["ids"]
        documents = cells["documents"] if "documents" in cells else torch.zeros_like(ids)
        assert torch.equal(cells["mask"], ids != BOS)
        same = documents[:, 1:] == documents[:, :-1]
        both = same & (ids[:, 1:] >= 10) & (ids[:, :-1] >= 10)
        assert (ids[:, 1:] - ids[:, :-1])[both].eq(1).all()
        assert ids[:, :-1][~same].eq(EOS).all()
        assert ids[:, 1:][~same].eq(BOS).all()


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_later_step_is_the_same_for_a_feed_that_begins_there(accumulate: int) -> None:
    stored = texts([40, 80, 3, 77])
    one = PackedFeed("t", stored, np.arange(4), 7, 2, accumulate, seed=5).steps(0)
    for position in range(12):
        wanted = next(one)
        found = next(PackedFeed("t", stored, np.arange(4), 7, 2, accumulate, seed=5).steps(position))
        assert len(wanted) == len(found) == accumulate
        for a, b in zip(wanted, found):
            assert torch.equal(a["t"]["ids"], b["t"]["ids"])


def test_ranks_share_a_step_without_overlap() -> None:
    stored = texts([300, 200])
    whole = torch.cat(epoch(PackedFeed("t", stored, np.arange(2), 8, 8, seed=2)))
    shared = [PackedFeed("t", stored, np.arange(2), 8, 4, seed=2, rank=r, world=2) for r in (0, 1)]
    parts = torch.cat([torch.cat(epoch(feed)) for feed in shared])
    assert sorted(whole.tolist()) == sorted(parts.tolist())


def test_rows_that_are_missing_or_of_other_parts_are_left_out() -> None:
    stored = texts([30, 30, 30])
    stored.present = np.array([True, False, True])
    feed = PackedFeed("t", stored, np.array([0, 1]), 5, 2, seed=0)
    assert torch.cat(epoch(feed)).max() < 40


def test_fewer_tokens_than_a_window_are_one_window() -> None:
    feed = PackedFeed("t", texts([4]), np.arange(1), 256, 8)
    (window,) = epoch(feed)
    assert window.tolist() == [[BOS, 10, 11, 12, 13, EOS]]


class Watched:
    """Tokens in a file, and which of them were read."""

    def __init__(self, ids: np.ndarray):
        self.ids, self.read = ids, np.zeros(len(ids), bool)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        self.read[places] = True
        return self.ids[places]


def test_each_rank_reads_the_tokens_of_its_own_windows_alone() -> None:
    stored = texts([700, 400, 900])
    read = []
    for rank in (0, 1):
        watched = Watched(stored.tensors["ids"])
        mine = Stored(stored.group, stored.layout, {"ids": watched}, None, stored.offsets)  # type: ignore[dict-item]
        feed = PackedFeed("t", mine, np.arange(3), 20, 5, seed=2, rank=rank, world=2)
        steps = feed.steps(0)
        for _ in range(feed.steps_per_epoch):
            next(steps)
        read.append(watched.read)
    assert read[0].mean() < 0.56 > read[1].mean()
    assert (read[0] & read[1]).sum() <= feed.windows  # the token that one window ends with and another begins with
    assert (read[0] | read[1]).mean() > 0.95
