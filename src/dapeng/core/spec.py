"""The spec: what a user says about a run. One class per section; unions come from the registries.

Everything has a default. `None` (written `auto`) means: chosen from the data, printed with its reason, and written out
in the run folder's resolved.yaml.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dapeng.core import kinds
from dapeng.core.duration import seconds
from dapeng.core.kinds import (
    ColumnOptions,
    FusionOptions,
    InitialisationOptions,
    LearnerOptions,
    ObjectiveOptions,
    OptimiserOptions,
    ScheduleOptions,
    SplitOptions,
)
from dapeng.core.registry import DEFAULT, AutoIsNone, Options, Shorthand
from dapeng.core.secrets import redacted

Auto = Literal["auto"]
AnyColumn = Annotated[ColumnOptions, kinds.columns.choice()]
Duration = Annotated[str | float, AfterValidator(lambda value: seconds(value) and value)]
Role = Literal["group", "id", "time", "weight", "protected", "treatment", "rejected", "prompt", "ignore"]


class Limits(Options):
    """Caps that hold before memory is taken."""

    field_bytes: int = Field(1_000_000, ge=1)
    """Largest cell of a table, in bytes."""
    pixels: int = Field(40_000_000, ge=1)
    """Largest picture, in pixels, read from its header before it is decoded."""
    min_pixels: int = Field(2, ge=1)
    """Pictures with a side shorter than this are quarantined."""
    rows: int = Field(10_000_000_000, ge=1)
    """Most rows of a table."""
    expansion: int = Field(100, ge=2)
    """Largest factor by which a compressed file may grow."""
    depth: int = Field(64, ge=1)
    """Deepest nesting of a JSON value."""


class Near(Options):
    """Rows that are nearly the same are dropped."""

    near: float = Field(0.8, gt=0, le=1)
    """Share of the shingles of two rows' texts (five words in a row, or five characters) that both have, from which on they are."""


class Part(Options):
    """One source of a mixture."""

    addresses: ClassVar[tuple[str, ...]] = ("data",)

    data: str | list[str]
    """Where its rows come from: as data.path."""
    weight: float = Field(1.0, gt=0, le=1e9)
    """Its share of an epoch is its weight by the sum of all weights, however many rows it has."""


class Data(Options):
    """Where the rows come from and which of them are for what."""

    addresses: ClassVar[tuple[str, ...]] = ("path", "train", "validation", "test")
    """Fields that hold addresses, whose passwords are never written down."""

    path: str | list[str] | None = None
    """A file, a folder, a pattern (posts/*.parquet), a URL, a list of these, or sample:NAME. Split as `split` says."""
    mixture: Annotated[list[Part], Field(min_length=1)] | None = None
    """Several sources of the same columns, drawn in proportion to their weights: [{data: a.csv, weight: 3}, {data: b.jsonl}]."""
    train: str | list[str] | None = None
    """Rows to train on, where they come apart from the others."""
    validation: str | list[str] | None = None
    """Rows to validate on; taken from `train` if not given."""
    test: str | list[str] | None = None
    """Rows to test on; taken from `train` if not given."""
    split: Annotated[SplitOptions | None, kinds.splits.choice(auto=True)] = None
    """Which rows train, validate and test. auto: given by the sample, cross-validation under 2,000 rows, else stratified or random."""
    format: Annotated[str | None, AutoIsNone()] = None
    """Source type, where the address doesn't tell it (csv, parquet, jsonl, excel, folder, ...)."""
    encoding: Annotated[str | None, AutoIsNone()] = None
    """Character encoding of text files. auto: found by looking."""
    encoding_errors: Literal["strict", "replace"] = "strict"
    """What to do with bytes that aren't valid in the encoding."""
    delimiter: Annotated[str | None, AutoIsNone()] = None
    """Field separator of CSV files. auto: found by looking."""
    decimal: Annotated[Literal[".", ","] | None, AutoIsNone()] = None
    """Decimal mark of numbers. auto: found by looking."""
    bad_rows: Literal["reject", "quarantine"] = "reject"
    """What to do with rows that have too many fields."""
    duplicates: Literal["keep", "drop", "near"] | Near = "keep"
    """Rows that train and equal another such row in every used column: all of them, or the first alone. Validation and test stay.

    near, short for {near: 0.8}: also rows whose texts are nearly the same, and those that are nearly a row that validates or tests.
    """
    label_errors: Literal["keep", "drop"] = "keep"
    """Rows that train and whose label confident learning calls wrong: kept, or dropped and listed in the run folder's dropped.json.

    Dropping helps where labels are wrong, and costs a little where rows are merely hard: look at what `dapeng check` shows first.
    """
    max_bad: float = Field(0.01, ge=0, le=1)
    """Largest share of cells of a column that may be unreadable before it is an error."""
    max_rows: int | None = Field(None, ge=1)
    """Use only the first so many rows."""
    allow_symlinks: bool = True
    """Follow links that lead out of a data folder."""
    limits: Limits = DEFAULT

    @property
    def named(self) -> bool:
        """Whether it says where rows that train come from; they are in memory otherwise."""
        return any(v is not None for v in (self.path, self.train, self.mixture))


