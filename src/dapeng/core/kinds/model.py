"""What a model is put together from: columns, encoders, fusions, decoders and losses. What each kind must offer; no torch, no numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from dapeng.core.errors import Problem
from dapeng.core.registry import Options


class ColumnOptions(Options):
    """What a spec says about one column. See `dapeng.columns.base` for what a fitted column does."""

    type: str
    input_only: ClassVar[tuple[str, ...]] = ("encoder",)
    output_only: ClassVar[tuple[str, ...]] = ("decoder", "loss", "weight")
    by_side: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {}
    """Values of a key that an input, or an output, can have: "inputs" or "outputs" -> key -> values."""
    read_only: ClassVar[bool] = False
    """True if nothing produces such a column: it can't be an output."""
    reads_files: ClassVar[bool] = False
    """True if cells may name files: then `files` of the fitted column says which."""
    tabular: ClassVar[bool] = False
    """True if it is a column of a table that models read cheaply, unlike pictures and texts."""
    worded: ClassVar[bool] = False
    """True if a cell is a text, which can be nearly the same as another."""
    labelled: ClassVar[bool] = False
    """True if a cell is one of some labels, whose shares a split keeps equal in every part."""
    of_labels: ClassVar[bool] = False
    """True if cells hold labels: as an output it is looked at before anything is trained (`Column.hopeless`)."""
    alike: ClassVar[tuple[str, ...]] = ()
    """Keys in which a column that is `like` another follows it, as far as they are not said: what shared vocabularies depend on."""
    holds: ClassVar[bool] = False
    """True if other columns can lie in a cell of it, as boxes do in a picture (`dapeng.core.followed`)."""
    lies_in_picture: ClassVar[bool] = False
    """True if a cell says something about places in a picture: then `of` names it, and its size is known where cells are encoded."""
    dimensions: ClassVar[int] = 2
    """Of pictures, and of what lies in them: 3 of volumes. What lies in something has as many as that has."""
    drawn: ClassVar[bool] = False
    """True if as an output it is drawn, anew for each row: rows that ask for the same are no leak."""
    by_pixel: ClassVar[bool] = False
    """True if its answer is one for each pixel of a picture, so that answers for parts of it make up the whole."""
    task: ClassVar[str] = ""
    """Name of the task by which it is judged and learnt as an output; its type where empty."""

    def encoder_for(self, needs: frozenset[str]) -> tuple[str, str]:
        """The encoder to be read by where none is named and decoders need this of features, and what it does.

        Known before any data is read; empty: what is read decides (`dapeng.columns.base.Column.default_encoder`).
        """
        return "", ""

    def settled(self, base: Path | None) -> ColumnOptions:
        """The same options with everything decided that a file decides, whose path starts from `base`. Raises SpecError."""
        return self

    def summary(self, target: bool) -> Any:
        """A fresh `dapeng.columns.base.Summary` for this column; `target` where it is an output."""
        raise NotImplementedError

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> Any:
        """The `dapeng.columns.base.Column` out of these options and a summary's result."""
        raise NotImplementedError


class EncoderOptions(Options):
    """A network that reads a column, or a block of like columns, of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[frozenset[str]] = frozenset({"pooled"})
    """What its Features may hold: pooled, tokens, maps. Checked against the decoders' needs before data is read."""
    tiny: ClassVar[dict[str, Any]] = {}
    """Options under which it is small enough to be tried in a second, for networks whose defaults are not."""
    finds_hidden: ClassVar[bool] = False
    """True if what it gives for a token depends on those around it, so that a hidden one can be found again."""

    def build(self, columns: list[Any], tables: Any) -> Any:
        """The `dapeng.encoders.base.Encoder` for these fitted columns (one, or a block of like ones)."""
        raise NotImplementedError

    def advice(self, rows: int) -> dict[str, Any]:
        """What trains it well on so many rows: epochs, batch_size, learning_rate; each optional."""
        return {}

    def picture(self) -> dict[str, int]:
        """Size and channels that it wants of pictures where the spec leaves them to the data; {} where any will do."""
        return {}

    def sound(self) -> dict[str, int]:
        """The rate that it wants of sounds where the spec leaves it to the data; {} where any will do."""
        return {}

    def vocabulary(self) -> dict[str, Any] | None:
        """What a text column's tokeniser is made of, where it brings one; None: fitted on the training rows."""
        return None

    @property
    def stays(self) -> bool:
        """Whether nothing of the network is trained, so that what it says of a cell can be worked out once."""
        return False

    def located(self, base: Path | None) -> EncoderOptions:
        """The same options with paths that start from this folder."""
        return self

    def resolved(self) -> EncoderOptions:
        """The same options with everything decided that a file decides. Raises SpecError."""
        return self

    def start(self, encoder: Any) -> None:
        """Fill a fresh `dapeng.encoders.base.Encoder` with what training starts from."""

    def masked_head(self) -> dict[str, Any] | None:
        """Weights by the names of `dapeng.objectives.masked.MaskedHead`, where what it starts from brings them."""
        return None


