"""What stands around a model: where rows come from, how it is judged, told, and handed on. What each kind must offer; no torch, no numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dapeng.core.errors import RunError
from dapeng.core.registry import Options


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

    def has_a_form_for(self, product: Any) -> bool:
        """Whether this format has a form for a product at all, as far as is known without writing it."""
        return True

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
