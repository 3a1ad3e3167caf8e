"""Cross-entropy of the tokens of a text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from dapeng.core.kinds import LossOptions, losses


@losses
class TokenCrossEntropy(LossOptions):
    """Cross-entropy of each token given those before it, optionally with smoothed targets.

    Example: `outputs: {english: {type: text, loss: {type: token_cross_entropy, label_smoothing: 0.1}}}`
    """

    type: Literal["token_cross_entropy"] = "token_cross_entropy"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    shared: ClassVar[bool] = False
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all tokens; in training alone."""

    def build(self, column: Any) -> float:
        return self.label_smoothing
