"""Activations that have no settings."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, activations


@activations
class ReLU(ActivationOptions):
    """max(0, x).

    Paper: Nair and Hinton, 2010, https://www.cs.toronto.edu/~fritz/absps/reluICML.pdf

    Example: `fusion: {type: concat, activation: relu}`
    """

    type: Literal["relu"] = "relu"

    def build(self) -> nn.Module:
        return nn.ReLU()


@activations
class Sigmoid(ActivationOptions):
    """1 / (1 + exp(-x)): between 0 and 1.

    Example: `fusion: {type: concat, activation: sigmoid}`
    """

    type: Literal["sigmoid"] = "sigmoid"

    def build(self) -> nn.Module:
        return nn.Sigmoid()


@activations
class Tanh(ActivationOptions):
    """The hyperbolic tangent: between -1 and 1.

    Example: `fusion: {type: concat, activation: tanh}`
    """

    type: Literal["tanh"] = "tanh"

    def build(self) -> nn.Module:
        return nn.Tanh()


@activations
class GELU(ActivationOptions):
    """x times the normal distribution function of x.

    Paper: Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415

    Example: `fusion: {type: concat, activation: gelu}`
    """

    type: Literal["gelu"] = "gelu"

    def build(self) -> nn.Module:
        return nn.GELU()


@activations
class SiLU(ActivationOptions):
    """x sigmoid(x), also known as swish.

    Paper: Elfwing et al., 2017, https://arxiv.org/abs/1702.03118

    Example: `fusion: {type: concat, activation: silu}`
    """

    type: Literal["silu"] = "silu"

    def build(self) -> nn.Module:
        return nn.SiLU()


@activations
class Mish(ActivationOptions):
    """x tanh(softplus(x)).

    Paper: Misra, 2019, https://arxiv.org/abs/1908.08681

    Example: `fusion: {type: concat, activation: mish}`
    """

    type: Literal["mish"] = "mish"

    def build(self) -> nn.Module:
        return nn.Mish()


@activations
class ReLU6(ActivationOptions):
    """min(max(0, x), 6): stays exact in few bits.

    Paper: Howard et al., 2017, https://arxiv.org/abs/1704.04861

    Example: `fusion: {type: concat, activation: relu6}`
    """

    type: Literal["relu6"] = "relu6"

    def build(self) -> nn.Module:
        return nn.ReLU6()


class Squared(nn.Module):
    """max(0, x) squared, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu().square()


@activations
class ReLUSquared(ActivationOptions):
    """max(0, x) squared.

    Paper: So et al., 2021, https://arxiv.org/abs/2109.08668

    Example: `fusion: {type: concat, activation: relu_squared}`
    """

    type: Literal["relu_squared"] = "relu_squared"

    def build(self) -> nn.Module:
        return Squared()


@activations
class Softplus(ActivationOptions):
    """log(1 + exp(x)): a smooth ReLU.

    Example: `fusion: {type: concat, activation: softplus}`
    """

    type: Literal["softplus"] = "softplus"

    def build(self) -> nn.Module:
        return nn.Softplus()


@activations
class HardSwish(ActivationOptions):
    """x ReLU6(x + 3) / 6: a swish without exponentials.

    Paper: Howard et al., 2019, https://arxiv.org/abs/1905.02244

    Example: `fusion: {type: concat, activation: hard_swish}`
    """

    type: Literal["hard_swish"] = "hard_swish"

    def build(self) -> nn.Module:
        return nn.Hardswish()


@activations
class SELU(ActivationOptions):
    """A scaled exponential unit that keeps mean 0 and variance 1.

    Paper: Klambauer et al., 2017, https://arxiv.org/abs/1706.02515

    Example: `fusion: {type: concat, activation: selu}`
    """

    type: Literal["selu"] = "selu"

    def build(self) -> nn.Module:
        return nn.SELU()


@activations
class Identity(ActivationOptions):
    """x as it is.

    Example: `fusion: {type: concat, activation: identity}`
    """

    type: Literal["identity"] = "identity"

    def build(self) -> nn.Module:
        return nn.Identity()
