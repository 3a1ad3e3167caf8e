"""A mixed-effects model: an effect for every level of every category and of categories crossed, drawn towards 0 by as much as the
rows say. Who has few rows is thought to be like the others; who has many speaks for himself.

Henderson, 1975; Robinson: That BLUP Is a Good Thing, 1991 (https://doi.org/10.1214/ss/1177011926); Bates et al.: lme4, 2015
(https://doi.org/10.18637/jss.v067.i01). As rating ~ semester + (1|student) + (1|lecturer) + (1|student:lecturer) + ... in R, but it
finds by itself which crossings matter: the variance of the others goes to 0.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from safetensors.numpy import load_file, save_file

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.crossed import Crossing, Factors
from dapeng.learners.design import Design
from dapeng.learners.variances import Found, effects_of, estimate

MANY_LABELS = 50
"""Labels of a category from which on it is worth the while: with few, a ridge regression knows each one well."""
MOST_WIDE = 200
"""Columns of numbers beside the factors."""
MOST_CROSSED = {2: 8, 3: 6}
"""Factors that are crossed by two and by three: those that the rows pay for most."""
MOST_LEVELS = 400_000
ROUNDS = 8
MOST_TOLD = 4


@learners
class Mixed(LearnerOptions):
    """A mixed-effects model: shrunken effects of categories with many labels, and of their crossings. Numbers alone are predicted.

    Paper: Bates et al., 2015, https://doi.org/10.18637/jss.v067.i01
    Example: `learners: {mixed: {type: mixed, crossed: 2}}`
    """

    type: Literal["mixed"] = "mixed"
    fits: ClassVar[tuple[str, ...]] = ("number",)
    product: ClassVar[bool] = True
    crossed: Literal["auto", 1, 2, 3] = "auto"
    """How many columns are looked at together: 1, each by itself. auto: by the validation rows, 2 without any."""
    rounds: int = Field(ROUNDS, ge=1, le=1000)
    """Most rounds in which variances are found."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        """Tables in which a category has many labels, that return."""
        many = [getattr(c, "size", 0) for c in inputs.columns.values() if c.coded]
        return any(MANY_LABELS <= size <= inputs.rows / 2 for size in many)

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        most = (3 if valid is not None and valid[0].rows else 2) if self.crossed == "auto" else self.crossed
        fit = Fit(inputs, target)
        best: tuple[float, MixedLearner, Found] | None = None
        for order in range(1, most + 1):
            found = fit.cross(order, self.rounds, began + seconds, seed)
            if found is None:
                break
            learner = fit.learner(found)
            choosing = self.crossed == "auto" and valid is not None and valid[0].rows > 0
            error = learner.error(*valid) if choosing and valid is not None else -float(order)
            if best is None or error < best[0]:
                best = (error, learner, found)
            if time.process_time() - began > 0.75 * seconds:
                break
        assert best is not None
        facts = {"variances": best[2].variances, "noise": best[2].noise}
        return Fitted(best[1], time.process_time() - began, told(best[1].crossings, best[2]), facts)

    def refit(self, fitted: Fitted, inputs: Inputs, target: Target, seed: int) -> Fitted:
        """The chosen crossings and their variances, on all rows."""
        began = time.process_time()
        fit = Fit(inputs, target)
        crossings = [c.columns for c in fitted.learner.crossings]  # type: ignore[attr-defined]
        learner = fit.again(crossings, fitted.facts["variances"], fitted.facts["noise"])
        return Fitted(learner, fitted.cpu_seconds + time.process_time() - began, fitted.note, fitted.facts)


class Fit:
    """The rows, and the crossings so far with their variances."""

    def __init__(self, inputs: Inputs, target: Target):
        self.factors = Factors.fit(inputs)
        self.codes = self.factors.codes(inputs)
        names = [n for n, m in inputs.matrices.items() if not sp.issparse(m) and not inputs.columns[n].coded]
        wide = np.cumsum([inputs.matrices[n].shape[1] for n in names])
        self.numbers = [n for n, upto in zip(names, wide) if upto <= MOST_WIDE]
        self.line = Design.fit(only(inputs, self.numbers)) if self.numbers else None
        self.fixed = _fixed(self.line, only(inputs, self.numbers), inputs.rows)
        weights = np.ones(inputs.rows) if target.weights is None else target.weights / target.weights.mean()
        self.roots = np.sqrt(weights)
        self.mean = float(np.average(target.values, weights=weights))
        self.y = ((target.values - self.mean) * self.roots).astype(np.float32)
        self.noise = float((self.y**2).mean()) + 1e-12
        self.crossings: list[Crossing] = []
        self.variances = np.zeros(0)
        self.effective = np.zeros(0)

    def cross(self, order: int, rounds: int, until: float, seed: int) -> Found | None:
        """With the crossings of so many columns beside those of fewer; None where there are none."""
        new = self.factors.crossings(self.codes, self._best(order), order)
        room = MOST_LEVELS - sum(len(c) for c in self.crossings)
        new = [c for c, upto in zip(new, np.cumsum([len(c) for c in new])) if upto <= room]
        if not new:
            return None
        self.crossings = [*self.crossings, *new]
        first = 0.5 if order == 1 else 0.1
        start = np.concatenate([self.variances, np.full(len(new), first * self.noise / len(new))])
        x, owner = self._rows(self.crossings)
        found = estimate(x, self.y, owner, np.append(start, np.inf), self.noise, rounds, until, seed)
        self.variances, self.noise, self.effective = found.variances[:-1], found.noise, found.effective[:-1]
        return found

    def again(self, columns: Sequence[tuple[str, ...]], variances: np.ndarray, noise: float) -> MixedLearner:
        """With these crossings and variances of theirs."""
        keys = [np.unique(self.factors.keys(self.codes, c)) for c in columns]
        self.crossings = [Crossing(c, k[k >= 0]) for c, k in zip(columns, keys)]
        x, owner = self._rows(self.crossings)
        effects = effects_of(x, self.y, owner, variances, noise)
        return self.learner(Found(effects, variances, noise, np.zeros(0)))

    def learner(self, found: Found) -> MixedLearner:
        levels = sum(len(c) for c in self.crossings)
        fixed = found.effects[levels:].copy()
        fixed[0] += self.mean
        return MixedLearner(self.factors, list(self.crossings), found.effects[:levels], self.line, fixed)

    def _best(self, order: int) -> list[str]:
        """The columns to cross: those whose own effects the rows pay for most."""
        every = list(self.factors.levels)
        if order == 1:
            return every
        own = {c.columns[0]: e for c, e in zip(self.crossings, self.effective) if len(c.columns) == 1}
        kept = sorted(every, key=lambda n: -own.get(n, 0.0))[: MOST_CROSSED[order]]
        return [n for n in every if n in kept]

    def _rows(self, crossings: list[Crossing]) -> tuple[sp.csr_matrix, np.ndarray]:
        """(N, q) the design, the fixed effects last, and each effect's group."""
        x = sp.hstack([self.factors.indicators(self.codes, crossings), sp.csr_matrix(self.fixed)], format="csr")
        x = sp.csr_matrix(sp.diags(self.roots.astype(np.float32)) @ x)
        return x, np.repeat(np.arange(len(crossings) + 1), [*(len(c) for c in crossings), self.fixed.shape[1]])


