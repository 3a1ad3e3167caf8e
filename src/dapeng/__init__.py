"""Large models for people who have data and a question.

    import dapeng

    run = dapeng.train("reviews.csv", outputs="sentiment")
    print(run.evaluate())
    print(run.predict([{"review": "a lovely little film"}]))

`import dapeng` alone loads nothing heavy: the names below are found when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dapeng.api import Run as Run
    from dapeng.api import check as check
    from dapeng.api import init as init
    from dapeng.api import load as load
    from dapeng.api import train as train
    from dapeng.core.errors import DapengError as DapengError
    from dapeng.core.loader import load_spec as load_spec
    from dapeng.core.spec import Spec as Spec

__version__ = "0.1.0"

_LAZY = {
    "train": "dapeng.api",
    "load": "dapeng.api",
    "init": "dapeng.api",
    "check": "dapeng.api",
    "Run": "dapeng.api",
    "Spec": "dapeng.core.spec",
    "load_spec": "dapeng.core.loader",
    "DapengError": "dapeng.core.errors",
}

__all__ = ["__version__", "check", "DapengError", "init", "load", "load_spec", "Run", "Spec", "train"]


def __getattr__(name: str) -> Any:
    if name == "options":  # dapeng.options.resnet: the options class of a member, for typed specs
        return import_module("dapeng.core.options")
    if name not in _LAZY:
        raise AttributeError(f"module 'dapeng' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "options"])
