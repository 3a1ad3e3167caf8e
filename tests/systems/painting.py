"""Boxes in pictures, and pictures that are made: as small as they can be.

Legend: B rows, T tokens, D width, N boxes, A anchors, C channels, Y X picture.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder
from dapeng.nn.features import Features, Widths


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
