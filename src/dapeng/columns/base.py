"""What a column does: fit mergeable statistics, turn cells into tensors, and predictions into values for the user.

Legend: B rows, T tokens, K columns of a block, A classes, C channels, Y X picture. No torch at import. `cells` is always a
`pyarrow.Array` or `ChunkedArray` as a source gave it: strings from CSV, typed values from Parquet or a data frame, bytes
or paths for pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DataError
from dapeng.core.kinds import ColumnOptions

if TYPE_CHECKING:
    from torch import Tensor

Cells: TypeAlias = pa.Array | pa.ChunkedArray
Arrays: TypeAlias = dict[str, np.ndarray]
Answers: TypeAlias = Literal["label", "labels", "number", "numbers", "text", "boxes", "picture", "sound"]
"""What an output says of a row, for those who hand answers on (tables, servers, exports)."""


@dataclass(frozen=True)
class Dims:
    """One tensor of a layout: its axes by name, its dtype, what padding is filled with.

    axes: names in order, "B" first; capital letters are sizes; a size known after fitting is a number ("B 3 32 32").
    """

    axes: str
    dtype: str
    fill: float = 0
    low: float | None = None
    """Smallest valid value, inclusive; servers refuse what is outside."""
    high: float | None = None
    """Largest valid value, inclusive."""

    def sizes(self, **known: int) -> tuple[int, ...]:
        """The shape, with the sizes of lettered axes given by name."""
        return tuple(int(a) if a.isdigit() else known[a] for a in self.axes.split())

    @property
    def ragged(self) -> bool:
        """True if rows differ in length (an axis T or N)."""
        return any(a in ("T", "N") for a in self.axes.split())

    @property
    def sequence(self) -> bool:
        """True if the work for a row grows with its length (an axis T, not a few things of a row, N)."""
        return "T" in self.axes.split()


@dataclass
class Bad:
    """Cells that could not be read: positions within the cells given, and the reason of each."""

    rows: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, row: int | np.integer, reason: str) -> None:
        self.rows.append(int(row))
        self.reasons.append(reason)


@dataclass(frozen=True)
class Encoded:
    """Cells as arrays.

    tensors: by layout name; ragged ones as a list of rows would be costly, so they come flat with `lengths`.
    present: (B,) bool, or None if every cell is there. A missing cell is False; so is one listed in `bad`.
    lengths: (B,) of the ragged axis, None if no tensor is ragged; a ragged tensor is (sum of lengths, ...).
    bad: cells that were there and could not be read.
    """

    tensors: dict[str, np.ndarray]
    present: np.ndarray | None = None
    lengths: np.ndarray | None = None
    bad: Bad = field(default_factory=Bad)
    extents: np.ndarray | None = None
    """(B, 2) width and height of pictures as they came: for what lies in them, and not stored."""


@dataclass(frozen=True)
class Entry:
    """How one cell is handed over: the control of a page, and what a program sends as JSON.

    kind: a "line" or "lines" of text, a "number", a "choice" of labels, several "labels" (a list in JSON), "numbers" (a list),
    "steps" (a list of numbers or of lists of them), a "date" (ISO 8601), or the bytes of a "file" (base64 in JSON). start: what the control holds at first; of numbers with blanks
    between, of steps a line each. choices: the labels. bounds: least and largest in training. accept: media types of files.
    """

    kind: Literal["line", "lines", "number", "choice", "labels", "numbers", "steps", "date", "file"] = "line"
    start: str = ""
    choices: Sequence[str] = ()
    bounds: tuple[float, float] | tuple[str, str] | None = None
    accept: str = ""


class Summary(ABC):
    """Mergeable statistics of a column: one pass, bounded memory, the same bytes on one machine and on many.

    Blocks are cut by file and row range and merged in their order, so the result doesn't depend on how many workers ran.
    followed: whether other columns lie in its cells, as boxes do in a picture.
    """

    followed: bool = False

    @abstractmethod
    def add(self, cells: Cells, base: Path | None = None) -> None:
        """Count cells in; `base` is the folder that relative paths start from."""

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Count in what another summary of the same column, of later rows, has counted."""

    @abstractmethod
    def result(self) -> dict[str, Any]:
        """The fitted state, as JSON values."""

    def result_like(self, options: ColumnOptions, state: dict[str, Any]) -> dict[str, Any]:
        """The same of an output that is like an input: of this state, fitted with these options."""
        return self.result()

    def result_in(self, picture: dict[str, Any]) -> dict[str, Any]:
        """The same of a column that lies in a picture of this state."""
        return self.result()


