"""Texts that were written for test rows, beside the true ones."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.tasks.texts import evenly
from dapeng.report.html import Safe, el, join, own, table
from dapeng.report.rows import cells_of, cut, shown_as, tested
from dapeng.report.section import Section, outputs

MOST_CELL = 300
"""Letters of what was read."""


@sections
class Written(Section):
    """Some test rows, evenly chosen: what was read, what was written, and the truth."""

    type: Literal["written"] = "written"
    order: ClassVar[int] = 40
    title: ClassVar[str] = "What was written"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if any(s["written"] for s in o.get("samples", []))}
        free = {n: o["memorised"] for n, o in outputs(folder).items() if o.get("memorised")}
        parts = [*(_texts(folder, n, o) for n, o in each.items()), *(_free(n, m) for n, m in free.items())]
        return join(*parts) if parts else None


def _texts(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe:
    samples, read = found["samples"], _read(folder, name, len(found["samples"]))
    names = list(read[0]) if read else []
    rows = []
    for at, sample in enumerate(samples):
        cells = [own(cut(read[at][n], MOST_CELL)) for n in names]
        rows.append([*cells, own(sample["written"]), own(sample["truth"])])
    head = [*(own(n) for n in names), "Written", "Truth"]
    signatures = [el("p", own(f"{k}: {v}"), class_="note") for k, v in found.get("signatures", {}).items()]
    return join(table(own(name), head, rows, ()), *signatures)


def _free(name: str, found: dict[str, Any]) -> Safe:
    """Texts that a language model wrote from nothing, and how much of each stands in the training texts."""
    worst, usual = max(found["longest"]), max(found["longest_of_real"])
    said = (
        f"The longest run of these texts that stands in the {found['searched']:,} training tokens word for word has {worst:,} "
        f"tokens; of as many real texts that were not trained on, {usual:,}."
    )
    more = (
        f" The first {found['searched']:,} of {found['of']:,} tokens were searched."
        if found["searched"] < found["of"]
        else ""
    )
    run = join(el("p", said + more), el("p", "It reads: ", own(found["run"]), class_="note"))
    rows = [
        [own(cut(text, MOST_CELL)), size, longest]
        for text, size, longest in zip(found["texts"], found["tokens"], found["longest"])
    ]
    return join(
        run,
        table(
            join(own(name), ": written from nothing, as the model believes"),
            ["Written", "Tokens", "Longest run by heart"],
            rows,
            (1, 2),
        ),
    )


def _read(folder: RunFolder, output: str, count: int) -> list[dict[str, Any]]:
    """Cells of the texts that were read for the samples, in their order; none where they can't be had."""
    texts = [n for n, kind in shown_as(folder).items() if kind == "text"]
    rows = tested(folder, output) if texts else None
    if rows is None or len(at := evenly(len(rows), count)) != count:
        return []
    found = cells_of(folder, texts, [int(r) for r in rows[at]])
    return [found.cells[int(r)] for r in rows[at]] if len(found.cells) == count else []
