"""Numbers out of raw cells, as a standalone export ships it."""


class NumberReader:
    """Raw cells to standardised values, with numpy and the standard library alone."""

    def __init__(self, mean, std, scale, missing, decimal, outliers="keep", fences=None):
        self.mean, self.std, self.scale, self.missing, self.decimal = mean, std, scale, set(missing), decimal
        self.outliers, self.fences = outliers, fences

    def unusual(self, text):
        """As `dapeng.columns.number.unusual`; raises ValueError for what is no number."""
        sign, cell = 1.0, text
        if cell.startswith("(") and cell.endswith(")"):
            sign, cell = -1.0, cell[1:-1]
        percent = cell.endswith(("%", "％"))
        cell = cell.strip("$€£¥￥%％ \u00a0").replace("\u2212", "-")
        for separator in (",", " ", "\u00a0", "'", "_"):
            groups = cell.split(separator)
            if len(groups) > 1 and groups[0].lstrip("+-") and all(len(g.partition(".")[0]) == 3 for g in groups[1:]):
                cell = "".join(groups)
        try:
            value = float("" if "_" in cell else cell)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        return sign * value / (100 if percent else 1)

    def number(self, cell):
        import math

        if cell is None or (isinstance(cell, str) and cell.strip().lower() in self.missing):
            return None
        if isinstance(cell, str):
            cell = cell.strip()
            if self.decimal == ",":
                cell = cell.replace(".", "").replace(",", ".")
            cell = self.unusual(cell)
        value = float(cell)
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise ValueError(f"{cell} is not a finite number")
        if self.fences is None or self.outliers == "keep" or self.fences[0] <= value <= self.fences[1]:
            return value
        return min(max(value, self.fences[0]), self.fences[1]) if self.outliers == "clip" else None

    def encode(self, cells):
        import numpy as np

        read = [self.number(c) for c in cells]
        present = np.array([v is not None for v in read])
        x = np.array([0.0 if v is None else v for v in read], np.float64)
        if self.scale == "log":
            x = np.sign(x) * np.log1p(np.abs(x))
        if self.scale != "none":
            x = (x - self.mean) / self.std
        return {"values": np.where(present, x, 0.0).astype(np.float32), "present": present}
