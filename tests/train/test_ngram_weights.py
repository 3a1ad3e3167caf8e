"""How much an n-gram counts in a linear model of texts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from dapeng.columns.category import Category, CategoryColumn
from dapeng.learners.base import Target
from dapeng.learners.design import LEAST_DIVERGENCE, _differences

CODES = np.array([0] * 50 + [1] * 30 + [2] * 20)


def _counts() -> sp.csr_matrix:
    """Three n-grams: one that every row has, one that class 2 alone has, one that a single row of class 0 has."""
    counts = np.zeros((100, 3))
    counts[:, 0], counts[80:, 1], counts[0, 2] = 3, 2, 1
    return sp.csr_matrix(counts)


def _target(labels: str = "abc") -> Target:
    state = {"labels": list(labels), "counts": [int((i == CODES).sum()) for i in range(len(labels))]}
    return Target(CategoryColumn("topic", Category(), state, True), CODES)


def test_divergence_is_that_of_the_smoothed_shares() -> None:
    found = _differences(_counts(), _target(), "divergence")
    share = np.array([0.5, 0.3, 0.2])
    for ngram, counts in enumerate(([50, 30, 20], [0, 0, 20], [1, 0, 0])):
        here = (np.array(counts) + share) / (sum(counts) + 1)
        assert found[ngram] == pytest.approx(np.sqrt((here * np.log(here / share)).sum() + LEAST_DIVERGENCE))


def test_an_ngram_that_tells_nothing_counts_least_and_a_lone_row_less_than_a_class() -> None:
    everywhere, of_a_class, of_a_row = _differences(_counts(), _target(), "divergence")
    assert everywhere < of_a_row < of_a_class


def test_a_class_without_rows_changes_nothing() -> None:
    more = _differences(_counts(), _target("abcd"), "divergence")
    assert more == pytest.approx(_differences(_counts(), _target(), "divergence"))
