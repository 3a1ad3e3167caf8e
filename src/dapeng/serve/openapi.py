"""GET /openapi.json: what the server takes and gives, made from the columns."""

from __future__ import annotations

from typing import Any

from dapeng import __version__
from dapeng.serve.engine import Engine

MOST_LABELS = 1000
TYPES = {
    "number": ["number", "string", "null"],
    "choice": ["string", "number", "boolean", "null"],
    "labels": ["array", "string", "null"],
    "numbers": ["array", "string", "null"],
    "steps": ["array", "string", "null"],
    "date": ["string", "number", "null"],
}
"""JSON types by how a cell is handed over; others are texts."""
ITEMS = {
    "labels": {"type": ["string", "number", "boolean"]},
    "numbers": {"type": "number"},
    "steps": {"type": ["array", "number", "null"]},
}
"""Of those that are lists."""


def openapi(engines: dict[str, Engine], max_rows: int) -> dict[str, Any]:
    """OpenAPI 3.1 of /predict; with several models, of the first by default and of the others by ?model=."""
    schemas: dict[str, Any] = {}
    for number, engine in enumerate(engines.values()):
        schemas[f"Row{number}"], schemas[f"Prediction{number}"] = row_schema(engine), prediction_schema(engine)
    rows = {"oneOf": [_ref(f"Row{n}") for n in range(len(engines))]} if len(engines) > 1 else _ref("Row0")
    found = (
        {"oneOf": [_ref(f"Prediction{n}") for n in range(len(engines))]} if len(engines) > 1 else _ref("Prediction0")
    )
    many = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": _list(rows, max_rows)},
    }
    problem = {"type": "object", "properties": {k: {"type": "string"} for k in ("where", "expected", "found")}}
    schemas["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}, "problems": {"type": "array", "items": problem}},
    }
    answered = {
        "type": "object",
        "required": ["model", "predictions"],
        "properties": {
            "model": {"type": "string"},
            "predictions": {"type": "array", "items": found},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    }
    predict = {
        "summary": "Predict for one row or several",
        "parameters": [{"name": "model", "in": "query", "required": False, "schema": {"enum": list(engines)}}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [many, rows]}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": _json("the predictions, in the order of the rows", answered),
            **_errors("400", "403", "413", "415", "503"),
        },
    }
    live = {"responses": {"200": _json("it lives", {"type": "object"})}}
    paths = {
        "/predict": {"post": predict},
        "/health": {"get": live},
        "/health/ready": {"get": {"responses": {**live["responses"], **_errors("503")}}},
    }
    info = {"title": "dapeng: " + ", ".join(engines), "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def row_schema(engine: Engine) -> dict[str, Any]:
    """One row of a model's inputs."""
    properties = {}
    for name, reader in zip(engine.names, engine.readers):
        field: dict[str, Any] = {
            "type": TYPES.get(reader.entry.kind, ["string", "null"]),
            "description": reader.column.describe(),
        }
        if reader.entry.kind in ITEMS:
            field["items"] = ITEMS[reader.entry.kind]
        if reader.entry.kind == "file":
            field["contentEncoding"] = "base64"
        if 0 < len(reader.entry.choices) <= MOST_LABELS:
            some = list(reader.entry.choices[:3])
            field["examples"] = [some] if reader.entry.kind == "labels" else some
        properties[name] = field
    return {"type": "object", "required": engine.names, "properties": properties}


def prediction_schema(engine: Engine) -> dict[str, Any]:
    """One row of a model's answers."""
    properties: dict[str, Any] = {}
    for name, column in engine.product.outputs.items():
        if "probabilities" not in column.predictions():
            said = {"value": column.schema(), "beside": {"type": "object"}}
            properties[name] = {"type": "object", "required": ["value"], "properties": said}
            continue
        every = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}
        properties[name] = {
            "type": "object",
            "required": ["value", "probabilities"],
            "properties": {"value": column.schema(), "probabilities": every},
        }
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _json(what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _errors(*statuses: str) -> dict[str, Any]:
    said = {
        "400": "a row can't be read",
        "403": "another host or site",
        "413": "too large",
        "415": "another type",
        "503": "busy, or stopping",
    }
    return {s: _json(said[s], _ref("Error")) for s in statuses}
