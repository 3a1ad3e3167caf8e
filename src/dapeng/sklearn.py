"""Estimators of scikit-learn that train as `dapeng.train` does: for pipelines, grid searches and cross-validation.

    from dapeng.sklearn import DapengClassifier
    from sklearn.model_selection import cross_val_score

    cross_val_score(DapengClassifier(model="trees"), X, y)

X is an array of numbers, or a data frame whose columns may hold numbers, labels, texts, pictures or dates. A fitted estimator holds
the files of its run folder (JSON, safetensors, LightGBM's text) and nothing else, so that pickling it pickles no module.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage] - what scikit-learn's own estimators use
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from dapeng.core.console import quiet
from dapeng.core.errors import DataError, Problem
from dapeng.core.run import RunFolder
from dapeng.data.infer import guess
from dapeng.data.sources.frame import as_table
from dapeng.data.table import Frame
from dapeng.product.product import Answer

__all__ = ["DapengClassifier", "DapengRegressor"]

NEEDED = (
    "run.json",
    "product.json",
    "columns.json",
    "weights.safetensors",
    "spec.yaml",
    "resolved.yaml",
    "metrics.json",
)
"""Files of a run folder that an estimator keeps, beside those of its learners."""
LEARNERS = "learners/"
QUICK = ("evaluate.baselines=[constant]", "evaluate.resamples=0")
"""scikit-learn judges; overrides may ask for more."""

_products: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Loaded products by estimator: made from its files when they are first asked, and never pickled."""


