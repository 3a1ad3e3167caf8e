"""Encoders that read through another one, and begin as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from dapeng.core.errors import under
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
        with under("network"):
            return self._around(self.network.located(base))

    def resolved(self) -> Self:
        with under("network"):
            return self._around(self.network.resolved())

    def start(self, encoder: Any) -> None:
        with under("network"):
            self.network.start(encoder.network)

    def _around(self, network: EncoderOptions) -> Self:
        return self if network is self.network else self.model_copy(update={"network": network})


def prime(network: Any, cells: Cells) -> None:
    """Give the one within what it takes from training rows before the first step, if it takes anything."""
    if hasattr(network, "prime"):
        network.prime(cells)
