"""Embedding tables with one owner, lent to the parts that use them; and modules by any name."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def module_key(name: str) -> str:
    """A column's name as a name for a submodule: dots are not allowed there, nor names of nn.Module's own."""
    key = name.replace("%", "%25").replace(".", "%2E")
    return "%" + key if not key or hasattr(nn.ModuleDict, key) or key in ("training",) else key


def column_name(key: str) -> str:
    """The inverse of `module_key`."""
    key = key[1:] if key.startswith("%") and not key.startswith(("%25", "%2E")) else key
    return key.replace("%2E", ".").replace("%25", "%")


class Modules(nn.Module, Generic[M]):
    """A mapping of modules under any names, in order."""

    def __init__(self, modules: dict[str, M]):
        super().__init__()
        self.names = list(modules)
        for name, module in modules.items():
            self.add_module(module_key(name), module)

    def __getitem__(self, name: str) -> M:
        return self._modules[module_key(name)]  # type: ignore[return-value]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __iter__(self):
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def items(self) -> list[tuple[str, M]]:
        return [(n, self[n]) for n in self.names]

    def values(self) -> list[M]:
        return [self[n] for n in self.names]


class Lent:
    """Holds a module without being its parent: no second name in weights files, no second gradient in a wrapper."""

    def __init__(self, module: nn.Module):
        self.module = module


class Tables(nn.Module):
    """Embedding tables by domain; two columns of one domain share vocabulary and table. Owned by the Model."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, tuple[int, int]] = {}

    def get(self, domain: str, size: int, dim: int) -> nn.Embedding:
        """The domain's table (size, dim), made at first asking.

        Raises: ValueError if the domain's table has another shape.
        """
        key = module_key(domain)
        if domain not in self.sizes:
            table = nn.Embedding(size, dim)
            nn.init.normal_(table.weight, std=dim**-0.5)
            self.add_module(key, table)
            self.sizes[domain] = (size, dim)
        if self.sizes[domain] != (size, dim):
            raise ValueError(f"the table of {domain!r} is {self.sizes[domain]}, asked for {(size, dim)}")
        return self._modules[key]  # type: ignore[return-value]


class TiedLinear(nn.Module):
    """Logits (..., V) by the transposed table: input and output embedding are one."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.table = Lent(table)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.table.module.weight, self.bias)  # type: ignore[arg-type]
