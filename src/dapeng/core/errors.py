"""What goes wrong for a user, as data: where, what was expected, what was found, what to type next.

Every class here ends a command with exit status 2 and one readable text; none ever shows a traceback. All survive
pickling, since they cross process borders.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dapeng.core.secrets import redacted


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    where: file and line ("reviews.yaml:4"), a row ("reviews.csv:17"), or what was typed on the command line.
    what: what was found, against what was expected.
    hint: what to type next; may be empty.
    Passwords in addresses are masked.
    """

    where: str
    what: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("where", "what", "hint"):
            object.__setattr__(self, name, redacted(getattr(self, name)))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return text + (f"\n  hint: {self.hint}" if self.hint else "")


class DapengError(ValueError):
    """Base of every error that is the user's to mend. `problems` holds them all, in file order."""

    exit_status = 2

    def __init__(self, problems: Problem | list[Problem] | str, title: str = "", hint: str = ""):
        if isinstance(problems, str):
            problems = Problem("", problems, hint)
        self.problems: list[Problem] = [problems] if isinstance(problems, Problem) else list(problems)
        self.title = redacted(title)
        super().__init__(self.problems, title)

    def __reduce__(self):
        return type(self), (self.problems, self.title)

    def __str__(self) -> str:
        body = "\n".join(map(str, self.problems))
        return f"{self.title}\n\n{body}" if self.title else body


class SpecError(DapengError):
    """The spec, an override or an option is wrong. Raised with all problems at once."""


@contextmanager
def under(path: str) -> Iterator[None]:
    """Say of every SpecError that comes from inside that it lies below this place of the spec."""
    try:
        yield
    except SpecError as error:
        raise SpecError([Problem(f"{path}.{p.where}", p.what, p.hint) for p in error.problems]) from None


class DataError(DapengError):
    """The data can't be read or can't be used as the spec says."""


class LimitError(DataError):
    """A configured cap was reached (size of a field, of a picture, nesting, ...), before memory was taken."""


class RunError(DapengError):
    """A run folder is damaged, unsafe, from elsewhere, or not what was asked for."""


class MissingExtra(DapengError):
    """A heavy optional part isn't installed; the hint names the extra."""


def need_extra(extra: str, package: str) -> MissingExtra:
    """The error to raise where `package` of the extra `extra` is missing."""
    return MissingExtra(f"the package {package!r} is not installed", hint=f"pip install 'dapeng[{extra}]'")


class TrainingError(DapengError):
    """Training stopped: loss not finite, out of memory, disk full. What was saved before stays usable."""
