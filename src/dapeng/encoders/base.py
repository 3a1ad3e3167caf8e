"""What reads a column, or a block of like columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.data.batch import Cells
from dapeng.nn.features import Features, Widths
from dapeng.nn.lora import is_adapter


class Encoder(nn.Module):
    """Cells -> Features, in two steps, so that explanations, attacks and mixing have one entrance.

    widths: the static side of what it gives.
    """

    widths: Widths

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []
        self._fixed = False
        self._rates: list[tuple[nn.Module, float]] = []

    def embed(self, cells: Cells) -> Tensor:
        """Floats, one entry an element of the cell: (B, K, D) columns, (B, T, D) tokens, (B, C, Y, X) pixels."""
        raise NotImplementedError

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        """Features out of what `embed` gave (or out of something like it)."""
        raise NotImplementedError

    def forward(self, cells: Cells, embedded: Tensor | None = None) -> Features:
        if "pooled" in cells:  # worked out before: nothing of this network is trained
            return Features(pooled=cells["pooled"], present=cells.present)
        embedded = self.embed(cells) if embedded is None else embedded
        features = self.read(embedded, cells)
        if self.widths.aligned and "ids" in cells and features.tokens is not None:
            features = replace(features, ids=cells["ids"])
        if "affine" in cells:  # something lies in the picture, and may be compared with it
            features = replace(features, affine=cells["affine"], pixels=embedded)
        if features.present is not None or cells.present is None or cells.present.dim() > 1:
            return features
        return replace(features, present=cells.present)

    def unread_by_tokens(self) -> list[nn.Parameter]:
        """Parameters that what it gives for each token does not depend on."""
        return []

    def levels(self) -> list[nn.Module]:
        """Its layers from the input on, where it can be frozen or slowed layer by layer."""
        return []

    def slow(self, level: nn.Module, factor: float | None) -> None:
        """Train a layer at this share of the learning rate; None: leave it as it is, statistics and dropout included."""
        if factor is None:
            level.requires_grad_(False)
            self._frozen.append(level)
        else:
            self._rates.append((level, factor))

    def rates(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Parameters that learn at a share of the run's rate."""
        for level, factor in self._rates:
            for parameter in level.parameters():
                yield parameter, factor

    def fix(self) -> None:
        """Leave all of it as it is."""
        self.requires_grad_(False)
        self._fixed = True

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode and not self._fixed)
        for level in self._frozen:
            level.eval()
        return self

    def load_public(self, state: dict[str, Tensor], where: str) -> None:
        """Fill this network with weights by its own names; what it doesn't have (a classifier) is left.

        Raises: SpecError where one is missing, or has another shape.
        """
        own = self.public_state()
        missing = [n for n in own if n not in state]
        other = [n for n in own if n in state and state[n].shape != own[n].shape]
        if missing or other:
            name = (missing or other)[0]
            shape = "" if missing else f" of shape {list(state[name].shape)} in place of {list(own[name].shape)}"
            what = f"the weights in {where} {'lack' if missing else 'have'} {name}{shape}"
            raise SpecError(Problem("weights", what, "name a folder with weights of this network"))
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])

    def public_state(self) -> dict[str, Tensor]:
        """The tensors that public weights fill, by name; they share memory with the network."""
        kept = {n: t for n, t in self.state_dict().items() if not is_adapter(n)}
        return {n: t for n, t in kept.items() if not n.endswith("num_batches_tracked")}
