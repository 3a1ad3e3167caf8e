"""Encoders that read through another one, and begin as it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import EncoderOptions
from dapeng.data.batch import Cells


class WithinOptions(EncoderOptions):
    """Base of encoders around another one, `network`: where its public weights lie, and what they decide, is decided as for itself.

    What they build keeps the other one as its `network`.
    """

    type: str
    network: EncoderOptions

    def picture(self) -> dict[str, int]:
        return self.network.picture()

    def located(self, base: Path | None) -> Self:
        with _in_network():
            return self._around(self.network.located(base))

    def resolved(self) -> Self:
        with _in_network():
            return self._around(self.network.resolved())

    def start(self, encoder: Any) -> None:
        with _in_network():
            self.network.start(encoder.network)

    def _around(self, network: EncoderOptions) -> Self:
        return self if network is self.network else self.model_copy(update={"network": network})


def prime(network: Any, cells: Cells) -> None:
    """Give the one within what it takes from training rows before the first step, if it takes anything."""
    if hasattr(network, "prime"):
        network.prime(cells)


@contextmanager
def _in_network() -> Iterator[None]:
    """Say of what is wrong that it lies in `network`."""
    try:
        yield
    except SpecError as error:
        raise SpecError([Problem(f"network.{p.where}", p.what, p.hint) for p in error.problems]) from None