class Phase(Options):
    """One part of training: an objective and its budget."""

    objective: Annotated[ObjectiveOptions, kinds.objectives.choice(default="supervised")] = DEFAULT
    epochs: Annotated[Annotated[float, Field(gt=0, le=1_000_000)] | None, AutoIsNone()] = None
    """Passes over the training rows. auto: from the data and the networks."""
    steps: int | None = Field(None, ge=1)
    """Steps instead of passes."""
    learning_rate: Annotated[Annotated[float, Field(gt=0, le=1000)] | None, AutoIsNone()] = None
    """Peak learning rate. auto: the run's."""
    optimiser: Annotated[OptimiserOptions | None, kinds.optimisers.choice(auto=True)] = None
    """auto: the run's."""


Phases = Annotated[list[Annotated[Phase, Shorthand("objective")]], Field(min_length=1)]


Pretrain = Annotated[Phase, Shorthand("objective")]


class Train(Options):
    """How the network is trained."""

    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | Auto = "auto"
    """Passes over the training rows. auto: from the data and the networks."""
    steps: int | None = Field(None, ge=1)
    """Steps instead of passes."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | Auto = "auto"
    """Rows a step. auto: from the data, and halved where memory runs out."""
    accumulate: int = Field(1, ge=1, le=100_000)
    """Micro-batches that make up one step; equal to one large batch."""
    learning_rate: Annotated[float, Field(gt=0, le=1000)] | Auto = "auto"
    """Peak learning rate. auto: as advised by the networks."""
    optimiser: Annotated[OptimiserOptions, kinds.optimisers.choice(default="adamw")] = DEFAULT
    schedule: Annotated[ScheduleOptions, kinds.schedules.choice(default="cosine")] = DEFAULT
    initialisation: Annotated[InitialisationOptions | None, kinds.initialisations.choice(auto=True)] = None
    """First weights of linear layers and convolutions. auto: as each network's paper has them."""
    l1: float = Field(0.0, ge=0, le=100)
    """Penalty on the sum of the absolute weights of matrices: pulls many to zero."""
    l2: float = Field(0.0, ge=0, le=100)
    """Penalty on half the sum of the squared weights of matrices, beside the optimiser's own weight decay."""
    clip: float | None = Field(1.0, gt=0)
    """Largest norm of the gradient; null for none."""
    ema: Annotated[float, Field(gt=0, lt=1)] | Auto | None = "auto"
    """Decay of an exponential moving average of the weights, evaluated and kept instead of them; null for none. auto: as the decoders
    advise, which mostly is none."""
    patience: Annotated[int, Field(ge=1)] | Auto | None = "auto"
    """Validations without gain before training stops; null to never stop early."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of forward and backward; weights stay fp32."""
    time_limit: Duration | None = None
    """Wall time for everything that training does (90s, 20m, 2h, or seconds); kept to 5 %."""
    threads: Annotated[int, Field(ge=1, le=1024)] | Auto = "auto"
    """Processor threads. auto: from the load of the machine."""
    device: str = "auto"
    """auto, cpu, or an accelerator's name (cuda, mps, xpu)."""
    strategy: Literal["single", "ddp"] = "single"
    """How many processes train one model; ddp runs under torchrun."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Every draw is a function of the seed, the step and the rank."""
    samples: bool = False
    """Show, after each validation, a text that the network writes by then, or keep a grid of pictures that it draws by then."""
    checkpoint_every: Annotated[int, Field(ge=1)] | Duration = "60s"
    """Wall time between checkpoints (60s, 500ms); a whole number without a unit is a number of steps."""
    pretrain: Annotated[Pretrain | None, AutoIsNone()] = None
    """A phase before the supervised one, short for `phases`: `pretrain: rbm`, or with its budget: `{objective: rbm, epochs: 5}`."""
    phases: Annotated[Phases | None, AutoIsNone()] = None
    """Parts of training, one after the other. auto: one, supervised."""


