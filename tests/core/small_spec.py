"""A small world of columns, encoders and losses, so that the machinery is tested whatever the package holds today."""

import sys
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, FusionOptions, LossOptions, SplitOptions
from dapeng.core.registry import DEFAULT, AutoIsNone, Options, Registry, Shorthand
from dapeng.core.spec import Auto, Duration, Role, Spec


def registry(name: str, what: str, tag: str = "type") -> Registry:
    """A registry whose package has no files; it is kept out of `Registry.all`, which the user sees."""
    package = ModuleType(f"small_{name}")
    package.__path__ = []
    sys.modules.setdefault(f"small_{name}", package)
    made = Registry(f"small_{name}", f"small {what}", tag)
    made.what = what
    del Registry.all[f"small {what}"]
    return made


columns, encoders, losses = (
    registry("columns", "column type"),
    registry("encoders", "encoder"),
    registry("losses", "loss"),
)
decoders, fusions, splits = (
    registry("decoders", "decoder"),
    registry("fusion", "fusion"),
    registry("splits", "split", "by"),
)


@encoders
class Lstm(EncoderOptions):
    type: Literal["lstm"] = "lstm"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    hidden_size: int = Field(64, ge=1, le=65536)
    """Width of the state."""


@encoders
class Transformer(EncoderOptions):
    type: Literal["transformer"] = "transformer"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    num_heads: int = Field(4, ge=1, le=1024)
    num_layers: int = Field(2, ge=1, le=1000)
    dropout: float = Field(0.1, ge=0, lt=1)


@encoders
class Bag(EncoderOptions):
    type: Literal["bag"] = "bag"
    fits: ClassVar[tuple[str, ...]] = ("text", "number")


@losses
class CrossEntropy(LossOptions):
    type: Literal["cross_entropy"] = "cross_entropy"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    label_smoothing: float = Field(0.0, ge=0, lt=1)


@losses
class Focal(LossOptions):
    type: Literal["focal"] = "focal"
    fits: ClassVar[tuple[str, ...]] = ("category",)


@losses
class Mse(LossOptions):
    type: Literal["mse"] = "mse"
    fits: ClassVar[tuple[str, ...]] = ("number",)


@decoders
class ClassDecoder(DecoderOptions):
    type: Literal["class"] = "class"
    fits: ClassVar[tuple[str, ...]] = ("category",)


@decoders
class TagDecoder(DecoderOptions):
    type: Literal["each_token"] = "each_token"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})


@columns
class Text(ColumnOptions):
    type: Literal["text"] = "text"
    encoder: Annotated[EncoderOptions, encoders.choice("text", default="transformer")] = DEFAULT
    like: str | None = None
    max_length: Annotated[int, Field(ge=1)] | Auto = "auto"


@columns
class Number(ColumnOptions):
    type: Literal["number"] = "number"
    encoder: Annotated[EncoderOptions | None, encoders.choice("number", auto=True)] = None
    loss: Annotated[LossOptions, losses.choice("number", default="mse")] = DEFAULT
    """The one loss that fits: a choice of one member, whose errors pydantic words in another way."""


@columns
class Category(ColumnOptions):
    type: Literal["category"] = "category"
    encoder: Annotated[EncoderOptions | None, encoders.choice("text", auto=True)] = None
    decoder: Annotated[DecoderOptions, decoders.choice("category", default="class")] = DEFAULT
    loss: Annotated[LossOptions, losses.choice("category", default="cross_entropy")] = DEFAULT
    weight: float = Field(1.0, gt=0)


@fusions
class Concat(FusionOptions):
    type: Literal["concat"] = "concat"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})


@splits
class ByTime(SplitOptions):
    by: Literal["time"] = "time"
    column: str


@splits
class Random(SplitOptions):
    by: Literal["random"] = "random"
    test: float = Field(0.2, gt=0, lt=1)


class Data(Options):
    path: str | list[str] | None = None
    train: str | list[str] | None = None
    split: Annotated[SplitOptions | None, splits.choice(auto=True)] = None
    encoding: Annotated[str | None, AutoIsNone()] = None


class Phase(Options):
    epochs: int = Field(ge=1)


class Train(Options):
    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | Auto = "auto"
    steps: int | None = Field(None, ge=1)
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | Auto = "auto"
    learning_rate: Annotated[float, Field(gt=0, le=1000)] | Auto = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    time_limit: Duration | None = None
    phases: list[Phase] | None = Field(None, min_length=1)


class Small(Spec):
    name: str | None = Field(None, min_length=1, max_length=100)
    data: Annotated[Data, Shorthand("path", lists=True)] = DEFAULT
    inputs: dict[str, Annotated[ColumnOptions, columns.choice()]] = DEFAULT
    outputs: dict[str, Annotated[ColumnOptions, columns.choice()]] = Field(min_length=1)
    columns: dict[str, Role] = DEFAULT
    fusion: Annotated[FusionOptions, fusions.choice(default="concat")] = DEFAULT
    learners: dict[str, Any] = DEFAULT
    train: Train = DEFAULT


assert kinds.columns is not columns
