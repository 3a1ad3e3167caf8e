"""TensorBoard: the curves of a run as event files, one TensorBoard run for each fold and phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.errors import RunError, need_extra
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.core.run import RunFolder
from dapeng.export.curves import Curves, curves, settings, tested
from dapeng.export.differences import refuse_if_far

ENDING = ".dapeng"
"""How the names of event files end that are written here, so that they are told from those of others."""
TEST = "test"


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
        places = [to / one.name for one in found] + [to / TEST]
        _refuse_others(places, to / folder.name)
        _remove_old(places)
        for one in found:
            with SummaryWriter(str(to / one.name), filename_suffix=ENDING) as writer:
                for p in one.points:
                    writer.add_scalar(p.name, p.value, p.step, walltime=p.seconds)
        with SummaryWriter(str(to / TEST), filename_suffix=ENDING) as writer:
            for name, value in tested(folder).items():
                writer.add_scalar(name, value, 0)
            lines = (
                f"    {key}: {value}" for key, value in settings(folder).items()
            )  # four blanks: as it is, in Markdown
            writer.add_text("spec", "\n".join(lines))
        written = [f for place in places for f in _events(place)]
        return {
            "folder": str(to),
            "bytes": sum(f.stat().st_size for f in written),
            "runs": [one.name for one in found],
            "points": sum(len(one.points) for one in found),
            "largest_difference": max(refuse_if_far(_differs(to, one), f"what stands for {one.name}") for one in found),
        }


def _events(place: Path) -> list[Path]:
    """Event files directly in a folder; none where it isn't there."""
    return [f for f in place.glob("*tfevents*") if f.is_file()]


def _refuse_others(places: list[Path], apart: Path) -> None:
    """Raise RunError where event files of others lie, whose curves TensorBoard would lay over these."""
    for place in places:
        if any(not f.name.endswith(ENDING) for f in _events(place)):
            what = f"{place} holds event files that no export has left, and TensorBoard would mix them with these"
            hint = f"--to {apart}; event files that an earlier release exported are to be removed by hand"
            raise RunError(what, hint=hint)


def _remove_old(places: list[Path]) -> None:
    """Event files of an earlier export, which TensorBoard would lay over these; nothing else."""
    for place in places:
        for file in _events(place):
            file.unlink()


def _differs(to: Path, one: Curves) -> float:
    """The largest difference between what was told and what TensorBoard's own reader finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(to / one.name), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    found = {(name, e.step): e.value for name in events.Tags()["scalars"] for e in events.Scalars(name)}
    pairs = [(p.value, found.get((p.name, p.step), np.inf)) for p in one.points]
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
