"""How measurements over time are written in one cell. One class, so that a standalone export ships what columns use."""

from __future__ import annotations


class SeriesReader:
    """Raw cells to steps of standardised channels, with numpy and the standard library alone.

    channels: of a step; 0: any. mean, std: of each channel. each: every series by its own mean and deviation. longest: steps
    that are kept, the last ones; 0: all. missing: cells that have no value.
    """

    def __init__(self, channels, mean, std, each, longest, missing):
        self.channels, self.mean, self.std, self.each, self.longest = channels, mean, std, each, longest
        self.missing = set(missing)
        self.blanks = str.maketrans(dict.fromkeys("[](){},\t", " "))

    def number(self, value):
        """One measurement; nan where there is none. Raises ValueError for what is no number."""
        if value is None or (isinstance(value, str) and value.lower() in self.missing):
            return float("nan")
        if isinstance(value, bool):
            raise ValueError(f"{value!r} is no number")
        found = float(value)
        if not (found != found or -3.5e38 < found < 3.5e38):
            raise ValueError("not every number is finite")
        return found

    def parts(self, text):
        """The steps of a text: numbers, or where steps are set apart by ; | lines or brackets, lists of numbers."""
        import re

        inner = text.strip()
        nested = re.match(r"[\[({]\s*[\[({]", inner)
        if nested:
            inner = re.sub(r"[\])}]\s*,?\s*[\[({]", ";", inner)
        inner = inner.translate(self.blanks)
        if not nested and not re.search(r"[;|\n\r]", inner):
            return inner.split()
        return [p.split() for p in re.split(r"[;|\n\r]+", inner) if p.strip()]

    def listed(self, cell):
        """The members of a cell: steps, or the numbers of one channel."""
        if isinstance(cell, str):
            return self.parts(cell)
        return list(cell) if hasattr(cell, "__len__") else [cell]

    def members(self, step):
        """The numbers of a step."""
        return [step] if isinstance(step, str) or not hasattr(step, "__len__") else list(step)

    def steps(self, cell):
        """(T, C) float64 of a cell, nan where a measurement is missing; None where there is no value at all.

        Raises ValueError for what is no series, or has another number of channels.
        """
        import numpy as np

        if cell is None or (isinstance(cell, float) and cell != cell):
            return None
        if isinstance(cell, str) and cell.strip().lower() in self.missing:
            return None
        try:
            rows = [[self.number(v) for v in self.members(s)] for s in self.listed(cell)]
        except (ValueError, TypeError):
            raise ValueError(f"{str(cell)[:40]!r} is not a list of numbers, one or more a step") from None
        if not rows:
            return None
        widths = {len(r) for r in rows}
        if len(widths) > 1:
            raise ValueError(f"steps of {min(widths)} and of {max(widths)} numbers in one series")
        (width,) = widths
        if self.channels and width != self.channels:
            raise ValueError(f"{width:,} numbers a step, where {self.channels:,} are expected")
        found = np.array(rows, np.float64).reshape(len(rows), width)
        return None if not width or np.isnan(found).all() else found

    def kept(self, x):
        """The steps that are looked at: the last ones, of a series that is too long."""
        return x[-self.longest :] if self.longest else x

    def scaled(self, x):
        """(T, C) float32 of steps: standardised; what is missing is as it was before, and 0 at the beginning."""
        import numpy as np

        mean, std = np.array(self.mean, np.float64), np.array(self.std, np.float64)
        if self.each:
            known = ~np.isnan(x)
            count = np.maximum(known.sum(0), 1)
            mean = np.where(known, x, 0.0).sum(0) / count
            spread = np.sqrt(np.where(known, (x - mean) ** 2, 0.0).sum(0) / count)
            std = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1e-30), spread, 1.0)
        found = (x - mean) / std
        if np.isnan(found).any():
            at = np.where(np.isnan(found), 0, np.arange(1, len(found) + 1)[:, None])
            last = np.maximum.accumulate(at, 0)
            found = np.where(last > 0, np.take_along_axis(found, np.maximum(last - 1, 0), 0), 0.0)
        return found.astype(np.float32)

    def encode(self, cells):
        """Tensors of a batch, padded to its longest series."""
        import numpy as np

        rows = [self.steps(c) for c in cells]
        found = [np.zeros((0, self.channels), np.float32) if r is None else self.scaled(self.kept(r)) for r in rows]
        longest = max([1, *map(len, found)])
        values = np.zeros((len(rows), longest, self.channels), np.float32)
        mask = np.zeros((len(rows), longest), bool)
        for row, x in enumerate(found):
            values[row, : len(x)] = x
            mask[row, : len(x)] = True
        return {"values": values, "mask": mask, "present": np.array([r is not None for r in rows], bool)}

    def summed(self, x):
        """What classical learners see of steps (T, C): of each channel mean, deviation, least, largest, first, last, slope; the length."""
        import numpy as np

        out = []
        for channel in x.T:
            known = ~np.isnan(channel)
            y, at = channel[known], np.flatnonzero(known).astype(np.float64)
            if not len(y):
                out += [np.nan] * 7
                continue
            away = at - at.mean()
            slope = float((away * (y - y.mean())).sum() / max((away**2).sum(), 1e-30)) if len(y) > 1 else 0.0
            out += [y.mean(), y.std(), y.min(), y.max(), y[0], y[-1], slope]
        return [*out, float(len(x))]

    def matrix(self, cells):
        """(N, 7 C + 1) float32."""
        import numpy as np

        rows = [self.steps(c) for c in cells]
        nothing = [np.nan] * (7 * self.channels + 1)
        found = [nothing if r is None else self.summed(self.kept(r)) for r in rows]
        return np.array(found, np.float64).reshape(len(rows), len(nothing)).astype(np.float32)
