"""The Open Inference Protocol v2 over a model's raw columns: one input tensor of shape [rows] for each column.

https://github.com/kserve/open-inference-protocol. Labels, texts and pictures (base64 in JSON) are BYTES, numbers FP32. The binary
extension is read in requests; replies are JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from dapeng.serve.engine import Engine
from dapeng.serve.http import Refused, Request, parse_json

NUMBERS = {
    "FP32": "<f4",
    "FP64": "<f8",
    "FP16": "<f2",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "BOOL": "?",
}


def metadata(engine: Engine) -> dict[str, Any]:
    inputs = [
        {"name": n, "datatype": r.kind, "shape": [-1, *_width(r.column)]} for n, r in zip(engine.names, engine.readers)
    ]
    outputs: list[dict[str, Any]] = []
    for name, column in engine.product.outputs.items():
        labels = _chances(column)
        outputs.append({"name": name, "datatype": _datatype(column), "shape": [-1, *_width(column)]})
        if labels is not None:
            outputs.append(
                {
                    "name": f"{name}.probabilities",
                    "datatype": "FP32",
                    "shape": [-1, len(labels)],
                    "parameters": {"labels": labels},
                }
            )
    return {"name": engine.name, "versions": ["1"], "platform": "dapeng", "inputs": inputs, "outputs": outputs}


def read(request: Request, body: bytes, engine: Engine) -> tuple[list[dict[str, Any]], str | None]:
    """Rows, and the request's id. Raises Refused (400)."""
    head, tail = _parts(request, body)
    value = parse_json(head)
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list):
        raise _bad("inputs", "a list of tensors", "something else" if isinstance(value, dict) else type(value).__name__)
    columns: dict[str, list[Any]] = {}
    widths = {n: w for n, c in engine.product.inputs.items() for w in _width(c)}
    for i, tensor in enumerate(value["inputs"]):
        name, cells, tail = _column(tensor, f"inputs[{i}]", tail, widths)
        columns[name] = cells
    rows = {len(c) for c in columns.values()}
    if len(rows) > 1:
        raise _bad("inputs", "as many rows in each tensor", ", ".join(map(str, sorted(rows))))
    identity = value.get("id")
    return [dict(zip(columns, row)) for row in zip(*columns.values())], identity if isinstance(identity, str) else None


def _parts(request: Request, body: bytes) -> tuple[bytes, bytes]:
    length = request.headers.get(b"inference-header-content-length")
    if length is None:
        return body, b""
    if not length.isdigit() or int(length) > len(body):
        raise _bad("Inference-Header-Content-Length", "the length of the JSON part", length.decode("latin-1")[:40])
    return body[: int(length)], body[int(length) :]


def _column(tensor: Any, where: str, tail: bytes, widths: dict[str, int]) -> tuple[str, list[Any], bytes]:
    """Name and cells of a tensor, and what is left of the binary part. widths: of columns whose cells are lists of numbers."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise _bad(where, "a tensor with a name", "something else")
    kind, shape = tensor.get("datatype"), tensor.get("shape")
    good = isinstance(shape, list) and 1 <= len(shape) <= 2 and all(type(s) is int and s >= 0 for s in shape)
    wide = shape[1] if good and len(shape) == 2 else 1  # type: ignore[arg-type,index]
    if not good or wide not in (1, widths.get(tensor["name"], 1)):
        shapes = "[rows] or [rows, 1]" if tensor["name"] not in widths else f"[rows, {widths[tensor['name']]}]"
        raise _bad(f"{where}.shape", shapes, str(shape)[:60])
    if kind != "BYTES" and kind not in NUMBERS:
        raise _bad(f"{where}.datatype", "BYTES, FP32 or another number", str(kind)[:40])
    size = (
        (tensor.get("parameters") or {}).get("binary_data_size")
        if isinstance(tensor.get("parameters") or {}, dict)
        else None
    )
    if size is not None:
        if type(size) is not int or not 0 <= size <= len(tail):
            raise _bad(f"{where}.parameters.binary_data_size", f"at most {len(tail)}", str(size)[:40])
        cells, tail = _binary(kind, tail[:size], where), tail[size:]
    else:
        cells = tensor.get("data")
        if not isinstance(cells, list):
            raise _bad(f"{where}.data", "a list", type(cells).__name__)
        cells = [c for row in cells for c in row] if cells and all(isinstance(c, list) for c in cells) else cells
    if len(cells) != shape[0] * wide:  # type: ignore[index]
        raise _bad(f"{where}.data", f"{shape[0] * wide} values, as the shape says", f"{len(cells)}")  # type: ignore[index]
    if wide > 1:
        cells = [cells[i : i + wide] for i in range(0, len(cells), wide)]
    return tensor["name"], cells, tail


def _binary(kind: str, data: bytes, where: str) -> list[Any]:
    if kind != "BYTES":
        dtype = np.dtype(NUMBERS[kind])
        if len(data) % dtype.itemsize:
            raise _bad(where, f"whole values of {dtype.itemsize} bytes", f"{len(data)} bytes")
        return np.frombuffer(data, dtype).tolist()
    out: list[Any] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise _bad(where, "values with their lengths before them", "a length beyond the end")
        piece = data[at + 4 : at + 4 + size]
        try:
            out.append(piece.decode("utf-8"))
        except UnicodeDecodeError:
            out.append(piece)
        at += 4 + size
    return out


def answer(engine: Engine, answers: list[dict[str, Any]], identity: str | None) -> dict[str, Any]:
    """The reply to an inference request."""
    outputs: list[dict[str, Any]] = []
    for name, column in engine.product.outputs.items():
        labels = _chances(column)
        values = [a[name]["value"] for a in answers]
        shape = [len(values), *_width(column)]
        if column.answers == "labels":  # a tensor is no ragged list: one text a row
            values = [column.joint.join(v) for v in values]
        if column.answers == "boxes":
            values = [orjson.dumps(v).decode() for v in values]
        outputs.append({"name": name, "datatype": _datatype(column), "shape": shape, "data": _flat(values)})
        if labels is not None:
            flat = [p for a in answers for p in a[name]["probabilities"].values()]
            outputs.append(
                {
                    "name": f"{name}.probabilities",
                    "datatype": "FP32",
                    "shape": [len(answers), len(labels)],
                    "data": flat,
                }
            )
    return {
        "model_name": engine.name,
        "model_version": "1",
        **({"id": identity} if identity else {}),
        "outputs": outputs,
    }


def _chances(column: Any) -> list[str] | None:
    """Labels whose probabilities stand beside the value; None where there are none."""
    return column.labels if "probabilities" in column.predictions() else None


def _datatype(column: Any) -> str:
    """Only numbers are such; labels, texts, boxes (as JSON), pictures and sounds (in base64) are texts."""
    return "FP32" if column.answers in ("number", "numbers") and _chances(column) is None else "BYTES"


def _width(column: Any) -> list[int]:
    """The second axis of a value, where it has one."""
    return [column.size] if column.answers == "numbers" else []


def _flat(values: list[Any]) -> list[Any]:
    return [v for row in values for v in row] if values and isinstance(values[0], list) else values


def _bad(where: str, expected: str, found: str) -> Refused:
    return Refused(
        400, f"{where}: expected {expected}, found {found}", [{"where": where, "expected": expected, "found": found}]
    )
