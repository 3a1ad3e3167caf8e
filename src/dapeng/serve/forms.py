"""Rows out of bodies: JSON, CSV, and forms with files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from starlette.formparsers import MultiPartException
from starlette.requests import Request as FormRequest

from dapeng.serve.http import Refused, Request, parse_json


def rows_of_json(body: bytes, names: list[str]) -> list[Any]:
    """{"rows": [...]}, a list of rows, or one row."""
    value = parse_json(body)
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "rows" in value and "rows" not in names:
        strange = [k for k in value if k != "rows"]
        if strange:
            raise _bad(str(strange[0]), "nothing beside rows", "an unknown key")
        if not isinstance(value["rows"], list):
            raise _bad("rows", "a list", type(value["rows"]).__name__)
        return value["rows"]
    if not isinstance(value, dict):
        raise _bad("body", "an object", type(value).__name__)
    return [value]


def rows_of_csv(body: bytes) -> list[dict[str, Any]]:
    """Rows below a line of names; an empty field is a missing value."""
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        lines = [line for line in reader if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad("body", "CSV in UTF-8", str(error)[:100]) from None
    if len(lines) < 2:
        raise _bad("body", "a line of names and at least one row", f"{len(lines)} lines")
    names = lines[0]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise _bad(f"line {number}", f"{len(names)} fields", f"{len(line)}")
    return [{n: v or None for n, v in zip(names, line)} for line in lines[1:]]


async def rows_of_form(request: Request, body: bytes, names: list[str]) -> list[dict[str, Any]]:
    """A form with one field, or file, for each column; or with one CSV file named `file`."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": list(request.headers.items()),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    fields: dict[str, Any] = {}
    try:
        async with FormRequest(scope, receive).form(
            max_files=100, max_fields=10_000, max_part_size=len(body) + 1
        ) as form:
            for name, value in form.multi_items():
                fields[name] = value if isinstance(value, str) else await value.read()
    except (MultiPartException, AssertionError, KeyError, ValueError) as error:
        raise _bad("body", "a form (multipart/form-data)", str(error)[:100]) from None
    except Exception as error:
        if type(error).__name__ != "HTTPException":  # Starlette wraps what its parser says
            raise
        raise _bad("body", "a form (multipart/form-data)", str(error)[:100]) from None
    if list(fields) == ["file"] and "file" not in names and isinstance(fields["file"], bytes):
        return rows_of_csv(fields["file"])
    return [fields]


def csv_of(answers: list[dict[str, Any]], joints: Mapping[str, str]) -> bytes:
    """Answers as CSV: NAME, and NAME.LABEL with the probability of each label, or what else stands beside. joints: what stands between parts of a list."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, answer in enumerate(answers):
        flat: dict[str, Any] = {}
        for name, found in answer.items():
            value = found["value"]
            flat[name] = _joined(value, joints[name]) if isinstance(value, list) else value
            flat.update(
                {f"{name}.{label}": p for label, p in (found.get("probabilities") or found.get("beside", {})).items()}
            )
        if not number:
            writer.writerow(flat)
        writer.writerow(flat.values())
    return out.getvalue().encode()


def _joined(value: list[Any], joint: str) -> str:
    """A list as one text; of what is no plain value, in JSON."""
    return json.dumps(value, ensure_ascii=False) if joint == "json" else joint.join(map(str, value))


def _bad(where: str, expected: str, found: str) -> Refused:
    return Refused(
        400, f"{where}: expected {expected}, found {found}", [{"where": where, "expected": expected, "found": found}]
    )
