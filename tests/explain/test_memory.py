"""Explanations of large pictures stay in bounded memory: few rows at once where all maps are kept for slopes."""

from __future__ import annotations

import torch

from dapeng.explain.explain import explain
from dapeng.explain.gradients import HELD, STEPS
from dapeng.models.predict import MOST_ELEMENTS
from trained import digits, make

SIDE = 400


def test_few_rows_of_a_large_picture_are_looked_at_together_where_slopes_are_kept() -> None:
    encoder = {"type": "resnet_small", "width": 4, "stages": 3}
    inputs = {"image": {"type": "image", "size": SIDE, "encoder": encoder, "augment": "none"}}
    folder, product, _ = make("large-digits", digits(30), inputs, {"label": "category"}, None, 1)
    seen: list[tuple[bool, int]] = []
    assert product.model is not None
    product.model.register_forward_pre_hook(lambda m, given: seen.append((torch.is_grad_enabled(), given[0].size)))
    facts = explain(folder, product, None, 1).plain()
    most = MOST_ELEMENTS // (HELD * SIDE * SIDE)
    with_slopes = [size for kept, size in seen if kept]
    assert max(with_slopes) == most < min(STEPS)
    assert sum(with_slopes) in [sum(STEPS[: i + 1]) for i in range(len(STEPS))]
    assert max(size for kept, size in seen if not kept) > most
    assert facts["rows"][0]["outputs"]["label"]["error"] < 1
