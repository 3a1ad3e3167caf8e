"""Convolutions down to a grid of places, each of which knows where it is: a picture as tokens for attention.

Liu et al.: An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution, 2018 (https://arxiv.org/abs/1807.03247);
convolutions before a Transformer: Xiao et al., 2021 (https://arxiv.org/abs/2106.14881).

Legend: B rows, C channels, Y X picture, T places, D width.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.attention import Block
from dapeng.nn.features import Features, Widths


@encoders
class GridCnn(EncoderOptions):
    """Convolutions that halve a picture a few times; what is left is a grid of tokens with their coordinates, for questions on where things are.

    Paper: Liu et al., 2018, https://arxiv.org/abs/1807.03247
    Example: `inputs: {scene: {type: image, encoder: {type: grid_cnn, stages: 3, num_layers: 1}}}`
    """

    type: Literal["grid_cnn"] = "grid_cnn"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    width: int = Field(32, ge=4, le=1024)
    """Channels of the first convolution; each has twice as many as the one before, up to embed_dim."""
    stages: int | None = Field(None, ge=1, le=8)
    """Convolutions, each of which halves the picture. auto: until it is 6 to 12 pixels high."""
    embed_dim: int = Field(64, ge=4, le=65_536)
    """Width of a token."""
    waves: int = Field(3, ge=1, le=16)
    """Of the coordinates along each axis: the first with one period over the picture, each further one with half the one before."""
    num_layers: int = Field(0, ge=0, le=100)
    """Transformer blocks over the tokens."""
    num_heads: int = Field(4, ge=1, le=256)
    """Attention heads of a block; divides embed_dim."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> GridCnn:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, columns: list[Any], tables: Any) -> GridCnnEncoder:
        return GridCnnEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 30 if rows < 5_000 else 20 if rows < 20_000 else 10
        return {"epochs": epochs, "batch_size": 64, "learning_rate": 1e-3}


class GridCnnEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> tokens (B, T, D) row by row, pooled (B, D) their mean, one map (B, D, Y / 2^n, X / 2^n)."""

    def __init__(self, column: Any, o: GridCnn):
        super().__init__(column)
        channels, height, width = self.shape
        count = o.stages or max(1, round(math.log2(max(min(height, width), 2) / 9)))
        sizes = [channels, *(min(o.width * 2**i, o.embed_dim) for i in range(count - 1)), o.embed_dim]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), o.norm.maps(after), nn.ReLU()]
            height, width = -(-height // 2), -(-width // 2)
        self.stem, self.grid = nn.Sequential(*layers), (height, width)
        self.register_buffer("places", coordinates(height, width, o.waves), persistent=False)
        self.place = nn.Linear(2 + 4 * o.waves, o.embed_dim)
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim) if o.num_layers else nn.Identity()
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, maps=((o.embed_dim, 2**count),))

    places: Tensor

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x = self.stem(embedded).flatten(2).mT + self.place(self.places)  # (B, T, D)
        x = self.drop(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return Features(pooled=x.mean(1), tokens=x, maps=(x.mT.unflatten(2, self.grid),))


def coordinates(height: int, width: int, waves: int) -> Tensor:
    """(Y X, 2 + 4 waves): each place's coordinates from -1 to 1, and waves of them."""
    y, x = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in (height, width))
    at = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)
    angles = torch.cat([math.pi * 2**i * at for i in range(waves)], 1)
    return torch.cat([at, angles.sin(), angles.cos()], 1)
