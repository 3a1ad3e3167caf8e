"""Linear models: logistic or ridge regression; on n-grams of texts a support vector machine with fitted probabilities.

Texts: Joachims, 1998; Wang, Manning: Baselines and Bigrams, 2012. Probabilities: Platt, 1999, one temperature for all classes.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from safetensors.numpy import load_file, save_file

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.design import Design, Weighing
from dapeng.learners.signed import fit_signed

Gives = Literal["one", "tags", "number", "vector"]
AT_ONCE = 2**14
"""Rows that are multiplied at once, in double precision."""
MOST_TAGS = 300
"""Labels of a set that are learnt one after the other."""


@learners
class Linear(LearnerOptions):
    """Logistic or ridge regression over all columns; a linear support vector machine where there is text.

    Example: `model: linear`
    """

    type: Literal["linear"] = "linear"
    fits: ClassVar[tuple[str, ...]] = ("category", "number", "set", "vector")
    product: ClassVar[bool] = True
    directed: ClassVar[bool] = True
    strength: list[float] = Field(default=[], max_length=20)
    """Inverse regularisations (C) to try on the validation rows. auto: a few."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return target.tags <= MOST_TAGS

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        design = Design.fit(inputs, target)
        strengths = self.strength or ([0.1, 0.3, 1.0] if design.text else [0.01, 0.1, 1.0])
        if target.tags and design.text and not self.strength:
            strengths = [3.0, 10.0, 30.0]  # of logistic regression on vectors of length 1
        if valid is None or not valid[0].rows:
            strengths, valid = ([0.3] if design.text else [1.0]), None
        ways: tuple[Weighing, ...] = ("ratio",)
        if design.text and target.classes > 2 and valid is not None:
            ways = ("ratio", "divergence")
        best: tuple[float, LinearLearner, dict[str, Any]] | None = None
        for weighing in ways:
            design = design if weighing == "ratio" else Design.fit(inputs, target, weighing)
            x, fit_one = design.transform(inputs), _way(target, design, inputs)
            checked = None if valid is None else (design.transform(valid[0]), valid[1].values)
            for c in strengths:
                weights, bias = fit_one(x, target, c, seed)
                learner = LinearLearner(design, weights, bias, target.classes, 1.0, _gives(target))
                if checked is not None and target.classes:
                    learner.temperature = _temperature(learner.margins(checked[0]), checked[1])
                found = 0.0 if checked is None else learner.goodness(*checked)
                if best is None or found > best[0]:
                    best = (found, learner, {"strength": c, "weighing": weighing})
                if time.process_time() - began > seconds / (1 + len(ways)):
                    break
        assert best is not None
        how = f"C = {best[2]['strength']:g}" + (f", n-grams by {best[2]['weighing']}" if len(ways) > 1 else "")
        return Fitted(best[1], time.process_time() - began, how, best[2])

    def refit(self, fitted: Fitted, inputs: Inputs, target: Target, seed: int) -> Fitted:
        """The chosen strength and sharpness, on all rows."""
        began = time.process_time()
        design = Design.fit(inputs, target, fitted.facts["weighing"])
        fit_one = _way(target, design, inputs)
        weights, bias = fit_one(design.transform(inputs), target, fitted.facts["strength"], seed)
        temperature = fitted.learner.temperature  # type: ignore[attr-defined]
        learner = LinearLearner(design, weights, bias, target.classes, temperature, _gives(target))
        return Fitted(learner, fitted.cpu_seconds + time.process_time() - began, fitted.note, fitted.facts)


def _gives(target: Target) -> Gives:
    return "one" if target.classes else "tags" if target.tags else "vector" if target.values.ndim == 2 else "number"


def _way(target: Target, design: Design, inputs: Inputs) -> Any:
    """(x, target, strength, seed) -> weights and bias. Raises ValueError where a promise of a column can't be kept."""
    if inputs.directions:
        if design.text or target.tags or target.classes > 2 or target.values.ndim == 2:
            raise ValueError("beside texts, or for more than two classes, it can't promise to rise with a column")
        signs = design.signs({n: d * target.sign for n, d in inputs.directions.items()})
        return lambda x, target, c, seed: fit_signed(x, target, c, signs)
    if target.tags:
        return _fit_tags
    return _fit_number if not target.classes else _fit_svm if design.text else _fit_logistic


