"""The run folder: everything that a run is, in files that never run code.

folder = RunFolder.create("runs", "reviews")      # runs/reviews-0001
folder.write_json("columns.json", state)
folder.manifest()
RunFolder.open("runs/reviews-0001").verify()
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dapeng.core import manifest
from dapeng.core.checkpoints import Checkpoints as Checkpoints
from dapeng.core.errors import RunError
from dapeng.core.files import finite, held, json_text, lock, read_json, write_json

CONTRACTS = 1
"""Version of the format. A release reads all versions up to its own."""

ABOUT = "run.json"
BESIDE = "beside.safetensors"
"""What a run keeps beside its model's weights for trainings that begin from it: the head of a masked pretraining."""
FOLDS = "folds"
"""Where folds of a cross-validation lie until the run is done."""
TRAINING = ".training"
"""What the process that trains a run holds the lock of, from its beginning to its end."""
LONGEST_NAME = 80


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, parent: str | Path = "runs", name: str = "run") -> RunFolder:
        """A new folder with the next free number, also where several processes start at once."""
        parent, name = Path(parent), file_name(name)
        number = _last_number(parent, name)
        while True:
            number += 1
            path = parent / f"{name}-{number:04d}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:  # another process was faster
                continue
            except OSError as error:
                raise RunError(f"can't create {path}: {error.strerror}") from None
            break
        about = {"contracts": CONTRACTS, "name": name, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(path / ABOUT, {**about, "status": "new"})
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run folder. Raises RunError where it is none, or comes from a later release."""
        path = Path(path)
        manifest.refuse_pickle(path)
        if not path.exists():
            raise RunError(f"there is no run folder {path}", hint="`dapeng runs` lists what there is")
        if not path.is_dir():
            raise RunError(f"{path} is a file, not a run folder", hint="unpack an archive first")
        if not (path / ABOUT).is_file():
            what = f"{path} is not a run folder: it has no {ABOUT}"
            raise RunError(what, hint="`dapeng runs` lists what there is")
        folder = cls(path)
        version = folder.about().get("contracts")
        if not isinstance(version, int) or version < 1:
            raise RunError(f"{path / ABOUT} names no version of the format")
        if version > CONTRACTS:
            what = f"{path} was made by a later release (format {version}, this one reads up to {CONTRACTS})"
            raise RunError(what, hint="pip install --upgrade dapeng")
        return folder

    def about(self) -> dict[str, Any]:
        """Format version, name, when it was created, status and what `mark` added."""
        about = self.read_json(ABOUT)
        if not isinstance(about, dict):
            raise RunError(f"{self.path / ABOUT} is not a mapping")
        return about

    def ended(self) -> bool:
        """Whether it is known that no process trains it any more, whatever its status says."""
        return self.has(TRAINING) and not held(self.path / TRAINING)

    def mark(self, status: str, **facts: Any) -> None:
        """Set the status (new, running, done, failed, stopped), and add facts to run.json."""
        self.write_json(ABOUT, {**self.about(), "status": status, **finite(facts)})

    def file(self, name: str) -> Path:
        """The path of one of its files, to read. Raises RunError where it is missing, unsafe, or leads elsewhere."""
        path = manifest.inside(self.path, name)
        manifest.refuse_pickle(path)
        if not path.is_file():
            raise RunError(f"{path} is missing")
        return path

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def read_json(self, name: str) -> Any:
        return read_json(self.file(name))

    def write_json(self, name: str, value: Any) -> Path:
        """Leave a JSON file in the folder; a manifest that is there already learns of it."""
        return self.write_text(name, json_text(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Leave a file in the folder, in one step with what a manifest that is there already says of it."""
        path = manifest.inside(self.path, name)
        with lock(self.path / ".lock"):
            manifest.replace(self.path, name, text.encode("utf-8", "surrogatepass"))
        return path

    @contextmanager
    def changing(self, place: str) -> Iterator[None]:
        """While the block writes a file, or into a folder below, the manifest does not speak of it; afterwards it does."""
        manifest.inside(self.path, place)
        with lock(self.path / ".lock"):
            manifest.withdraw(self.path, place)
        try:
            yield
        finally:
            with lock(self.path / ".lock"):
                manifest.enter(self.path, place)

    def manifest(self) -> None:
        """Write MANIFEST.json over all files of a run that is finished: not those under checkpoints/, which have their own, nor folds."""
        with lock(self.path / ".lock"):
            about = {"contracts": self.about().get("contracts")}
            manifest.write(self.path, about, lambda name: name.startswith(("checkpoints/", f"{FOLDS}/")))

    def reopen(self) -> None:
        """A run that goes on writes its files anew: they have no manifest until it ends."""
        with lock(self.path / ".lock"):
            (self.path / manifest.NAME).unlink(missing_ok=True)

    def verify(self) -> None:
        """Compare every file with MANIFEST.json. Raises RunError that names what is missing, damaged or leads elsewhere."""
        for file in self.path.rglob("*"):
            if file.is_symlink():
                manifest.inside(self.path, file.relative_to(self.path).as_posix())
        if not self.has(manifest.NAME):
            what = f"{self.path} has no {manifest.NAME}: it was not trained to its end, or was copied in part"
            raise RunError(what, hint=f"dapeng train --resume {self.path}")
        manifest.verify(self.path, {"contracts": self.about().get("contracts")})

    def checkpoints(self, keep: int = 2) -> Checkpoints:
        return Checkpoints(self.path, keep)


def file_name(name: str) -> str:
    """A name of any origin as one that every file system takes; letters of all scripts stay."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-. ")
    while len(plain.encode()) > LONGEST_NAME:
        plain = plain[:-1]
    reserved = re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", plain.split(".")[0])
    return f"run-{plain}" if reserved else plain or "run"


def _last_number(parent: Path, name: str) -> int:
    found = re.compile(re.escape(name) + r"-(\d{4,9})")
    numbers = [int(m[1]) for f in parent.glob("*") if (m := found.fullmatch(f.name))] if parent.is_dir() else []
    return max(numbers, default=0)


def runs_in(parent: str | Path) -> list[RunFolder]:
    """The run folders directly below a folder, oldest first."""
    found = [RunFolder(f.parent) for f in Path(parent).glob(f"*/{ABOUT}")]
    return sorted(found, key=lambda run: (_created(run), run.name))


def _created(run: RunFolder) -> str:
    try:
        return str(run.about().get("created", ""))
    except RunError:
        return ""
