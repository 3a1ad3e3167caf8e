"""Lengths of time as a spec writes them: 90s, 20m, 2h, 1.5d, or a number of seconds."""

from __future__ import annotations

import re

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
WRITTEN = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([a-z]*)\s*")


def seconds(value: str | float) -> float:
    """The length in seconds. Raises ValueError, in words for the user, for anything that is not above 0."""
    if isinstance(value, str):
        match = WRITTEN.fullmatch(value)
        if match is None or match[2] not in UNITS:
            raise ValueError(f"expected a time such as 90s, 20m or 2h, found {value!r}")
        number = float(match[1]) * UNITS[match[2]]
    else:
        number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"expected a time above 0, found {value!r}")
    return number


def words(length: float) -> str:
    """A length in seconds for people: 850 ms, 12 s, 3 min 20 s, 2 h 5 min."""
    if length < 1:
        return f"{length * 1000:.0f} ms"
    if length < 60:
        return f"{length:.0f} s" if length >= 10 else f"{length:.1f} s"
    whole = round(length)
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
