"""The Model: encoders, fusion, decoders and tables. The thing that is saved, exported, averaged and served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dapeng.data.batch import Batch
from dapeng.decoders.base import Decoder
from dapeng.encoders.base import Encoder
from dapeng.fusion.base import Fusion
from dapeng.models.windows import Windows, by_windows
from dapeng.nn.features import Features
from dapeng.nn.tables import Modules, Tables


class Model(nn.Module):
    """inputs -- encoder each --> Features -- fusion --> Features -- decoder each --> outputs.

    views: other looks at a batch, whose predictions are averaged with its own (`dapeng.models.predict`). windows: in which a large
    picture is looked at outside of training.
    encoders: by group of inputs. fusion: None where there is no input or nothing to fuse. decoders: by output column.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion | None,
        decoders: Mapping[str, Decoder],
        tables: Tables,
        views: Sequence[Callable[[Batch], Batch]] = (),
        windows: Windows | None = None,
    ):
        super().__init__()
        self.views, self.windows = list(views), windows
        self.tables = tables
        self.encoders: Modules[Encoder] = Modules(dict(encoders))
        self.fusion = fusion
        self.decoders: Modules[Decoder] = Modules(dict(decoders))

    def encode(self, batch: Batch, embedded: Mapping[str, Tensor] | None = None) -> dict[str, Features]:
        """Features of each group of inputs; `embedded` replaces what the encoders' `embed` would give."""
        given = embedded or {}
        return {name: encoder(batch[name], given.get(name)) for name, encoder in self.encoders.items()}

    def features(self, batch: Batch, embedded: Mapping[str, Tensor] | None = None) -> Features | None:
        """Fused features; None for a model without inputs."""
        return self.fusion(self.encode(batch, embedded)) if self.fusion is not None else None

    def read_by(self, decoder: Decoder, parts: Mapping[str, Features], fused: Features | None) -> Any:
        """What a decoder reads: the fused features, or those of the inputs that it names."""
        return fused if decoder.reads is None else {n: parts[n] for n in decoder.reads}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) sums over the elements of each row, by output."""
        parts = self.encode(batch)
        fused = self.fusion(parts) if self.fusion is not None else None
        return {n: d.loss(self.read_by(d, parts, fused), batch[n]) for n, d in self.decoders.items()}

    def forward(
        self, batch: Batch, embedded: Mapping[str, Tensor] | None = None, **options: Any
    ) -> dict[str, dict[str, Tensor]]:
        """The prediction of each output, in the network's units."""
        if self.windows is not None and embedded is None:
            return by_windows(self.windows, batch, lambda part: self.whole(part, None, **options))
        return self.whole(batch, embedded, **options)

    def whole(
        self, batch: Batch, embedded: Mapping[str, Tensor] | None = None, **options: Any
    ) -> dict[str, dict[str, Tensor]]:
        """As `forward`, of a picture in one piece."""
        parts = self.encode(batch, embedded)
        fused = self.fusion(parts) if self.fusion is not None else None
        found = {}
        for n, d in self.decoders.items():
            given = {**options, "target": batch[n]} if d.sees_target and n in batch else options
            given = {**given, "rows": batch.rows + given.get("first", 0)} if d.draws else given
            found[n] = d.predict(self.read_by(d, parts, fused), batch.size, **given)
        return found

    def losses_and_predictions(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """Both in one pass, for validation; of windows the mean loss."""
        if self.windows is not None:
            each: list[dict[str, Tensor]] = []

            def answer(part: Batch) -> dict[str, dict[str, Tensor]]:
                losses, predictions = self.whole_losses(part)
                each.append(losses)
                return predictions

            predictions = by_windows(self.windows, batch, answer)
            return {n: torch.stack([e[n] for e in each]).mean(0) for n in each[0]}, predictions
        return self.whole_losses(batch)

    def whole_losses(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """As `losses_and_predictions`, of a picture in one piece."""
        parts = self.encode(batch)
        fused = self.fusion(parts) if self.fusion is not None else None
        losses, predictions = {}, {}
        for name, decoder in self.decoders.items():
            read = self.read_by(decoder, parts, fused)
            losses[name], predictions[name] = decoder.judged(read, batch[name], batch.size)
        return losses, predictions
