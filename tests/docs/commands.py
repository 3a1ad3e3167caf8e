"""Commands of a page, run as its reader would: our own in this process, since importing torch takes longer than all that they do."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import sys
from pathlib import Path

from dapeng.cli.main import main


def said_by(command: str, folder: Path, more: list[str]) -> tuple[int, str, str]:
    """Status, standard output and error of a command in the folder, which is the current one; `more` is added to trainings."""
    words = shlex.split(command)
    if words[0] == "dapeng":
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(words[1:] + more * (words[1] == "train"))
        return status, out.getvalue(), err.getvalue()
    python = words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]] if python else command,
        shell=not python,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