def only(inputs: Inputs, names: list[str]) -> Inputs:
    """Some of the columns."""
    return Inputs({n: inputs.columns[n] for n in names}, {n: inputs.matrices[n] for n in names})


def _fixed(line: Design | None, numbers: Inputs, rows: int) -> np.ndarray:
    """(N, 1 + k) ones, then numbers as a linear learner sees them."""
    ones = np.ones((rows, 1), np.float32)
    return ones if line is None else np.concatenate([ones, line.transform(numbers)], 1)


def told(crossings: list[Crossing], found: Found) -> str:
    """What varies most: standard deviations of effects, in the target's units."""
    each = sorted(zip(crossings, found.variances, found.effective), key=lambda i: -i[1] * min(i[2], 1e9) / len(i[0]))
    parts = [f"{c} {v**0.5:.2g}" for c, v, e in each if e > 1]
    return f"deviations {', '.join(parts[:MOST_TOLD])}, of the rest {found.noise**0.5:.2g}"


class MixedLearner(Learner):
    """effects (q,) of the levels of the crossings, one after the other; fixed (1 + k,): the start, and slopes of numbers."""

    name = "mixed"

    def __init__(
        self, factors: Factors, crossings: list[Crossing], effects: np.ndarray, line: Design | None, fixed: np.ndarray
    ):
        self.factors, self.crossings, self.effects = factors, crossings, effects
        self.line, self.fixed = line, fixed

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        found = self.factors.indicators(self.factors.codes(inputs), self.crossings) @ self.effects
        found = found + _fixed(self.line, self._numbers(inputs), inputs.rows) @ self.fixed
        return {"mean": found.astype(np.float32)}

    def error(self, inputs: Inputs, target: Target) -> float:
        """Mean squared error."""
        return float(np.average((self.predict(inputs)["mean"] - target.values) ** 2, weights=target.weights))

    def adds(self, inputs: Inputs) -> list[dict[str, float]]:
        """For each row, what each column adds to the number; what crossed columns add is shared out evenly."""
        codes = self.factors.codes(inputs)
        out: list[dict[str, float]] = [dict.fromkeys(inputs.matrices, 0.0) for _ in range(inputs.rows)]
        at = 0
        for crossing in self.crossings:
            effects = self.effects[at : at + len(crossing)]
            at += len(crossing)
            for row, found in zip(out, self.factors.indicators(codes, [crossing]) @ effects):
                for name in crossing.columns:
                    row[name] += float(found) / len(crossing.columns)
        if self.line is not None:
            at = 1
            for name in self.line.state:
                one = Design({name: self.line.state[name]}, _renamed(self.line, name)).transform(only(inputs, [name]))
                for row, found in zip(out, one @ self.fixed[at : at + one.shape[1]]):
                    row[name] += float(found)
                at += one.shape[1]
        return out

    def _numbers(self, inputs: Inputs) -> Inputs:
        return only(inputs, list(self.line.state) if self.line is not None else [])

    def save(self, folder: Path) -> None:
        arrays = {"effects": self.effects, "fixed": self.fixed}
        arrays |= {f"levels.{i}": v for i, v in enumerate(self.factors.levels.values())}
        arrays |= {f"keys.{i}": c.keys for i, c in enumerate(self.crossings)}
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / "mixed.safetensors")
        crossings = [list(c.columns) for c in self.crossings]
        about = {"factors": list(self.factors.levels), "crossings": crossings, "numbers": self.line is not None}
        write_json(folder / "mixed.json", about)
        if self.line is not None:
            self.line.save(folder)

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> MixedLearner:
        arrays, about = load_file(folder / "mixed.safetensors"), read_json(folder / "mixed.json")
        factors = Factors({n: arrays[f"levels.{i}"] for i, n in enumerate(about["factors"])})
        crossings = [Crossing(tuple(c), arrays[f"keys.{i}"]) for i, c in enumerate(about["crossings"])]
        line = Design.load(folder) if about["numbers"] else None
        return cls(factors, crossings, arrays["effects"], line, arrays["fixed"])


def _renamed(line: Design, name: str) -> dict[str, np.ndarray]:
    """The arrays of one column of a design, as those of its only one."""
    at = list(line.state).index(name)
    return {f"0.{n.partition('.')[2]}": a for n, a in line.arrays.items() if n.startswith(f"{at}.")}
