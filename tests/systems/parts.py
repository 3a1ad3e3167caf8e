"""Parts that later releases bring for good, as small as they can be: they prove that the contracts hold them.

Legend: B rows, T tokens, D width, H heads, V vocabulary, N boxes, A anchors or classes, C channels, Y X picture.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Batch, Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.encoders.base import Encoder
from dapeng.models.model import Model
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent
from dapeng.objectives.base import Objective

BOS, EOS = 1, 2


class Frames(Encoder):
    """frames (B, T, F), mask -> tokens at half the rate."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.convolution = nn.Conv1d(width, dim, 3, 2, 1)
        self.recurrent = nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True)
        self.widths = Widths(pooled=dim, tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        return cells["frames"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x, _ = self.recurrent(F.relu(self.convolution(embedded.mT)).mT)
        return Features(pooled=x.mean(1), tokens=x, mask=cells["mask"][:, ::2])


class History(Encoder):
    """ids (B, T), mask of a shared table -> their mean."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.table = Lent(table)
        self.widths = Widths(pooled=table.embedding_dim)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"][..., None]
        return Features(pooled=(embedded * mask).sum(1) / mask.sum(1).clamp(min=1))


class Sigmoids(Encoder):
    """values (B, D) through layers of sigmoids: what a deep belief network becomes."""

    def __init__(self, *sizes: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.widths = Widths(pooled=sizes[-1])

    def embed(self, cells: Cells) -> Tensor:
        return cells["values"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        for layer in self.layers:
            embedded = layer(embedded).sigmoid()
        return Features(pooled=embedded)


class CachedBlock(nn.Module):
    """Self-attention with a cache, cross-attention where there is a memory, a perceptron."""

    def __init__(self, dim: int, cross: bool, num_heads: int = 2):
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim) if cross else None
        self.q, self.kv = (nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)) if cross else (None, None)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, bias: Tensor | None, memory: Tensor | None, seen: Tensor | None, cache: list | None):
        q, k, v = map(self._heads, self.qkv(self.norm1(x)).chunk(3, -1))
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2))
        if self.q is not None and self.kv is not None and self.norm2 is not None and memory is not None:
            mk, mv = map(self._heads, self.kv(memory).chunk(2, -1))
            mixed = F.scaled_dot_product_attention(self._heads(self.q(self.norm2(x))), mk, mv, seen)
            x = x + mixed.transpose(1, 2).flatten(2)
        return x + self.mlp(self.norm3(x))


class TextDecoder(Decoder):
    """Target: ids (B, T) that begin with BOS, mask, and segments (B, T) where documents are packed."""

    def __init__(self, table: nn.Embedding, cross: bool = False, num_layers: int = 2, length: int = 32):
        super().__init__()
        dim = table.embedding_dim
        self.table, self.cross = Lent(table), cross
        self.positions = nn.Embedding(length, dim)
        self.blocks = nn.ModuleList(CachedBlock(dim, cross) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)
        self.needs = frozenset({"tokens"}) if cross else frozenset()  # type: ignore[misc]

    def counted(self, target: Cells) -> Tensor:
        """(B, T - 1) which predictions count: of real tokens, within one document."""
        real = target["mask"][:, 1:]
        segments = target.tensors.get("segments")
        return real if segments is None else real & (segments[:, 1:] == segments[:, :-1])

    def count(self, target: Cells) -> Tensor:
        return where_present(self.counted(target).sum(1).float(), target)

    def hidden(self, features: Features | None, ids: Tensor, bias: Any, at: Tensor, caches: Any = None) -> Tensor:
        x = self.table.module(ids) + self.positions(at)
        memory = features.tokens if self.cross and features is not None else None
        mask = features.mask if self.cross and features is not None else None
        seen = None if mask is None else mask[:, None, None, :]
        for i, block in enumerate(self.blocks):
            x = block(x, bias, memory, seen, None if caches is None else caches[i])
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.table.module.weight)  # type: ignore[arg-type]

    def nll(self, features: Features | None, target: Cells) -> Tensor:
        """(B, T - 1)"""
        ids = target["ids"]
        rows, length = ids.shape[0], ids.shape[1] - 1
        i = torch.arange(length)
        bias, at = (i[:, None] >= i)[None, None], i.expand(rows, length)
        if "segments" in target:
            segments = target["segments"][:, :-1]
            bias = bias & (segments[:, None, :, None] == segments[:, None, None, :])
            begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0))
            at = i - torch.where(begins, i, 0).cummax(1).values
        logits = self.logits(self.hidden(features, ids[:, :-1], bias, at))
        every = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return every.view(rows, length) * self.counted(target)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return where_present(self.nll(features, target).sum(1), target)

    def score(self, features: Features | None, target: Cells) -> Tensor:
        return -self.loss(features, target)

    # what generation asks for; search lies outside
    def start(self, features: Features | None, size: int) -> dict[str, Any]:
        return {"caches": [[] for _ in self.blocks], "features": features, "at": 0}

    def step(self, ids: Tensor, state: dict[str, Any]) -> Tensor:
        """ids (B,) -> (B, V)"""
        at = torch.full((ids.shape[0], 1), state["at"])
        state["at"] += 1
        return self.logits(self.hidden(state["features"], ids[:, None], None, at, state["caches"]))[:, 0]

    def reorder(self, state: dict[str, Any], index: Tensor) -> None:
        state["caches"] = [[x[index] for x in cache] for cache in state["caches"]]

    def predict(
        self, features: Features | None, size: int, beams: int = 1, length: int = 8, **options: Any
    ) -> dict[str, Tensor]:
        return search(self, features, size, beams, length)


def search(decoder: TextDecoder, features: Features | None, size: int, beams: int, length: int) -> dict[str, Tensor]:
    """Greedy and beam search over anything with start, step and reorder."""
    if features is not None and features.tokens is not None:
        mask = None if features.mask is None else features.mask.repeat_interleave(beams, 0)
        features = Features(tokens=features.tokens.repeat_interleave(beams, 0), mask=mask)
    state = decoder.start(features, size * beams)
    ids = torch.full((size * beams, 1), BOS)
    score = torch.full((size, beams), -1e9)
    score[:, 0] = 0
    for _ in range(length):
        logs = decoder.step(ids[:, -1], state).log_softmax(-1)
        ended = (ids == EOS).any(1)
        only_end = torch.full_like(logs, -1e9).index_fill(1, torch.tensor([EOS]), 0.0)
        logs = torch.where(ended[:, None], only_end, logs)
        score, best = (score[..., None] + logs.view(size, beams, -1)).flatten(1).topk(beams)
        source = (torch.arange(size)[:, None] * beams + best // logs.shape[1]).flatten()
        ids = torch.cat([ids[source], (best % logs.shape[1]).view(-1, 1)], 1)
        decoder.reorder(state, source)
    return {"ids": ids.view(size, beams, -1)[:, 0], "log_likelihood": score[:, 0]}


class CTC(Decoder):
    """Target: ids (B, T) and mask; blank is 0."""

    needs = frozenset({"tokens"})

    def __init__(self, widths: Widths, vocab: int):
        super().__init__()
        self.head = nn.Linear(widths.tokens or 0, vocab)

    def count(self, target: Cells) -> Tensor:
        return target["mask"].sum(1).float()

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        assert features is not None
        assert features.mask is not None
        logs = self.head(features.tokens).log_softmax(-1).transpose(0, 1)
        lengths = features.mask.sum(1), target["mask"].sum(1)
        return F.ctc_loss(logs, target["ids"], *lengths, reduction="none", zero_infinity=True)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        assert features is not None
        return {"frame_ids": self.head(features.tokens).argmax(-1)}


class Boxes(Decoder):
    """Target: boxes (B, N, 4) as centre and size, labels (B, N), mask (B, N). The nearest anchor is positive."""

    needs = frozenset({"maps"})

    def __init__(self, widths: Widths, classes: int):
        super().__init__()
        self.levels, self.classes = widths.maps, classes
        self.heads = nn.ModuleList(nn.Conv2d(channels, classes + 4, 1) for channels, _ in self.levels)

    def count(self, target: Cells) -> Tensor:
        return target["mask"].sum(1).float()

    def anchored(self, features: Features | None) -> tuple[Tensor, Tensor]:
        """(B, A, classes + 4) and anchors (A, 3): x, y, stride."""
        assert features is not None
        logits, anchors = [], []
        for head, level, (_, stride) in zip(self.heads, features.maps, self.levels):
            z = head(level)
            y, x = torch.meshgrid(torch.arange(z.shape[2]), torch.arange(z.shape[3]), indexing="ij")
            centres = torch.stack([x, y], -1).flatten(0, 1).float() * stride + stride / 2
            logits.append(z.flatten(2).mT)
            anchors.append(torch.cat([centres, torch.full((centres.shape[0], 1), float(stride))], 1))
        return torch.cat(logits, 1), torch.cat(anchors)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        z, anchors = self.anchored(features)
        real, boxes = target["mask"], target["boxes"]
        far = (boxes[:, :, None, :2] - anchors[:, :2]).norm(dim=-1).masked_fill(~real[..., None], 1e9)
        positive = (F.one_hot(far.argmin(-1), anchors.shape[0]) * real[..., None]).float()  # (B, N, A)
        classes = torch.einsum("bna,bnc->bac", positive, F.one_hot(target["labels"], self.classes).float()).clamp(max=1)
        told = F.binary_cross_entropy_with_logits(z[..., : self.classes], classes, reduction="none").sum((1, 2))
        offsets = (boxes[:, :, None, :2] - anchors[:, :2]) / anchors[:, 2:]
        sizes = boxes[:, :, None, 2:].expand(-1, -1, anchors.shape[0], -1).clamp(min=1).log()
        wanted = torch.cat([offsets, sizes], -1)
        placed = F.l1_loss(z[:, None, :, self.classes :].expand_as(wanted), wanted, reduction="none").sum(-1)
        return told + (placed * positive).sum((1, 2))

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        z, anchors = self.anchored(features)
        k = self.classes
        boxes = torch.cat([z[..., k : k + 2] * anchors[:, 2:] + anchors[:, :2], z[..., k + 2 :].exp()], -1)
        return {"scores": z[..., :k].sigmoid(), "boxes": boxes}


class NextItem(Decoder):
    """Target: codes (B,) of the domain whose table it borrows; all items are negatives, or some that are drawn."""

    def __init__(self, widths: Widths, table: nn.Embedding, negatives: int | None):
        super().__init__()
        self.table, self.negatives = Lent(table), negatives
        self.query = nn.Linear(widths.pooled or 0, table.embedding_dim)

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        assert features is not None
        query, wanted, table = self.query(features.pooled), target["codes"], self.table.module
        if self.negatives is None:
            logits = F.linear(query, table.weight)  # type: ignore[arg-type]
            return where_present(F.cross_entropy(logits, wanted, reduction="none"), target)
        drawn = torch.randint(table.num_embeddings, (self.negatives,))  # type: ignore[arg-type]
        logits = torch.cat([(query * table(wanted)).sum(-1, keepdim=True), query @ table(drawn).T], 1)
        return where_present(F.cross_entropy(logits, torch.zeros_like(wanted), reduction="none"), target)

    def predict(
        self, features: Features | None, size: int, seen: Tensor | None = None, **options: Any
    ) -> dict[str, Tensor]:
        assert features is not None
        scores = F.linear(self.query(features.pooled), self.table.module.weight)  # type: ignore[arg-type]
        return {"scores": scores if seen is None else scores.masked_fill(seen, -1e9)}


class Painter(Decoder):
    """A picture out of noise and a condition; what is good is for the critic to say."""

    def __init__(self, widths: Widths, side: int = 8, noise: int = 8):
        super().__init__()
        self.noise, self.side = noise, side
        self.net = nn.Sequential(nn.Linear(noise + (widths.pooled or 0), 64), nn.ReLU(), nn.Linear(64, side * side))

    def count(self, target: Cells) -> Tensor | int:
        return target["pixels"].shape[0]

    def paint(self, features: Features | None, size: int) -> Tensor:
        assert features is not None
        assert features.pooled is not None
        drawn = self.net(torch.cat([torch.randn(size, self.noise), features.pooled], 1))
        return drawn.tanh().view(size, 1, self.side, self.side)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return {"pixels": self.paint(features, size)}


class Diffusion(Decoder):
    """Noise is learnt and taken away; Ho et al., 2020; guidance: Ho, Salimans, 2022."""

    shares: Tensor

    def __init__(self, widths: Widths, side: int = 8, steps: int = 20):
        super().__init__()
        self.side, self.steps = side, steps
        pixels = side * side
        self.net = nn.Sequential(
            nn.Linear(pixels + (widths.pooled or 0) + 1, 64),
            nn.SiLU(),
            nn.Linear(64, 64),
            nn.SiLU(),
            nn.Linear(64, pixels),
        )
        self.register_buffer("shares", torch.linspace(0.99, 0.01, steps), persistent=False)

    def guess(self, x: Tensor, at: Tensor, features: Features | None) -> Tensor:
        assert features is not None
        assert features.pooled is not None
        return self.net(torch.cat([x.flatten(1), at[:, None].float() / self.steps, features.pooled], 1)).view_as(x)

    def count(self, target: Cells) -> Tensor | int:
        return target["pixels"].shape[0]

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        x = target["pixels"]
        at, noise = torch.randint(self.steps, (x.shape[0],)), torch.randn_like(x)
        share = self.shares[at][:, None, None, None]
        guess = self.guess(share.sqrt() * x + (1 - share).sqrt() * noise, at, features)
        return ((guess - noise) ** 2).flatten(1).mean(1)

    def predict(
        self, features: Features | None, size: int, blank: Features | None = None, guidance: float = 1.0, **options: Any
    ) -> dict[str, Tensor]:
        x = torch.randn(size, 1, self.side, self.side)
        for k in reversed(range(self.steps)):
            at = torch.full((size,), k)
            noise = self.guess(x, at, features)
            if blank is not None:
                without = self.guess(x, at, blank)
                noise = without + guidance * (noise - without)
            share = self.shares[k]
            clean = ((x - (1 - share).sqrt() * noise) / share.sqrt()).clamp(-1, 1)
            before = self.shares[k - 1] if k else torch.ones(())
            x = before.sqrt() * clean + (1 - before).sqrt() * noise
        return {"pixels": x}


class Match(Decoder):
    """Two inputs, unfused, that belong together; the other rows of the batch are the negatives. Radford et al., 2021."""

    def __init__(self, a: str, b: str, widths: dict[str, Widths], dim: int):
        super().__init__()
        self.reads = (a, b)
        self.a, self.b = (nn.Linear(widths[n].pooled or 0, dim, bias=False) for n in (a, b))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["pair"].shape[0])

    def towers(self, parts: Any) -> tuple[Tensor, Tensor]:
        a, b = (parts[n].pooled for n in self.reads or ())
        return F.normalize(self.a(a), dim=-1), F.normalize(self.b(b), dim=-1)

    def loss(self, features: Any, target: Cells) -> Tensor:
        u, v = self.towers(features)
        z = u @ v.T * self.scale.exp()
        right = torch.arange(z.shape[0])
        both = F.cross_entropy(z, right, reduction="none") + F.cross_entropy(z.T, right, reduction="none")
        return where_present(both / 2, target)

    def predict(self, features: Any, size: int, **options: Any) -> dict[str, Tensor]:
        u, v = self.towers(features)
        return {"first": u, "second": v}


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


def without_input(batch: Batch, name: str) -> Batch:
    """The batch with one input absent in every row."""
    return batch.replace({name: replace(batch[name], present=torch.zeros(batch.size, dtype=torch.bool))})
