"""How a network says what the next sample of a sound may be, and how one is drawn.

Mu-law: ITU-T G.711, as in van den Oord et al.: WaveNet, 2016 (https://arxiv.org/abs/1609.03499). Mixtures of logistic
distributions cut into steps: Salimans et al.: PixelCNN++, 2017 (https://arxiv.org/abs/1701.05517).

Legend: B rows, T samples, V what the network gives for a sample, K parts of a mixture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256
MU = LEVELS - 1.0
FULL_SCALE = 32768.0
LEAST_SCALE = -9.0
"""Of the logarithm of a logistic's scale: a sixtieth of a step."""


def squeezed(samples: Tensor) -> Tensor:
    """From -1 to 1, loudness as ears have it: (T,) 16-bit values -> mu-law, from -1 to 1."""
    x = samples.float() / FULL_SCALE
    return x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)


def stretched(x: Tensor) -> Tensor:
    """The 16-bit values of mu-law ones from -1 to 1."""
    return x.sign() * torch.expm1(x.abs() * math.log1p(MU)) / MU * FULL_SCALE


class MuLaw(nn.Module):
    """256 levels of mu-law, of which one is drawn: samples are classes."""

    size = LEVELS

    def seen(self, samples: Tensor) -> Tensor:
        """(B, T) 16-bit values -> levels, int64, as the network reads and learns them."""
        return ((squeezed(samples) + 1) / 2 * MU).round().long().clamp(0, LEVELS - 1)

    @property
    def quiet(self) -> int:
        """The level of silence."""
        return int(self.seen(torch.zeros(1)))

    def entry(self, channels: int) -> nn.Module:
        """Levels (B, T) -> (B, T, C)."""
        return nn.Embedding(LEVELS, channels)

    def nats(self, logits: Tensor, seen: Tensor) -> Tensor:
        """(B, T) of levels under what the network gives (B, T, V)."""
        return F.cross_entropy(logits.flatten(0, 1).float(), seen.flatten(), reduction="none").view(seen.shape)

    def noise(self, draw: torch.Generator) -> Tensor:
        """What one draw takes, the same for every row: then rows don't depend on which are drawn beside them."""
        return torch.rand(LEVELS, generator=draw, dtype=torch.float64)

    def drawn(self, logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
        """(B,) levels of (B, V). A temperature of 0 takes the likeliest."""
        if temperature == 0:
            return logits.argmax(1)
        shares = (logits.double() / temperature).softmax(1).cumsum(1)
        return (shares < noise[0] * shares[:, -1:]).sum(1).clamp(max=LEVELS - 1)

    def sound(self, seen: Tensor) -> Tensor:
        """16-bit values (B, T), float, of levels."""
        return stretched(seen.float() / MU * 2 - 1)


class Mixture(nn.Module):
    """A mixture of logistic distributions on mu-law's scale, cut into its 256 steps; what is drawn lies between them."""

    def __init__(self, parts: int = 10):
        super().__init__()
        self.parts, self.size = parts, 3 * parts

    def seen(self, samples: Tensor) -> Tensor:
        """(B, T) 16-bit values -> mu-law from -1 to 1."""
        return squeezed(samples)

    @property
    def quiet(self) -> float:
        return 0.0

    def entry(self, channels: int) -> nn.Module:
        """Values (B, T) -> (B, T, C)."""
        return Values(channels)

    def nats(self, logits: Tensor, seen: Tensor) -> Tensor:
        """(B, T) of values under what the network gives (B, T, V): the probability of all within half a step of mu-law's levels."""
        weights, means, scales = logits.float().chunk(3, -1)
        scales = scales.clamp(min=LEAST_SCALE)
        off, narrow = seen[..., None] - means, torch.exp(-scales)
        above, below = narrow * (off + 1 / MU), narrow * (off - 1 / MU)
        first = F.logsigmoid(above)
        last = -F.softplus(below)
        within = (torch.sigmoid(above) - torch.sigmoid(below)).clamp(min=1e-12).log()
        edge = seen[..., None]
        each = torch.where(edge < -0.999, first, torch.where(edge > 0.999, last, within))
        return -torch.logsumexp(each + weights.log_softmax(-1), -1)

    def noise(self, draw: torch.Generator) -> Tensor:
        return torch.rand(2, generator=draw, dtype=torch.float64).clamp(1e-5, 1 - 1e-5)

    def drawn(self, logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
        """(B,) values of (B, V): which part, then where in it. A temperature of 0 takes the middle of the likeliest part."""
        weights, means, scales = logits.double().chunk(3, -1)
        if temperature == 0:
            return self._rounded(means.gather(1, weights.argmax(1, keepdim=True))[:, 0])
        shares = weights.softmax(1).cumsum(1)
        part = (shares < noise[0] * shares[:, -1:]).sum(1, keepdim=True).clamp(max=self.parts - 1)
        mean, scale = means.gather(1, part)[:, 0], scales.gather(1, part)[:, 0].clamp(min=LEAST_SCALE)
        where = torch.log(noise[1]) - torch.log1p(-noise[1])
        return self._rounded(mean + temperature * scale.exp() * where)

    def _rounded(self, x: Tensor) -> Tensor:
        """The 16-bit value next to it: what is heard again is what was given."""
        return squeezed(stretched(x.clamp(-1, 1).float()).round())

    def sound(self, seen: Tensor) -> Tensor:
        return stretched(seen)


class Values(nn.Module):
    """Values (B, T) -> (B, T, C), by one layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Linear(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[..., None])


SAYS = {"mulaw": MuLaw, "mixture": Mixture}
