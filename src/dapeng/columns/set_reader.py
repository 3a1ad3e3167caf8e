"""How several labels in one cell are written. One class, so that a standalone export ships what columns use."""

from __future__ import annotations


class SetReader:
    """Raw cells to labels and their codes, with numpy and the standard library alone.

    labels: known ones; code 0 stands for those that weren't seen in training. missing: cells without a value. empty: what an
    empty cell is, "missing" or the empty "set". kept: so many of the labels, from the first on, have a column in the matrix.
    """

    def __init__(self, labels, separator, missing, empty, kept=0):
        self.codes = {label: i + 1 for i, label in enumerate(labels)}
        self.separator, self.missing, self.empty, self.kept = separator, set(missing), empty, kept

    def normal(self, label):
        """The form in which labels are compared."""
        import re
        import unicodedata

        return re.sub("[\u200b\u200c\u200d\u2060\ufeff\u00ad]", "", unicodedata.normalize("NFC", label)).strip()

    def listed(self, text):
        """The members of a list as JSON or Python writes it; None if it is no such list."""
        import ast
        import json

        if not (text[:1] in "[{(" and text[-1:] in "]})" and len(text) < 100_000):
            return None
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if isinstance(found, (list, tuple, set)) and not any(isinstance(v, (list, dict, tuple)) for v in found):
                return list(found)
        return [] if text == "{}" else None

    def members(self, cell, separator=None):
        """The labels of a cell, each once, in its order; None where it has no value."""
        if cell is None or (isinstance(cell, float) and cell != cell):
            return [] if self.empty == "set" else None
        if not isinstance(cell, (list, tuple, set)):
            text = self.normal(str(cell).lower() if isinstance(cell, bool) else str(cell))
            if not text:
                return [] if self.empty == "set" else None
            if text in self.missing:
                return None
            cell = self.listed(text)
            if cell is None:
                separator = separator or self.separator
                cell = text.split() if separator == " " else text.split(separator)
        names = (self.name(v) for v in cell if v is not None)
        return list(dict.fromkeys(n for n in names if n))

    def name(self, value):
        """A member of a list as a label."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float) and value == value and abs(value) < 1e15 and value == int(value):
            return str(int(value))
        return self.normal(str(value))

    def coded(self, cell):
        """Codes of a cell, rising, each once; None where it has no value."""
        found = self.members(cell)
        return None if found is None else sorted({self.codes.get(label, 0) for label in found})

    def encode(self, cells):
        """Tensors of a batch."""
        import numpy as np

        rows = [self.coded(c) for c in cells]
        longest = max(1, max((len(r) for r in rows if r), default=1))
        ids, mask = np.zeros((len(rows), longest), np.int32), np.zeros((len(rows), longest), bool)
        for i, row in enumerate(rows):
            ids[i, : len(row or ())], mask[i, : len(row or ())] = row or (), True
        return {"ids": ids, "mask": mask, "present": np.array([r is not None for r in rows])}

    def matrix(self, cells):
        """(N, kept) float32: 1 for each label that a cell has, nan where it has no value."""
        import numpy as np

        out = np.zeros((len(cells), self.kept), np.float32)
        for i, cell in enumerate(cells):
            codes = self.coded(cell)
            if codes is None:
                out[i] = np.nan
            else:
                out[i, [c - 1 for c in codes if 0 < c <= self.kept]] = 1
        return out
