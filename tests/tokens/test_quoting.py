"""A stretch of tokens comes back letter by letter as it stands in the text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dapeng.columns.quoting import aligned, as_numbers, as_texts, stretch
from dapeng.columns.tokenisers import KINDS, SPECIAL, clean

CHARACTERS = KINDS["characters"]({"vocab": [*SPECIAL, "a"]})
WORDS = KINDS["words"]({"vocab": [*SPECIAL, "a"]})


@pytest.mark.parametrize(
    ("text", "first", "length", "found"),
    [
        ("Call  Dr. O'Neil (U.S.A.)", 1, 2, "Dr."),
        ("Call  Dr. O'Neil (U.S.A.)", 3, 1, "O'Neil"),
        ("Call  Dr. O'Neil (U.S.A.)", 5, 6, "U.S.A."),
        ("价格是４，２９６元。", 3, 3, "４，２９６"),  # read as 4,296: a number is one word
        ("  Ｑｕｉｅｔ   now ", 0, 1, "Ｑｕｉｅｔ"),
        ("cafe\u0301 noir", 0, 1, "cafe\u0301"),
        ("a b", 7, 2, ""),
        ("a b", 0, 0, ""),
    ],
)
def test_words(text: str, first: int, length: int, found: str) -> None:
    assert stretch(text, first, length, WORDS, True, "NFKC") == found


def test_what_the_vocabulary_does_not_have_is_given_back_too() -> None:
    assert stretch("龘靐齉", 1, 2, CHARACTERS, True, "NFKC") == "靐齉"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.booleans(), st.sampled_from(["NFC", "NFKC", "none"]))
def test_letters_that_are_cleaned_one_by_one_know_where_they_came_from(text: str, lowercase: bool, form: str) -> None:
    seen = clean(text, lowercase, form)
    letters, origins = aligned(text.encode("utf-8", "replace").decode(), lowercase, form)
    assert len(letters) == len(origins)
    assert all(a < b for a, b in origins)
    assert [a for a, _ in origins] == sorted(a for a, _ in origins)
    whole = stretch(text, 0, len(seen), CHARACTERS, lowercase, form)
    assert clean(whole, lowercase, form) == seen  # nothing is lost, in whatever way it was found


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=5))
def test_texts_lie_side_by_side_as_numbers(texts: list[str]) -> None:
    assert as_texts(as_numbers(texts, 8).astype(np.float32)).tolist() == texts
