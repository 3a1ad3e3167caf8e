"""Run a standalone export in a process that has neither dapeng nor torch, and compare it with the original."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.core.errors import RunError
from dapeng.data.table import Frame, Source
from dapeng.export.differences import largest, refuse_if_far
from dapeng.product.product import Product

SECONDS = 300
DRIVER = """
import base64, json, sys
sys.path.insert(0, sys.argv[1])
from predict import predict
rows = json.load(open(sys.argv[2], encoding="utf-8"))
rows = [{n: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for n, v in r.items()} for r in rows]
out = predict(rows)
there = [m for m in ("dapeng", "torch", "pyarrow", "sklearn") if m in sys.modules and not (m == "sklearn" and "lightgbm" in sys.modules)]
there = [m for m in there if not (m == "pyarrow" and "lightgbm" in sys.modules)]
json.dump({"out": out, "there": there}, open(sys.argv[3], "w", encoding="utf-8"))
"""


def difference(product: Product, folder: Path, rows: Source) -> tuple[float, int]:
    """The largest difference from `product.predict`, and for how many rows. Raises RunError where it is too large.

    Both compute in fp32, as files do: bfloat16, in which a run may predict, rounds far beyond the tolerance.
    """
    product = copy.copy(product)
    product.autocast = None
    read = rows.read(list(product.inputs))
    answer = product.predict(Frame(read, rows.name, rows.base))
    good = read.take(pa.array(answer.rows))
    out = run(folder, [{n: _cell(product, n, v, rows.base) for n, v in row.items()} for row in good.to_pylist()])
    found, wanted = [], []
    for name, column in product.outputs.items():
        labels = getattr(column, "labels", None)
        tensor = next(iter(answer.tensors[name].values()))
        wanted.append(tensor)
        mine = [[r[f"{name}.{n}"] for n in labels] for r in out] if labels is not None else [r[name] for r in out]
        found.append(np.array(mine, np.float64).reshape(tensor.shape))
    return refuse_if_far(largest(found, wanted), "the standalone folder"), len(out)


def run(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`predict(rows)` in a process of its own. Raises RunError with what it said, where it fails or imports too much."""
    with tempfile.TemporaryDirectory() as place:
        given, got = Path(place) / "rows.json", Path(place) / "out.json"
        given.write_text(json.dumps(rows), "utf-8")
        command = [sys.executable, "-I", "-B", "-c", DRIVER, str(folder), str(given), str(got)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            what = f"the standalone folder took over {SECONDS} s for {len(rows)} rows; nothing was kept"
            raise RunError(what, hint="--format onnx, or serve the run itself") from None
        if done.returncode or not got.exists():
            raise RunError(f"the standalone folder does not run: {done.stderr.strip()[-500:]}")
        found = json.loads(got.read_text("utf-8"))
    if found["there"]:
        raise RunError(f"the standalone folder imports {', '.join(found['there'])}")
    return found["out"]


def _cell(product: Product, name: str, value: Any, base: Path | None) -> Any:
    """A raw value for JSON: bytes in base64; the path of a file made whole."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, str) and product.inputs[name].options.reads_files and base is not None:
        return str(base / value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
