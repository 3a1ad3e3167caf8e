"""Recurrent layers over ragged sequences: what is padded never reaches what is real, in either direction.

Legend: B rows, T steps, D width, H hidden width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """A stack of recurrent layers, one- or two-way: (B, T, D), (B, T) -> (B, T, H or 2 H).

    The backward direction reads each row from its own end: as torch's packed sequences do, without their packing.
    """

    def __init__(self, kind: str, width: int, hidden: int, num_layers: int, bidirectional: bool, dropout: float):
        super().__init__()
        ways = 2 if bidirectional else 1
        sizes = [width, *[ways * hidden] * (num_layers - 1)]
        self.forwards = nn.ModuleList(KINDS[kind](size, hidden, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(
            KINDS[kind](size, hidden, batch_first=True) for size in (sizes if bidirectional else [])
        )
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.width = ways * hidden
        for layer in [*self.forwards, *self.backwards]:
            for name, parameter in layer.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.chunk(parameter.shape[0] // hidden):
                        nn.init.orthogonal_(gate)
                elif name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)
            if kind == "lstm":  # a cell remembers until it learns to forget (Jozefowicz et al., 2015)
                bias: Any = layer.bias_ih_l0
                nn.init.ones_(bias[hidden : 2 * hidden])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mirror = None if mask is None else reversal(mask)
        for number, layer in enumerate(self.forwards):
            x = self.drop(x) if number else x
            ahead = layer(x, _start(layer, x))[0]
            if len(self.backwards):
                other = self.backwards[number]
                back = reversed_by(other(reversed_by(x, mirror), _start(other, x))[0], mirror)
                ahead = torch.cat([ahead, back], -1)
            x = ahead
        return x if mask is None else x * mask[..., None]


def _start(layer: Any, x: Tensor) -> Any:
    """The state before the first step; made from the input, so that it is one for each sample under `vmap`."""
    zeros = x.new_zeros(1, x.shape[0], layer.hidden_size)
    return (zeros, zeros) if isinstance(layer, nn.LSTM) else zeros


def reversal(mask: Tensor) -> Tensor:
    """(B, T) positions that turn the real steps of each row round and leave padding where it is."""
    length = mask.sum(1, keepdim=True)
    at = torch.arange(mask.shape[1], device=mask.device)[None]
    return torch.where(at < length, length - 1 - at, at)


def reversed_by(x: Tensor, mirror: Tensor | None) -> Tensor:
    """(B, T, D) with the steps of each row turned round."""
    if mirror is None:
        return x.flip(1)
    return x.gather(1, mirror[..., None].expand(-1, -1, x.shape[2]))


def last_step(x: Tensor, mask: Tensor | None, hidden: int) -> Tensor:
    """(B, H or 2 H): where each direction has read everything: the last real step, and the first one of the way back."""
    if mask is None:
        ahead = x[:, -1, :hidden]
    else:
        at = (mask.sum(1) - 1).clamp(min=0)
        ahead = x.gather(1, at[:, None, None].expand(-1, 1, x.shape[2]))[:, 0, :hidden]
    return ahead if x.shape[2] == hidden else torch.cat([ahead, x[:, 0, hidden:]], -1)
