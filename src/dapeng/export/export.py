"""Write a run in another format, check that it predicts the same, and keep what was found in export.json."""

from __future__ import annotations

import difflib
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dapeng.core.errors import RunError, SpecError
from dapeng.core.files import in_words
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.core.run import RunFolder
from dapeng.product.own_rows import rows_to_check
from dapeng.product.product import Product

ROWS = 64


def export(folder: RunFolder, product: Product, format: str = "onnx", to: str | Path | None = None) -> dict[str, Any]:
    """Export a product; `to` is a file or a folder, by default RUN/export/FORMAT.

    Returns what was written, and the largest difference from the original on real rows. Raises SpecError for a format that
    there is not, RunError where the format can't hold this product or differs from it, MissingExtra.
    """
    members = exporters.members()
    if format not in members:
        near = difflib.get_close_matches(format, members, 1)
        hint = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(members)
        raise SpecError(f"there is no export format {format!r}", hint=hint)
    member = members[format]()
    if member.predicts and not member.writes:
        _refuse_written(product, member)
    path = member.place(folder) if to is None else Path(to)
    _refuse_place(folder, member, path)
    rows, which = rows_to_check(folder, product, ROWS) if member.predicts else (None, "what was written, read back")
    began = time.process_time()
    at, home = path.resolve(), folder.path.resolve()
    inside = at.is_relative_to(home) and folder.has("run.json")
    # what was there before may be gone, whatever happens
    with in_words(path), folder.changing(at.relative_to(home).as_posix()) if inside else nullcontext():
        found = {"format": format, **member.export_run(folder, product, path, rows), "checked_on": which}
    found["cpu_seconds"] = round(time.process_time() - began, 2)
    if folder.has("run.json"):
        known = folder.read_json("export.json") if folder.has("export.json") else {}
        folder.write_json("export.json", {**known, format: found})
    return found


def _refuse_written(product: Product, member: ExporterOptions) -> None:
    """Raise RunError for texts and sounds that a format can't hold, with the formats that can hold them in this run."""
    try:
        product.refuse_written("exporting", pointed=member.tensors)
    except RunError as error:
        others = " or ".join(f"--format {n}" for n in _formats(product))
        problem = error.problems[0]
        raise RunError(problem.what, hint=f"{others}, or dapeng serve RUN" if others else problem.hint) from None


def _formats(product: Product) -> list[str]:
    """Formats that have a form for a product which writes texts, or makes sounds: its network whole, or its tensors."""
    every = {n: m() for n, m in exporters.members().items()}
    found = [n for n, m in every.items() if m.writes and m.has_a_form_for(product)]
    try:
        product.refuse_written("exporting", pointed=True)
    except RunError:
        return found
    return found + [n for n, m in every.items() if m.tensors]


def _refuse_place(folder: RunFolder, member: ExporterOptions, to: Path) -> None:
    if to.resolve() == folder.path.resolve():
        raise RunError(f"{to} is the run itself", hint=f"leave --to out, and it goes into {member.place(folder)}")
    member.refuse_place(to)
