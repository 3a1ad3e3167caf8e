"""What part of a product the network is, for formats that hold the network alone."""

from __future__ import annotations

from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.product.product import NETWORK, Product


def lacking(product: Product) -> dict[str, dict[str, float]]:
    """By output: the shares of members that are not the network; empty where the network is all."""
    others = {o: {m: s for m, s in shares.items() if m != NETWORK and s > 0} for o, shares in product.shares.items()}
    return {o: s for o, s in others.items() if s}


def network_alone(product: Product, what: str) -> dict[str, dict[str, float]]:
    """What the export will lack, said once. Raises RunError where the network has no share of any output."""
    lacks = lacking(product)
    if product.model is None or all(product.shares[o].get(NETWORK, 0) <= 0 for o in product.outputs):
        members = sorted({m for s in lacks.values() for m in s})
        what = f"{what} holds a network, and this product is {' and '.join(members)}, without one"
        raise RunError(what, hint="--format standalone, or train with model=network")
    for output, shares in lacks.items():
        said = ", ".join(f"{m} {s:.0%}" for m, s in shares.items())
        warn(f"{what} holds the network alone: of {output!r} it lacks {said}", "--format standalone holds all of it")
    return lacks