def _fit_tags(x: Any, target: Target, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression of each label against its absence; one that no row or every row has is a constant."""
    from sklearn.linear_model import LogisticRegression

    weights, bias = np.zeros((target.tags, x.shape[1]), np.float32), np.zeros(target.tags, np.float32)
    rows = len(target.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label in range(target.tags):
            y = target.values[:, label]
            if 0 < y.sum() < rows:
                solver = "liblinear" if sp.issparse(x) else "lbfgs"
                model: Any = LogisticRegression(C=c, max_iter=300, solver=solver, random_state=seed)
                model.fit(x, y, target.weights)
                weights[label], bias[label] = model.coef_[0], model.intercept_[0]
            else:
                bias[label] = np.log((y.sum() + 0.5) / (rows - y.sum() + 0.5))
    return weights, bias


def _fit_svm(x: Any, target: Target, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=c, random_state=seed, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, target.values, target.weights)
    return _spread(model, target.classes)


def _fit_logistic(x: Any, target: Target, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, target.values, target.weights)
    return _spread(model, target.classes)


def _spread(model: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(A, k) and (A,) of all classes, those that weren't seen at a margin that never wins."""
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients, intercept = (
            np.concatenate([-coefficients, coefficients]) / 2,
            np.concatenate([-intercept, intercept]) / 2,
        )
    weights, bias = np.zeros((classes, coefficients.shape[1]), np.float32), np.full(classes, -20.0, np.float32)
    weights[model.classes_], bias[model.classes_] = coefficients, intercept
    return weights, bias


def _fit_number(x: Any, target: Target, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / c, random_state=seed)
    model.fit(x, target.values, target.weights)
    return np.atleast_2d(model.coef_).astype(np.float32), np.atleast_1d(model.intercept_).astype(np.float32)


def _temperature(margins: np.ndarray, codes: np.ndarray) -> float:
    """The factor of the margins that gives the best log loss."""
    factors = np.geomspace(0.1, 20, 40)
    losses = [-np.log(_softmax(margins * f)[np.arange(len(codes)), codes] + 1e-12).mean() for f in factors]
    return float(factors[int(np.argmin(losses))])


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class LinearLearner(Learner):
    """weights (A, k) or (1, k), bias, over a design matrix. gives: one of several classes, tags, a number, or a vector."""

    name = "linear"

    def __init__(
        self,
        design: Design,
        weights: np.ndarray,
        bias: np.ndarray,
        classes: int,
        temperature: float,
        gives: Gives | None = None,
    ):
        self.design, self.weights, self.bias = design, weights, bias
        self.classes, self.temperature = classes, temperature
        self.gives: Gives = gives or ("one" if classes else "number")

    def margins(self, x: Any) -> np.ndarray:
        """(N, A) in double precision: in single, a row's last digits depend on where among others it lies."""
        weights = self.weights.T.astype(np.float64)
        parts = [np.asarray(x[i : i + AT_ONCE] @ weights) for i in range(0, x.shape[0], AT_ONCE)]
        return (np.concatenate(parts) if parts else np.zeros((0, weights.shape[1]))) + self.bias

    def goodness(self, x: Any, wanted: np.ndarray) -> float:
        found = self.margins(x)
        if self.gives == "tags":
            return -float(np.logaddexp(0, np.where(wanted, -found, found)).mean())
        if self.gives == "vector":
            return -float((((found - wanted) / (wanted.std(0) + 1e-12)) ** 2).mean())
        if self.classes:
            p = _softmax(found * self.temperature)[np.arange(len(wanted)), wanted]
            return float(np.log(p + 1e-12).mean())
        return -float(((found[:, 0] - wanted) ** 2).mean())

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        found = self.margins(self.design.transform(inputs))
        if self.classes:
            return {"probabilities": _softmax(found * self.temperature).astype(np.float32)}
        if self.gives == "tags":
            return {"probabilities": (1 / (1 + np.exp(-np.clip(found, -60, 60)))).astype(np.float32)}
        if self.gives == "vector":
            return {"mean": found.astype(np.float32)}
        return {"mean": found[:, 0].astype(np.float32)}

    def save(self, folder: Path) -> None:
        self.design.save(folder)
        save_file({"weights": np.ascontiguousarray(self.weights), "bias": self.bias}, folder / "linear.safetensors")
        write_json(
            folder / "linear.json", {"classes": self.classes, "temperature": self.temperature, "gives": self.gives}
        )

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> LinearLearner:
        arrays, about = load_file(folder / "linear.safetensors"), read_json(folder / "linear.json")
        parts = (arrays["weights"], arrays["bias"], about["classes"], about["temperature"], about.get("gives"))
        return cls(Design.load(folder), *parts)
