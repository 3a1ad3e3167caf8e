"""The page on adding parts speaks of the seams that parts of others need, and of files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dapeng.columns.sound_reader import SoundReader
from dapeng.core.kinds import ExporterOptions
from dapeng.export import place

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (ExporterOptions, "refuse_place"),
        (place, "refuse_taken"),
        (place, "refuse_other_file"),
        (SoundReader, "CARRIES"),
        (SoundReader, "matrix"),
        (SoundReader, "encode"),
    ],
)
def test_what_a_part_offers_is_told(owner: object, name: str) -> None:
    assert hasattr(owner, name)
    assert f"`{name}`" in PAGE


def test_files_that_are_pointed_at_are_there() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE)
    assert len(named) > 15
    assert [n for n in named if not (ROOT / "src" / "dapeng" / n).is_file() and not (ROOT / n).is_file()] == []
