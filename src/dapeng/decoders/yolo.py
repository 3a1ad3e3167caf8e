"""A one-stage detector without anchor boxes, over the maps of any picture encoder.

In the line of Redmon et al.: You Only Look Once, 2015 (https://arxiv.org/abs/1506.02640), with what has proved good since: a pyramid
(`dapeng.nn.detector`), task-aligned assignment (`dapeng.nn.assignment`), CIoU and distances as distributions, sigmoid scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.assignment import Assigned, assigned
from dapeng.nn.boxes import area, clipped, complete_overlap, inverse, moved, survivors
from dapeng.nn.detector import Detector, corners, distribution_loss, used
from dapeng.nn.features import Features, Widths

SIZES = {"nano": (48, 1, 1), "small": (64, 1, 2), "medium": (128, 2, 2), "large": (192, 3, 2)}
"""Width of the neck, residual pairs of each of its maps, convolutions of each branch of the head."""
LEAST_VISIBLE, LEAST_SIDE = 0.25, 2.0
"""Of a box that a crop has cut, the share and the pixels that must be left of it to be learnt."""
LEAST_SCORE = 0.001


@decoders
class Yolo(DecoderOptions):
    """Finds boxes at every place of three maps at once, and keeps the surest of those that overlap.

    Paper: Redmon et al., 2015, https://arxiv.org/abs/1506.02640; Feng et al., 2021, https://arxiv.org/abs/2108.07755
    Example: `outputs: {cells: {type: boxes, decoder: {type: yolo, size: small}}}`
    """

    type: Literal["yolo"] = "yolo"
    fits: ClassVar[tuple[str, ...]] = ("boxes",)
    needs: ClassVar[frozenset[str]] = frozenset({"maps"})
    size: Literal["nano", "small", "medium", "large"] = "small"
    """Of neck and head; the encoder's is its own. Parameters for 80 labels over the maps of ResNet-18 (11,176,512 more): nano 260,640, small 558,768,
    medium 2,642,352, large 7,135,920."""
    levels: int = Field(3, ge=1, le=6)
    """Maps that are looked at: the coarsest ones, of strides up to 32."""
    bins: int = Field(16, ge=2, le=64)
    """A side of a box is less than so many strides from its place."""
    places: int = Field(10, ge=1, le=100)
    """Most places that learn one box."""
    overlap: float = Field(0.6, gt=0, lt=1)
    """Of two boxes of one label that overlap by more, the surer one is kept."""
    candidates: int = Field(300, ge=1, le=10_000)
    """Surest boxes of a picture of which overlapping ones are thrown out."""
    box_gain: float = Field(7.5, gt=0)
    """Weight of the overlap beside that of the scores."""
    distance_gain: float = Field(1.5, ge=0)
    """Weight of the distances' distributions."""
    label_gain: float = Field(1.0, gt=0)
    """Weight of the scores."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 100 if rows < 1_000 else 60 if rows < 5_000 else 30
        return {"epochs": epochs, "batch_size": 8 if rows < 1_000 else 16, "learning_rate": 2e-3}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> YoloDecoder:
        return YoloDecoder(column, widths, self)


class YoloDecoder(Decoder):
    """Target: boxes (B, N, 4) in pixels of the picture as it came, codes and mask (B, N). An element is a row."""

    needs: ClassVar[frozenset[str]] = frozenset({"maps"})

    def __init__(self, column: Any, widths: Widths, o: Yolo):
        super().__init__()
        self.o, self.labels, self.max_boxes, self.frame = o, len(column.labels), column.max_boxes, column.frame
        self.chosen = used(widths.maps, o.levels)
        self.finest = widths.maps[0][1]
        width, blocks, convolutions = SIZES[o.size]
        maps = [widths.maps[i] for i in self.chosen]
        self.detector = Detector(maps, self.labels, width, blocks, convolutions, o.bins, o.norm)

    def last(self) -> Iterator[nn.Parameter]:
        for head in self.detector.heads:
            yield from head.label.parameters()  # type: ignore[union-attr]
            yield from head.distance.parameters()  # type: ignore[union-attr]

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def read(self, features: Features | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Logits of classes (B, P, A) and distances (B, P, 4, R), boxes (B, P, 4) in pixels as read; centres and strides."""
        assert features is not None
        maps = [features.maps[i] for i in self.chosen]
        what, where = self.detector(maps)
        centres, strides = self.detector.places(maps)
        what, where = what.float(), where.float()
        return what, where, corners(where, centres, strides), centres, strides

    def sides(self, features: Features) -> tuple[int, int]:
        """Height and width of the picture as it is read: a patch of it in training; maps may reach beyond it."""
        height, width = (s * self.finest for s in features.maps[0].shape[2:])
        return (height, width) if self.frame is None else (min(height, self.frame[0]), min(width, self.frame[1]))

    def target_boxes(self, features: Features, target: Cells) -> tuple[Tensor, Tensor]:
        """True boxes in pixels as read, and which of them are still to be seen."""
        boxes = target["boxes"].float()
        boxes = boxes if features.affine is None else moved(boxes, features.affine.float())
        seen = clipped(boxes, *self.sides(features))
        left = (seen[..., 2:] - seen[..., :2]).amin(-1) >= LEAST_SIDE
        return seen, target["mask"] & left & (area(seen) >= LEAST_VISIBLE * area(boxes))

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        assert features is not None
        what, where, found, centres, strides = self.read(features)
        boxes, mask = self.target_boxes(features, target)
        codes = target["codes"]
        to = assigned(what.sigmoid(), found, centres, strides / 2, boxes, codes, mask, self.o.places)
        share = torch.where(to.taken, to.share, torch.zeros_like(to.share))
        every = share.sum(1).clamp(min=1.0)
        loss = self._label_loss(what, to, share, codes) + self._place_loss(
            where, found, centres, strides, boxes, to, share
        )
        return where_present(loss / every, target)

    def _label_loss(self, what: Tensor, to: Assigned, share: Tensor, codes: Tensor) -> Tensor:
        """(B,) cross-entropy of every score with how well its place does."""
        label = F.one_hot(codes.gather(1, to.box), self.labels)
        wanted = label * share[..., None]
        return self.o.label_gain * F.binary_cross_entropy_with_logits(what, wanted, reduction="none").sum((1, 2))

    def _place_loss(
        self, where: Tensor, found: Tensor, centres: Tensor, strides: Tensor, boxes: Tensor, to: Assigned, share: Tensor
    ) -> Tensor:
        """(B,) what is lacking of the overlap, and the distances' distributions, over places that learn a box."""
        wanted = boxes.gather(1, to.box[..., None].expand(-1, -1, 4))
        apart = 1 - complete_overlap(found, wanted)
        sides = torch.cat([centres - wanted[..., :2], wanted[..., 2:] - centres], 2) / strides[:, None]
        each = self.o.box_gain * apart + self.o.distance_gain * distribution_loss(where, sides)
        return (torch.where(to.taken, each, torch.zeros_like(each)) * share).sum(1)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return self._told(features, *self.read(features)[::2])

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss(features, target), self.predict(features, size)

    def _told(self, features: Any, what: Tensor, found: Tensor, strides: Tensor) -> dict[str, Tensor]:
        """The surest boxes that none of their label overlaps by more, in pixels of the picture as it came; zeros behind them."""
        scores, at = what.sigmoid().flatten(1).topk(min(self.o.candidates, what.shape[1] * self.labels), 1)
        codes, place = at % self.labels, at // self.labels
        boxes = clipped(found.gather(1, place[..., None].expand(-1, -1, 4)), *self.sides(features))
        stays = survivors(boxes, codes, self.o.overlap) & (scores > LEAST_SCORE)
        scores, first = torch.where(stays, scores, torch.zeros_like(scores)).topk(
            min(self.max_boxes, scores.shape[1]), 1
        )
        boxes, codes = boxes.gather(1, first[..., None].expand(-1, -1, 4)), codes.gather(1, first)
        if features.affine is not None:
            boxes = moved(boxes, inverse(features.affine.float()))
        some = scores > 0
        boxes, codes = (
            torch.where(some[..., None], boxes, torch.zeros_like(boxes)),
            torch.where(some, codes, torch.zeros_like(codes)),
        )
        more = self.max_boxes - scores.shape[1]
        return {
            "boxes": F.pad(boxes, (0, 0, 0, more)),
            "scores": F.pad(scores, (0, more)),
            "codes": F.pad(codes, (0, more)),
        }
