"""Every registered options class by the name of its class, for specs that are typed in Python.

from dapeng import Spec, options

Spec(inputs={"review": options.Text(encoder=options.Lstm(hidden_size=64))}, outputs={"sentiment": "category"})
"""

from __future__ import annotations

from dapeng.core import kinds as _kinds  # noqa: F401 - makes the registries
from dapeng.core.registry import Options, Registry


def _every() -> dict[str, type[Options]]:
    return {cls.__name__: cls for registry in Registry.all.values() for cls in registry.members().values()}


def __getattr__(name: str) -> type[Options]:
    if name.startswith("_"):
        raise AttributeError(name)
    every = _every()
    if name not in every:
        raise AttributeError(f"no registered options class is called {name!r}")
    return every[name]


def __dir__() -> list[str]:
    return sorted(_every())