class Column(ABC):
    """A fitted column: options of the spec and statistics of the training rows."""

    blocks: ClassVar[bool] = False
    """True if like columns are read as one (B, K) block by one encoder (numbers, categories)."""
    coded: ClassVar[bool] = False
    """True if `matrix` is one column of codes, of which there are `size`."""
    amounts: ClassVar[bool] = False
    """True if `matrix` is one column of amounts, which can be compared with those of other columns."""
    answers: ClassVar[Answers] = "number"
    """What `decode` gives for a row."""
    unscaled: ClassVar[bool] = False
    """True if what is predicted has no scale of its own: a threshold holds for the very network that it was chosen for."""

    def __init__(self, name: str, options: ColumnOptions, state: dict[str, Any], target: bool):
        self.name, self.options, self.state, self.target = name, options, state, target

    @property
    def type(self) -> str:
        return self.options.type

    @property
    def task(self) -> str:
        """What kind of output it is: the name of the registered `dapeng.evaluate.tasks.base.Task` that judges it."""
        return self.options.task or self.options.type

    @property
    def domain(self) -> str | None:
        """Columns of one domain share vocabulary and embedding table; None if this one has no table."""
        return None

    @property
    def of(self) -> str | None:
        """The picture whose geometry this column follows."""
        return self.state.get("of")

    def placed(self, encoded: Encoded, picture: Encoded) -> Encoded:
        """Its encoded cells, now that those of the picture that they lie in are known."""
        return encoded

    @property
    def can_be_absent(self) -> bool:
        """True if cells were missing in training: then fusion owns a learned vector for their absence."""
        return bool(self.state.get("missing"))

    @property
    def direction(self) -> int:
        """1 if what is predicted may only rise with it, -1 if only fall, 0 where nothing is promised."""
        return 0

    @property
    def places(self) -> float:
        """How often a network's weights are used for one cell: about 1, or the pixels or tokens that it goes over."""
        return 1.0

    @property
    def window(self) -> int | None:
        """Elements of a cell that are learnt from at a time, where cells are laid one behind the other; None: cells are rows."""
        return None

    def default_encoder(self, rows: int) -> tuple[str, str]:
        """The encoder that reads it where the spec names none, for so many training rows, and why."""
        return "", ""

    @abstractmethod
    def layout(self) -> dict[str, Dims]:
        """The tensors of a batch of cells. Storage, padding, fake batches, ONNX axes and server validation read this."""

    @abstractmethod
    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        """Cells as arrays, without batch padding."""

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        """The files that cells name, whose change makes prepared rows stale."""
        return iter(())

    def predictions(self) -> dict[str, Dims]:
        """The tensors of a prediction: the same for network, trees, blend, teacher, metric and server.

        None of a type that is only read (`ColumnOptions.read_only`); every other says them, and how they are decoded.
        """
        return {}

    def to_units(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """A network's prediction in the user's units; tensors only, so it is inside every export."""
        return prediction

    def amount(self, prediction: dict[str, Tensor]) -> Tensor:
        """(B,) what explanations of a prediction without probabilities are about: the number, of a vector the mean of its numbers."""
        x = prediction["mean"]
        return x if x.dim() == 1 else x.mean(1)

    def truth(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """What encoded targets say in the user's terms, rows first: codes, numbers in units, flags of labels."""
        return np.asarray(next(iter(tensors.values())))

    @property
    def lossy(self) -> bool:
        """True if `truth` doesn't give back all that a target said: then `verbatim` does, and predictions are judged by that."""
        return False

    def verbatim(self, cells: Cells) -> np.ndarray:
        """(N,) what targets say, as they stand."""
        raise NotImplementedError(f"targets of type {self.type} lose nothing")

    def losses(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> np.ndarray:
        """(N,) how far each row's prediction is from the `truth`: what members of a blend are weighed by."""
        raise NotImplementedError

    def score(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> tuple[str, float]:
        """A figure that tells a user how training goes, higher is better, and its name."""
        raise NotImplementedError

    def hopeless(self) -> tuple[str, str] | None:
        """Why nothing can be learnt of it as an output, and what to do; None where something can."""
        return None

    def apart(self, found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
        """How far a prediction is from another of the same rows, relative where it is larger than 1: what exports are checked by."""
        return max((furthest(found[n], wanted[n]) for n in wanted), default=0.0)

    def settle(self, prediction: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Any]:
        """What deciding needs beside the prediction (thresholds), as rows that did not train have it best; JSON values."""
        return {}

    def keep(self, settings: dict[str, Any]) -> None:
        """Decide by such settings from now on: they become part of the state."""

    def settled(self, prediction: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, np.ndarray]:
        """A prediction with what follows from such settings beside it."""
        return prediction

    @property
    def rare(self) -> bool:
        """Whether what is asked for is so rare that the likeliest answer is mostly no answer."""
        return False

    def noted(self, prediction: Arrays, inputs: Mapping[str, Column], cells: Callable[[str], Cells]) -> Arrays:
        """A prediction with what judging needs to know of the rows' inputs beside it. cells: of an input, by its name, in the same rows."""
        return prediction

    def leave(self, folder: Path) -> None:
        """Leave what judging needs, beside the state, in a run folder."""

    def find(self, folder: Path) -> None:
        """Find again what was left in a run folder."""

    @property
    def most_tested(self) -> int:
        """Rows that test, at most: more would move the figures by less than a thousandth, or cost too much."""
        return 1_000_000

    @property
    def cut(self) -> float | None:
        """Probability from which on the positive label of two is said; None: the likelier label is."""
        return None

    def said(self, prediction: dict[str, np.ndarray]) -> np.ndarray | None:
        """What a prediction says of each row, in the terms of `truth`; None: the likeliest, or the value itself."""
        return None

    def decision(self) -> str:
        """How an answer follows from a prediction, where it is not simply the likeliest; nothing else."""
        return ""

    def agreed(self, settings: list[dict[str, Any]]) -> dict[str, Any]:
        """One for several folds' settings."""
        return settings[0] if settings else {}

    def spread(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a table of predictions shows beside the value, by name: the probability of each label."""
        return {}

    def overlay(self) -> dict[str, Any]:
        """How an answer is laid over the picture that it is of: {"values": {label: value of its pixels}, "background": label} of a
        label picture, {"heat": name} of a grey one that stands beside the value; {} if not at all.
        """
        return {}

    @property
    def joint(self) -> str:
        """What stands between the parts of a value where a list must be one text."""
        return " "

    def schema(self) -> dict[str, Any]:
        """JSON schema of a decoded value."""
        return {"type": "number"}

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        """Cells like those in training, drawn at random, for timing and checking shapes. Raises DataError if it can't."""
        raise DataError(f"no rows can be made up for a column of type {self.type}", hint="name the data")

    def unseen(self, cells: Cells) -> dict[str, int]:
        """Values among the cells that training never saw and that are read as unknown, with how often they occur."""
        return {}

    strange: ClassVar[tuple[str, str]] = ("label {} was not seen in training", "labels not seen in training")
    """What such a value is called: one, {} being itself, and several."""

    def remarks(self) -> list[str]:
        """What fitting noticed and the user should know, each said once."""
        return []

    def handled(self) -> list[str]:
        """What fitting noticed and has seen to, so that it is worth knowing and there is nothing to do."""
        return []

    def aligned(self, prediction: dict[str, np.ndarray], fitted: Any) -> dict[str, np.ndarray]:
        """A prediction by another fit of the same column, in this one's terms."""
        return prediction

    def lasts(self, tensors: Mapping[str, Any]) -> float:
        """Seconds that cells, or predictions, of these tensors last in all; 0: they have no time."""
        return 0.0

    def controls(self) -> dict[str, Callable[[dict[str, Any], Any], dict[str, Any]]]:
        """What can be taken from its cells to see whether a network goes by it, in words, and how.

        That is (tensors by layout name, draw) -> tensors; draw(n) gives (B, n) numbers from 0 to 1, each row its own.
        """
        return {}

    def looks(self) -> list[Callable[[dict[str, Any]], dict[str, Any]]]:
        """Other looks at the same cells (the other clips of a video), whose predictions are averaged with that of the first: tensors -> tensors."""
        return []

    def decode(self, prediction: dict[str, np.ndarray]) -> list[Any]:
        """Values for the user, one a row: a label, a number, a list of them."""
        raise NotImplementedError(f"{self.name}: nothing produces a column of type {self.type}, it is only read")

    def in_brief(self, value: Any) -> Any:
        """A decoded value for a line of text: itself, or what is in it."""
        return value

    @property
    def expected(self) -> str:
        """What a cell must be, in a few words, for errors."""
        return f"a {self.type}"

    def posted(self, value: Any) -> Any:
        """A JSON value that a program or a page hands over, as data would hold it. Raises ValueError that says what is wrong."""
        return value

    @abstractmethod
    def matrix(self, cells: Cells, base: Path | None = None) -> Any:
        """(N, k) float32 array or scipy sparse matrix, for trees and linear learners; nan is missing."""

    def matrix_again(self, cells: Cells, found: Encoded) -> Any:
        """As `matrix`, of a few cells that `encode` has read already: files needn't be read twice."""
        return self.matrix(cells)

    def matrix_names(self) -> list[str]:
        """Names of the matrix' columns."""
        return [self.name]

    def entry(self) -> Entry:
        """How a server asks for a cell."""
        return Entry()

    def describe(self) -> str:
        """A few words on what was fitted, for tables and reports."""
        return self.type

    def reader(self) -> tuple[type, dict[str, Any]] | None:
        """A self-contained class (numpy and the standard library alone; others imported inside methods), and its arguments.

        `Reader(**arguments).encode(list of raw values)` gives the padded tensors of a batch by layout name, with
        "present" where cells can be absent; `matrix(list of raw values)` what `Column.matrix` does. Its source is what a standalone
        export ships, with the module that its CARRIES names, if it calls functions of one. None: not available.
        """
        return None


def furthest(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of two arrays of one shape; relative to the size of what is larger than 1, so that units don't matter."""
    x, y = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float((np.abs(x - y) / np.maximum(1.0, np.abs(y))).max(initial=0.0))


def one_array(cells: Cells) -> pa.Array:
    """Cells as one array, in however many chunks they came."""
    array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if isinstance(array, pa.ChunkedArray):
        return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array


def strings(cells: Cells) -> pa.Array:
    """Cells as one array of strings, whatever they were; null stays null."""
    array = one_array(cells)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in array.to_pylist()], pa.string())
    if pa.types.is_nested(array.type):
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
    return array.cast(pa.string())
