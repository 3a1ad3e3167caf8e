"""Values of Python as a column of Arrow: of one type where they have one, else of text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa


def array(values: list[Any], wanted: pa.DataType | None = None) -> pa.Array:
    """Values as an array: of the type wanted, of their own, or of text where they are mixed."""
    for kind in (wanted, None):
        try:
            return pa.array(values, kind)
        except UnicodeEncodeError:
            values = [_whole(v) for v in values]
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
            continue
    return pa.array([_as_text(v) for v in values], pa.string())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    plain = isinstance(value, (bool, int, float, list, dict))
    return json.dumps(value, ensure_ascii=False, default=str) if plain else str(value)


def _whole(value: Any) -> Any:
    """A value whose texts have U+FFFD instead of half surrogate pairs."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(v) for v in value]
    return {k: _whole(v) for k, v in value.items()} if isinstance(value, dict) else value


def plain_values(values: Iterable[Any]) -> list[Any]:
    """Values of a database or a driver as what Arrow knows well: exact numbers as whole ones or floats, names as text."""
    cells = list(values)
    kinds = {type(v) for v in cells}
    if Decimal in kinds:
        cells = [_number(v) if isinstance(v, Decimal) else v for v in cells]
    if kinds & {memoryview, bytearray}:
        cells = [bytes(v) if isinstance(v, (memoryview, bytearray)) else v for v in cells]
    if kinds & {UUID, timedelta}:
        cells = [str(v) if isinstance(v, (UUID, timedelta)) else v for v in cells]
    return cells


def _number(value: Decimal) -> int | float:
    return int(value) if value.is_finite() and int(value.as_tuple().exponent) >= 0 else float(value)