class _Estimator(BaseEstimator):
    """What classifier and regressor share. See DapengClassifier for the parameters."""

    _target: dict[str, Any]

    def __init__(
        self,
        model: str = "auto",
        *,
        time_limit: str | float | None = None,
        epochs: float | None = None,
        seed: int = 0,
        inputs: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
        runs: str | Path | None = None,
        verbose: bool = False,
    ):
        self.model, self.time_limit, self.epochs, self.seed = model, time_limit, epochs, seed
        self.inputs, self.overrides, self.runs, self.verbose = inputs, overrides, runs, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit(self, X: Any, y: np.ndarray, sample_weight: Any) -> None:
        """Train on the rows that have a weight, and keep the files of the run."""
        from dapeng.api import train

        table = self._table(X, reset=True)
        inputs = self._inputs(table)
        target, weight = _free("target", table), _free("weight", table)
        table = table.append_column(target, pa.array(y))
        columns = {}
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            table = table.append_column(weight, pa.array(weights)).filter(pa.array(weights > 0))
            columns = {weight: "weight"}
        labels = set(table.column(target).to_pylist()) if self._target["type"] == "category" else None
        if labels is not None and len(labels) < 2:
            raise ValueError("y: all rows that have a weight are of one class, so there is nothing to tell apart")
        with tempfile.TemporaryDirectory() as place, quiet(not self.verbose):
            runs = place if self.runs is None else self.runs
            spec = {"inputs": inputs, "columns": columns, "model": self.model}
            run = train(table, {target: self._target}, overrides=self._overrides(), runs=runs, **spec)
            self.files_ = _kept(run.path)
            self.run_path_ = None if self.runs is None else str(run.path)
        self.target_name_ = target
        _products.pop(self, None)

    def _overrides(self) -> list[str]:
        said = [*QUICK, f"train.seed={self.seed}"]
        said += [] if self.time_limit is None else [f"train.time_limit={self.time_limit}"]
        said += [] if self.epochs is None else [f"train.epochs={self.epochs}"]
        return [*said, *self.overrides]

    def _table(self, X: Any, reset: bool) -> pa.Table:
        """Rows as columns; of an array they are called x0, x1, ... The checks, and their texts, are scikit-learn's."""
        checked: Any = validate_data  # typed for texts alone
        if hasattr(X, "to_pandas"):  # polars, Arrow
            X = X.to_pandas()
        if isinstance(X, pd.DataFrame) and not _numeric(X):
            checked(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
            return as_table(X)
        least = 2 if reset else 1
        cells = checked(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan", ensure_min_samples=least)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(cells.shape[1])])
        return pa.table({str(n): pa.array(cells[:, i], from_pandas=True) for i, n in enumerate(names)})

    def _inputs(self, table: pa.Table) -> dict[str, Any]:
        """Columns with their types: as told, numbers as numbers, others as they look; ids and constants are left out."""
        told = dict(self.inputs or {})
        strange = [n for n in told if n not in table.column_names]
        if strange:
            raise DataError(
                Problem("inputs", f"X has no column {strange[0]!r}", f"it has {', '.join(table.column_names[:12])}")
            )
        found: dict[str, Any] = {}
        for name in table.column_names:
            kind = table.column(name).type
            plain = pa.types.is_floating(kind) or pa.types.is_integer(kind)
            seen = None if name in told or plain else guess(name, table.column(name), False)
            if seen is None or seen.role is None:
                found[name] = told.get(name, {"type": "number"} if seen is None else seen.options)
        if not found:
            raise DataError("no column of X can be read", hint="say their types: inputs={'NAME': 'text'}")
        return found

    @property
    def product_(self) -> Any:
        """The trained model with its columns, as `dapeng.load(...).product` gives it."""
        check_is_fitted(self, "files_")
        if self not in _products:
            from dapeng.product.files import load

            with tempfile.TemporaryDirectory() as place:
                _products[self] = load(_written(self.files_, Path(place) / "run"))
        return _products[self]

    def _answer(self, X: Any) -> Answer:
        """The product's answer, one row for each of X."""
        check_is_fitted(self, "files_")
        table = self._table(X, reset=False)
        with quiet(not self.verbose):
            answer = self.product_.predict(Frame(table, "X"))
        if len(answer.rows) < table.num_rows:
            row, column, reason = answer.left_out[0]
            raise DataError(Problem(f"X, row {row}", f"{column}: {reason}", "mend it, or leave the row out"))
        return answer

    def _tensor(self, X: Any, name: str) -> np.ndarray:
        return np.asarray(self._answer(X).tensors[self.target_name_][name], np.float64)

    def export(self, to: str | Path) -> RunFolder:
        """Write the run folder's files, for `dapeng.load`, `dapeng serve` and `dapeng export`."""
        check_is_fitted(self, "files_")
        return _written(self.files_, Path(to))


class DapengClassifier(ClassifierMixin, _Estimator):
    """A classifier that chooses and trains its model as `dapeng.train` does.

    model: "auto" (a network, trees and a linear model in one budget, blended where that helps), "network", "trees" or "linear".
    time_limit: "20m", or seconds. epochs: passes over the rows, for a network; None: from the data. seed: of every draw.
    inputs: types of columns of a data frame, {"title": "text"}; those not named are guessed. overrides: any key of a spec, as
    "train.batch_size=32". runs: folder to keep the run folder in; None keeps it within the estimator alone. verbose: says what
    the command says.

    After fit: classes_, n_features_in_, feature_names_in_, files_ (the run folder's files by name), run_path_, product_.
    """

    _target = {"type": "category"}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DapengClassifier:
        """X: (rows, columns). y: (rows,) labels. sample_weight: (rows,) at least 0; a row of weight 0 is left out."""
        y = self._target_of(X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._fit(X, np.array([str(c) for c in codes], object), sample_weight)
        return self

    def _target_of(self, X: Any, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None: {type(self).__name__} learns from it")
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        return y

    def predict_proba(self, X: Any) -> np.ndarray:
        """(rows, classes) probabilities, in the order of classes_; a class that had no weight has none."""
        found = self._tensor(X, "probabilities")
        out = np.zeros((len(found), len(self.classes_)))
        column = self.product_.outputs[self.target_name_]
        out[:, [int(label) for label in column.labels]] = found
        return out / out.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """(rows,) the label that the product says: the likeliest; of two labels of which one is rare, by the threshold that it chose."""
        said = self._answer(X).values[self.target_name_]
        return self.classes_[[int(label) for label in said]]


class DapengRegressor(RegressorMixin, _Estimator):
    """A regressor that chooses and trains its model as `dapeng.train` does; its parameters are DapengClassifier's."""

    _target = {"type": "number"}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DapengRegressor:
        """X: (rows, columns). y: (rows,) numbers. sample_weight: (rows,) at least 0; a row of weight 0 is left out."""
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None: {type(self).__name__} learns from it")
        numbers = column_or_1d(y, dtype=np.float64, warn=True)
        check_consistent_length(X, numbers)
        if not np.isfinite(numbers).all():
            raise ValueError("Input y contains NaN or infinity.")
        self._fit(X, numbers, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(rows,) a number for each row."""
        return self._tensor(X, "mean")


def _numeric(X: pd.DataFrame) -> bool:
    """True if every column of a data frame holds numbers, as an array would."""
    return all(isinstance(t, np.dtype) and t.kind in "iuf" for t in X.dtypes)


def _free(name: str, table: pa.Table) -> str:
    """A name that no column of X bears."""
    while name in table.column_names:
        name += "_"
    return name


def _kept(folder: Path) -> dict[str, bytes]:
    """The files of a run that a prediction needs, by name."""
    every = (f for f in sorted(folder.rglob("*")) if f.is_file())
    names = {f.relative_to(folder).as_posix(): f for f in every}
    return {n: f.read_bytes() for n, f in names.items() if n in NEEDED or n.startswith(LEARNERS)}


def _written(files: Mapping[str, bytes], to: Path) -> RunFolder:
    """The files as a run folder, with a manifest of their own."""
    for name, content in files.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(content)
    folder = RunFolder.open(to)
    folder.manifest()
    return folder
