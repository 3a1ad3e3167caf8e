"""The command: what is printed where, exit statuses, and start-up without anything heavy."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from dapeng.cli import main as command
from dapeng.cli.main import VERBS, Parser, main
from dapeng.core.errors import Problem, SpecError

ALL = [verb for group in VERBS.values() for verb in group]


def python(code: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **more)


@pytest.fixture
def verb(monkeypatch):
    """Make `dapeng runs` do what a test wants."""

    def set_run(run):
        monkeypatch.setattr("dapeng.cli.runs.run", run)

    return set_run


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in ALL)
    assert main([]) == 0


@pytest.mark.parametrize("verb", ALL)
def test_every_verb_explains_itself(verb, capsys):
    module = import_module(f"dapeng.cli.{verb}")
    parser = Parser(prog=f"dapeng {verb}")
    module.add(parser)
    assert all(action.help for action in parser._actions)
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"dapeng {verb}" in out.partition("\n\n")[2]  # an example to paste


def test_an_unknown_verb_has_a_hint(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "error: there is no verb 'trian'\n  hint: did you mean `dapeng train`?\n"


def test_a_wrong_argument_is_status_2(capsys):
    assert main(["runs", "--nonsense"]) == 2
    assert "error: unrecognized arguments: --nonsense\n  hint: dapeng runs --help" in capsys.readouterr().err


def test_a_users_error_is_one_text_and_status_2(verb, capsys):
    def run(args):
        raise SpecError([Problem("a.yaml:3", "x: wrong", "right")], "1 problem in a.yaml")

    verb(run)
    assert main(["runs"]) == 2
    assert capsys.readouterr() == ("", "error: 1 problem in a.yaml\n\na.yaml:3: x: wrong\n  hint: right\n")


def test_an_unexpected_error_leaves_its_traceback_in_a_file(verb, capsys):
    def run(args):
        raise KeyError("surprise")

    verb(run)
    assert main(["runs"]) == 1
    err = capsys.readouterr().err
    assert "unexpected KeyError: 'surprise'" in err
    assert "Traceback" not in err
    file = Path(next(line for line in err.splitlines() if "traceback is in" in line).rpartition(" ")[2])
    assert "Traceback" in file.read_text()
    file.unlink()
    assert main(["runs", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_status_130(verb):
    def run(args):
        raise KeyboardInterrupt

    verb(run)
    assert main(["runs"]) == 130


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
def test_a_closed_pipe_is_quiet():
    code = "import sys; from dapeng.cli.main import main; sys.exit(main(['help', 'train']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_start_up_imports_nothing_heavy():
    heavy = "('torch', 'numpy', 'pydantic', 'yaml', 'rich', 'pyarrow', 'pandas')"
    code = f"import sys; from dapeng.cli.main import main; main(['--help']); print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    assert python(code).stderr == "[]\n"


def test_start_up_takes_under_0_3_cpu_seconds_and_import_under_0_05():
    measure = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
    assert min(float(python(measure.format("import dapeng")).stdout) for _ in range(3)) < 0.05
    whole = "from dapeng.cli.main import main; main(['--help'])"
    assert min(float(python(measure.format(whole)).stdout.split()[-1]) for _ in range(3)) < 0.3


def test_lazy_names_of_the_package():
    import dapeng
    from dapeng.core.spec import Spec

    assert dapeng.Spec is Spec
    assert dapeng.options.Number.model_fields["type"].default == "number"
    assert "train" in dir(dapeng)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = dapeng.trian


def test_the_version_is_the_packages():
    from importlib.metadata import version

    from dapeng import __version__

    assert version("dapeng") == __version__
    assert command.__version__ == __version__
