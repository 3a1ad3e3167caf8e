"""Gradient-boosted trees (LightGBM): what often wins on tables.

Ke et al.: LightGBM, 2017 (https://papers.nips.cc/paper/6907). Kept in LightGBM's own text format.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json, write_text
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target

MOST_FEATURES = 2_000


@learners
class Trees(LearnerOptions):
    """Gradient-boosted trees, stopped early on the validation rows.

    Paper: Ke et al., 2017, https://papers.nips.cc/paper/6907
    Example: `model: trees`
    """

    type: Literal["trees"] = "trees"
    fits: ClassVar[tuple[str, ...]] = ("category", "number")
    product: ClassVar[bool] = True
    rounds: int = Field(2000, ge=1, le=1_000_000)
    """Most trees a class; fewer where the validation rows or the time say so."""
    learning_rate: float | Literal["auto"] = Field("auto", gt=0, le=10)
    """auto: 0.05; 0.1 over 200,000 rows."""
    num_leaves: int = Field(31, ge=2, le=100_000)
    min_child_samples: int | Literal["auto"] = Field("auto", ge=1)
    """Fewest rows of a leaf. auto: 20, fewer under 1,000 rows."""
    subsample: float = Field(0.9, gt=0, le=1)
    colsample: float = Field(0.8, gt=0, le=1)

    def reads(self, inputs: Inputs, target: Target) -> bool:
        """Tables, and pictures of few pixels; n-grams of texts are too many columns."""
        return any(m.shape[1] <= MOST_FEATURES and isinstance(m, np.ndarray) for m in inputs.matrices.values())

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        lgb = _lightgbm()
        began = time.process_time()
        if valid is None or valid[0].rows < 20:
            inputs, target, valid = _held_out(inputs, target, seed)
        names = self._names(inputs)
        x, categories = _table(inputs, names)
        train = lgb.Dataset(
            x, target.values, weight=target.weights, categorical_feature=categories, free_raw_data=False
        )
        checked = lgb.Dataset(_table(valid[0], names)[0], valid[1].values, weight=valid[1].weights, reference=train)
        parameters = self._parameters(target, len(x), seed)
        stops = [lgb.early_stopping(50, verbose=False), _until(began + seconds)]
        booster = lgb.train(parameters, train, self.rounds, valid_sets=[checked], callbacks=stops)
        best = booster.best_iteration or booster.current_iteration()
        learner = TreesLearner(booster.model_to_string(num_iteration=best), names, target.classes)
        return Fitted(learner, time.process_time() - began, f"{best} rounds", {"rounds": best})

    def refit(self, fitted: Fitted, inputs: Inputs, target: Target, seed: int) -> Fitted:
        """As many rounds as the validation rows chose, a tenth more for a tenth more rows."""
        lgb = _lightgbm()
        began = time.process_time()
        names = self._names(inputs)
        x, categories = _table(inputs, names)
        train = lgb.Dataset(x, target.values, weight=target.weights, categorical_feature=categories)
        rounds = max(1, round(fitted.facts["rounds"] * 1.1))
        booster = lgb.train(self._parameters(target, len(x), seed), train, rounds)
        learner = TreesLearner(booster.model_to_string(), names, target.classes)
        return Fitted(learner, fitted.cpu_seconds + time.process_time() - began, f"{rounds} rounds", fitted.facts)

    @staticmethod
    def _names(inputs: Inputs) -> list[str]:
        return [n for n, m in inputs.matrices.items() if isinstance(m, np.ndarray) and m.shape[1] <= MOST_FEATURES]

    def _parameters(self, target: Target, rows: int, seed: int) -> dict[str, Any]:
        rate = (
            self.learning_rate
            if self.learning_rate != "auto"
            else (0.1 if rows > 200_000 or target.classes > 5 else 0.05)
        )
        least = self.min_child_samples if self.min_child_samples != "auto" else max(2, min(20, rows // 50))
        parameters: dict[str, Any] = {
            "objective": _objective(target),
            "learning_rate": rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": least,
            "subsample": self.subsample,
            "subsample_freq": 1,
            "colsample_bytree": self.colsample,
            "seed": seed,
            "num_threads": 1,
            "verbosity": -1,
            "deterministic": True,
            "force_row_wise": True,
            "min_data_per_group": 20,
            "cat_smooth": 30.0,
            "cat_l2": 30.0,
            "max_bin": 255,
        }
        if target.classes > 2:
            parameters["num_class"] = target.classes
        return parameters


def _lightgbm() -> Any:
    """LightGBM's wheel lacks libgomp: scikit-learn, loaded first, brings one."""
    importlib.import_module("sklearn.ensemble")
    return importlib.import_module("lightgbm")


def _objective(target: Target) -> str:
    return "regression" if not target.classes else "binary" if target.classes == 2 else "multiclass"


def _until(deadline: float) -> Any:
    """A LightGBM callback that stops at a time (CPU seconds of the process)."""
    lgb = _lightgbm()

    def stop(env: Any) -> None:
        if time.process_time() > deadline:
            raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    stop.order = 100  # type: ignore[attr-defined]
    return stop


def _held_out(inputs: Inputs, target: Target, seed: int) -> tuple[Inputs, Target, tuple[Inputs, Target]]:
    """A tenth of the rows to stop early by."""
    from dapeng.data.draws import permutation

    order = permutation(inputs.rows, seed, 11)
    cut = max(1, inputs.rows // 10)
    return inputs.take(order[cut:]), target.take(order[cut:]), (inputs.take(order[:cut]), target.take(order[:cut]))


def _table(inputs: Inputs, names: list[str]) -> tuple[np.ndarray, list[int]]:
    """(N, k) float32 with nan for missing, and which of its columns are categories."""
    x = np.concatenate([np.asarray(inputs.matrices[n], np.float32) for n in names], 1)
    categories, at = [], 0
    for name in names:
        if inputs.columns[name].type == "category":
            categories.append(at)
        at += inputs.matrices[name].shape[1]
    return x, categories


class TreesLearner(Learner):
    """A booster as text, and the columns that it reads."""

    name = "trees"

    def __init__(self, text: str, names: list[str], classes: int):
        lgb = _lightgbm()
        self.text, self.names, self.classes = text, names, classes
        self.booster = lgb.Booster(model_str=text)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        found: Any = self.booster.predict(_table(inputs, self.names)[0], num_threads=1)
        if not self.classes:
            return {"mean": found.astype(np.float32)}
        if self.classes == 2:
            found = np.stack([1 - found, found], 1)
        return {"probabilities": found.astype(np.float32)}

    def save(self, folder: Path) -> None:
        write_text(folder / "trees.txt", self.text)
        write_json(folder / "trees.json", {"names": self.names, "classes": self.classes})

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> TreesLearner:
        about = read_json(folder / "trees.json")
        return cls((folder / "trees.txt").read_text(encoding="utf-8"), about["names"], about["classes"])
