"""The loss over a vocabulary in chunks is the plain one, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dapeng.nn import vocabulary
from dapeng.nn.vocabulary import IGNORED, token_losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("whole", "logits", "tokens"), [(0, 1, 5), (0, 1500, 9), (0, 1500, 4096), (10**9, 1, 1)])
def test_losses_and_gradients_are_those_of_whole_logits(
    whole: int, logits: int, tokens: int, weighted: bool, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MOST_WHOLE": whole, "MOST_LOGITS": logits, "MOST_TOKENS": tokens}.items():
        monkeypatch.setattr(vocabulary, name, value)
    torch.manual_seed(0)
    hidden = torch.randn(23, 8, requires_grad=True)
    table = torch.randn(170, 8, requires_grad=True)  # three blocks of words at least
    targets = torch.randint(0, 170, (23,))
    targets[[2, 9]] = IGNORED
    weights = torch.rand(23) if weighted else torch.full((23,), 0.3)
    found = token_losses(hidden, table, targets, smoothing)
    got = torch.autograd.grad((found * weights).sum(), [hidden, table])
    plain = F.cross_entropy(
        hidden @ table.T, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing
    )
    wanted = torch.autograd.grad((plain * weights).sum(), [hidden, table])
    torch.testing.assert_close(found, plain)
    for a, b in zip(got, wanted):
        torch.testing.assert_close(a, b)


def test_in_bfloat16_it_is_as_close_as_whole_logits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden, table, targets = torch.randn(64, 32), torch.randn(300, 32), torch.randint(0, 300, (64,))
    exact = F.cross_entropy(hidden @ table.T, targets, reduction="none")
    with torch.autocast("cpu", torch.bfloat16):
        whole = token_losses(hidden, table, targets)
        monkeypatch.setattr(vocabulary, "MOST_WHOLE", 0)
        monkeypatch.setattr(vocabulary, "MOST_LOGITS", 3_000)
        chunks = token_losses(hidden, table, targets)
    assert chunks.dtype == torch.float32
    assert (chunks - exact).abs().max() <= 1.5 * (whole - exact).abs().max()


def test_tokens_that_do_not_count_give_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_WHOLE", 0)
    hidden = torch.randn(5, 4, requires_grad=True)
    table = torch.randn(6, 4, requires_grad=True)
    found = token_losses(hidden, table, torch.full((5,), IGNORED))
    found.sum().backward()
    assert not found.detach().any()
    assert hidden.grad is not None
    assert not hidden.grad.any()
