"""Texts by a recurrent network, with attention over what the inputs say or without: the translators before Transformers.

Sutskever et al., 2014 (https://arxiv.org/abs/1409.3215); Bahdanau et al., 2015 (https://arxiv.org/abs/1409.0473); Luong et al.,
2015 (https://arxiv.org/abs/1508.04025).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import decoders
from dapeng.decoders.writing import WritingOptions
from dapeng.nn.recurrent_writer import RecurrentShape, RecurrentWriter


class RecurrentWriting(WritingOptions):
    """What both have in common. The first state is made of the inputs' first and last token and their mean, by a layer and tanh."""

    type: Any
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "hidden": 16, "dropout": 0.0}
    hidden: int = Field(256, ge=1, le=65_536)
    """Width of the state."""
    num_layers: int = Field(1, ge=1, le=1000)
    """Recurrent layers, one on the other."""
    attention: Literal["additive", "multiplicative", "none"] = "additive"
    """How a state looks at the inputs' tokens, behind the layers: by a small network (Bahdanau), by a product (Luong), or not
    at all, so that the first state alone says what they hold (Sutskever). Without inputs there is nothing to look at."""
    tie: bool = True
    """The table of tokens is the head too."""

    def writer(self, cross: int | None, longest: int, table: Callable[[int], nn.Embedding]) -> nn.Module:
        shape = RecurrentShape(
            self.type, self.embed_dim, self.hidden, self.num_layers, self.attention, self.dropout, cross
        )
        return RecurrentWriter(shape, table(self.embed_dim), self.tie)


@decoders
class GRUWriting(RecurrentWriting):
    """Writes token by token with gated recurrent units, and looks at the inputs' tokens by attention.

    Paper: Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473
    Example: `outputs: {en: {type: text, decoder: {type: gru, hidden: 512, attention: multiplicative}}}`
    """

    type: Literal["gru"] = "gru"


@decoders
class LSTMWriting(RecurrentWriting):
    """Writes token by token with an LSTM; what the inputs say is in its first state alone, unless it is told to attend.

    Paper: Sutskever et al., 2014, https://arxiv.org/abs/1409.3215
    Example: `outputs: {en: {type: text, decoder: {type: lstm, num_layers: 2, attention: additive}}}`
    """

    type: Literal["lstm"] = "lstm"
    attention: Literal["additive", "multiplicative", "none"] = "none"
    """As for gru; none, as in 2014, where it is left out."""
