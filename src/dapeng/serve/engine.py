"""From the rows of requests to answers: check, stack, predict, decode. One product, one thread; no HTTP here."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from dapeng.data.batch import Batch, Cells
from dapeng.learners.base import Inputs
from dapeng.models.predict import Predictions, autocasting, predict_batch
from dapeng.product.product import NETWORK, Product
from dapeng.serve.cells import BLOCKS, ColumnBlock, Unfit, array_of, reader_for, shown

Row = tuple[Any, ...]
"""Checked values in the order of the product's inputs."""


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with a request."""

    where: str
    expected: str
    found: str

    def plain(self) -> dict[str, str]:
        return {"where": self.where, "expected": self.expected, "found": self.found}


class BadRequest(ValueError):
    """A request that can't be answered, with everything that is wrong with it."""

    def __init__(self, wrongs: list[Wrong] | Wrong):
        self.wrongs = wrongs if isinstance(wrongs, list) else [wrongs]
        super().__init__("; ".join(f"{w.where}: expected {w.expected}, found {w.found}" for w in self.wrongs))


class NotFinite(ArithmeticError):
    """The model has no finite answer for a row."""


@dataclass
class Checked:
    """Rows that may wait for the model. notes: what is worth saying to the client."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


class Engine:
    """A product behind requests."""

    def __init__(self, product: Product, name: str, max_batch: int = 256):
        self.product, self.name, self.max_batch = product, name, max_batch
        self.names = list(product.inputs)
        self.readers = [reader_for(c) for c in product.inputs.values()]
        self.checks = [r.check for r in self.readers]
        self.pick = _getter(self.names)
        self.allowed = set(self.names) | set(product.outputs)
        at = {n: i for i, n in enumerate(self.names)}
        self.groups: list[tuple[str, Any, Any]] = []
        for group in product.groups:
            columns = [product.inputs[n] for n in group.columns]
            places = [at[n] for n in group.columns]
            if group.block:
                self.groups.append(
                    (group.key, _getter(places), BLOCKS.get(columns[0].type, ColumnBlock)(columns).stack)
                )
            else:
                self.groups.append((group.key, itemgetter(places[0]), self.readers[places[0]].alone))
        used = {m for o in product.outputs for m in product.members(o)}
        self.network, self.learners = NETWORK in used, bool(used - {NETWORK})

    def check(self, rows: list[Any], prefix: str = "rows") -> Checked:
        """Raw rows (mappings by column) as the engine reads them. Raises BadRequest with up to 20 things that are wrong."""
        if not rows:
            raise BadRequest(Wrong(prefix, "at least one row", "none"))
        notes: list[str] = []
        wrongs: list[Wrong] = []
        out: list[Row] = []
        for i, row in enumerate(rows):
            try:
                values = self.pick(row)
                if len(row) != len(values) and not row.keys() <= self.allowed:
                    raise KeyError
                out.append(tuple([check(v, notes) for check, v in zip(self.checks, values)]))
            except (KeyError, TypeError, AttributeError, Unfit):
                wrongs += self._wrong(row, f"{prefix}[{i}]" if len(rows) > 1 or prefix != "rows" else "row")
                if len(wrongs) >= 20:
                    break
        if wrongs:
            raise BadRequest(wrongs[:20])
        return Checked(out, list(dict.fromkeys(notes))[:20])

    def _wrong(self, row: Any, where: str) -> list[Wrong]:
        """Everything that is wrong with one row."""
        if not isinstance(row, dict):
            return [Wrong(where, "an object with the columns " + ", ".join(self.names[:12]), shown(row))]
        out = [
            Wrong(f"{where}.{n}", r.column.expected, "nothing")
            for n, r in zip(self.names, self.readers)
            if n not in row
        ]
        strange = [n for n in row if n not in self.allowed]
        out += [Wrong(f"{where}.{n}", "one of " + ", ".join(self.names[:12]), "an unknown column") for n in strange]
        for name, check in zip(self.names, self.checks):
            if name in row:
                try:
                    check(row[name], [])
                except Unfit as error:
                    out.append(Wrong(f"{where}.{name}", error.expected, error.found))
        return out

    def predict(self, rows: list[Row]) -> Predictions:
        """Predictions in the user's units, in batches of at most `max_batch`."""
        if len(rows) <= self.max_batch:
            return self._predict(rows)
        parts = [self._predict(rows[i : i + self.max_batch]) for i in range(0, len(rows), self.max_batch)]
        return {o: {k: np.concatenate([p[o][k] for p in parts]) for k in first} for o, first in parts[0].items()}

    def _predict(self, rows: list[Row]) -> Predictions:
        product, each = self.product, {}
        if self.network and product.model is not None:
            batch = Batch(
                {k: self._cells(pick, stack, rows) for k, pick, stack in self.groups}, torch.arange(len(rows))
            )
            with autocasting(product.device, product.autocast):
                found = predict_batch(product.model, batch.to(product.device), product.outputs)
            each[NETWORK] = {o: {k: t.float().cpu().numpy() for k, t in p.items()} for o, p in found.items()}
        if self.learners:
            columns = list(zip(*rows))
            seen = Inputs(
                product.inputs,
                {n: r.matrix(list(columns[i])) for i, (n, r) in enumerate(zip(self.names, self.readers))},
            )
            for output in product.outputs:
                for member in product.members(output):
                    if member != NETWORK:
                        each.setdefault(member, {})[output] = product.learners[output][member].predict(seen)
        return product.quoted(product.blended(each), lambda name: array_of([r[self.names.index(name)] for r in rows]))

    def _cells(self, pick: Any, stack: Any, rows: list[Row]) -> Cells:
        return stack([pick(r) for r in rows])

    def answers(self, rows: list[Row]) -> list[dict[str, Any]]:
        """For each row, by output: value, and the probability of each label, or what else its column says beside it. Raises NotFinite."""
        out: list[dict[str, Any]] = [{} for _ in rows]
        for name, tensors in self.predict(rows).items():
            column: Any = self.product.outputs[name]
            if not all(np.isfinite(t.sum()) for t in tensors.values() if t.dtype.kind == "f"):
                raise NotFinite(f"the model's answer for {name!r} is not a finite number")
            values = column.decode(tensors)
            if "probabilities" not in tensors:
                beside = {n: np.asarray(v).tolist() for n, v in column.spread(tensors).items()}
                for row, (answer, value) in enumerate(zip(out, values)):
                    answer[name] = {"value": base64.b64encode(value).decode() if isinstance(value, bytes) else value}
                    if beside:
                        answer[name]["beside"] = {n: _sent(v[row]) for n, v in beside.items()}
                continue
            labels = column.labels
            for answer, value, p in zip(out, values, np.round(tensors["probabilities"].astype(np.float64), 7).tolist()):
                answer[name] = {"value": value, "probabilities": dict(zip(labels, p))}
        return out

    def describe(self) -> dict[str, Any]:
        """Columns in and out, for clients."""
        inputs = [
            {"name": n, "type": r.column.type, "is": r.column.describe()} for n, r in zip(self.names, self.readers)
        ]
        outputs = [{"name": n, "type": c.type, "is": c.describe()} for n, c in self.product.outputs.items()]
        return {"model": self.name, "inputs": inputs, "outputs": outputs}


def _sent(value: Any) -> Any:
    """What stands beside a value, as JSON can hold it: bytes in base64, numbers with the seven digits that they have."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _getter(keys: list[Any]) -> Any:
    """As itemgetter, but always a tuple."""
    if len(keys) == 1:
        key = keys[0]
        return lambda row: (row[key],)
    return itemgetter(*keys)
