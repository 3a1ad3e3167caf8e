"""The command `dapeng`: one verb, one file of this package, imported when that verb is typed and not before.

Every error that is the user's to mend is one readable text on standard error and exit status 2. Anything else is our
mistake: a short message, the traceback in a file, exit status 1.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from dapeng import __version__
from dapeng.core.console import coloured, emit, say

VERBS: dict[str, dict[str, str]] = {
    "begin": {
        "init": "look at the data, guess the types, print a spec",
        "check": "validate a spec, then look for what spoils models",
        "show": "the full spec with the origin of every value; the model as a graph",
        "recipes": "specs that ship with dapeng, on real data",
    },
    "train and judge": {
        "train": "train, evaluate, write the report",
        "evaluate": "metrics with confidence intervals, beside classical baselines",
        "explain": "what the model looked at",
        "runs": "the list of runs",
        "compare": "paired comparison of two runs",
    },
    "use": {
        "predict": "a table of predictions with probabilities",
        "chat": "let a text model write: go on with a text, or answer lines",
        "serve": "HTTP: Open Inference Protocol v2 and a page to try it",
        "compress": "make a model smaller or faster, and measure it",
        "export": "write a run in another format",
    },
    "ask": {
        "help": "what a column type, an encoder, a loss ... is: fields, example, paper",
        "doctor": "what is installed, what this machine can do",
    },
}

INTERRUPTED = 130
BROKEN_PIPE = 141


class Parser(argparse.ArgumentParser):
    """Argument errors in the same words as all others."""

    def error(self, message: str) -> NoReturn:
        near = self._nearest(message)
        hint = f"did you mean {near!r}?" if near else f"{self.prog} --help"
        say(coloured("error: ", "red") + message + f"\n  hint: {hint}")
        raise SystemExit(2)

    def _nearest(self, message: str) -> str | None:
        """The option that an unknown one was probably meant to be."""
        found = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        options = [s for a in self._actions for s in a.option_strings if s.startswith("--")]
        begun = [o for o in options if found and o.startswith(found[1])]
        close = difflib.get_close_matches(found[1], options, 1) if found else []
        return begun[0] if len(begun) == 1 else close[0] if close else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or bool(os.environ.get("DAPENG_DEBUG"))
    words = [w for w in words if w != "--debug"]
    try:
        return _run(words)
    except KeyboardInterrupt:
        say("\ninterrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has left; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:
        return _failed(error, debug, words)


def run() -> NoReturn:
    """The command `dapeng`: `main`, and out.

    Where torch and Arrow are loaded together, their pools of threads now and then abort a process that ends in the usual way
    (status 134 after everything was done and said), so it ends without the destructors of C++.
    """
    status = main()
    if "torch" in sys.modules or "pyarrow" in sys.modules:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    raise SystemExit(status)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        emit(overview())
        return 0
    if words[0] in ("-V", "--version"):
        emit(f"dapeng {__version__}")
        return 0
    verb = words[0]
    lines = {name: line for group in VERBS.values() for name, line in group.items()}
    if verb not in lines:
        return _unknown(verb, list(lines))
    module = import_module(f"dapeng.cli.{verb}")
    parser = Parser(
        prog=f"dapeng {verb}",
        description=(module.__doc__ or "").replace("\ndapeng ", "\n  dapeng "),  # examples stand out
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="--debug shows the traceback of an unexpected error.",
        allow_abbrev=False,
    )
    module.add(parser)
    return module.run(parser.parse_intermixed_args(words[1:]))


def overview() -> str:
    """The main help text."""
    lines = ["Large models for people who have data and a question.", "", "usage: dapeng VERB ...", ""]
    lines += ["  dapeng train reviews.csv --target sentiment", "  dapeng train reviews.yaml train.epochs=3"]
    for group, verbs in VERBS.items():
        lines += ["", f"{group}:"] + [f"  {name:<9} {line}" for name, line in verbs.items()]
    return "\n".join([*lines, "", "`dapeng VERB --help` says what a verb takes; `dapeng help NAME` what a thing is."])


def _unknown(verb: str, known: list[str]) -> int:
    import difflib

    near = difflib.get_close_matches(verb, known, 1)
    say(coloured("error: ", "red") + f"there is no verb {verb!r}")
    say(f"  hint: did you mean `dapeng {near[0]}`?" if near else "  hint: dapeng --help")
    return 2


def _failed(error: Exception, debug: bool, words: list[str]) -> int:
    from dapeng.core.errors import DapengError

    if isinstance(error, DapengError):
        if debug:
            _traceback_to(sys.stderr)
        say(coloured("error: ", "red") + str(error))
        return error.exit_status
    if debug:
        _traceback_to(sys.stderr)
        return 1
    said = (str(error).splitlines() or [""])[0][:300]
    say(coloured("error: ", "red") + f"unexpected {type(error).__name__}: {said}")
    say(f"  the traceback is in {_traceback_file(words)}")
    say("  hint: run it again with --debug to see it; it is a mistake in dapeng, please report it")
    return 1


def _traceback_to(stream) -> None:
    import traceback

    traceback.print_exc(file=stream)


def _traceback_file(words: list[str]) -> str:
    import tempfile

    handle, name = tempfile.mkstemp(prefix="dapeng-error-", suffix=".txt", text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
        stream.write(f"dapeng {__version__}, Python {sys.version.split()[0]}, {sys.platform}\n")
        stream.write(f"dapeng {' '.join(words)}\n\n")
        _traceback_to(stream)
    return name


if __name__ == "__main__":
    run()
