"""Networks that can start from public weights: a local folder in the Hugging Face layout, a run folder, or sample:NAME.

A network's layers from its input on are its `levels`: they can be frozen from below, and learn the slower the deeper they lie
(Howard and Ruder: Universal Language Model Fine-tuning, 2018, https://arxiv.org/abs/1801.06146).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import EncoderOptions
from dapeng.encoders.adapted import EncoderLora, adapt
from dapeng.encoders.base import Encoder
from dapeng.public.folders import PublicFolder, beside, decided, open_folder


class PublicOptions(EncoderOptions):
    """What every encoder has that can start from public weights."""

    type: str
    weights: str | None = None
    """Start from these: a folder with config.json and *.safetensors (Hugging Face layout), a run folder, or sample:NAME."""
    trained_layers: int | Literal["all"] = Field("all", ge=0)
    """Layers from the top that are trained where there are public weights; 0: none, they stay as they are."""
    weights_rate: float = Field(0.1, gt=0, le=10)
    """Learning rate of the topmost layer of public weights, as a share of the run's."""
    layer_decay: float = Field(0.9, gt=0, le=1)
    """Factor of that rate from each layer to the one below it (discriminative learning rates)."""
    lora: EncoderLora | None = None
    """Train adapters of the linear layers in place of the public weights: {rank: 8, alpha: 16, dropout: 0, on: [q, v] or all}.
    Exports hold one weight for both.
    """

    @model_validator(mode="after")
    def _adapts_something(self) -> PublicOptions:
        if self.lora is not None and self.weights is None:
            raise ValueError("lora: there is nothing to adapt without weights")
        usual = type(self).model_fields
        beside = [n for n in ("trained_layers", "weights_rate", "layer_decay") if getattr(self, n) != usual[n].default]
        if self.lora is not None and beside:
            raise ValueError(f"lora: of the weights nothing is trained, so that {beside[0]} says nothing beside it")
        return self

    @property
    def stays(self) -> bool:
        return self.weights is not None and self.trained_layers == 0

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        """Fields of these options as the folder's config.json says them. Raises SpecError for another kind of network."""
        raise NotImplementedError

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights by the encoder's own names, out of those by the public ones."""
        raise NotImplementedError

    def located(self, base: Path | None) -> PublicOptions:
        return self.model_copy(update={"weights": beside(self.weights, base)})

    def resolved(self) -> PublicOptions:
        """These options with the network's shape, where public weights decide it.

        Raises: SpecError where the folder holds another network, or where the spec asks for another shape than it has.
        """
        if self.weights is None:
            return self
        folder = open_folder(self.weights)
        own = folder.encoder(self.type)
        if own is not None and own.get("lora") is not None:
            what = f"the run {self.weights} holds adapters, not whole weights"
            hint = (
                f"dapeng export {self.weights} --format transformers, and begin from {self.weights}/export/transformers"
            )
            raise SpecError(Problem("weights", what, hint))
        shape = self.architecture(folder) if own is None else {k: own[k] for k in own if k not in _LOCAL}
        return decided(self, shape, self.weights)

    def start(self, encoder: Encoder) -> None:
        """Fill an encoder with the public weights. Raises SpecError where a tensor is missing or has another shape."""
        if self.weights is None:
            return
        folder = open_folder(self.weights)
        state = folder.tensors(self.type)
        own = folder.encoder(self.type) is not None
        try:
            found = state if own else self.translated(state)
        except KeyError as error:
            what = f"the weights in {self.weights} lack {error.args[0]}"
            raise SpecError(Problem("weights", what, "name a folder with weights of this network")) from None
        encoder.load_public(found, self.weights)

    def _adapted(self, encoder: Encoder, lora: EncoderLora) -> Encoder:
        try:
            adapt(encoder, lora)
        except ValueError as error:
            raise SpecError(Problem("lora.on", str(error), "an encoder of blocks with attention")) from None
        return encoder

    def settled(self, encoder: Encoder) -> Encoder:
        """The encoder with its lower layers frozen and slowed, as these options say."""
        levels = encoder.levels()
        if self.lora is not None:
            return self._adapted(encoder, self.lora)
        if self.weights is None or not levels:
            return encoder
        if self.trained_layers == 0:
            encoder.fix()
        trained = len(levels) if self.trained_layers == "all" else min(self.trained_layers, len(levels))
        top = len(levels) - 1
        for depth, level in enumerate(levels):
            frozen = depth < len(levels) - trained
            encoder.slow(level, None if frozen else self.weights_rate * self.layer_decay ** (top - depth))
        return encoder


_LOCAL = ("type", "weights", "trained_layers", "weights_rate", "layer_decay", "dropout", "lora")
"""Fields that a run's encoder doesn't hand down."""


def blocks_of(state: dict[str, Tensor], count: int, attention: str, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights of `nn.attention.Block`s, out of those of a Hugging Face encoder of so many layers.

    attention: where query, key and value lie in a layer. names: by the block's own names, those of the layer; for the norms.
    """
    out = {}
    names = {"attention.out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense", **names}
    for own, public in ((f"blocks.{i}", f"encoder.layer.{i}") for i in range(count)):
        for kind in ("weight", "bias"):
            parts = [state[f"{public}.{attention}.{n}.{kind}"] for n in ("query", "key", "value")]
            out[f"{own}.attention.qkv.{kind}"] = torch.cat(parts)
            out |= {f"{own}.{to}.{kind}": state[f"{public}.{name}.{kind}"] for to, name in names.items()}
    return out


def without_prefix(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """The tensors under the first prefix that any name has, without it; all of them where none has."""
    for prefix in prefixes:
        found = {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}
        if found:
            return found
    return state
