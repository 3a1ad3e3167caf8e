"""Integrated gradients from a baseline to a row, through `Encoder.embed`: what each element of each cell adds to the answer.

Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017 (https://arxiv.org/abs/1703.01365). What the elements add sums
to the difference between the answer and that of the baseline; where it doesn't within 5 %, more steps are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dapeng.data.batch import Batch
from dapeng.models.predict import MOST_ELEMENTS, in_units
from dapeng.product.product import Product

STEPS = (16, 48, 144)
GOOD = 0.05
HELD = 8
"""Times as few rows are looked at together where slopes are asked for: all maps on the way to the answer are kept until then."""
SMALL = 0.01
"""Differences below this share of the answer's scale count as this."""


@dataclass(frozen=True)
class Attribution:
    """parts: by group of inputs, (K, D) tokens or (C, Y, X) pixels. total, difference: equal up to `error` (relative)."""

    parts: dict[str, np.ndarray]
    answer: float
    baseline: float
    error: float
    steps: int


def attribute(product: Product, batch: Batch, output: str, label: int | None, means: dict[str, Tensor]) -> Attribution:
    """What counted for one row. batch: that row alone. label: the class whose probability is explained; None for a number.

    means: the baseline of groups that have one (the mean row of a table); others start from zeros.
    """
    assert product.model is not None
    with torch.no_grad():
        ends = {n: e.embed(batch[n]).detach() for n, e in product.model.encoders.items()}
    starts = {n: means[n].expand_as(x) if n in means else torch.zeros_like(x) for n, x in ends.items()}
    with torch.no_grad():
        answer, base = (float(_value(product, batch, e, output, label)[0]) for e in (ends, starts))
    found = None
    for steps in STEPS:
        found = _integrate(product, batch, starts, ends, output, label, steps, answer, base)
        if found.error <= GOOD:
            break
    assert found is not None
    return found


def _integrate(
    product: Product,
    batch: Batch,
    starts: dict[str, Tensor],
    ends: dict[str, Tensor],
    output: str,
    label: int | None,
    steps: int,
    answer: float,
    base: float,
) -> Attribution:
    places, weights = np.polynomial.legendre.leggauss(steps)
    at = torch.tensor((places + 1) / 2, dtype=torch.float32)
    share = torch.tensor(weights / 2, dtype=torch.float32)
    means = {n: torch.zeros_like(e[0]) for n, e in ends.items()}
    few = max(1, at_once(ends) // HELD)
    for start in range(0, steps, few):
        here, weight = at[start : start + few], share[start : start + few]
        points = {}
        for name, end in ends.items():
            along = here.view(-1, *[1] * (end.dim() - 1))
            points[name] = (starts[name] + along * (end - starts[name])).detach().requires_grad_()
        with torch.enable_grad():
            many = batch.take(torch.zeros(len(here), dtype=torch.int64))
            total = _value(product, many, points, output, label).sum()
            slopes = torch.autograd.grad(total, list(points.values()), allow_unused=True)
        for name, slope in zip(ends, slopes):
            if slope is not None:
                means[name] += (slope * weight.view(-1, *[1] * (slope.dim() - 1))).sum(0)
    parts = {n: ((end - starts[n])[0] * means[n]).numpy() for n, end in ends.items()}
    added = sum(float(p.sum()) for p in parts.values())
    scale = max(abs(answer - base), SMALL * max(abs(answer), abs(base)), 1e-6)
    return Attribution(parts, answer, base, abs(added - (answer - base)) / scale, steps)


def at_once(embedded: dict[str, Tensor]) -> int:
    """How many rows like this one may be looked at together: few of large pictures, whose maps must fit into memory."""
    return max(1, MOST_ELEMENTS // max(1, sum(e[0].numel() for e in embedded.values())))


def _value(product: Product, batch: Batch, embedded: dict[str, Tensor], output: str, label: int | None) -> Tensor:
    """(B,) probability of the label, or an amount of what is predicted (`Column.amount`)."""
    assert product.model is not None
    found = in_units(product.model(batch, embedded=embedded), product.outputs)[output]
    if label is not None:
        return found["probabilities"][:, label]
    return product.outputs[output].amount(found)


def occlusion(product: Product, batch: Batch, group: str, output: str, label: int | None, grid: int = 8) -> np.ndarray:
    """(Y, X) how much the answer falls when a patch of the picture is grey. Zeiler, Fergus, 2014: the cross-check of a map."""
    assert product.model is not None
    with torch.no_grad():
        embedded = {n: e.embed(batch[n]) for n, e in product.model.encoders.items()}
        height, width = embedded[group].shape[-2:]
        tall, wide = max(1, -(-height // grid)), max(1, -(-width // grid))
        spots = [(y, x) for y in range(0, height, tall) for x in range(0, width, wide)]
        whole = float(_value(product, batch, embedded, output, label)[0])
        values: list[float] = []
        few = at_once(embedded)
        for start in range(0, len(spots), few):
            here = spots[start : start + few]
            many = {n: e.expand(len(here), *e.shape[1:]).clone() for n, e in embedded.items()}
            for i, (y, x) in enumerate(here):
                many[group][i, :, y : y + tall, x : x + wide] = 0
            values += _value(
                product, batch.take(torch.zeros(len(here), dtype=torch.int64)), many, output, label
            ).tolist()
    out = np.zeros((height, width), np.float32)
    for (y, x), value in zip(spots, values):
        out[y : y + tall, x : x + wide] = whole - value
    return out
