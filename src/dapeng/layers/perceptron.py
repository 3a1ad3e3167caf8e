"""The multi-layer perceptron, and first weights for a whole network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dapeng.core.kinds import ActivationOptions, InitialisationOptions, NormOptions

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def perceptron(
    width: int,
    hidden: Sequence[int],
    activation: ActivationOptions,
    norm: NormOptions | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear, norm, activation, dropout for each hidden width; (B, width) -> (B, hidden[-1])."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers.append(nn.Linear(width, size))
        if norm is not None and norm.type != "none":
            layers.append(norm.rows(size))
        layers.append(activation.build())
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers)


def initialise(network: nn.Module, how: InitialisationOptions) -> int:
    """Fill every linear layer and convolution of a network anew; returns how many there were."""
    layers = [m for m in network.modules() if isinstance(m, LAYERS)]
    for layer in layers:
        how.apply(layer)
    return len(layers)
