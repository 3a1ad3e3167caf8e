"""Weights in int8, arithmetic in float32: a quarter of the size, and answers that do not depend on what is in the batch."""

from __future__ import annotations

from typing import Any, Literal

from dapeng.compress.quantise import quantise_tables, quantise_weights
from dapeng.core.kinds import CompressorOptions, compressors
from dapeng.models.model import Model


@compressors
class Int8(CompressorOptions):
    """Weights of layers, convolutions and tables in int8 with a scale for each channel.

    Example: `dapeng compress runs/reviews-0001 --to int8`
    """

    type: Literal["int8"] = "int8"

    def apply(self, model: Model) -> dict[str, Any]:
        return {"int8_values": quantise_tables(model) + quantise_weights(model)}
