"""A network that says the next sample of a sound from those before it: dilated causal convolutions with gates.

van den Oord et al.: WaveNet, 2016 (https://arxiv.org/abs/1609.03499). Generation that keeps what each layer has seen: Le Paine et al.:
Fast Wavenet Generation Algorithm, 2016 (https://arxiv.org/abs/1611.09482).

Every layer looks at two samples, `dilation` apart; two matrix products are faster than a convolution of that shape on a processor.

Legend: B rows, T samples, C channels, S skip channels, K width of the condition, V what is said of a sample, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.sample_values import Mixture, MuLaw

AT_ONCE = 64
"""Sounds that are made side by side, sample by sample."""


class GatedLayer(nn.Module):
    """(B, T, C), (B, T, K) -> the residual (B, T, C) and what goes to the end (B, T, S)."""

    def __init__(self, channels: int, skip: int, condition: int, dilation: int):
        super().__init__()
        self.dilation, self.channels = dilation, channels
        self.past = nn.Linear(channels, 2 * channels, bias=False)
        self.now = nn.Linear(channels, 2 * channels)
        self.told = nn.Linear(condition, 2 * channels, bias=False) if condition else None
        self.out = nn.Linear(channels, channels + skip)

    def forward(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        before = F.pad(x, (0, 0, self.dilation, 0))[:, : x.shape[1]]
        z = self.past(before) + self.now(x)
        if self.told is not None and condition is not None:
            z = z + self.told(condition)
        signal, gate = z.chunk(2, -1)
        return self.out(torch.tanh(signal) * torch.sigmoid(gate)).split(
            [self.channels, self.out.out_features - self.channels], -1
        )


class WaveNet(nn.Module):
    """What was heard so far (B, T), and a condition (B, T, K) -> what comes next (B, T, V), whose meaning `says` knows."""

    def __init__(self, says: MuLaw | Mixture, channels: int, skip: int, condition: int, dilations: Sequence[int]):
        super().__init__()
        self.says = says
        self.entry = says.entry(channels)
        self.layers: Any = nn.ModuleList(GatedLayer(channels, skip, condition, d) for d in dilations)
        self.end = nn.Linear(skip, skip)
        self.head = nn.Linear(skip, says.size)

    @property
    def reach(self) -> int:
        """Samples that what is said depends on."""
        return 1 + sum(layer.dilation for layer in self.layers)

    def forward(self, heard: Tensor, condition: Tensor | None) -> Tensor:
        """heard: (B, T) as `says.seen` gives them, one sample before those that are told."""
        x = self.entry(heard)
        total: Tensor | None = None
        for layer in self.layers:
            more, skip = layer(x, condition)
            x = x + more
            total = skip if total is None else total + skip
        assert total is not None
        return self.head(F.relu(self.end(F.relu(total))))

    def nats(self, samples: Tensor, condition: Tensor | None) -> Tensor:
        """(B, T) of 16-bit samples (B, T), each behind all before it; the first behind silence."""
        seen = self.says.seen(samples)
        quiet = torch.full_like(seen[:, :1], self.says.quiet)
        return self.says.nats(self(torch.cat([quiet, seen[:, :-1]], 1), condition), seen)

    @torch.no_grad()
    def generate(
        self, rows: int, length: int, condition: Tensor | None, seed: int, temperature: float = 1.0, cached: bool = True
    ) -> Tensor:
        """16-bit values (B, T), float. The same seed gives a row the same sound, whatever is made beside it."""
        draw = torch.Generator().manual_seed(seed)
        device = self.head.weight.device
        seen = torch.full((rows, length + 1), self.says.quiet, device=device)
        steps = Cached(self, rows, condition) if cached else None
        for at in range(length):
            said = self._anew(seen, at, condition) if steps is None else steps.step(seen[:, at], at)
            seen[:, at + 1] = self.says.drawn(said, self.says.noise(draw).to(device), temperature)
        return self.says.sound(seen[:, 1:])

    def _anew(self, seen: Tensor, at: int, condition: Tensor | None) -> Tensor:
        """What is said of one sample, worked out from all that it depends on."""
        first = max(0, at + 1 - self.reach)
        told = None if condition is None else condition[:, first : at + 1]
        return self(seen[:, first : at + 1], told)[:, -1]


class Cached:
    """Sample by sample: each layer keeps its last `dilation` inputs (d, B, C), so that a sample costs one step a layer.

    What the condition adds to a layer is worked out beforehand for a stretch of samples.
    """

    ahead = 512

    def __init__(self, net: WaveNet, rows: int, condition: Tensor | None):
        self.net, self.condition = net, condition
        weight = net.head.weight
        self.kept = [weight.new_zeros(layer.dilation, rows, layer.channels) for layer in net.layers]
        self.weights = [
            (
                layer.past.weight.T.contiguous(),
                layer.now.weight.T.contiguous(),
                layer.now.bias,
                layer.out.weight.T.contiguous(),
                layer.out.bias,
            )
            for layer in net.layers
        ]
        self.told: list[Tensor] | None = None

    def _tell(self, at: int) -> None:
        """What the condition adds, and the bias, (T, B, 2 C) of each layer, for the samples from here on."""
        if self.condition is None or at % self.ahead:
            return
        part = self.condition[:, at : at + self.ahead].transpose(0, 1)
        self.told = [layer.told(part) + layer.now.bias for layer in self.net.layers]

    def step(self, heard: Tensor, at: int) -> Tensor:
        """(B,) of one sample -> (B, V) of the next."""
        self._tell(at)
        x = self.net.entry(heard[:, None])[:, 0]
        total: Tensor | None = None
        for number, (kept, (past, now, bias, out, out_bias)) in enumerate(zip(self.kept, self.weights)):
            base = bias.expand(len(x), -1) if self.told is None else self.told[number][at % self.ahead]
            place = kept[at % len(kept)]
            z = torch.addmm(torch.addmm(base, place, past), x, now)
            place.copy_(x)
            signal, gate = z.chunk(2, 1)
            both = torch.addmm(out_bias, torch.tanh(signal) * torch.sigmoid(gate), out)
            more, skip = both[:, : x.shape[1]], both[:, x.shape[1] :]
            x = x + more
            total = skip if total is None else total + skip
        assert total is not None
        return self.net.head(F.relu(self.net.end(F.relu(total))))


def by_parts(net: WaveNet, told: Tensor | None, rows: int, length: int, seed: int, temperature: float) -> Tensor:
    """(B, T) 16-bit values, some rows after the other. told: (B, T, K)."""
    parts = []
    for start in range(0, rows, AT_ONCE):
        some = None if told is None else told[start : start + AT_ONCE].float()
        parts.append(net.generate(min(AT_ONCE, rows - start), length, some, seed, temperature))
    return torch.cat(parts)
