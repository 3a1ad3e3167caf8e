"""Attention by blocks, and turning with fewer passes, against what they stand for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dapeng.nn.attention import rotated, rotations
from dapeng.nn.blockwise import Blockwise, Turned, attended
from dapeng.nn.causal import packed_view

ROWS, HEADS, TOKENS, WIDTH = 3, 2, 150, 16


def drawn(heads: int = HEADS) -> Tensor:
    return torch.randn(ROWS, heads, TOKENS, WIDTH, dtype=torch.float32, requires_grad=True)


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_give_the_answer_and_the_gradients_of_plain_attention(packed: bool) -> None:
    torch.manual_seed(0)
    q, k, v, weigh = drawn(), drawn(), drawn(), torch.randn(ROWS, HEADS, TOKENS, WIDTH)
    documents = torch.arange(TOKENS).expand(ROWS, -1) // torch.tensor([[20], [70], [200]])
    seen = packed_view(documents).bias if packed else None
    plain = F.scaled_dot_product_attention(q, k, v, seen, is_causal=not packed)
    wanted = torch.autograd.grad((plain * weigh).sum(), (q, k, v))
    found: Tensor = Blockwise.apply(q, k, v, seen)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    for a, b in zip(torch.autograd.grad((found * weigh).sum(), (q, k, v)), wanted):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_blocks_are_no_farther_from_the_truth_than_torchs_kernel() -> None:
    torch.manual_seed(1)
    exact = [drawn() for _ in range(3)]
    weigh = torch.randn(ROWS, HEADS, TOKENS, WIDTH)
    plain = F.scaled_dot_product_attention(exact[0], exact[1], exact[2], is_causal=True)
    truth = torch.autograd.grad((plain * weigh).sum(), exact)

    def off(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
        q, k, v = (t.detach().bfloat16().requires_grad_() for t in exact)
        gradients = torch.autograd.grad((function(q, k, v).float() * weigh).sum(), (q, k, v))
        return max(float((a.float() - b).norm() / b.norm()) for a, b in zip(gradients, truth))

    theirs = off(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
    assert off(lambda q, k, v: attended(q, k, v, None, causal=True)) < 1.5 * theirs < 0.03


def test_groups_share_keys_and_values() -> None:
    torch.manual_seed(2)
    q, k, v = (t.detach().bfloat16().requires_grad_() for t in (drawn(4), drawn(2), drawn(2)))
    found = attended(q, k, v, None, causal=True)
    wanted = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True, enable_gqa=True)
    torch.testing.assert_close(found.float(), wanted, rtol=3e-2, atol=3e-2)
    found.float().sum().backward()
    assert k.grad is not None
    assert k.grad.shape == k.shape


def test_turning_is_turning() -> None:
    torch.manual_seed(3)
    x = drawn()
    cosines, sines = rotations(TOKENS, WIDTH)
    found: Tensor = Turned.apply(x, cosines, sines)
    wanted = rotated(x, cosines, sines)
    torch.testing.assert_close(found, wanted)
    weigh = torch.randn_like(x)
    (a,), (b,) = (torch.autograd.grad((y * weigh).sum(), x) for y in (found, wanted))
    torch.testing.assert_close(a, b)
