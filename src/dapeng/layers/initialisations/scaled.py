"""First weights whose spread follows from a layer's width."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import InitialisationOptions, initialisations


def fan_in(layer: Any) -> int:
    """Values that one output is made of."""
    return layer.weight[0].numel()


@initialisations
class Normal(InitialisationOptions):
    """Weights N(0, std), biases 0.

    Example: `train: {initialisation: {type: normal, std: 0.02}}`
    """

    type: Literal["normal"] = "normal"
    std: float = Field(0.02, gt=0, le=10)

    def apply(self, layer: Any) -> None:
        nn.init.normal_(layer.weight, std=self.std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@initialisations
class Xavier(InitialisationOptions):
    """Variance 2 / (inputs + outputs), biases 0: signals and gradients keep their size through tanh.

    Paper: Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    Example: `train: {initialisation: xavier}`
    """

    type: Literal["xavier"] = "xavier"
    distribution: Literal["uniform", "normal"] = "uniform"

    def apply(self, layer: Any) -> None:
        (nn.init.xavier_uniform_ if self.distribution == "uniform" else nn.init.xavier_normal_)(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@initialisations
class He(InitialisationOptions):
    """Variance 2 / inputs, biases 0: signals keep their size through ReLU.

    Paper: He et al., 2015, https://arxiv.org/abs/1502.01852
    Example: `train: {initialisation: {type: he, mode: fan_out}}`
    """

    type: Literal["he"] = "he"
    distribution: Literal["normal", "uniform"] = "normal"
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Keep the size of signals forward (fan_in), or of gradients backward (fan_out)."""

    def apply(self, layer: Any) -> None:
        fill = nn.init.kaiming_normal_ if self.distribution == "normal" else nn.init.kaiming_uniform_
        fill(layer.weight, mode=self.mode, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@initialisations
class LeCun(InitialisationOptions):
    """Weights N(0, 1 / sqrt(d)) for d inputs; biases N(0, bias).

    With bias 1 this is the rule of textbooks (Nielsen: Neural Networks and Deep Learning, 2015, chapter 3), with 0 that of the paper.

    Paper: LeCun et al.: Efficient BackProp, 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf
    Example: `train: {initialisation: {type: lecun, bias: 1.0}}`
    """

    type: Literal["lecun"] = "lecun"
    bias: float = Field(0.0, ge=0, le=10)
    """Standard deviation of the biases."""

    def apply(self, layer: Any) -> None:
        nn.init.normal_(layer.weight, std=fan_in(layer) ** -0.5)
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=self.bias)


@initialisations
class Orthogonal(InitialisationOptions):
    """Orthogonal matrices times `gain`, biases 0: deep and recurrent stacks keep lengths exactly.

    Paper: Saxe, McClelland and Ganguli, 2013, https://arxiv.org/abs/1312.6120
    Example: `train: {initialisation: {type: orthogonal, gain: 1.4}}`
    """

    type: Literal["orthogonal"] = "orthogonal"
    gain: float = Field(1.0, gt=0, le=10)

    def apply(self, layer: Any) -> None:
        nn.init.orthogonal_(layer.weight, self.gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
