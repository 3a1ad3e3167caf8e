"""Stretches of texts: scores, places, likelihoods and the best one, against plain loops over all of them."""

from __future__ import annotations

import math

import pytest
import torch

from dapeng.nn.matches import equal_tokens, shared_runs, spread
from dapeng.nn.spans import NEVER, best_span, marginal_nats, places, span_scores

ROWS, TOKENS, LONGEST = 5, 9, 4


def drawn(seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Begin, end and inside (B, T) and sizes (L,); and a mask of rows of 9, 7, 3, 1 and no tokens."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(ROWS, TOKENS, generator=generator) for _ in range(3)]
    mask = torch.arange(TOKENS) < torch.tensor([9, 7, 3, 1, 0])[:, None]
    return [*parts, torch.randn(LONGEST, generator=generator)], mask


def by_hand(parts: list[torch.Tensor], mask: torch.Tensor, row: int) -> dict[tuple[int, int], float]:
    """The score of each stretch of a row, by its first token and the one behind its last."""
    begin, end, inside, sizes = (p.tolist() for p in parts)
    real = int(mask[row].sum())
    return {
        (s, e): begin[row][s] + end[row][e - 1] + sum(inside[row][s:e]) + sizes[e - s - 1]
        for s in range(real)
        for e in range(s + 1, min(s + LONGEST, real) + 1)
    }


def test_every_stretch_has_the_score_that_its_parts_add_up_to_and_none_reaches_into_the_padding() -> None:
    parts, mask = drawn()
    scores = span_scores(*parts, mask)
    assert scores.shape == (ROWS, TOKENS, LONGEST)
    for row in range(ROWS):
        known = by_hand(parts, mask, row)
        for start in range(TOKENS):
            for size in range(1, LONGEST + 1):
                found = float(scores[row, start, size - 1])
                if (start, start + size) in known:
                    assert found == pytest.approx(known[start, start + size], abs=1e-4)
                else:
                    assert found == NEVER


def test_a_stretch_never_goes_over_a_gap_in_the_mask() -> None:
    parts, mask = drawn()
    mask[0, 4] = False
    scores = span_scores(*parts, mask)[0]
    for start in range(TOKENS):
        for size in range(1, LONGEST + 1):
            crosses = start <= 4 < start + size or start + size > TOKENS
            assert bool(scores[start, size - 1] == NEVER) == crosses


def test_the_best_stretch_is_that_of_trying_all() -> None:
    for seed in range(20):
        parts, mask = drawn(seed)
        first, length = best_span(span_scores(*parts, mask))
        for row in range(ROWS - 1):
            known = by_hand(parts, mask, row)
            start, end = max(known, key=known.__getitem__)
            assert (int(first[row]), int(length[row])) == (start, end - start)
        assert int(length[-1]) == 0  # there is no token to point at


def test_an_answer_stands_where_a_loop_over_all_places_finds_it() -> None:
    generator = torch.Generator().manual_seed(1)
    passage = torch.randint(5, 7, (200, 12), generator=generator)  # two letters: many places
    mask = torch.arange(12) < torch.randint(0, 13, (200, 1), generator=generator)
    answer = torch.randint(5, 7, (200, 3), generator=generator)
    lengths = torch.randint(0, 4, (200,), generator=generator)
    found = places(passage, mask, answer, lengths)
    several = 0
    for row in range(200):
        text, size = passage[row][mask[row]].tolist(), int(lengths[row])
        wanted = answer[row, :size].tolist()
        by_loop = [t for t in range(len(text) - size + 1) if size and text[t : t + size] == wanted]
        assert found[row].nonzero()[:, 0].tolist() == by_loop
        several += len(by_loop) > 1
    assert several > 20


def test_the_loss_is_that_of_a_loop_over_all_stretches_and_all_places() -> None:
    parts, mask = drawn(3)
    scores = span_scores(*parts, mask)
    at = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    at[0, [1, 5, 8]] = True  # of two tokens, which don't end in time behind the last place
    at[1, 2] = at[2, 0] = at[3, 0] = True
    lengths = torch.tensor([2, 4, 3, 2, 1])
    nats, found = marginal_nats(scores, at, lengths)
    for row, starts in enumerate([[1, 5], [2], [0]]):
        known = by_hand(parts, mask, row)
        every = sum(math.exp(v) for v in known.values())
        right = sum(math.exp(known[s, s + int(lengths[row])]) for s in starts)
        assert float(nats[row]) == pytest.approx(-math.log(right / every), abs=1e-4)
    assert found.tolist() == [True, True, True, False, False]
    assert nats[3:].tolist() == [0.0, 0.0]


def test_an_answer_that_is_longer_than_the_longest_stretch_counts_nothing() -> None:
    parts, mask = drawn()
    at = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    at[:, 0] = True
    nats, found = marginal_nats(span_scores(*parts, mask), at, torch.full((ROWS,), LONGEST + 1))
    assert not found.any()
    assert (nats == 0).all()


def test_rows_without_a_place_give_a_gradient_of_zero_and_never_nan() -> None:
    parts, mask = drawn()
    parts = [p.requires_grad_() for p in parts]
    at = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    at[0, 2] = True
    nats, _ = marginal_nats(span_scores(*parts, mask), at, torch.ones(ROWS, dtype=torch.int64))
    nats.sum().backward()
    for part in parts[:3]:
        assert part.grad is not None
        assert torch.isfinite(part.grad).all()
        assert (part.grad[1:] == 0).all()
    assert (parts[0].grad[0] != 0).any()  # type: ignore[index]


def test_runs_that_passage_and_question_share_are_found_as_by_search() -> None:
    generator = torch.Generator().manual_seed(2)
    passage, question = (torch.randint(4, 8, (6, n), generator=generator) for n in (30, 9))
    mask, asked = torch.arange(30) < 25, torch.arange(9) < torch.tensor([9, 9, 5, 4, 1, 0])[:, None]
    mask = mask.expand(6, -1)
    found = shared_runs(equal_tokens(passage, question, mask, asked, unknown=7), 3)
    for row in range(6):
        p = [i if i != 7 else -1 for i in passage[row, :25].tolist()]
        q = question[row][asked[row]].tolist()
        for n in (1, 2, 3):
            runs = {tuple(q[j : j + n]) for j in range(len(q) - n + 1)}
            inside = [any(tuple(p[s : s + n]) in runs for s in range(max(t - n + 1, 0), t + 1)) for t in range(25)]
            assert found[row, :25, n - 1].bool().tolist() == inside
            assert not found[row, 25:, n - 1].any()


def test_what_is_counted_around_a_token_is_a_mean_over_its_neighbours() -> None:
    x = torch.randn(2, 11, 3)
    found = spread(x, 5)
    padded = torch.nn.functional.pad(x, (0, 0, 2, 2))
    wanted = torch.stack([padded[:, t : t + 5].sum(1) / 5 for t in range(11)], 1)
    torch.testing.assert_close(found, wanted)
