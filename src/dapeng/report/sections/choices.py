"""What was chosen for the user, and why."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, table
from dapeng.report.section import Section, resolved

MOST_ROWS = 60


@sections
class Choices(Section):
    """Every value that the spec left open, with its reason."""

    type: Literal["choices"] = "choices"
    order: ClassVar[int] = 75
    title: ClassVar[str] = "What was chosen, and why"

    def render(self, folder: RunFolder) -> Safe | None:
        done = resolved(folder)
        reasons = done.get("facts", {}).get("reasons", {})
        if not reasons:
            return None
        groups: dict[tuple[str, str, str], list[str]] = {}
        for path, why in reasons.items():
            kind = "inputs.*.encoder" if path.startswith("inputs.") and path.endswith(".encoder") else path
            groups.setdefault((kind, _text(_at(done.get("spec", {}), path)), str(why)), []).append(path)
        rows = [[_named(kind, paths), value, why] for (kind, value, why), paths in groups.items()]
        return table("Values that the spec left open", ["Setting", "Value", "Because"], rows[:MOST_ROWS], class_="wide")


def _named(kind: str, paths: list[str]) -> Safe:
    if len(paths) <= 3:
        return join(*(el("code", p, class_="path") for p in paths))
    return join(el("code", kind), f" ({len(paths):,} columns)")


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path; column names may hold dots themselves."""
    if not path or not isinstance(values, dict):
        return values
    for key in sorted(values, key=len, reverse=True):
        if path == key:
            return values[key]
        if path.startswith(f"{key}."):
            return _at(values[key], path[len(key) + 1 :])
    return None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("type", "")) or ", ".join(f"{k} {v}" for k, v in value.items())
    return "" if value is None else number(value)
