"""Recurrent layers over ragged sequences: what is padded never reaches what is real, in either direction.

Legend: B rows, T steps, D width, H hidden width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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
            ahead = states_of(layer, x)
            if len(self.backwards):
                other = self.backwards[number]
                back = reversed_by(states_of(other, reversed_by(x, mirror)), mirror)
                ahead = torch.cat([ahead, back], -1)
            x = ahead
        return x if mask is None else x * mask[..., None]


def states_of(layer: Any, x: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, H), from an empty state on. In a program that is exported it is a loop, so that it takes any T."""
    if torch.compiler.is_exporting():
        return scanned(layer, x)
    return layer(x, _start(layer, x))[0]


def scanned(layer: Any, x: Tensor) -> Tensor:
    """What a layer of torch's gives, (B, T, D) -> (B, T, H), as one step that is repeated: ONNX calls it Scan.

    torch.export lays torch's own layers out step by step, for as many steps as the example has. The weights are taken out
    of the layer before the step, which may look at tensors alone.
    """
    from torch._higher_order_ops.scan import scan

    weight, bias = layer.weight_hh_l0, layer.bias_hh_l0
    gates = F.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).transpose(0, 1)  # of the input, for all steps at once

    def lstm(before: tuple[Tensor, Tensor], given: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        state, cell = before
        put, keep, new, say = (given + F.linear(state, weight, bias)).chunk(4, -1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(put) * torch.tanh(new)
        state = torch.sigmoid(say) * torch.tanh(cell)
        return (state, cell), state.clone()

    def gru(state: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        forget, keep, new = given.chunk(3, -1)
        forget_too, keep_too, new_too = F.linear(state, weight, bias).chunk(3, -1)
        keep = torch.sigmoid(keep + keep_too)
        new = torch.tanh(new + torch.sigmoid(forget + forget_too) * new_too)
        state = (1 - keep) * new + keep * state
        return state, state.clone()

    empty = x.new_zeros(x.shape[0], layer.hidden_size)
    several = isinstance(layer, nn.LSTM)
    states = scan(lstm, (empty, empty.clone()), gates)[1] if several else scan(gru, empty, gates)[1]
    return states.transpose(0, 1)


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
