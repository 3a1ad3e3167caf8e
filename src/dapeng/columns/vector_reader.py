"""How fixed-length numbers are written in one cell. One class, so that a standalone export ships what columns use."""

from __future__ import annotations


class VectorReader:
    """Raw cells to standardised vectors, with numpy and the standard library alone. size: numbers of a cell; 0: any."""

    def __init__(self, size, mean, std, missing):
        self.size, self.mean, self.std, self.missing = size, mean, std, set(missing)
        self.blanks = str.maketrans(dict.fromkeys("[](){},;|\t\n\r", " "))

    def numbers(self, cell):
        """The numbers of a cell; None where it has no value. Raises ValueError for what is no vector of the size."""
        if cell is None or (isinstance(cell, float) and cell != cell):
            return None
        if isinstance(cell, str):
            text = cell.strip()
            if text.lower() in self.missing or not (parts := text.translate(self.blanks).split()):
                return None
        else:
            parts = [cell] if isinstance(cell, (int, float)) else list(cell)
        try:
            found = [float(v) for v in parts]
        except (ValueError, TypeError):
            raise ValueError(f"{str(cell)[:40]!r} is not a list of numbers") from None
        if not all(-3.5e38 < v < 3.5e38 for v in found):
            raise ValueError("not every number is finite")
        if self.size and len(found) != self.size:
            raise ValueError(f"{len(found):,} numbers, where {self.size:,} are expected")
        return found or None

    def array(self, cells):
        """(N, D) float64, nan where there is no value."""
        import numpy as np

        rows = [self.numbers(c) for c in cells]
        return np.array([[np.nan] * self.size if r is None else r for r in rows], np.float64).reshape(-1, self.size)

    def scaled(self, x):
        """(N, D) float32, standardised, 0 where there is no value."""
        import numpy as np

        gone = np.isnan(x).any(1)
        found = (np.where(gone[:, None], 0.0, x) - np.array(self.mean)) / np.array(self.std)
        return np.where(gone[:, None], 0.0, found).astype(np.float32)

    def encode(self, cells):
        """Tensors of a batch."""
        import numpy as np

        x = self.array(cells)
        return {"values": self.scaled(x), "present": ~np.isnan(x).any(1)}

    def matrix(self, cells):
        """What classical learners see."""
        import numpy as np

        return self.array(cells).astype(np.float32)