class Evaluate(Options):
    """What the verdict measures, and against what."""

    baselines: list[str] | Auto = "auto"
    """Classical learners to compare with; [] for none."""
    baseline_share: float = Field(0.5, ge=0, le=10)
    """CPU time for baselines, as a share of the time that training took (at least 5 s)."""
    resamples: int = Field(1000, ge=0, le=1_000_000)
    """Bootstrap resamples for the intervals."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals."""
    costs: dict[str, list[list[float]]] | None = None
    """By output: what each mistake costs, rows are true labels in order, columns predictions."""
    by: list[str] | str = Field(default=[], max_length=20)
    """Columns of the data by whose values figures are shown apart, beside those of all rows: kinds of questions, sites, speakers."""
    errors_shown: int = Field(12, ge=0, le=1000)
    """Worst errors shown in the report."""

    @property
    def apart(self) -> list[str]:
        """Names of the columns by whose values figures are shown apart."""
        return [self.by] if isinstance(self.by, str) else list(self.by)


class Spec(Options):
    """A whole run: columns in, columns out, and how to get from one to the other."""

    name: str | None = Field(None, min_length=1, max_length=100)
    """Name of the run; the spec's file name if not given."""
    data: Annotated[Data, Shorthand("path", lists=True)] = DEFAULT
    """Where the rows come from. A file name, or a list of them, is short for {path: ...}."""
    inputs: dict[str, AnyColumn] = DEFAULT
    """Columns that are read."""
    outputs: dict[str, AnyColumn] = Field(min_length=1)
    """Columns that are wanted."""
    columns: dict[str, Role] = DEFAULT
    """Roles of columns that are neither input nor output."""
    tables: dict[str, str] = DEFAULT
    """Features of an entity, read once, joined by key."""
    fusion: Annotated[FusionOptions, kinds.fusions.choice(default="concat")] = DEFAULT
    model: Literal["auto", "network", "trees", "linear", "mixed"] = "auto"
    """auto: network, trees, linear and mixed-effects model within one budget, blended where validation says so."""
    learners: dict[str, Annotated[LearnerOptions, kinds.learners.choice()]] = DEFAULT
    """Settings of classical learners, by a name of your choice, beside those that `model` brings."""
    train: Train = DEFAULT
    evaluate: Evaluate = DEFAULT

    @model_validator(mode="after")
    def _check_rules(self) -> Spec:
        found = self.written_rules(self.dump())
        if found:
            raise PydanticCustomError("rules", "rules of the spec", {"findings": found})
        return self

    @classmethod
    def written_rules(cls, values: Any) -> list[Any]:
        """What is wrong between keys; also asked about values whose single keys are wrong, so that all comes at once."""
        from dapeng.core.rules import broken

        return broken(values, cls)

    def dump(self) -> dict[str, Any]:
        """Plain values for YAML or JSON: everything that was set, tags included, defaults left out; passwords in addresses masked."""
        return plain(self)


def plain(options: Options, every: bool = False) -> dict[str, Any]:
    """An options object as plain values; `every` for all fields, else only those set. Tags are always kept."""
    out: dict[str, Any] = {}
    for name in type(options).model_fields:
        if every or name in options.model_fields_set or name in ("type", "by"):
            value = _plain(getattr(options, name), every)
            out[name] = _masked(value) if name in getattr(options, "addresses", ()) else value
    return out


def _masked(address: Any) -> Any:
    return [_masked(a) for a in address] if isinstance(address, list) else redacted(address) if address else address


def _plain(value: Any, every: bool) -> Any:
    if isinstance(value, Options):
        return plain(value, every)
    if isinstance(value, dict):
        return {k: _plain(v, every) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, every) for v in value]
    return value
