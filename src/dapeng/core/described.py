"""What the docstrings below the fields of a class say, read from its source only when somebody asks: help, and the schema.

Pydantic would read them of every class as it is made, which takes longer than all else that a command does before it begins.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import lru_cache
from itertools import pairwise


def described(cls: type) -> dict[str, str]:
    """The words below each field, by name; those of the classes that it inherits from too. Empty where the source is gone."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        found |= _in_file(each.__module__).get(each.__qualname__, {})
    return found


@lru_cache(None)
def _in_file(module: str) -> dict[str, dict[str, str]]:
    """Words by class and field, of all classes of a module that stand at its top or in another class."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, dict[str, str]] = {}
    _look(tree.body, "", found)
    return found


def _look(body: list[ast.stmt], outside: str, found: dict[str, dict[str, str]]) -> None:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            name = outside + statement.name
            twice = name in found  # in two branches: which was made can't be told
            found[name] = {} if twice else _words(statement.body)
            _look(statement.body, f"{name}.", found)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            _look(statement.body, f"{outside}{statement.name}.<locals>.", found)
        else:
            for part in ("body", "orelse", "finalbody"):
                _look(getattr(statement, part, []), outside, found)
            for handler in getattr(statement, "handlers", []):
                _look(handler.body, outside, found)


def _words(body: list[ast.stmt]) -> dict[str, str]:
    words: dict[str, str] = {}
    for field, below in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(said, str):
            words[field.target.id] = inspect.cleandoc(said)
    return words
