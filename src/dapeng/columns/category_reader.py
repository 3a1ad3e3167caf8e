"""Codes of labels out of raw cells, as a standalone export ships it."""


class CategoryReader:
    """Raw labels to codes, with numpy and the standard library alone."""

    def __init__(self, labels, missing, form="NFC"):
        self.codes, self.missing, self.form = {label: i + 1 for i, label in enumerate(labels)}, set(missing), form

    def encode(self, cells):
        import re
        import unicodedata

        import numpy as np

        codes = []
        for cell in cells:
            if isinstance(cell, float) and cell.is_integer():
                cell = int(cell)
            text = "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)
            text = text if self.form == "none" else unicodedata.normalize(self.form, text)  # type: ignore[arg-type]
            text = re.sub("[\u200b\u200c\u200d\u2060\ufeff\u00ad]", "", text).strip()
            codes.append(0 if text in self.missing else self.codes.get(text, 0))
        return {"codes": np.array(codes, np.int64)}
