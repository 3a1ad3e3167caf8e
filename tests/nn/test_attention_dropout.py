"""Dropout of what tokens see of each other, apart from the other."""

from __future__ import annotations

import pytest
import torch

from dapeng.core.kinds import decoders
from dapeng.nn.causal import Causal, plain_view


@pytest.mark.parametrize("kind", ["llama", "gpt", "transformer"])
def test_attention_has_a_dropout_of_its_own_or_that_of_the_rest(kind: str) -> None:
    options = decoders.members()[kind]
    few = {"embed_dim": 8, "num_layers": 1, "num_heads": 2, "dropout": 0.4}
    assert options(**few).shape(None, 16).attention_dropout == 0.4
    apart = options(**few, attention_dropout=0.0).shape(None, 16)
    assert (apart.dropout, apart.attention_dropout) == (0.4, 0.0)


@pytest.mark.parametrize(("rate", "same"), [(0.0, True), (0.5, False)])
def test_in_training_it_falls_out_of_attention_alone(rate: float, same: bool) -> None:
    torch.manual_seed(0)
    options = decoders.members()["llama"](embed_dim=8, num_layers=1, num_heads=2, dropout=0.0, attention_dropout=rate)
    stack, x = Causal(options.shape(None, 16)).train(), torch.randn(2, 16, 8)
    first, again = (stack(x, plain_view(2, 16)) for _ in range(2))
    assert torch.equal(first, again) is same
