"""Where an export may be written: nothing that somebody else has put there is overwritten, and a name says what it is."""

from __future__ import annotations

import re
from pathlib import Path

from dapeng.core.errors import RunError

ENDINGS = (".onnx", ".pt2", ".pt", ".pth", ".gguf", ".bin", ".safetensors", ".json", ".zip", ".tar", ".gz")
"""How names of files end: a folder that is called so would be taken for one."""
MOST_NAMES = 3


def refuse_other_file(to: Path, suffix: str) -> None:
    """Raise RunError where a place is neither a file that ends so nor a folder."""
    if to.suffix != suffix and not to.is_dir() and (to.exists() or to.suffix.lower() in ENDINGS):
        what = f"{to} does not end in {suffix}, as the file that is written does"
        raise RunError(what, hint=f"--to {to.with_suffix(suffix)}, or a folder")


def refuse_taken(to: Path, ours: re.Pattern[str], marked: bool) -> None:
    """Raise RunError where a folder that is written would replace something else than an earlier one.

    ours: names that such a folder has in it. marked: what lies there says that it was exported.
    """
    if to.resolve() == Path.cwd():
        raise RunError(f"{to} is the folder that you are in, and a whole folder is written", hint="--to NAME")
    for step in (to, *to.parents):
        if step.name == ".." and not step.parent.is_dir():
            raise RunError(f"{to} leads through {step.parent}, which is no folder", hint=f"--to {to.resolve()}")
    if to.exists() and not to.is_dir():
        raise RunError(f"{to} is a file, and a folder is written", hint=f"--to {to.with_suffix('')}-model")
    names = sorted(p.name for p in to.iterdir()) if to.is_dir() else []
    lost = [n for n in names if not marked or not ours.fullmatch(n)]
    if lost:
        more = f" and {len(lost) - MOST_NAMES} more" if len(lost) > MOST_NAMES else ""
        what = f"{to} is there already, and what no export has left in it would be lost: {', '.join(lost[:MOST_NAMES])}{more}"
        earlier = not marked and all(ours.fullmatch(n) for n in names)
        how = "remove it by hand if an earlier release has exported it" if earlier else "remove it first"
        raise RunError(what, hint=f"--to {to / 'model'}, or {how}")
