"""One of the clips of a video, drawn at random: where frames are spread over the whole, each clip has other ones.

Wang et al.: Temporal Segment Networks, 2016 (https://arxiv.org/abs/1608.00859).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform


@transforms
class AnyClip(TransformOptions):
    """Train on any of a video's clips, not on the first alone.

    Example: `inputs: {clip: {type: video, clips: 4, augment: [any_clip]}}`
    """

    type: Literal["any_clip"] = "any_clip"
    fits: ClassVar[tuple[str, ...]] = ("video",)

    def build(self, column: Any) -> DrawClip:
        return DrawClip(column.options.frames, column.options.clips)


class DrawClip:
    """frames (B, clips x frames, C, Y, X) -> the same, turned round so that a drawn clip comes first."""

    def __init__(self, frames: int, clips: int):
        self.frames, self.clips = frames, clips

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        if self.clips == 1:
            return batch
        cells = batch[name]
        u = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw)[:, 0])
        first = (u * self.clips).long() * self.frames
        x = cells["frames"]
        at = (first[:, None] + torch.arange(x.shape[1])) % x.shape[1]
        chosen = x[torch.arange(len(x))[:, None], at]
        return batch.replace({name: Cells({**cells.tensors, "frames": chosen}, cells.present)})
