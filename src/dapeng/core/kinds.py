"""The kinds of things that can be added with one new file, and what each must offer. No torch, no numpy.

Every registry is the name of a package; the package is scanned at first use, and entry points of the same group name
(`dapeng.encoders`, `dapeng.sources`, ...: the last part of the package's name) add members from outside. A member's options class stands beside what it builds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from dapeng.core.errors import Problem, RunError
from dapeng.core.registry import Options, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

columns = Registry("dapeng.columns", "column type")
encoders = Registry("dapeng.encoders", "encoder")
fusions = Registry("dapeng.fusion", "fusion")
decoders = Registry("dapeng.decoders", "decoder")
losses = Registry("dapeng.decoders.losses", "loss")
activations = Registry("dapeng.layers.activations", "activation")
norms = Registry("dapeng.layers.norms", "norm")
initialisations = Registry("dapeng.layers.initialisations", "initialisation")
layers = Registry("dapeng.layers.pictures", "layer")
denoisers = Registry("dapeng.layers.denoisers", "denoiser")
vocoders = Registry("dapeng.layers.vocoders", "vocoder")
objectives = Registry("dapeng.objectives", "objective")
optimisers = Registry("dapeng.train.optimisers", "optimiser")
schedules = Registry("dapeng.train.schedules", "schedule")
transforms = Registry("dapeng.transforms", "transform")
metrics = Registry("dapeng.metrics", "metric")
tasks = Registry("dapeng.evaluate.tasks", "task")
learners = Registry("dapeng.learners", "learner")
sources = Registry("dapeng.data.sources", "source")
samples = Registry("dapeng.samples", "sample")
splits = Registry("dapeng.data.splits", "split", tag="by")
sections = Registry("dapeng.report.sections", "report section")
exporters = Registry("dapeng.export.formats", "export format")
compressors = Registry("dapeng.compress.methods", "compression")
engines = Registry("dapeng.engines", "engine")
checks = Registry("dapeng.checks", "check")


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


class ActivationOptions(Options):
    """A function of every element, between two layers."""

    type: str

    def build(self) -> Any:
        """The `torch.nn.Module`."""
        raise NotImplementedError


class NormOptions(Options):
    """How values between two layers are brought to one scale; `fits` says of what: maps, rows, tokens."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ("maps", "rows", "tokens")

    def maps(self, channels: int) -> Any:
        """The `torch.nn.Module` for (B, C, Y, X)."""
        raise NotImplementedError

    def rows(self, width: int) -> Any:
        """The `torch.nn.Module` for (B, D), and where it fits tokens (B, T, D)."""
        raise NotImplementedError


class LayerOptions(Options):
    """One layer of a convolutional network that is given as a list."""

    type: str

    def build(self, shape: tuple[int, int, int]) -> tuple[Any, tuple[int, int, int]]:
        """The `torch.nn.Module` for maps (B, C, Y, X) of this shape, and the shape of what it gives."""
        raise NotImplementedError


class DenoiserOptions(Options):
    """A network that says of a noisy picture what is noise in it, at a known share of noise and under a condition."""

    type: str
    tiny: ClassVar[dict[str, Any]] = {}
    """Options under which it is small enough to be tried in a second."""

    def build(self, shape: tuple[int, int, int], condition: int | None) -> Any:
        """The `torch.nn.Module`: (pictures (B, C, Y, X) of this shape, times (B,), conditions (B, D) or None) -> (B, C, Y, X).

        condition: D; None where there are none.
        """
        raise NotImplementedError


class VocoderOptions(Options):
    """What makes samples of the mel bands that a decoder says."""

    type: str
    tiny: ClassVar[dict[str, Any]] = {}
    """Options under which it is small enough to be tried in a second."""
    phase: ClassVar[dict[str, Any]] = {}
    """The phase of training that teaches it, as a spec would say it, where the spec names none; empty: a supervised one."""

    def advice(self, rows: int) -> dict[str, Any]:
        """What trains it well on so many rows, where that is not what its decoder advises: epochs, batch_size, learning_rate."""
        return {}

    def build(self, bands: Any) -> Any:
        """The `dapeng.nn.vocoder.Vocoder` for bands that are made so (`dapeng.nn.vocoder.Bands`)."""
        raise NotImplementedError


class InitialisationOptions(Options):
    """The first weights of linear layers and convolutions."""

    type: str

    def apply(self, layer: Any) -> None:
        """Fill the weight and the bias (None where there is none) of a linear layer or a convolution."""
        raise NotImplementedError