class FusionOptions(Options):
    """How the features of several inputs become one."""

    type: str
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled"})
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the inputs that a row goes without in training, so that the network can do without any of them."""

    def build(self, widths: dict[str, Any], absent: set[str]) -> Any:
        """The `dapeng.fusion.base.Fusion` over inputs of these widths; `absent` names inputs that can be missing."""
        raise NotImplementedError


class DecoderOptions(Options):
    """A way of producing an output column of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    alone: ClassVar[bool] = False
    """True if it can do without any input."""
    covers: ClassVar[float] = 1.0
    """Share of the training texts that are no longer than what it gives, where their `max_length` is auto."""

    tokeniser: ClassVar[str] = "bpe"
    """What a text is written with where its `tokeniser` is auto."""
    empty: ClassVar[bool] = False
    """True if a text of no letters is an answer like any other: that nothing was said."""
    timed: ClassVar[bool] = False
    """True if it says when each token begins and ends in what was read."""
    transcribes: ClassVar[bool] = False
    """True if it writes down what is said or stands somewhere, word by word: then errors are counted by words."""

    def advice(self, rows: int) -> dict[str, Any]:
        """What trains it well on so many rows: epochs, batch_size, learning_rate; each optional."""
        return {}

    unfused: ClassVar[bool] = False
    """True if it reads inputs each by itself, and answers in the tokens of one of them: then `reads` says which."""

    quotes: ClassVar[bool] = False
    """True if its answers are stretches of an input, and come back letter by letter as they stand there."""

    def reads(self, column: Any, inputs: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Names of the fitted inputs whose unfused features it reads for this output; None: the fused ones. Raises SpecError."""
        return None

    def goes_along(self, column: Any) -> bool:
        """Whether its answer goes along with this fitted input, so that an answer is of the input as it is and not of a random change."""
        return False

    def unfit(self, output: str, inputs: Mapping[str, ColumnOptions], options: ColumnOptions) -> Iterator[Problem]:
        """What keeps it from producing this output, of these options, from these inputs: known before any data is read."""
        return iter(())

    def remarks(self, column: Any, store: Any, rows: Any) -> list[str]:
        """What the user should know of prepared rows (positions in a `dapeng.data.stored.Store`) from which it is to learn."""
        return []

    def build(self, column: Any, widths: Any, tables: Any, loss: Any) -> Any:
        """The `dapeng.decoders.base.Decoder` for a fitted output column over features of these widths; by input where it `reads` such."""
        raise NotImplementedError

    def vocabulary(self) -> dict[str, Any] | None:
        """The tokeniser of the text that it writes, where it brings one; None: fitted on the training rows."""
        return None

    @property
    def begun(self) -> bool:
        """Whether training starts from public weights, with the tokeniser that belongs to them."""
        return getattr(self, "weights", None) is not None

    def conversation(self) -> dict[str, Any] | None:
        """How the weights that it begins from write conversations: "text" of a template or None, and "tokens", special ones by role."""
        return None

    def located(self, base: Path | None) -> DecoderOptions:
        """The same options with paths that start from this folder."""
        return self

    def resolved(self) -> DecoderOptions:
        """The same options with everything decided that a file decides. Raises SpecError."""
        return self

    def start(self, decoder: Any) -> None:
        """Fill a fresh `dapeng.decoders.base.Decoder` with what training starts from."""


class LossOptions(Options):
    """How far a prediction is from its target, per row, for outputs of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[bool] = True
    """Whether classical learners may have a part in the answer."""

    @property
    def levels(self) -> list[float]:
        """Quantiles that a prediction holds beside its middle; none where it is a single value."""
        return []
