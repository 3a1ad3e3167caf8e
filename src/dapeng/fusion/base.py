"""What makes one of several inputs."""

from __future__ import annotations

from torch import nn

from dapeng.nn.features import Features, Widths


class Fusion(nn.Module):
    """Features by input -> Features. Owns the trunk, and one learned vector for each input that can be absent.

    widths: the static side of what it gives.
    """

    widths: Widths

    def forward(self, parts: dict[str, Features]) -> Features:
        raise NotImplementedError
