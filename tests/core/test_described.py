"""Help comes from the docstrings below fields, read from the source of a class when somebody asks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = '''
from typing import Literal
from pydantic import Field
from dapeng.core.registry import Options

class First(Options):
    size: int = 3
    """How large.

    In pixels.
    """
    name: str = Field("a", description="What it is called.")
    plain: int = 1

class Second(First):
    size: int = 4
    plain: int = 2
    """Now it is said."""
    other: int = Field(1, alias="else")
    """By another name."""

    class Inner(Options):
        deep: int = 1
        """Within."""

if Literal is None:
    class Twice(Options):
        size: int = 1
        """The one that is not made."""
else:
    class Twice(Options):
        size: int = 1
        """The one that is."""

try:
    import nothing_of_this_name
except ImportError:
    class Late(Options):
        size: int = 1
        """In a branch."""
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = tmp_path / "described_here.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("described_here", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "described_here", made)
    spec.loader.exec_module(made)
    return made


def test_the_words_below_a_field_are_its_help_and_inherited(module: ModuleType) -> None:
    said = module.Second.said_of
    assert said("size") == "How large.\n\nIn pixels."
    assert said("name") == "What it is called."
    assert (module.First.said_of("plain"), said("plain")) == ("", "Now it is said.")
    assert module.Second.Inner.said_of("deep") == "Within."
    assert module.Late.said_of("size") == "In a branch."
    assert module.Twice.said_of("size") == "", "which of the two was made can't be told"


def test_the_schema_has_them_as_descriptions(module: ModuleType) -> None:
    made = module.Second.model_json_schema()["properties"]
    assert made["size"]["description"] == "How large.\n\nIn pixels."
    assert made["else"]["description"] == "By another name."
    assert "description" not in module.First.model_json_schema()["properties"]["plain"]


def test_a_class_whose_source_is_gone_has_no_help() -> None:
    space: dict[str, object] = {"__name__": "gone"}
    exec("from dapeng.core.registry import Options\nclass Here(Options):\n    size: int = 1\n    'said'\n", space)
    assert space["Here"].said_of("size") == ""  # type: ignore[attr-defined]
