"""What a step of training may mean, as small as it can be: in turns, with inputs dropped, masked, by layers, from a teacher, by preference."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Batch, Cells
from dapeng.models.model import Model
from dapeng.nn.features import Features
from dapeng.nn.tables import Lent
from dapeng.objectives.base import Objective


class Adversarial(Objective):
    """A critic beside the model, in turns. Goodfellow et al., 2014."""

    turns = ("critic", "generator")

    def __init__(self, model: Model, output: str, critic: nn.Module):
        super().__init__(model)
        self.output, self.critic = output, critic

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return list(self.critic.parameters() if turn == "critic" else self.model.parameters())

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return {turn: batch.size}

    def judge(self, pixels: Tensor, features: Features | None) -> Tensor:
        assert features is not None
        assert features.pooled is not None
        return self.critic(torch.cat([pixels.flatten(1), features.pooled.detach()], 1))[:, 0]

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        painter: Any = self.model.decoders[self.output]
        if turn == "critic":
            with torch.no_grad():
                features = self.model.features(batch)
                painted = painter.paint(features, batch.size)
            real = self.judge(batch[self.output]["pixels"], features)
            return {turn: F.softplus(-real) + F.softplus(self.judge(painted, features))}
        features = self.model.features(batch)
        for p in self.critic.parameters():
            p.requires_grad_(False)
        loss = F.softplus(-self.judge(painter.paint(features, batch.size), features))
        for p in self.critic.parameters():
            p.requires_grad_(True)
        return {turn: loss}


class DropInputs(Objective):
    """Inputs that go missing in training: modality dropout, and what classifier-free guidance needs."""

    def __init__(self, model: Model, share: float = 0.3):
        super().__init__(model)
        self.share = share

    def draw(self, batch: Batch, turn: str) -> Batch:
        dropped = {}
        for name in self.model.encoders:
            cells = batch[name]
            kept = torch.rand(batch.size) > self.share
            dropped[name] = Cells(cells.tensors, kept if cells.present is None else kept & cells.present)
        return batch.replace(dropped)


class MaskedTokens(Objective):
    """Tokens that are hidden are to be found again. Devlin et al., 2018."""

    def __init__(self, model: Model, column: str, share: float = 0.3):
        super().__init__(model)
        encoder: Any = model.encoders[column]
        assert encoder.widths.aligned
        self.column, self.share = column, share
        self.head = nn.Linear(encoder.widths.tokens, encoder.table.module.embedding_dim)

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return [p for n, p in self.named_parameters() if ".decoders." not in n and ".fusion." not in n]

    def draw(self, batch: Batch, turn: str) -> Batch:
        cells = batch[self.column]
        hidden = (torch.rand(cells["ids"].shape) < self.share) & cells["mask"]
        hidden[:, 0] = True
        shown = Cells({**cells.tensors, "ids": cells["ids"].masked_fill(hidden, 0)}, cells.present)
        original = Cells({"ids": cells["ids"], "hidden": hidden})
        return batch.replace({self.column: shown, self.column + ".original": original})

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return {"masked": batch[self.column + ".original"]["hidden"].sum(1)}

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        encoder: Any = self.model.encoders[self.column]
        original = batch[self.column + ".original"]
        logits = self.head(encoder(batch[self.column]).tokens) @ encoder.table.module.weight.T
        every = F.cross_entropy(logits.flatten(0, 1), original["ids"].flatten(), reduction="none")
        return {"masked": (every.view(batch.size, -1) * original["hidden"]).sum(1)}


class RBM(Objective):
    """Contrastive divergence of one layer as an ordinary loss: the free energy of data less that of a step's dream."""

    def __init__(self, model: Model, column: str, number: int):
        super().__init__(model)
        encoder: Any = model.encoders[column]
        self.column, self.number, self.layers = column, number, Lent(encoder.layers)
        self.visible = nn.Parameter(torch.zeros(encoder.layers[number].in_features))

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return [*self.layers.module[self.number].parameters(), self.visible]  # type: ignore[index]

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return {"rbm": batch.size}

    def below(self, batch: Batch) -> Tensor:
        v = batch[self.column]["values"]
        for layer in self.layers.module[: self.number]:  # type: ignore[index]
            v = layer(v).sigmoid()
        return v

    def dream(self, v: Tensor) -> Tensor:
        layer = self.layers.module[self.number]  # type: ignore[index]
        return F.linear(layer(v).sigmoid().bernoulli(), layer.weight.T, self.visible).sigmoid()

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        layer = self.layers.module[self.number]  # type: ignore[index]
        with torch.no_grad():
            v = self.below(batch)
            dreamt = self.dream(v)

        def energy(x: Tensor) -> Tensor:
            return -(x @ self.visible) - F.softplus(layer(x)).sum(1)

        return {"rbm": energy(v) - energy(dreamt)}


class Distilled(Objective):
    """A teacher's probabilities are the target. Hinton et al., 2015."""

    def __init__(self, model: Model, teacher: Model):
        super().__init__(model)
        self.teacher = Lent(teacher.requires_grad_(False).eval())

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        with torch.no_grad():
            taught = self.teacher.module(batch)
        features = self.model.features(batch)
        return {n: d.loss(features, Cells(taught[n])) for n, d in self.model.decoders.items()}


class Preference(Objective):
    """The chosen answer is to be likelier than the rejected one, against a frozen reference. Rafailov et al., 2023."""

    columns = frozenset({"chosen", "rejected"})

    def __init__(self, model: Model, output: str, beta: float = 0.1):
        super().__init__(model)
        self.output, self.beta = output, beta
        self.reference = Lent(copy.deepcopy(model).requires_grad_(False).eval())

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return {"preference": batch.size}

    def margin(self, model: Any, batch: Batch) -> Tensor:
        features, decoder = model.features(batch), model.decoders[self.output]
        return decoder.score(features, batch["chosen"]) - decoder.score(features, batch["rejected"])

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        with torch.no_grad():
            before = self.margin(self.reference.module, batch)
        return {"preference": -F.logsigmoid(self.beta * (self.margin(self.model, batch) - before))}
