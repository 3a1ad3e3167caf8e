"""A network whose norms have no scale stays one when its options are written out and read again."""

from __future__ import annotations

import torch
from torch import nn

from dapeng.encoders.airbench import Airbench, _norm


def test_options_written_in_full_build_the_same_norms() -> None:
    asked = Airbench.model_validate({"widths": [8, 16]})
    again = Airbench.model_validate(asked.model_dump(mode="json"))
    for options in (asked, again):
        norm = _norm(options, 8)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.momentum == 0.4
        assert [n for n, _ in norm.named_parameters()] == ["bias"]
        assert torch.equal(norm.weight, torch.ones(8))
