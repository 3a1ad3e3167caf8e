"""wav2vec 2.0: convolutions over the samples themselves, then a Transformer.

Baevski, Zhou, Mohamed, Auli: wav2vec 2.0, 2020 (https://arxiv.org/abs/2006.11477). Base and large networks of the Hugging Face layout
load: what is behind the end of a sound changes nothing in it, also where the first layer is normalised over time.

Legend: B rows, T samples, F frames, C channels, D width.
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
from dapeng.encoders.base import Encoder
from dapeng.encoders.public import PublicOptions, without_prefix
from dapeng.nn.attention import Block, attend_to, pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import within
from dapeng.public.folders import PublicFolder

FULL_SCALE = 32768.0
RATE = 16_000


@encoders
class Wav2Vec2(PublicOptions):
    """Reads samples by convolutions and a Transformer; starts from public weights, since it learns little from few sounds.

    Paper: Baevski et al., 2020, https://arxiv.org/abs/2006.11477
    Example: `inputs: {clip: {type: audio, encoder: {type: wav2vec2, weights: models/wav2vec2-base}}}`
    """

    type: Literal["wav2vec2"] = "wav2vec2"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    tiny: ClassVar[dict[str, Any]] = {
        "channels": [8, 8], "kernels": [10, 4], "strides": [5, 4], "embed_dim": 16, "num_layers": 1, "num_heads": 2, "width": 32,
        "position_kernel": 4, "position_groups": 2, "dropout": 0.0,
    }  # fmt: skip
    channels: list[int] = Field(default=[512] * 7, min_length=1, max_length=16)
    """Of each convolution over the samples."""
    kernels: list[int] = Field(default=[10, 3, 3, 3, 3, 2, 2], min_length=1, max_length=16)
    """Samples, or frames, that each looks at."""
    strides: list[int] = Field(default=[5, 2, 2, 2, 2, 2, 2], min_length=1, max_length=16)
    """How far each moves on; together 320 samples, or 20 ms."""
    convolution_norm: Literal["group", "layer"] = "group"
    """Only the first convolution is normalised, over time (base); or each, over its channels (large)."""
    convolution_bias: bool = False
    """Whether convolutions have a bias."""
    embed_dim: int = Field(768, ge=2, le=65_536)
    """Width of a token."""
    num_layers: int = Field(12, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(12, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    width: int = Field(3072, ge=1, le=1_000_000)
    """Of the perceptron of a block."""
    pre_norm: bool = False
    """Norms before attention and perceptron (large); else behind them (base)."""
    position_kernel: int = Field(128, ge=1, le=4096)
    """Frames over which the convolution that tells positions looks."""
    position_groups: int = Field(16, ge=1, le=4096)
    """Groups of that convolution."""
    normalise: bool = True
    """Bring each sound to mean 0 and deviation 1."""
    eps: float = Field(1e-5, gt=0, lt=1)
    """Added to variances."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Wav2Vec2:
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides must have one entry for each convolution")
        if self.embed_dim % self.num_heads or self.embed_dim % self.position_groups:
            raise ValueError("num_heads and position_groups must divide embed_dim")
        return self

    def build(self, columns: list[Any], tables: Any) -> Encoder:
        return self.settled(Wav2Vec2Encoder(columns[0], self))

    def sound(self) -> dict[str, int]:
        return {"rate": RATE} if self.weights is not None else {}

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 10 if rows < 5_000 else 4, "batch_size": 8, "learning_rate": 3e-4}

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        config = folder.json("config.json")
        if config.get("model_type") != "wav2vec2":
            what = f"{folder.name} holds no wav2vec 2.0, but {config.get('model_type') or 'no config.json'}"
            raise SpecError(Problem("weights", what, "name a folder whose config.json says model_type wav2vec2"))
        facts = folder.json("preprocessor_config.json")
        return {
            "channels": [int(c) for c in config.get("conv_dim", [512] * 7)],
            "kernels": [int(k) for k in config.get("conv_kernel", [10, 3, 3, 3, 3, 2, 2])],
            "strides": [int(s) for s in config.get("conv_stride", [5, 2, 2, 2, 2, 2, 2])],
            "convolution_norm": config.get("feat_extract_norm", "group"),
            "convolution_bias": bool(config.get("conv_bias", False)),
            "embed_dim": int(config["hidden_size"]),
            "num_layers": int(config["num_hidden_layers"]),
            "num_heads": int(config["num_attention_heads"]),
            "width": int(config["intermediate_size"]),
            "pre_norm": bool(config.get("do_stable_layer_norm", False)),
            "position_kernel": int(config.get("num_conv_pos_embeddings", 128)),
            "position_groups": int(config.get("num_conv_pos_embedding_groups", 16)),
            "normalise": bool(facts.get("do_normalize", True)),
            "eps": float(config.get("layer_norm_eps", 1e-5)),
        }

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = without_prefix(state, "wav2vec2.")
        out = {f"norm.{k}": state[f"encoder.layer_norm.{k}"] for k in ("weight", "bias")}
        for kind in ("weight", "bias"):
            out[f"project_norm.{kind}"] = state[f"feature_projection.layer_norm.{kind}"]
            out[f"project.{kind}"] = state[f"feature_projection.projection.{kind}"]
        for number in range(len(self.channels)):
            own, public = f"convolutions.{number}", f"feature_extractor.conv_layers.{number}"
            found = {n: f"{public}.conv.{n}" for n in ("weight", *(["bias"] if self.convolution_bias else []))}
            out |= {f"{own}.conv.{n}": state[name] for n, name in found.items()}
            if number == 0 or self.convolution_norm == "layer":
                out |= {f"{own}.norm.{k}": state[f"{public}.layer_norm.{k}"] for k in ("weight", "bias")}
        out["places.weight"] = _weight_of(state, "encoder.pos_conv_embed.conv")
        out["places.bias"] = state["encoder.pos_conv_embed.conv.bias"]
        for number in range(self.num_layers):
            out |= _block(state, f"blocks.{number}", f"encoder.layers.{number}")
        return out


