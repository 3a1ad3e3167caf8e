"""A smaller model in a run folder of its own, beside what it costs: size, latency and every metric, before and after."""

from __future__ import annotations

import copy
import difflib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dapeng.compress.measure import latencies, scores, size_of
from dapeng.core.console import table
from dapeng.core.errors import DapengError, RunError, SpecError
from dapeng.core.kinds import compressors
from dapeng.core.run import RunFolder
from dapeng.product.files import load
from dapeng.product.own_rows import own_test_rows, product_was_cross_validated, rows_to_check
from dapeng.product.product import Product
from dapeng.train import weights

COPIED = ("spec.yaml", "resolved.yaml", "columns.json")


@dataclass(frozen=True)
class Compressed:
    """What was measured. facts: as in compress.json."""

    facts: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        return self.facts

    def text(self) -> str:
        f = self.facts
        rows = [(r["measure"], _shown(r["before"]), _shown(r["after"]), r["unit"]) for r in f["table"]]
        lines = [f"{f['from']} -> {f['folder']} ({f['method']})", "", table(rows, ("", "before", "after", "unit")), ""]
        return "\n".join([*lines, f["metrics_on"]])


def compress(folder: RunFolder, product: Product, to: str = "int8", place: str | Path | None = None) -> Compressed:
    """Compress the network of a run; the rest of the product stays as it is.

    to: a registered method. place: the new run folder, by default beside the old one. Raises SpecError for a method that there
    is not, RunError where the product has no network or the folder exists.
    """
    members = compressors.members()
    if to not in members:
        near = difflib.get_close_matches(to, members, 1)
        hint = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(members)
        raise SpecError(f"there is no compression {to!r}", hint=hint)
    if product.model is None:
        raise RunError("this run has no network: there is nothing to compress", hint="train with model=network")
    product.refuse_written("compressing", pointed=True)
    facts_of_product = folder.read_json("product.json")
    if facts_of_product.get("compressed"):
        raise RunError(f"{folder.path} is compressed already", hint="compress the run that it was made of")
    model = copy.deepcopy(product.model).cpu().eval()
    done = members[to]().apply(model)
    new = _folder(folder, to, place)
    _copy(folder, new)
    weights.save(model.state_dict(), new.path / "weights.safetensors")
    new.write_json("product.json", {**facts_of_product, "compressed": to})
    new.manifest()  # before the mark: what is done is whole
    new.mark("done", compressed_from=folder.name, method=to)
    found = _measured(folder, new, product, to, done)
    new.write_json("compress.json", found)
    return Compressed(found)


def _folder(old: RunFolder, to: str, place: str | Path | None) -> RunFolder:
    if place is None:
        return RunFolder.create(old.path.parent, f"{old.name}-{to}")
    path = Path(place)
    if path.exists():
        raise RunError(f"{path} exists already", hint="choose another folder")
    made = RunFolder.create(path.parent, path.name)
    made.path.rename(path)
    return RunFolder(path)


def _copy(old: RunFolder, new: RunFolder) -> None:
    """What the new run needs; not what the old model predicted, for the new one may predict otherwise."""
    import pyarrow.parquet as pq

    for name in COPIED:
        if old.has(name):
            shutil.copyfile(old.file(name), new.path / name)
    if (old.path / "learners").is_dir():
        shutil.copytree(old.path / "learners", new.path / "learners")
    if old.has("predictions.parquet"):
        tested = pq.read_table(old.file("predictions.parquet"))
        kept = [n for n in tested.column_names if n == "row" or n.endswith((".present", ".truth"))]
        pq.write_table(tested.select(kept), new.path / "predictions.parquet")


def _measured(old: RunFolder, new: RunFolder, product: Product, to: str, done: dict[str, Any]) -> dict[str, Any]:
    """Both products side by side; the new one as it comes back from its folder."""
    again = load(new)
    before, after = size_of(old), size_of(new)
    lines: list[dict[str, Any]] = [
        {"measure": "weights", "before": before[0], "after": after[0], "unit": "bytes"},
        {"measure": "all that predicts", "before": before[1], "after": after[1], "unit": "bytes"},
    ]
    rows, timed_on = rows_to_check(old, product, 256)
    for count in (1, 256):
        a, b = latencies(product, again, rows, count)
        lines.append(
            {"measure": f"latency of {count} row{'s' * (count > 1)}", "before": a, "after": b, "unit": "ms, p50"}
        )
    try:
        real = own_test_rows(old, product, 20_000)
        said = f"metrics on {real.rows:,} of the run's own test rows"
        if product_was_cross_validated(old):
            said = f"metrics on {real.rows:,} rows that it was trained on (cross-validation): compare them with each other alone"
        first, second = scores(product, real), scores(again, real)
        lines += [{"measure": m, "before": first[m], "after": second.get(m), "unit": ""} for m in first]
    except (DapengError, OSError) as error:
        said = f"no metrics: {str(error).splitlines()[0]}"
    return {
        "from": str(old.path),
        "folder": str(new.path),
        "method": to,
        **done,
        "table": lines,
        "timed_on": timed_on,
        "metrics_on": said,
    }


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else f"{value:.4g}"
