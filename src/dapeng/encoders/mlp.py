"""A multi-layer perceptron over pixels or over a table's block of numbers, where the layers belong to the column and not to the trunk.

With sigmoids and `train: {pretrain: rbm}` it is a deep belief network: Hinton, Osindero, Teh: A Fast Learning Algorithm for Deep
Belief Nets, 2006 (https://www.cs.toronto.edu/~hinton/absps/fastnc.pdf).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, EncoderOptions, NormOptions, activations, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.layers.perceptron import perceptron
from dapeng.nn.features import Features, Widths


@encoders
class MLP(EncoderOptions):
    """Full layers over a picture's pixels (from 0 to 1), a vector, or a block of standardised numbers.

    Paper: Rumelhart, Hinton and Williams, 1986, https://www.nature.com/articles/323533a0
    Example: `inputs: {image: {type: image, encoder: {type: mlp, hidden: [500, 500, 2000], activation: sigmoid}}}`
    """

    type: Literal["mlp"] = "mlp"
    fits: ClassVar[tuple[str, ...]] = ("image", "number", "vector")
    gives: ClassVar[frozenset[str]] = frozenset({"pooled"})
    tiny: ClassVar[dict[str, Any]] = {"hidden": [24, 16]}
    hidden: list[int] = Field(default=[512, 256], min_length=1, max_length=1000)
    """Widths of the layers."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    norm: Annotated[NormOptions, norms.choice("rows", default="none")] = DEFAULT
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each layer."""

    def build(self, columns: list[Any], tables: Any) -> MLPEncoder:
        shape = getattr(columns[0], "shape", None)
        width = len(columns) if columns[0].blocks else shape[0] * shape[1] * shape[2] if shape else columns[0].size
        return MLPEncoder(width, self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20 if rows < 100_000 else 10, "batch_size": 128, "learning_rate": 1e-3}


class MLPEncoder(Encoder):
    """pixels (B, C, Y, X) uint8, or values (B, K) -> pooled (B, D). bounded: what it reads lies between 0 and 1."""

    def __init__(self, width: int, o: MLP):
        super().__init__()
        self.layers = perceptron(width, o.hidden, o.activation, o.norm, o.dropout)
        self.widths = Widths(pooled=o.hidden[-1])

    def embed(self, cells: Cells) -> Tensor:
        if "pixels" in cells:
            return cells["pixels"].float() / 255
        return cells["values"]

    def full_layers(self) -> list[nn.Linear]:
        """The full layers, from the input on."""
        return [m for m in self.layers if isinstance(m, nn.Linear)]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=self.layers(embedded.flatten(1)))