class ObjectiveOptions(Options):
    """What one training step means."""

    type: str
    judged: ClassVar[bool] = True
    """Whether the outputs are better for it at every step: then validation rows choose its best weights; else the last are kept,
    or those that are best by what it tells itself (`dapeng.objectives.base.Objective.tell`)."""
    teaches: ClassVar[bool] = False
    """Whether outputs are taught by it though validation rows don't judge it."""
    untargeted: ClassVar[bool] = False
    """Whether rows that train and have no target are read too."""

    def parts(self, model: Any) -> list[Any]:
        """The phases that it is, one after the other, over a `dapeng.models.model.Model`."""
        return [self]

    def build(
        self, model: Any, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Any:
        """The `dapeng.objectives.base.Objective` around a model; `weights` of its losses, and fitted columns, by name."""
        raise NotImplementedError


class OptimiserOptions(Options):
    """How parameters follow their gradients."""

    type: str
    schedule: ClassVar[str | None] = None
    """The schedule that it wants where none is named; None: the default."""
    apart: ClassVar[bool] = False
    """True if matrices that give an answer are to be a group of their own, with `last`."""

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> Any:
        """A torch optimiser over parameter groups."""
        raise NotImplementedError


class ScheduleOptions(Options):
    """How the learning rate moves over a run."""

    type: str

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        """The factor of the peak learning rate at `progress` (0 at the start, 1 at the end).

        history: figures of the validations so far ("loss", "score", "step"), for a schedule that follows them.
        """
        raise NotImplementedError


class TransformOptions(Options):
    """A change of a batch during training (Batch -> Batch), for columns of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[bool] = False
    """True if a row depends on others of its batch: they are mixed, and where it says so their answers with them."""
    carries: ClassVar[bool] = False
    """True if what lies in a picture stays where it belongs: nothing is moved, or the picture's affine tells how."""

    def build(self, column: Any) -> Any:
        """What is called as (batch, column's name, draw) -> batch, for a fitted column."""
        raise NotImplementedError

    def with_outputs(self, built: Any, outputs: Mapping[str, Any]) -> Any:
        """The built step, where it changes answers of these fitted outputs too."""
        return built


class LearnerOptions(Options):
    """A classical learner: a baseline, and where `product` is true also something that `model: auto` may ship."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    """Types of output columns that it can predict."""
    product: ClassVar[bool] = False
    free: ClassVar[bool] = False
    """It costs nothing, and asks for no second class: never left out."""
    directed: ClassVar[bool] = False
    """It keeps what columns promise (`Column.direction`): predictions that never fall, or never rise, with them."""

    def reads(self, inputs: Any, target: Any) -> bool:
        """Whether it makes sense for these `dapeng.learners.base.Inputs` (n-grams want texts, HOG wants pictures)."""
        raise NotImplementedError

    def fit(self, inputs: Any, target: Any, valid: Any, seconds: float, seed: int) -> Any:
        """A `dapeng.learners.base.Learner`, fitted within about so many CPU seconds.

        valid: (inputs, target) to stop early by, or None.
        """
        raise NotImplementedError

    def refit(self, fitted: Any, inputs: Any, target: Any, seed: int) -> Any:
        """The same learner, as it was chosen, on training and validation rows together; None: it stays as it is."""
        return None


class MetricOptions(Options):
    """A figure of merit for outputs of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[bool] = True


class TaskOptions(Options):
    """How outputs of one kind are judged: their view, headline, words and tables. Columns name it (`ColumnOptions.task`)."""

    type: str


class SourceOptions(Options):
    """How addresses of one kind are read into rows."""

    type: str


class SampleOptions(Options):
    """A real data set that can be had by name (`sample:digits`)."""

    type: str


class SplitOptions(Options):
    """Which rows train, which validate and which test."""

    by: str


class SectionOptions(Options):
    """One section of the report, from the JSON that a verb left in the run folder."""

    type: str
    order: ClassVar[int] = 50


class ExporterOptions(Options):
    """One format that a run can be written in."""

    type: str
    predicts: ClassVar[bool] = True
    """What is written predicts, and is checked on rows; else it is of the run's records, and `rows` is None."""
    writes: ClassVar[bool] = False
    """It can hold a network that writes texts token by token."""
    tensors: ClassVar[bool] = False
    """It answers with the network's tensors, so that of a text that is pointed at it gives the ids."""

    def place(self, folder: Any) -> Path:
        """Where it is written if no place is named: within the run folder, whose manifest then knows it."""
        return folder.path / "export" / self.type

    def refuse_place(self, to: Path) -> None:
        """Raise RunError for a place, named or not, where this can't be written without a loss, before anything is computed."""
        if to.is_file():
            raise RunError(f"{to} is a file, and {self.type} writes a folder", hint="--to another place")

    def export_run(self, folder: Any, product: Any, to: Path, rows: Any) -> dict[str, Any]:
        """As `export`, for formats that are made of a `dapeng.core.run.RunFolder` and not of its product alone."""
        return self.export(product, to, rows)

    def export(self, product: Any, to: Path, rows: Any) -> dict[str, Any]:
        """Write a `dapeng.product.product.Product` to `to`, and check it against the original on `rows` (a Source).

        Returns what was written and how far it is from the original, as plain values.
        """
        raise NotImplementedError


class CompressorOptions(Options):
    """One way of making a model smaller or faster."""

    type: str

    def apply(self, model: Any) -> dict[str, Any]:
        """Change a `dapeng.models.model.Model` in place, by wrapping its modules from outside; says what was done.

        Also called on a freshly built model before compressed weights are loaded into it, so it depends on shapes alone.
        """
        raise NotImplementedError


class EngineOptions(Options):
    """What works a written text out, token by token."""

    type: str
    order: ClassVar[int] = 50
    """`auto` takes the first that can."""
    weights: str = "auto"
    """What kind of numbers they are."""

    def refusal(self, product: Any) -> str:
        """Why it can't write what this product was trained to write; empty where it can."""
        return ""

    def suits(self, product: Any) -> bool:
        """Whether `auto` takes it, where it can."""
        return True

    def open(self, product: Any, folder: Any) -> Any:
        """The `dapeng.product.writing.Engine` of a language model. folder: its `dapeng.core.run.RunFolder`, or None."""
        raise NotImplementedError


class CheckOptions(Options):
    """One thing that spoils models, looked for in data before training (`dapeng check`)."""

    type: str
    order: ClassVar[int] = 50
    """When it looks, beside the others: what is dear comes late."""
    always: ClassVar[bool] = False
    """Cheap enough for every training, on its first rows."""

    def look(self, seen: Any) -> Any:
        """The `dapeng.checks.base.Finding`s about a `dapeng.checks.base.Seen`."""
        raise NotImplementedError
