"""TensorBoard: the curves of a run as event files, one TensorBoard run for each fold and phase."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.errors import need_extra
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.core.run import RunFolder
from dapeng.export.curves import Curves, curves, settings, tested
from dapeng.export.differences import refuse_if_far


@exporters
class TensorBoard(ExporterOptions):
    """What a run told while it was trained, for TensorBoard: losses, validation figures, learning rate, by step.

    Then: tensorboard --logdir RUN/export/tensorboard

    Example: `dapeng export runs/reviews-0001 --format tensorboard`
    """

    type: Literal["tensorboard"] = "tensorboard"
    predicts: ClassVar[bool] = False

    def export_run(self, folder: RunFolder, product: Any, to: Path, rows: Any) -> dict[str, Any]:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            raise need_extra("tensorboard", "tensorboard") from None
        found = curves(folder)
        _remove_old(to)
        for one in found:
            with SummaryWriter(str(to / one.name)) as writer:
                for p in one.points:
                    writer.add_scalar(p.name, p.value, p.step, walltime=p.seconds)
        with SummaryWriter(str(to / "test")) as writer:
            for name, value in tested(folder).items():
                writer.add_scalar(name, value, 0)
            lines = (
                f"    {key}: {value}" for key, value in settings(folder).items()
            )  # four blanks: as it is, in Markdown
            writer.add_text("spec", "\n".join(lines))
        written = [f for f in to.rglob("events.*") if f.is_file()]
        return {
            "folder": str(to),
            "bytes": sum(f.stat().st_size for f in written),
            "runs": [one.name for one in found],
            "points": sum(len(one.points) for one in found),
            "largest_difference": max(refuse_if_far(_differs(to, one), f"what stands for {one.name}") for one in found),
        }


def _remove_old(to: Path) -> None:
    """Event files of an earlier export, which TensorBoard would lay over these; nothing else."""
    if not to.is_dir():
        return
    for file in to.rglob("events.out.tfevents.*"):
        file.unlink()
    for place in sorted((p for p in to.rglob("*") if p.is_dir()), reverse=True):
        if not any(place.iterdir()):
            shutil.rmtree(place)


def _differs(to: Path, one: Curves) -> float:
    """The largest difference between what was told and what TensorBoard's own reader finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(to / one.name), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    found = {(name, e.step): e.value for name in events.Tags()["scalars"] for e in events.Scalars(name)}
    pairs = [(p.value, found.get((p.name, p.step), np.inf)) for p in one.points]
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
