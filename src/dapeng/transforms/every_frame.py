"""A change of pictures, the same for every frame of a video."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Batch, Cells


@transforms
class EveryFrame(TransformOptions):
    """Do to every frame what is done to pictures, alike for all frames of a video: a flip, a shift, colours.

    Example: `inputs: {clip: {type: video, augment: [{type: every_frame, change: {type: shift, share: 0.1}}]}}`
    """

    type: Literal["every_frame"] = "every_frame"
    fits: ClassVar[tuple[str, ...]] = ("video",)
    change: Annotated[TransformOptions, transforms.choice("image", default="shift")] = DEFAULT
    """Any transform of pictures that does not mix rows."""

    @model_validator(mode="after")
    def _alone(self) -> EveryFrame:
        if self.change.mixes:
            raise ValueError(f"{self.change.type} mixes rows, which frames of one video are not")
        return self

    def build(self, column: Any) -> ChangeFrames:
        return ChangeFrames(self.change.build(column))


class ChangeFrames:
    """frames (B, F, C, Y, X) -> the same: each frame changed as a picture by its row's own draw."""

    def __init__(self, step: Any):
        self.step = step

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["frames"]
        # frames as rows that have the same number, by which a row's draw is made
        rows = batch.rows.repeat_interleave(x.shape[1])
        changed = self.step(Batch({name: Cells({"pixels": x.flatten(0, 1)})}, rows), name, draw)
        frames = changed[name]["pixels"].unflatten(0, x.shape[:2])
        return batch.replace({name: Cells({**cells.tensors, "frames": frames}, cells.present)})
