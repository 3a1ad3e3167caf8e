"""Pictures of which a part is known, filled in by a product that draws (inpainting)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dapeng.core.errors import DataError, RunError
from dapeng.data.table import Source
from dapeng.product.product import Product


def fill(
    product: Product, source: Source, pictures: np.ndarray, keep: np.ndarray, options: Mapping[str, Any]
) -> np.ndarray:
    """(N, C, Y, X) uint8: pictures (N, C, Y, X) uint8 as they are where `keep` (N, Y, X) is true, and drawn elsewhere.

    Raises RunError where the product draws no pictures in steps, DataError where shapes differ.
    """
    decoders = product.model.decoders if product.model is not None else {}
    names = [n for n in product.outputs if n in decoders and getattr(decoders[n], "fills", False)]
    if not names:
        what = "this run draws no pictures in steps, so it can't fill in what is missing of one"
        raise RunError(what, hint="an output of type image with decoder: flow, or diffusion")
    shape: tuple[int, ...] = product.outputs[names[0]].shape  # type: ignore[attr-defined]
    if pictures.shape[1:] != shape or keep.shape != (len(pictures), *shape[1:]):
        what = f"expected pictures of {shape} and as many masks of {shape[1:]}, found {pictures.shape[1:]} and {keep.shape}"
        raise DataError(what, hint="give arrays of these shapes, rows first")
    known = torch.from_numpy(np.ascontiguousarray(pictures)).float() / 127.5 - 1
    stays = torch.from_numpy(np.ascontiguousarray(keep)).bool()[:, None]
    at = product.device
    answer = product.predict(source, options={**options, "known": known.to(at), "keep": stays.to(at)})
    if len(answer.rows) != len(pictures):
        raise DataError(f"{len(answer.rows)} rows can be read, and there are {len(pictures)} pictures")
    drawn = np.asarray(answer.tensors[names[0]]["pixels"])
    return np.where(keep[:, None], pictures, drawn)
