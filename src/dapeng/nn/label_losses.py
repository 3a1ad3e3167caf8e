"""What answers lack for each place of a picture or a volume: cross-entropy, and Dice beside it, row by row.

Milletari et al.: V-Net, 2016 (https://arxiv.org/abs/1606.04797).

Legend: B rows, A labels, ... places: Y X of a picture, Z Y X of a volume.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1.0
"""Places that are added above and below in Dice, so that labels which a row lacks don't decide."""


def label_loss(logits: Tensor, wanted: Tensor, void: int, entropy: float, dice: float) -> Tensor:
    """(B,) of logits (B, A, ...) and true codes (B, ...): the weighed sum of the mean cross-entropy of a row's places and of what it
    lacks of a Dice of 1, the mean over labels; places that are `void` count for nothing.
    """
    counted = wanted != void
    codes = torch.where(counted, wanted, torch.zeros_like(wanted))
    each = F.cross_entropy(logits, codes, reduction="none")
    lost = (each * counted).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)
    said = (logits.softmax(1) * counted[:, None]).flatten(2)
    true = (F.one_hot(codes, logits.shape[1]).movedim(-1, 1) * counted[:, None]).flatten(2)
    shared, sums = (said * true).sum(2), said.sum(2) + true.sum(2)
    apart = 1 - ((2 * shared + SMOOTH) / (sums + SMOOTH)).mean(1)
    return entropy * lost + dice * apart