def _weight_of(state: dict[str, Tensor], name: str) -> Tensor:
    """A convolution's weight, of direction and length over each place of the kernel (Salimans and Kingma: weight normalisation, 2016)."""
    old = f"{name}.weight_g" in state
    names = (
        ("weight_g", "weight_v") if old else ("parametrizations.weight.original0", "parametrizations.weight.original1")
    )
    size, direction = (state[f"{name}.{n}"] for n in names)
    return size * direction / direction.norm(dim=(0, 1), keepdim=True)


def _block(state: dict[str, Tensor], own: str, public: str) -> dict[str, Tensor]:
    out = {}
    names = {
        "attention.out": "attention.out_proj", "up": "feed_forward.intermediate_dense", "down": "feed_forward.output_dense",
        "norm1": "layer_norm", "norm2": "final_layer_norm",
    }  # fmt: skip
    for kind in ("weight", "bias"):
        parts = [state[f"{public}.attention.{n}_proj.{kind}"] for n in ("q", "k", "v")]
        out[f"{own}.attention.qkv.{kind}"] = torch.cat(parts)
        out |= {f"{own}.{to}.{kind}": state[f"{public}.{name}.{kind}"] for to, name in names.items()}
    return out


class OverTime(nn.Module):
    """Each channel of (B, C, F) to mean 0 and deviation 1 over its real frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        real = real[:, None].to(x.dtype)
        count = real.sum(2, keepdim=True).clamp(min=1)
        mean = (x * real).sum(2, keepdim=True) / count
        variance = ((x - mean).square() * real).sum(2, keepdim=True) / count
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight[:, None] + self.bias[:, None]


class OverChannels(nn.LayerNorm):
    """Each frame of (B, C, F) to mean 0 and deviation 1 over its channels."""

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        return super().forward(x.mT).mT


class Convolution(nn.Module):
    """(B, C, F) -> (B, D, fewer): a convolution without padding, a norm, GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool, norm: nn.Module | None):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(inputs, outputs, kernel, stride, bias=bias), norm

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """lengths: (B,) real frames of what it gives."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, within(lengths, x, 2))
        return F.gelu(x)


class Wav2Vec2Encoder(Encoder):
    """samples, mask (B, T) -> tokens (B, F, D), their mask, and pooled (B, D): their mean."""

    def __init__(self, column: Any, o: Wav2Vec2):
        super().__init__()
        self.sizes = list(zip(o.kernels, o.strides))
        self.reach, self.stride = 1, 1
        for kernel, stride in self.sizes:
            self.reach, self.stride = self.reach + (kernel - 1) * self.stride, self.stride * stride
        kinds = [OverTime if o.convolution_norm == "group" and i == 0 else OverChannels for i in range(len(self.sizes))]
        normed = [o.convolution_norm == "layer" or i == 0 for i in range(len(self.sizes))]
        self.convolutions = nn.ModuleList(
            Convolution(a, b, *size, o.convolution_bias, kind(b) if norm else None)
            for a, b, size, kind, norm in zip([1, *o.channels], o.channels, self.sizes, kinds, normed)
        )
        self.project_norm = nn.LayerNorm(o.channels[-1], eps=o.eps)
        self.project = nn.Linear(o.channels[-1], o.embed_dim)
        self.places = nn.Conv1d(
            o.embed_dim, o.embed_dim, o.position_kernel, padding=o.position_kernel // 2, groups=o.position_groups
        )
        self.even = o.position_kernel % 2 == 0
        norm = lambda d: nn.LayerNorm(d, eps=o.eps)  # noqa: E731 - named where it is used
        self.blocks = nn.ModuleList(
            Block(o.embed_dim, o.num_heads, o.dropout, o.width, o.pre_norm, norm) for _ in range(o.num_layers)
        )
        self.norm, self.pre_norm, self.normalise = norm(o.embed_dim), o.pre_norm, o.normalise
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        seconds = self.stride / column.rate
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, stride=self.stride, seconds=seconds)

    def levels(self) -> list[nn.Module]:
        first = nn.ModuleList([self.convolutions, self.project_norm, self.project, self.places])
        last = [self.norm] if self.pre_norm else []
        return [first, *self.blocks, *last] if self.pre_norm else [nn.ModuleList([first, self.norm]), *self.blocks]

    def embed(self, cells: Cells) -> Tensor:
        """(B, T) samples, each sound normalised."""
        x, real = cells["samples"].float(), cells["mask"]
        if not self.normalise:
            return x / FULL_SCALE
        count = real.sum(1, keepdim=True).clamp(min=1)
        mean = x.sum(1, keepdim=True) / count
        variance = ((x - mean).square() * real).sum(1, keepdim=True) / count
        return (x - mean) * torch.rsqrt(variance + 1e-7 * FULL_SCALE**2) * real

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        lengths = cells["mask"].sum(1)
        x = F.pad(embedded, (0, self.reach))[:, None]  # so that the shortest sound has a frame
        for (kernel, stride), layer in zip(self.sizes, self.convolutions):
            lengths = (torch.div(lengths - kernel, stride, rounding_mode="floor") + 1).clamp(min=1)
            x = layer(x, lengths)
        x = x.mT
        mask = within(lengths, x)
        x = self.drop(self.project(self.project_norm(x))) * mask[..., None]
        found = self.places(x.mT)
        x = x + F.gelu(found[:, :, :-1] if self.even else found).mT
        x = self.drop(x if self.pre_norm else self.norm(x))
        bias = attend_to(mask)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x) if self.pre_norm else x
        return Features(pooled=pooled_tokens(x, mask, "mean"), tokens=x, mask=mask)
