"""The rows that a run was tested on, found again for those who measure a trained product; and made-up ones where they are gone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DapengError, DataError
from dapeng.core.run import RunFolder
from dapeng.data.table import Frame, Source, joined
from dapeng.product.product import Product


def own_test_rows(folder: RunFolder, product: Product, most: int = 2_000) -> Source:
    """At most so many of the run's own test rows, with inputs and true outputs, evenly taken.

    Raises DataError if the run left no list of them, or its data is gone.
    """
    import pyarrow.parquet as pq

    from dapeng.core.loader import load_spec
    from dapeng.data.open import open_data

    if not folder.has("predictions.parquet") or not folder.has("spec.yaml"):
        raise DataError(f"{folder.path} does not say which rows it was tested on", hint="name the data")
    positions = np.sort(pq.read_table(folder.file("predictions.parquet"), columns=["row"]).column("row").to_numpy())
    if len(positions) > most:
        positions = positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]
    loaded = load_spec(folder.file("spec.yaml"), [])
    if not loaded.spec.data.named:
        raise DataError("the run was trained from data in memory, which is gone", hint="name the data")
    source = open_data(loaded.spec.data, loaded.folder).whole()
    names = [n for n in [*product.inputs, *product.outputs] if n in source.names]
    missing = [n for n in product.inputs if n not in names]
    if missing:
        raise DataError(f"{source.name} has no column {missing[0]!r} any more", hint="name the data")
    return _taken(source, names, positions)


def product_was_cross_validated(folder: RunFolder) -> bool:
    """True where the product that is kept was trained on every row, after folds that judged it."""
    return folder.has("product.json") and bool(folder.read_json("product.json").get("cross_validation"))


def _taken(source: Source, names: list[str], positions: np.ndarray) -> Source:
    parts = []
    for block in source.blocks(names):
        at = positions[(positions >= block.start) & (positions < block.start + len(block))] - block.start
        if len(at):
            parts.append(block.columns.take(pa.array(at)))
    if sum(p.num_rows for p in parts) < len(positions):
        raise DataError(f"{source.name} has fewer rows than when the run was trained", hint="name the data")
    return Frame(joined(parts), source.name, source.base)


def rows_to_check(folder: RunFolder, product: Product, most: int) -> tuple[Source, str]:
    """Real rows where they can be had, else made-up ones; and in words, which."""
    try:
        source = own_test_rows(folder, product, most)
        if product_was_cross_validated(folder):  # every row has trained the product that is kept
            return (
                source,
                f"{source.rows} rows of the run, on which it was trained too: the folds' verdict is the honest one",
            )
        return source, f"{source.rows} test rows of the run"
    except (DapengError, OSError) as error:
        rows = min(most, 64)
        return made_up(product, rows), f"{rows} made-up rows ({str(error).splitlines()[0]})"


def made_up(product: Product, rows: int, seed: int = 0) -> Frame:
    """Rows like those that the columns were fitted on, drawn at random: for timing, warming up and checking shapes."""
    draw = np.random.default_rng(seed)
    return Frame(pa.table({n: c.made_up(rows, draw) for n, c in product.inputs.items()}), "made-up rows")
