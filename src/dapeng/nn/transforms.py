"""What works on a network from outside while it computes."""

from __future__ import annotations

import torch


def transformed() -> bool:
    """Whether a function transform (vmap for per-sample gradients) is at work, which knows no order in memory."""
    return torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
