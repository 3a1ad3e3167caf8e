"""A table out of a pickle of pandas, without unpickling it.

A pickle is a program that may call whatever it names. This one is never run: a file whose SHA-256 stands in the source is taken apart
into its instructions, and the one block of numbers and the names of its columns are picked out. Neither pandas nor the version of
NumPy has a part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from dapeng.core.errors import DataError, Problem


def whole_numbers(packed: bytes, sha256: str, names: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Columns (N,) int64 by name, of a table of nothing but whole numbers as pandas pickles it, packed by xz.

    sha256: of the packed bytes. names: of all columns, as they stand in the file. Raises DataError where the bytes are others, before
    anything is read.
    """
    import lzma
    import pickletools

    found = hashlib.sha256(packed).hexdigest()
    if found != sha256:
        what = f"has SHA-256 {found[:12]}..., not {sha256[:12]}...: a pickle that is not known is not read"
        raise DataError(Problem(where, what, "the archive is another version: remove it and fetch it anew"))
    given = [argument for _, argument, _ in pickletools.genops(lzma.decompress(packed))]
    (block,) = (a for a in given if isinstance(a, bytearray))
    texts = [a for a in given if isinstance(a, str)]
    at = texts.index(names[0])
    assert texts[at : at + len(names)] == list(names)
    assert {"i8", "<", "C"} <= set(texts), "64 bits each, the lowest byte first, row by row"
    return dict(zip(names, np.frombuffer(block, "<i8").reshape(len(names), -1).astype(np.int64)))
