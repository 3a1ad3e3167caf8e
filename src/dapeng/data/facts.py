"""What can be counted in a column's sample, for those who guess what it holds."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dapeng.columns.base import one_array, strings
from dapeng.columns.number import parse
from dapeng.data.table import Cells

GONE = pa.array(["", "na", "n/a", "nan", "null", "none", "?", "-", "--", "#n/a", "<na>"])
CODE = r"^[A-Za-z0-9_:/.-]*\d[A-Za-z0-9_:/.-]*$"
"""Names that are no words: letters and digits without blanks, at least one digit."""


class Facts:
    """What can be counted in a column's sample, once for all questions."""

    def __init__(self, name: str, cells: Cells, decimal: str):
        self.name, self.decimal = name, decimal
        self.array = one_array(cells)
        if pa.types.is_dictionary(self.array.type):
            self.array = self.array.cast(self.array.type.value_type)
        self.kind = self.array.type
        self.binary = pa.types.is_binary(self.kind) or pa.types.is_large_binary(self.kind)
        self.nested = pa.types.is_nested(self.kind)
        self.typed_number = (
            pa.types.is_integer(self.kind) or pa.types.is_floating(self.kind) or pa.types.is_decimal(self.kind)
        )
        text = pa.array([], pa.string()) if self.binary else pc.utf8_trim_whitespace(strings(self.array))
        gone = pc.or_kleene(pc.is_null(text), pc.is_in(pc.utf8_lower(text), GONE)) if not self.binary else None
        self.text = text.filter(pc.invert(gone)) if gone is not None else text
        """Cells that are there for a number: without the tokens that mean a missing one."""
        self.cells = (
            self.array.filter(pc.is_valid(self.array))
            if self.binary
            else text.filter(pc.fill_null(pc.not_equal(text, ""), False))
        )
        """Cells that are there: only an empty one is missing to a label or a text."""
        self.present = len(self.cells)
        self.distinct = len(pc.unique(self.cells))

    @property
    def tokens(self) -> int:
        """Cells that say "missing" in words."""
        return self.present - len(self.text)

    def numeric(self) -> float:
        """Share of the present cells that are numbers, as the number column reads them."""
        if self.typed_number:
            return 1.0
        if self.binary or self.nested or not len(self.text):
            return 0.0
        _, there, bad = parse(self.text, None, self.decimal)
        return 1 - len(bad.rows) / max(1, len(there))

    def long_integers(self) -> bool:
        """True if whole numbers go beyond 2^53, where a float would change them."""
        if pa.types.is_integer(self.kind):
            return bool(pc.any(pc.greater(pc.abs(self.array.cast(pa.float64(), safe=False)), 2.0**53)).as_py())
        if self.typed_number or self.binary:
            return False
        whole = pc.match_substring_regex(self.text, r"^[+-]?\d{16,}$")
        return pc.sum(whole).as_py() not in (None, 0) and _beyond(self.text.filter(whole))

    def whole(self) -> bool:
        """True if all numbers are whole."""
        if pa.types.is_integer(self.kind):
            return True
        values, there, _ = parse(self.array if self.typed_number else self.text, None, self.decimal)
        values = values[there]
        return bool(len(values)) and bool((values == np.round(values)).all())


def _beyond(texts: pa.Array) -> bool:
    return any(abs(int(t)) > 2**53 for t in texts.to_pylist())
