"""What training leaves: fitted columns, a network, classical learners, and each one's share. Predicts from raw rows.

product = load(RunFolder.open("runs/reviews-0007"))
product.predict(Frame(table)).values["sentiment"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dapeng.columns.base import Column
from dapeng.core.errors import DataError, Problem, RunError, SpecError
from dapeng.data.groups import Group
from dapeng.data.prepare import Prepared
from dapeng.data.stored import Store
from dapeng.data.table import Block, Frame, Note, Source
from dapeng.learners.base import Inputs, Learner
from dapeng.models.model import Model
from dapeng.models.predict import Predictions, predict_rows

NETWORK = "network"
MADE = {"text": "a text that is written", "sound": "a sound that is made"}
"""What an output is that has no one value to explain or to compare, by what it answers."""
NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Answer:
    """Predictions for rows that were read.

    tensors: by output and layout name, rows first. values: what the user sees. left_out: (position, column, reason) of rows
    that could not be read; they have no prediction, and `rows` are the positions of those that have.
    """

    tensors: Predictions
    values: dict[str, list[Any]]
    rows: np.ndarray
    left_out: list[tuple[int, str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def _refuse_never_produced(outputs: Mapping[str, Column]) -> None:
    """Raise SpecError for outputs that nothing decodes; of a spec the loader says it, a guess comes as far as here."""
    problems = [
        Problem(
            f"outputs.{n}", f"a column of type {c.type} can't be an output yet", f"outputs.{n}=category (or number)"
        )
        for n, c in outputs.items()
        if "decoder" not in type(c.options).model_fields
    ]
    if problems:
        raise SpecError(problems)


class Product:
    """inputs, outputs: fitted columns by name. shares: for each output, the weight of the network and of each learner."""

    def __init__(
        self,
        inputs: dict[str, Column],
        outputs: dict[str, Column],
        model: Model | None,
        learners: dict[str, dict[str, Learner]],
        shares: dict[str, dict[str, float]],
        autocast: torch.dtype | None = None,
        device: str = "cpu",
    ):
        _refuse_never_produced(outputs)
        self.inputs, self.outputs, self.model = inputs, outputs, model
        self.learners, self.shares = learners, shares
        self.autocast, self.device = autocast, device
        self.beside: dict[str, torch.Tensor] = {}
        """What is kept beside the model's weights, for exports and trainings that begin from it (`Objective.beside`)."""
        self._prepared = Prepared(inputs, {}, None, 1.0)

    @property
    def groups(self) -> list[Group]:
        """Groups of inputs as batches have them."""
        return self._prepared.inputs

    def members(self, output: str) -> list[str]:
        """Parts with a share of an output's prediction."""
        return [n for n, s in self.shares[output].items() if s > 0]

    def matrices(self, rows: pa.Table, base: Any = None) -> Inputs:
        """Rows as classical learners see them; those that write texts look at the cells themselves."""
        placed = [n for n, c in self.outputs.items() if c.of is not None]
        seen = len({*self.written, *placed})  # outputs whose learners look at the cells
        matrices = (
            {} if seen == len(self.outputs) else {n: c.matrix(rows.column(n), base) for n, c in self.inputs.items()}
        )
        cells = {n: rows.column(n) for n in self.inputs} if seen else {}
        return Inputs(self.inputs, matrices, cells, base=base)

    def store(self, source: Source, known: bool = False) -> Store:
        """Rows encoded for the network. known: with the true answers of outputs that say how likely these were."""
        decoders = self.model.decoders if known and self.model is not None else {}
        seen = {n: c for n, c in self.outputs.items() if n in decoders and decoders[n].sees_target}
        return (Prepared(self.inputs, seen, None, 1.0) if seen else self._prepared).store(source)

    def each(
        self,
        source: Source,
        store: Store | None = None,
        rows: np.ndarray | None = None,
        options: Mapping[str, Any] = NONE,
    ) -> dict[str, Predictions]:
        """Predictions of every member with a share, by member, for rows that lie in memory. options: of what is drawn, such as its seed."""
        store = store or self.store(source)
        rows = np.arange(store.rows) if rows is None else rows
        out: dict[str, Predictions] = {}
        wanted = {m for o in self.outputs for m in self.members(o)}
        if NETWORK in wanted and self.model is not None:
            out[NETWORK] = predict_rows(self.model, store, rows, self.outputs, 512, self.device, self.autocast, options)
        if wanted - {NETWORK}:
            table = source.read(list(self.inputs))
            seen = self.matrices(table if len(rows) == store.rows else table.take(pa.array(rows)), source.base)
            for output in self.outputs:
                for name in self.members(output):
                    if name != NETWORK:
                        out.setdefault(name, {})[output] = self.learners[output][name].predict(seen)
        return out

    def blended(self, each: Mapping[str, Predictions]) -> Predictions:
        """Members' predictions by their shares."""
        return {o: mix({m: each[m][o] for m in self.members(o)}, self.shares[o]) for o in self.outputs}

    def quoted(self, found: Predictions, cells: Callable[[str], Any]) -> Predictions:
        """Predictions with the letters of the stretches that they point at. cells: of an input, by its name, in the same rows."""
        out = dict(found)
        for name in (n for n, p in found.items() if "stretch" in p):
            column: Any = self.outputs[name]
            assert self.model is not None
            reads = self.model.decoders[name].reads
            assert reads
            out[name] = column.quoted(found[name], self.inputs[reads[0]], cells(reads[0]))
        return out

    def predict(self, source: Source, known: bool = False, options: Mapping[str, Any] = NONE) -> Answer:
        """Predictions for rows that lie in memory; see `stream` for more.

        known: the rows have their true answers; then outputs that can say how likely these were do so. options: as in `each`.
        Raises DataError if a column is missing.
        """
        self._check(source, known)
        store = self.store(source, known)
        notes = self._unseen(source)
        good = np.setdiff1d(np.arange(store.rows), store.left_out)
        tensors = self.blended(self.each(source, store, good, options)) if len(good) else self._nothing()

        def cells(name: str) -> Any:
            return source.read([name]).column(name).take(pa.array(good))

        tensors = self.quoted(tensors, cells)
        tensors = {o: self.outputs[o].noted(p, self.inputs, cells) for o, p in tensors.items()}
        values = {o: self.outputs[o].decode(p) for o, p in tensors.items()}
        left = [(q.row, q.column, q.reason) for q in store.quarantined]
        return Answer(tensors, values, good, left, notes)

    def stream(
        self, source: Source, rows: int = 65_536, known: bool = False, options: Mapping[str, Any] = NONE
    ) -> Iterator[tuple[Block, Answer]]:
        """Predictions block by block, in bounded memory. known, options: as in `predict`."""
        self._check(source, known)
        for block in source.blocks(rows=rows):
            yield (
                block,
                self.predict(Frame(block.columns, source.name, source.base), known, {**options, "first": block.start}),
            )

    def _nothing(self) -> Predictions:
        return {
            o: {n: np.zeros(d.sizes(B=0, T=0), d.dtype) for n, d in c.predictions().items()}
            for o, c in self.outputs.items()
        }

    @property
    def written(self) -> list[str]:
        """Outputs that are texts, which the network writes token by token or points at."""
        return [n for n, c in self.outputs.items() if c.answers == "text"]

    @property
    def goes_on(self) -> bool:
        """Whether it is a language model: it reads nothing, and goes on with a text."""
        return not self.inputs and len(self.outputs) == len(self.written) == 1 and self.model is not None

    def refuse_written(self, what: str, pointed: bool = False) -> None:
        """Raise RunError where there are such: `what` isn't there for them yet. pointed: it is where none is found step by step."""
        made = [n for n, c in self.outputs.items() if c.answers in MADE]
        refused = [n for n in made if not pointed or self.model is None or self.model.decoders[n].searches]
        if refused:
            which = MADE[self.outputs[refused[0]].answers]
            hint = (
                "predict, evaluate, chat and serve are there"
                if self.written
                else "predict, evaluate and serve are there"
            )
            raise RunError(f"{refused[0]} is {which}: {what} such is not there yet", hint=hint)

    def _check(self, source: Source, known: bool = False) -> None:
        if not self.inputs and self.written and not known:
            hint = "dapeng chat RUN --prompt 'Once', or run.write('Once')"
            raise RunError("this run reads nothing: it goes on with a text", hint=hint)
        missing = [n for n in self.inputs if n not in source.names]
        if missing:
            import difflib

            problems = []
            for name in missing:
                near = difflib.get_close_matches(name, source.names, 1)
                hint = f"did you mean {near[0]!r}?" if near else "its columns are " + ", ".join(source.names[:12])
                problems.append(Problem(source.name, f"has no column {name!r}, which the model reads", hint))
            raise DataError(problems)

    def _unseen(self, source: Source) -> list[Note]:
        """Labels and texts of input columns that training never saw: read as unknown, and said."""
        notes = []
        for name, column in self.inputs.items():
            unseen = column.unseen(source.read([name]).column(name))
            if unseen:
                shown = ", ".join(repr(v) for v in list(unseen)[:5]) + (", ..." if len(unseen) > 5 else "")
                count = sum(unseen.values())
                what = f"{count:,} cells hold {len(unseen):,} {column.strange[1]}, read as unknown: {shown}"
                notes.append(Note("warning", name, what, count))
        return notes


def mix(predictions: Mapping[str, Mapping[str, np.ndarray]], shares: Mapping[str, float]) -> dict[str, np.ndarray]:
    """The weighted mean of predictions of one layout."""
    used = [(p, shares[m]) for m, p in predictions.items() if shares.get(m, 0) > 0]
    if len(used) == 1:
        return dict(used[0][0])
    total = sum(s for _, s in used)
    return {k: sum(np.asarray(p[k], np.float64) * (s / total) for p, s in used).astype(np.float32) for k in used[0][0]}  # type: ignore[union-attr]
