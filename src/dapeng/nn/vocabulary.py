"""The loss over a vocabulary, without ever holding the logits of more than some tokens and words.

After Wijmans et al.: Cut Your Losses in Large-Vocabulary Language Models, 2024 (https://arxiv.org/abs/2411.09009); here in plain
torch. The vocabulary is cut into blocks. Forward finds the log of each token's sum of exponentials, block by block; backward works
the logits of a block out once more, and that block's rows of the table's gradient at once, so that they are written once. One more
product is cheaper than to read and write the gradient of the table for each chunk of tokens.

Legend: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a token that doesn't count."""
MOST_LOGITS = 2**21
"""Logits that are held at once: few enough to stay in a processor's cache between the operations on them."""
MOST_WHOLE = 2**23
"""Logits up to which plain cross-entropy is used."""
MOST_TOKENS = 4096
"""Tokens that go through the vocabulary together: the more, the less often the table's gradient is read; the fewer, the wider a block."""


def token_losses(hidden: Tensor, table: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(N, D), (V, D), (N,) -> (N,) cross-entropy in nats, in fp32; 0 where the target is IGNORED.

    smoothing: the share of the target that is spread over the vocabulary.
    """
    if hidden.shape[0] * table.shape[0] <= MOST_WHOLE:
        logits = F.linear(hidden, table).float()
        return F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
    found: Any = _Chunked.apply(hidden, table, targets, smoothing)
    return found


def _product_type(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        ctx.dtype, ctx.smoothing = _product_type(hidden), smoothing
        weights, counts = table.to(ctx.dtype), targets != IGNORED
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            parts = [_sums(hidden[at].to(ctx.dtype), weights, targets[at]) for at in _blocks(len(hidden), MOST_TOKENS)]
            sums, likely = (torch.cat(each) for each in zip(*parts))
            if smoothing:
                likely = (1 - smoothing) * likely + smoothing * (hidden.to(ctx.dtype) @ weights.mean(0)).float()
        ctx.save_for_backward(hidden, table, targets, sums)
        return torch.where(counts, sums - likely, 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        hidden, table, targets, sums = ctx.saved_tensors
        weights, counts = table.to(ctx.dtype), targets != IGNORED
        grad = torch.where(counts, grads[0], 0.0)
        d_hidden = torch.empty_like(hidden)
        d_table: Tensor | None = None
        with torch.autocast(hidden.device.type, enabled=False):
            for at in _blocks(len(hidden), MOST_TOKENS):
                d_hidden[at], d_table = _slopes(
                    hidden[at].to(ctx.dtype), weights, targets[at], sums[at], grad[at], ctx.smoothing, d_table
                )
        return d_hidden, None if d_table is None else d_table.to(table.dtype), None, None


def _blocks(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _words(tokens: int, vocabulary: int) -> Iterator[slice]:
    return _blocks(vocabulary, max(64, MOST_LOGITS // max(1, tokens)))


def _sums(hidden: Tensor, weights: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) the log of the sum of exponentials, and (N,) the logit of the target; in fp32."""
    sums = hidden.new_full((len(hidden),), -torch.inf, dtype=torch.float32)
    likely = torch.zeros_like(sums)
    for at in _words(len(hidden), len(weights)):
        logits = (hidden @ weights[at].T).float()
        inside = (targets >= at.start) & (targets < at.stop)
        place = torch.where(inside, targets - at.start, 0)
        likely = torch.where(inside, logits.gather(1, place[:, None])[:, 0], likely)
        largest = logits.amax(1)
        sums = torch.logaddexp(sums, logits.sub_(largest[:, None]).exp_().sum(1).log_().add_(largest))
    return sums, likely


def _slopes(
    hidden: Tensor,
    weights: Tensor,
    targets: Tensor,
    sums: Tensor,
    grad: Tensor,
    smoothing: float,
    d_table: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The gradients with regard to hidden (N, D), and to the table (V, D) added to what is there, in fp32."""
    first = d_table is None
    if d_table is None:
        d_table = torch.empty(weights.shape, dtype=torch.float32, device=weights.device)
    d_hidden = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
    weighed = hidden.float() * grad[:, None]
    narrow = weighed.to(hidden.dtype)  # losses are weighed on the narrow side: V is wide
    for at in _words(len(hidden), len(weights)):
        slope = torch.sub(hidden @ weights[at].T, sums[:, None]).exp_().to(hidden.dtype)
        d_hidden += slope @ weights[at]
        if first:
            d_table[at] = slope.T @ narrow
        else:
            d_table[at] += slope.T @ narrow
    safe = torch.where(targets == IGNORED, 0, targets)  # weighs nothing
    d_hidden -= (1 - smoothing) * weights[safe].float()
    d_table.index_add_(0, safe, weighed, alpha=smoothing - 1)
    if smoothing:
        d_hidden -= smoothing * weights.float().mean(0)
        d_table -= smoothing / len(weights) * weighed.sum(0)
    return d_hidden * grad[:, None], d_table
