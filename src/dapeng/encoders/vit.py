"""The vision transformer: a picture cut into patches, read like a sentence.

Dosovitskiy et al.: An Image is Worth 16x16 Words, 2020 (https://arxiv.org/abs/2010.11929); the small shapes are those of Touvron
et al.: DeiT, 2020 (https://arxiv.org/abs/2012.12877).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import encoders
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder, normalisation_of
from dapeng.encoders.public import PublicOptions, blocks_of, without_prefix
from dapeng.nn.attention import Block
from dapeng.nn.features import Features, Widths
from dapeng.public.folders import PublicFolder

SHAPES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""Width, blocks and heads."""
EPS = 1e-12


@encoders
class ViT(PublicOptions):
    """Patches of a picture as tokens of a Transformer. ViT-B/16 with 1,000 classes at 224 pixels has 86,567,656 parameters.

    Paper: Dosovitskiy et al., 2020, https://arxiv.org/abs/2010.11929
    Example: `inputs: {photo: {type: image, size: 224, encoder: {type: vit, shape: base, patch_size: 16}}}`
    """

    type: Literal["vit"] = "vit"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
    shape: Literal["tiny", "small", "base", "large"] = "tiny"
    """Width, blocks and heads by name: 192, 12, 3; 384, 12, 6; 768, 12, 12; 1024, 24, 16."""
    embed_dim: int | Literal["auto"] = Field("auto", ge=1, le=65_536)
    """Width of a token. auto: as the shape says."""
    num_layers: int | Literal["auto"] = Field("auto", ge=1, le=1000)
    """Blocks, one on the other. auto: as the shape says."""
    num_heads: int | Literal["auto"] = Field("auto", ge=1, le=1024)
    """Attention heads of a block; divides embed_dim. auto: as the shape says."""
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron of a block. auto: four times embed_dim."""
    patch_size: int | Literal["auto"] = Field("auto", ge=1, le=1024)
    """Side of a patch in pixels. auto: an eighth of small pictures, 16 pixels of others."""
    positions: int | Literal["auto"] = Field("auto", ge=1)
    """Side of the grid of learned positions, stretched where pictures have another. auto: that of the pictures."""
    pool: Literal["first", "mean"] = "first"
    """The class token, or the mean over the patches."""
    dropout: float = Field(0.1, ge=0, lt=1)
    normalisation: Literal["data", "imagenet", "half"] = "data"
    """Mean and deviation that pixels are brought to; public weights decide it."""

    @model_validator(mode="after")
    def _divides(self) -> ViT:
        dim, _, heads = self.sizes()
        if dim % heads:
            raise ValueError(f"num_heads {heads} does not divide embed_dim {dim}")
        return self

    def sizes(self) -> tuple[int, int, int]:
        """Width, blocks and heads."""
        asked = (self.embed_dim, self.num_layers, self.num_heads)
        dim, layers, heads = (known if own == "auto" else own for own, known in zip(asked, SHAPES[self.shape]))
        return dim, layers, heads

    def build(self, columns: list[Any], tables: Any) -> ViTEncoder:
        encoder = ViTEncoder(columns[0], self)
        self.settled(encoder)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        if self.weights is not None:
            return {"epochs": 10 if rows < 5_000 else 4, "batch_size": 32, "learning_rate": 5e-4}
        return {"epochs": 40 if rows < 5_000 else 30, "batch_size": 64, "learning_rate": 5e-4}

    def picture(self) -> dict[str, int]:
        if self.weights is None or self.positions == "auto" or self.patch_size == "auto":
            return {"size": 224, "channels": 3} if self.weights is not None else {}
        return {"size": self.positions * self.patch_size, "channels": 3}

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        config = folder.json("config.json")
        if config.get("model_type") not in ("vit", "deit"):
            what = f"{folder.name} holds no ViT, but {config.get('model_type') or 'no config.json'}"
            raise SpecError(Problem("weights", what, "name a folder whose config.json says model_type vit"))
        size, patch = int(config.get("image_size", 224)), int(config.get("patch_size", 16))
        return {
            "embed_dim": int(config["hidden_size"]),
            "num_layers": int(config["num_hidden_layers"]),
            "num_heads": int(config["num_attention_heads"]),
            "width": int(config["intermediate_size"]),
            "patch_size": patch,
            "positions": size // patch,
            "normalisation": normalisation_of(folder.json("preprocessor_config.json") or {"image_mean": [0.5] * 3}),
        }

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = without_prefix(state, "vit.", "deit.")
        norms = {"norm1": "layernorm_before", "norm2": "layernorm_after"}
        return {
            "summary": state["embeddings.cls_token"][0, 0],
            "positions": state["embeddings.position_embeddings"][0],
            "patches.weight": state["embeddings.patch_embeddings.projection.weight"],
            "patches.bias": state["embeddings.patch_embeddings.projection.bias"],
            "norm.weight": state["layernorm.weight"],
            "norm.bias": state["layernorm.bias"],
            **blocks_of(state, self.sizes()[1], "attention.attention", norms),
        }


class ViTEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> tokens (B, T, D) of the patches, pooled (B, D), one map (B, D, Y / P, X / P)."""

    def __init__(self, column: Any, o: ViT):
        super().__init__(column, o.normalisation)
        channels, y, x = self.shape
        dim, layers, heads = o.sizes()
        patch = o.patch_size if o.patch_size != "auto" else max(1, min(16, min(y, x) // 8))
        if patch > min(y, x):
            raise SpecError(
                Problem("encoder.patch_size", f"{patch} pixels, but pictures have {y} x {x}", "choose a smaller patch")
            )
        self.grid = (y // patch, x // patch)
        learned = self.grid if o.positions == "auto" else (o.positions, o.positions)
        self.learned = learned
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.summary = nn.Parameter(0.02 * torch.randn(dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1 + learned[0] * learned[1], dim))
        width = None if o.width == "auto" else o.width
        norm = lambda d: nn.LayerNorm(d, eps=EPS)  # noqa: E731 - named where it is used
        self.blocks = nn.ModuleList(Block(dim, heads, o.dropout, width, norm=norm) for _ in range(layers))
        self.norm = norm(dim)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.pool = o.pool
        self.widths = Widths(pooled=dim, tokens=dim, maps=((dim, patch),))

    def levels(self) -> list[nn.Module]:
        own = nn.ParameterList([self.summary, self.positions])
        return [nn.ModuleList([self.patches, own]), *self.blocks, nn.ModuleList([self.norm])]

    def places(self) -> Tensor:
        """(1 + T, D): the learned positions, stretched to the grid of these pictures."""
        if self.learned == self.grid:
            return self.positions
        rest = self.positions[1:].unflatten(0, self.learned).permute(2, 0, 1)[None]
        rest = F.interpolate(rest, size=self.grid, mode="bicubic", align_corners=False)[0]
        return torch.cat([self.positions[:1], rest.flatten(1).t()])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        tokens = self.patches(embedded).flatten(2).transpose(1, 2)  # (B, T, D)
        x = torch.cat([self.summary.expand(tokens.shape[0], 1, -1), tokens], 1) + self.places()
        x = self.drop(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        pooled = x[:, 0] if self.pool == "first" else x[:, 1:].mean(1)
        tokens = x[:, 1:]
        return Features(pooled=pooled, tokens=tokens, maps=(tokens.transpose(1, 2).unflatten(2, self.grid),))
