"""A new file or an entry point is a new member; options hold what their annotations say."""

import subprocess
import sys
import textwrap
from typing import Literal

import pytest
from pydantic import Field
from small_spec import Transformer, encoders

from dapeng.core import kinds
from dapeng.core.duration import seconds, words
from dapeng.core.errors import SpecError
from dapeng.core.kinds import EncoderOptions
from dapeng.core.registry import Options, Registry


def test_a_second_class_of_the_same_name_is_refused():
    with pytest.raises(ValueError, match="'transformer' is defined twice"):

        @encoders
        class Other(EncoderOptions):
            type: Literal["transformer"] = "transformer"

    assert encoders.members()["transformer"] is Transformer


def test_members_that_fit_a_column_type():
    assert list(encoders.fitting("number")) == ["bag"]
    assert list(encoders.choice("text").members()) == ["bag", "lstm", "transformer"]


def test_bounds_beside_auto_bind_the_number():
    class Bounded(Options):
        size: int | Literal["auto"] = Field("auto", ge=1)
        share: float | Literal["auto"] | None = Field(None, gt=0, lt=1)

    assert Bounded().size == "auto"
    with pytest.raises(SpecError, match="size: expected a whole number of at least 1, found 0"):
        Bounded(size=0)
    with pytest.raises(SpecError, match="share: expected a number below 1, found 2"):
        Bounded(share=2)


def test_a_new_file_and_an_entry_point_are_members_without_an_edit(tmp_path):
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").touch()
    member = """
        from typing import Literal
        from dapeng.core.registry import Options, Registry
        class {0}(Options):
            type: Literal["{1}"] = "{1}"
    """
    (package / "crane.py").write_text(
        textwrap.dedent(member.format("Crane", "crane")) + "\nfrom registry_of_zoo import zoo\nzoo(Crane)\n"
    )
    (tmp_path / "registry_of_zoo.py").write_text(
        "from dapeng.core.registry import Registry\nzoo = Registry('zoo', 'animal')\n"
    )
    (tmp_path / "outside.py").write_text(textwrap.dedent(member.format("Roc", "roc")))
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dapeng.zoo]\nroc = outside:Roc\n")
    code = "from registry_of_zoo import zoo; print(list(zoo.members()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "['crane', 'roc']\n"


@pytest.mark.parametrize("what", sorted(Registry.all))
def test_every_real_member_has_help_and_strict_options(what):
    for tag, cls in Registry.all[what].members().items():
        assert cls.__doc__, f"{what} {tag} has no docstring"
        assert cls.model_config["extra"] == "forbid"
        assert cls.model_config["frozen"]


def test_every_real_choice_has_its_default_among_its_members():
    from dapeng.core.registry import Choice

    for cls in kinds.columns.members().values():
        for field in cls.model_fields.values():
            for choice in (m for m in field.metadata if isinstance(m, Choice) and m.default):
                assert choice.default in choice.members()


def test_core_imports_nothing_heavy_and_nothing_above_it():
    code = (
        "import sys, dapeng.core.loader, dapeng.core.run, dapeng.core.archive, dapeng.core.machine;"
        "print([m for m in sys.modules if m in ('torch', 'numpy', 'pyarrow', 'rich') or "
        "(m.startswith('dapeng.') and not m.startswith('dapeng.core'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_durations():
    assert [seconds(v) for v in ("90s", "20m", "1.5h", "2d", "500ms", "45", 7)] == [90, 1200, 5400, 172800, 0.5, 45, 7]
    for wrong in ("fast", "0s", "-3s", "", "5 weeks", float("nan")):
        with pytest.raises(ValueError, match="expected a time"):
            seconds(wrong)
    assert [words(v) for v in (0.85, 3.21, 59, 200, 7500)] == ["850 ms", "3.2 s", "59 s", "3 min 20 s", "2 h 5 min"]
