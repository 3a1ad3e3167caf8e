"""The rows that the product got most wrong, and what their cells hold: read again from the data that the spec names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DapengError
from dapeng.core.run import RunFolder
from dapeng.core.spec import Data
from dapeng.evaluate.parquet import array_of
from dapeng.evaluate.tasks.base import Task, Wrong, task_of
from dapeng.report.html import number
from dapeng.report.section import data_of, resolved


@dataclass(frozen=True)
class Rows:
    """Cells of some rows. why_not: a sentence for the reader where they can't be had."""

    cells: dict[int, dict[str, Any]]
    where: dict[int, str]
    base: Path | None = None
    why_not: str = ""


def worst(folder: RunFolder, output: str, found: dict[str, Any], count: int) -> tuple[list[Wrong], int]:
    """The worst errors of an output, worst first, and how many there are."""
    tensors, rows = tested_tensors(folder, output)
    return ([], 0) if rows is None else task_in(found).worst(found, rows, tensors, count)


def tested_tensors(folder: RunFolder, output: str) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """What predictions.parquet holds of an output ("truth" among it), and the positions of these rows; None where it isn't there."""
    import pyarrow.parquet as pq

    if not folder.has("predictions.parquet"):
        return {}, None
    table = pq.read_table(folder.file("predictions.parquet"))
    names = [n for n in table.column_names if n.startswith(f"{output}.")]
    tensors = {n.removeprefix(f"{output}."): array_of(table.column(n)) for n in names}
    present = tensors.pop("present")
    return {n: a[present] for n, a in tensors.items()}, table.column("row").to_numpy()[present]


def tested(folder: RunFolder, output: str) -> np.ndarray | None:
    """Positions of the test rows whose answer is known, in the order in which they were judged."""
    import pyarrow.parquet as pq

    if not folder.has("predictions.parquet"):
        return None
    table = pq.read_table(folder.file("predictions.parquet"), columns=["row", f"{output}.present"])
    return table.column("row").to_numpy()[array_of(table.column(f"{output}.present"))]


def task_in(found: dict[str, Any]) -> Task:
    """The task of an output of metrics.json."""
    return task_of(str(found.get("task") or found["type"]))


def cells_of(folder: RunFolder, names: list[str], rows: list[int]) -> Rows:
    """Input cells of rows, by position; a reason where the data is gone or has changed since."""
    from dapeng.data.open import open_data

    data = {k: v for k, v in data_of(folder).items() if k in Data.model_fields and v is not None}
    if not any(data.get(k) for k in ("path", "train")):
        return Rows({}, {}, why_not="the data came from memory, so the rows can't be read again")
    try:
        opened = open_data(Data(**data), Path.cwd())
        whole = opened.whole()
        expected = resolved(folder).get("facts", {}).get("data")
        if expected and opened.fingerprint() != expected:
            return Rows({}, {}, why_not="the data has changed since, so its rows are not shown")
        cells: dict[int, dict[str, Any]] = {}
        for block in whole.blocks([n for n in names if n in whole.names]):
            here = [r for r in rows if block.start <= r < block.start + len(block)]
            if here:
                taken = block.columns.take(pa.array([r - block.start for r in here])).to_pylist()
                cells.update(zip(here, taken))
        return Rows(cells, {r: whole.where(r) for r in cells}, whole.base)
    except (DapengError, OSError) as error:
        return Rows({}, {}, why_not=f"the data can't be read any more ({str(error).splitlines()[0]})")


def cut(value: Any, most: int) -> str:
    """A cell as a text of at most so many letters."""
    if value is None:
        return "–"
    if isinstance(value, (bytes, dict)):
        return f"({type(value).__name__})"
    text = number(value, 6) if isinstance(value, (int, float)) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def shown_as(folder: RunFolder) -> dict[str, str]:
    """The type of every input column."""
    described = folder.read_json("columns.json") if folder.has("columns.json") else {}
    return {name: str(column["options"]["type"]) for name, column in described.get("inputs", {}).items()}
