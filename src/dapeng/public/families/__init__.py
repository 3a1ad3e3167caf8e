"""Text models as other libraries keep them: what their config.json says as a Shape, their tensors by our names, and back."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from dapeng.nn.causal import Shape
from dapeng.public.families import gpt2, llama


class Family(Protocol):
    """One layout. KINDS: the values of `model_type` that it reads."""

    KINDS: tuple[str, ...]

    def shape_of(self, config: dict[str, Any]) -> Shape:
        """The stack that a config.json describes. Raises ValueError with what isn't supported."""
        ...

    def ours(self, state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
        """Their tensors by the names of `Causal`, `table` (V, D), and `head` (V, D) where it isn't the table."""
        ...

    def theirs(self, state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
        """The other way round."""
        ...

    def config_of(self, shape: Shape, vocabulary: int, longest: int, tied: bool) -> dict[str, Any]:
        """A config.json of this family for a stack. Raises ValueError where the family has no such stack."""
        ...


FAMILIES: tuple[Any, ...] = (gpt2, llama)


def family_of(kind: str) -> Family | None:
    """The layout of a `model_type`; None where it is unknown."""
    return next((f for f in FAMILIES if kind in f.KINDS), None)
