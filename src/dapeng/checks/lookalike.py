"""Labels that look the same and are not: letters of another script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from dapeng.checks.base import Check, Finding, Seen
from dapeng.checks.variants import alike, labels_of, shown, written
from dapeng.columns.category import normal
from dapeng.core.kinds import checks

LOOKALIKES = str.maketrans("АВЕЅІЈКМНОРСТУХаеорсухіјѕԁɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧον", "ABESIJKMHOPCTYXaeopcyxijsdgABEZHIKMNOPTYXov")
"""Cyrillic and Greek letters that look like Latin ones (Unicode confusables)."""


@checks
class Lookalike(Check):
    """Labels that differ in Cyrillic or Greek letters that look Latin."""

    type: Literal["lookalike"] = "lookalike"
    order: ClassVar[int] = 30
    always: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("category",)):
            found = alike(sorted({normal(v) for v in labels_of(column)}), lambda label: label.translate(LOOKALIKES))
            if found:
                why = "letters of another script that look the same"
                yield written(
                    column, "lookalike", found, f"{column.name}: labels that differ in {why} stay apart: {shown(found)}"
                )
