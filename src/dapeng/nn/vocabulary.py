"""The loss over a vocabulary, without ever holding the logits of more than some tokens.

After Wijmans et al.: Cut Your Losses in Large-Vocabulary Language Models, 2024 (https://arxiv.org/abs/2411.09009); here in plain
torch: logits of a chunk of tokens, their loss and at once their gradient, then the next chunk in the same memory.

Legend: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a token that doesn't count."""
MOST_LOGITS = 2**23
"""Logits that are held at once: with fewer, the gradient of the table is read and written too often."""


def token_losses(hidden: Tensor, table: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(N, D), (V, D), (N,) -> (N,) cross-entropy in nats, in fp32; 0 where the target is IGNORED.

    smoothing: the share of the target that is spread over the vocabulary.
    """
    if hidden.shape[0] * table.shape[0] <= MOST_LOGITS:
        logits = F.linear(hidden, table).float()
        return F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
    found: Any = _Chunked.apply(hidden, table, targets, smoothing)
    return found


def _product_type(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _Chunked(torch.autograd.Function):
    """Gradients are worked out beside the loss, as if every token counted once, and scaled when it is known what they count."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        ctx.dtype, ctx.smoothing = _product_type(hidden), smoothing
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        losses, d_hidden, d_table = _pass(hidden, table, targets, ctx.dtype, None, wanted, smoothing)
        ctx.save_for_backward(hidden, table, targets, d_hidden, d_table)
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        hidden, table, targets, d_hidden, d_table = ctx.saved_tensors
        (grad,) = grads
        counted = grad[targets != IGNORED]
        if not len(counted) or bool((counted == counted[0]).all()):
            scale = counted[0] if len(counted) else grad.new_zeros(())
            return d_hidden * scale.to(d_hidden.dtype), (d_table * scale).to(table.dtype), None, None
        _, d_hidden, d_table = _pass(
            hidden, table, targets, ctx.dtype, grad, True, ctx.smoothing
        )  # rows weigh differently
        assert d_hidden is not None
        assert d_table is not None
        return d_hidden, d_table.to(table.dtype), None, None


def _pass(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    grad: Tensor | None,
    wanted: bool,
    smoothing: float,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Losses (N,), and their gradients with regard to hidden and table, where wanted."""
    losses = torch.zeros(len(hidden), dtype=torch.float32, device=hidden.device)
    weights = table.to(dtype)
    d_hidden = torch.empty_like(hidden) if wanted else None
    d_table = torch.zeros(table.shape, dtype=torch.float32, device=table.device) if wanted else None
    step = max(1, MOST_LOGITS // table.shape[0])
    with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, len(hidden), step):
            at = slice(start, start + step)
            part, target = hidden[at].to(dtype), targets[at]
            counts = target != IGNORED
            safe = torch.where(counts, target, 0)[:, None]
            logs = torch.log_softmax(part @ weights.T, 1, dtype=torch.float32)
            likely = (1 - smoothing) * logs.gather(1, safe)[:, 0]
            if smoothing:
                likely += smoothing * logs.mean(1)
            losses[at] = torch.where(counts, -likely, 0.0)
            if d_hidden is None or d_table is None:
                continue
            share = (counts.float() if grad is None else torch.where(counts, grad[at], 0.0))[:, None].to(dtype)
            slope = logs.exp_()
            if smoothing:
                slope -= smoothing / slope.shape[1]
            slope.scatter_add_(1, safe, torch.full_like(slope[:, :1], smoothing - 1.0))
            slope = slope.to(dtype)
            d_hidden[at] = ((slope @ weights) * share).to(hidden.dtype)  # shares on the narrow side: V is wide
            d_table += slope.T @ (part * share)
    return losses, d_hidden, d_table
