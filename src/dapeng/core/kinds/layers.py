"""What networks are put together from, below encoders and decoders. What each kind must offer; no torch, no numpy."""

from __future__ import annotations

from typing import Any, ClassVar

from dapeng.core.registry import Options


class ActivationOptions(Options):
    """A function of every element, between two layers."""

    type: str

    def build(self) -> Any:
        """The `torch.nn.Module`."""
        raise NotImplementedError


class NormOptions(Options):
    """How values between two layers are brought to one scale; `fits` says of what: maps, rows, tokens."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ("maps", "rows", "tokens")

    def maps(self, channels: int) -> Any:
        """The `torch.nn.Module` for (B, C, Y, X)."""
        raise NotImplementedError

    def rows(self, width: int) -> Any:
        """The `torch.nn.Module` for (B, D), and where it fits tokens (B, T, D)."""
        raise NotImplementedError


class LayerOptions(Options):
    """One layer of a convolutional network that is given as a list."""

    type: str

    def build(self, shape: tuple[int, int, int]) -> tuple[Any, tuple[int, int, int]]:
        """The `torch.nn.Module` for maps (B, C, Y, X) of this shape, and the shape of what it gives."""
        raise NotImplementedError


class DenoiserOptions(Options):
    """A network that says of a noisy picture what is noise in it, at a known share of noise and under a condition."""

    type: str
    tiny: ClassVar[dict[str, Any]] = {}
    """Options under which it is small enough to be tried in a second."""

    def build(self, shape: tuple[int, int, int], condition: int | None) -> Any:
        """The `torch.nn.Module`: (pictures (B, C, Y, X) of this shape, times (B,), conditions (B, D) or None) -> (B, C, Y, X).

        condition: D; None where there are none.
        """
        raise NotImplementedError


class VocoderOptions(Options):
    """What makes samples of the mel bands that a decoder says."""

    type: str
    tiny: ClassVar[dict[str, Any]] = {}
    """Options under which it is small enough to be tried in a second."""
    phase: ClassVar[dict[str, Any]] = {}
    """The phase of training that teaches it, as a spec would say it, where the spec names none; empty: a supervised one."""

    def advice(self, rows: int) -> dict[str, Any]:
        """What trains it well on so many rows, where that is not what its decoder advises: epochs, batch_size, learning_rate."""
        return {}

    def build(self, bands: Any) -> Any:
        """The `dapeng.nn.vocoder.Vocoder` for bands that are made so (`dapeng.nn.vocoder.Bands`)."""
        raise NotImplementedError


class InitialisationOptions(Options):
    """The first weights of linear layers and convolutions."""

    type: str

    def apply(self, layer: Any) -> None:
        """Fill the weight and the bias (None where there is none) of a linear layer or a convolution."""
        raise NotImplementedError
