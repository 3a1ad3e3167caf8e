"""Weights in int8, and full layers that multiply in int8: faster in large batches on processors.

The scale of a layer's inputs is that of the batch, so an answer depends a little on what else is in the batch.
"""

from __future__ import annotations

from typing import Any, Literal

from dapeng.compress.dynamic import DynamicLinear, quantise_layers
from dapeng.compress.quantise import quantise_tables, quantise_weights
from dapeng.core.kinds import CompressorOptions, compressors
from dapeng.models.model import Model


@compressors
class Int8Dynamic(CompressorOptions):
    """As int8, with full layers that multiply in int8; faster in large batches, and less exact.

    Example: `dapeng compress runs/reviews-0001 --to int8_dynamic`
    """

    type: Literal["int8_dynamic"] = "int8_dynamic"

    def apply(self, model: Model) -> dict[str, Any]:
        layers = quantise_layers(model)
        rest = quantise_tables(model) + quantise_weights(model, (DynamicLinear,))
        return {"int8_values": layers + rest, "int8_multiplied": layers}
