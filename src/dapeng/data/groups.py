"""Which columns are read together: like columns with equal options are one block, one (B, K) tensor, one encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from dapeng.columns.base import Column
from dapeng.core.spec import plain

PLURAL = {"number": "numbers", "category": "categories"}
WEIGHT = "@weight"
REJECTED, PROMPT = "@rejected", "@prompt"
"""Texts beside an output, in its tokens: what is not preferred to it, and what was asked."""
BESIDE = {"rejected": REJECTED, "prompt": PROMPT}
"""Roles of columns that are encoded as the output is, and where they lie in a batch."""


@dataclass(frozen=True)
class Group:
    """Columns that share a place in a batch. block: (B, K) tensors; else the one column's own layout."""

    key: str
    columns: tuple[str, ...]
    block: bool


def group(columns: Mapping[str, Column]) -> list[Group]:
    """Input columns by group, in the order of their first column. Names, explanations and errors stay per column."""
    found: dict[str, list[str]] = {}
    for name, column in columns.items():
        how = json.dumps([column.type, plain(column.options, every=True).get("encoder")], sort_keys=True, default=str)
        found.setdefault(how if column.blocks else f"alone {name}", []).append(name)
    out: list[Group] = []
    taken = set(columns)
    for names in found.values():
        first = columns[names[0]]
        if not first.blocks:
            out.append(Group(names[0], (names[0],), False))
            continue
        key = stem = PLURAL.get(first.type, first.type + "s")
        number = 1
        while key in taken:
            number += 1
            key = f"{stem}_{number}"
        taken.add(key)
        out.append(Group(key, tuple(names), True))
    return out
