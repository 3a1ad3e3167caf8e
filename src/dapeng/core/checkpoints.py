"""Checkpoints of a run: written in one step, checked before use, the previous one kept in case the newest is damaged."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from dapeng.core import manifest
from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.core.files import atomic_folder


class Checkpoints:
    """The folder `checkpoints/` of a run, one folder a step.

    keep: how many to keep; two at least, or a damaged newest one would end the run.
    """

    def __init__(self, folder: str | Path, keep: int = 2):
        self.folder, self.keep = Path(folder) / "checkpoints", max(keep, 2)

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Make the checkpoint of a step: `write` puts its files into the folder it is given. Then older ones are removed.

        Raises RunError where the disk is full; the checkpoints from before are intact then.
        """
        path = self.folder / f"{step:08d}"

        def fill(temporary: Path) -> None:
            write(temporary)
            manifest.write(temporary, {"step": step})

        atomic_folder(path, fill)
        self._prune()
        return path

    def steps(self) -> list[int]:
        """The steps there are, damaged or not, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(f.name) for f in self.folder.iterdir() if f.is_dir() and f.name.isdecimal())

    def latest(self) -> Path | None:
        """The newest checkpoint whose files are all as they were written; None where there is none.

        A damaged one is named in a warning, and the one before it is used. For whoever trains the run, and nobody beside.
        """
        self._recover()
        for step in reversed(self.steps()):
            path = self.folder / f"{step:08d}"
            try:
                manifest.verify(path, {"step": step})
            except RunError as error:
                warn(f"checkpoint {path.name} can't be used: {error.problems[0].what}")
                continue
            return path
        return None

    def _recover(self) -> None:
        """A step that is saved again has no name between two renames: killed there, what was before gets its name back."""
        for aside in self.folder.glob(".*.*.old"):
            path = self.folder / aside.name.split(".")[1]
            if not path.exists():
                with contextlib.suppress(OSError):
                    aside.rename(path)

    def _prune(self) -> None:
        for step in self.steps()[: -self.keep]:
            gone = self.folder / f".{step:08d}.old"  # renamed first: a kill must not leave half of one in sight
            with contextlib.suppress(OSError):
                (self.folder / f"{step:08d}").rename(gone)
        for left_over in [*self.folder.glob(".*.tmp"), *self.folder.glob(".*.old")]:  # of a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
