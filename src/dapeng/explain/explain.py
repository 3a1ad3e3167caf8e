"""What a product looked at: importance of columns over many rows, and what counted in single ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from dapeng.core.console import table
from dapeng.core.errors import DataError
from dapeng.core.run import RunFolder
from dapeng.data.table import Source
from dapeng.explain.importance import MOST_ROWS, importance
from dapeng.explain.rows import explain_rows
from dapeng.product.own_rows import own_test_rows, product_was_cross_validated
from dapeng.product.product import Product


@dataclass(frozen=True)
class Explanation:
    """facts: as in explain.json."""

    facts: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        return self.facts

    def text(self) -> str:
        lines: list[str] = []
        for output, columns in self.facts["importance"].items():
            rows = [(c["column"], c["importance"], c["low"], c["high"]) for c in columns]
            score = self.facts["measured"]["scores"][output]
            lines += [f"{output}: score {score:.4g}; how much it drops without a column", ""]
            lines += [table(rows, ("column", "drop", "from", "to")), ""]
        if "fusion" in self.facts:
            rows = [(", ".join(i["columns"]), i["share"], i["spread"]) for i in self.facts["fusion"]["inputs"]]
            lines += [f"share of each input: {self.facts['fusion']['share']}", ""]
            lines += [table(rows, ("input", "share", "+-")), ""]
        for row in self.facts["rows"]:
            for output, found in row["outputs"].items():
                lines += _row(row["row"], output, found)
        return "\n".join([*lines, *self.facts["notes"]]).rstrip()


def _row(row: int, output: str, found: dict[str, Any]) -> list[str]:
    sure = f" ({found['probability']:.0%})" if "probability" in found else ""
    truth = f", truly {found['truth']}" if "truth" in found else ""
    lines = [f"row {row}: {output} = {found['prediction']}{sure}{truth}"]
    for column in found.get("columns", [])[:8]:
        value = "" if column["value"] is None else f" = {str(column['value'])[:60]}"
        lines.append(f"  {column['adds']:+.4g}  {column['column']}{value}")
    for tokens in found.get("tokens", {}).values():
        top = sorted(tokens, key=lambda t: -abs(t["weight"]))[:8]
        lines.append("  " + "  ".join(f"{t['token']} {t['weight']:+.3g}" for t in top))
    return [*lines, ""]


def _fusion(product: Product, source: Source) -> dict[str, Any]:
    """What a network's fusion says of its inputs, where it says something; without the rows that can't be read."""
    if product.model is None:
        return {}
    from dapeng.explain.shares import fusion_shares

    store = product.store(source)
    found = fusion_shares(product, store, np.setdiff1d(np.arange(store.rows), store.left_out))
    return {} if found is None else {"fusion": found}


def explain(
    folder: RunFolder, product: Product, source: Source | None = None, rows: int = 8, seconds: float = 60.0
) -> Explanation:
    """Importance of every input column, and `rows` rows one by one; also left in explain.json.

    source: rows to explain, by default the run's own test rows; without the true outputs there is no importance. seconds: CPU time
    to spend, about; fewer rows are looked at where that is short. Raises DataError where the run's data is gone.
    """
    product.refuse_written("explaining")
    began = time.process_time()
    chosen = own_test_rows(folder, product, MOST_ROWS) if source is None else source
    if source is not None and source.count() > MOST_ROWS:
        from dapeng.data.table import Head

        chosen = Head(source, MOST_ROWS)
    product._check(chosen)
    known = [o for o in product.outputs if o in chosen.names]
    notes: list[str] = []
    if source is None and product_was_cross_validated(folder):
        notes.append(
            "the model that the folds led to was trained on these rows too: its scores here are higher than the verdict's"
        )
    found: dict[str, Any] = {"importance": {}, "measured": {}}
    if not known:
        notes.append(f"no importance of columns: {chosen.name} does not hold the true {', '.join(product.outputs)}")
    elif len(product.inputs) < 2:
        notes.append(f"no importance of columns: {next(iter(product.inputs), 'nothing')} is the only one")
    else:
        found = importance(product, chosen, 0.5 * seconds)
        if found["measured"]["not_measured"]:
            notes.append(f"{len(found['measured']['not_measured'])} columns were not measured: the time was spent")
    if not chosen.count():
        raise DataError(f"{chosen.name} has no rows to explain")
    try:
        single = explain_rows(product, chosen, rows, max(seconds - (time.process_time() - began), 0.0))
    except RuntimeError as error:  # layers in int8 have no gradients
        single = []
        notes.append(f"single rows can't be explained: {str(error).splitlines()[0][:120]}")
    if len(single) < min(rows, chosen.count()):
        notes.append(f"{len(single)} rows are explained one by one")
    spent = round(time.process_time() - began, 2)
    facts = {
        **found,
        **_fusion(product, chosen),
        "rows": single,
        "notes": notes,
        "data": chosen.name,
        "cpu_seconds": spent,
    }
    folder.write_json("explain.json", facts)
    return Explanation(facts)
