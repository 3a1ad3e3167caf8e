"""Training; and the function `dapeng.train`, whose name this package takes as soon as one of its modules is imported."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """`dapeng.train(...)`, the same before and after this package was imported."""
        from dapeng.api import train

        return train(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
