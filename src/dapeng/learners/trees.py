"""Gradient-boosted trees (LightGBM): what often wins on tables. Beside the columns they see what number columns that rise together
differ in (`dapeng.nn.contrasts`): a tree cuts along one column at a time, and would need a stair for a ratio.

Ke et al.: LightGBM, 2017 (https://papers.nips.cc/paper/6907). Kept in LightGBM's own text format.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json, write_text
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target

MOST_FEATURES = 2_000
MOST_TAGS = 60
"""Labels of a set that get trees of their own, one after the other."""
SMALL = 10_000
MOST_CONTRASTS = 4
FLOOR, FAR = 0.01, 6.0
"""As in `dapeng.nn.contrasts`, which is not imported where a model without a network predicts."""


@learners
class Trees(LearnerOptions):
    """Gradient-boosted trees, stopped early on the validation rows.

    Paper: Ke et al., 2017, https://papers.nips.cc/paper/6907
    Example: `model: trees`
    """

    type: Literal["trees"] = "trees"
    fits: ClassVar[tuple[str, ...]] = ("category", "number", "set")
    product: ClassVar[bool] = True
    directed: ClassVar[bool] = True
    rounds: int = Field(2000, ge=1, le=1_000_000)
    """Most trees a class; fewer where the validation rows or the time say so."""
    learning_rate: float | Literal["auto"] = Field("auto", gt=0, le=10)
    """auto: 0.05; 0.1 over 200,000 rows."""
    num_leaves: int | Literal["auto"] = Field("auto", ge=2, le=100_000)
    """auto: 31; 15 under 10,000 rows, where leaves also lean towards their parents."""
    min_child_samples: int | Literal["auto"] = Field("auto", ge=1)
    """Fewest rows of a leaf. auto: 20, fewer under 1,000 rows."""
    subsample: float = Field(0.9, gt=0, le=1)
    colsample: float = Field(0.8, gt=0, le=1)

    def reads(self, inputs: Inputs, target: Target) -> bool:
        """Tables, and pictures of few pixels; n-grams of texts are too many columns, and so may labels be."""
        if target.tags > MOST_TAGS:
            return False
        return any(m.shape[1] <= MOST_FEATURES and isinstance(m, np.ndarray) for m in inputs.matrices.values())

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        if target.tags:
            return self._fit_tags(inputs, target, valid, seconds, seed)
        lgb = _lightgbm()
        began = time.process_time()
        if valid is None or valid[0].rows < 20:
            inputs, target, valid = _held_out(inputs, target, seed)
        names = self._names(inputs)
        contrasts = Contrasts.fit(inputs, names)
        x, categories = table_of(inputs, names, contrasts)
        train = lgb.Dataset(
            x, target.values, weight=target.weights, categorical_feature=categories, free_raw_data=False
        )
        seen = table_of(valid[0], names, contrasts)[0]
        checked = lgb.Dataset(seen, valid[1].values, weight=valid[1].weights, reference=train)
        parameters = {**self._parameters(target, len(x), seed), **_directed(inputs, target, names, x.shape[1])}
        stops = [lgb.early_stopping(50, verbose=False), _until(began + seconds)]
        booster = lgb.train(parameters, train, self.rounds, valid_sets=[checked], callbacks=stops)
        best = booster.best_iteration or booster.current_iteration()
        learner = TreesLearner(booster.model_to_string(num_iteration=best), names, target.classes, contrasts)
        return Fitted(learner, time.process_time() - began, f"{best} rounds", {"rounds": best})

    def _fit_tags(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        """Trees for each label against its absence, over one binned table."""
        lgb = _lightgbm()
        began = time.process_time()
        if valid is None or valid[0].rows < 20:
            inputs, target, valid = _held_out(inputs, target, seed)
        names = self._names(inputs)
        contrasts = Contrasts.fit(inputs, names)
        x, categories = table_of(inputs, names, contrasts)
        seen = table_of(valid[0], names, contrasts)[0]
        parameters = {**self._parameters(target, len(x), seed), "objective": "binary"}
        train, checked = _datasets(lgb, (x, target.weights), (seen, valid[1].weights), categories, parameters)
        texts, rounds = [], []
        for label in range(target.tags):
            train.set_label(target.values[:, label].astype(np.float32))
            checked.set_label(valid[1].values[:, label].astype(np.float32))
            left = (seconds - (time.process_time() - began)) / (target.tags - label)
            stops = [lgb.early_stopping(30, verbose=False), _until(time.process_time() + max(left, 0.05))]
            booster = lgb.train(parameters, train, self.rounds, valid_sets=[checked], callbacks=stops)
            rounds.append(booster.best_iteration or booster.current_iteration())
            texts.append(booster.model_to_string(num_iteration=rounds[-1]))
        note = f"{min(rounds)} to {max(rounds)} rounds a label"
        learner = TreesLearner(texts, names, 0, contrasts)
        return Fitted(learner, time.process_time() - began, note, {"rounds": rounds})

    def _refit_tags(self, fitted: Fitted, inputs: Inputs, target: Target, seed: int) -> Fitted:
        lgb = _lightgbm()
        began = time.process_time()
        names = self._names(inputs)
        contrasts = Contrasts.fit(inputs, names)
        x, categories = table_of(inputs, names, contrasts)
        parameters = {**self._parameters(target, len(x), seed), "objective": "binary"}
        train, _ = _datasets(lgb, (x, target.weights), None, categories, parameters)
        texts = []
        for label, rounds in enumerate(fitted.facts["rounds"]):
            train.set_label(target.values[:, label].astype(np.float32))
            texts.append(lgb.train(parameters, train, max(1, round(rounds * 1.1))).model_to_string())
        learner = TreesLearner(texts, names, 0, contrasts)
        return Fitted(learner, fitted.cpu_seconds + time.process_time() - began, fitted.note, fitted.facts)

    def refit(self, fitted: Fitted, inputs: Inputs, target: Target, seed: int) -> Fitted:
        """As many rounds as the validation rows chose, a tenth more for a tenth more rows."""
        if target.tags:
            return self._refit_tags(fitted, inputs, target, seed)
        lgb = _lightgbm()
        began = time.process_time()
        names = self._names(inputs)
        contrasts = Contrasts.fit(inputs, names)
        x, categories = table_of(inputs, names, contrasts)
        train = lgb.Dataset(x, target.values, weight=target.weights, categorical_feature=categories)
        rounds = max(1, round(fitted.facts["rounds"] * 1.1))
        parameters = {**self._parameters(target, len(x), seed), **_directed(inputs, target, names, x.shape[1])}
        booster = lgb.train(parameters, train, rounds)
        learner = TreesLearner(booster.model_to_string(), names, target.classes, contrasts)
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
        small = rows < SMALL
        leaves = self.num_leaves if self.num_leaves != "auto" else 15 if small else 31
        least = self.min_child_samples if self.min_child_samples != "auto" else max(2, min(20, rows // 50))
        parameters: dict[str, Any] = {
            "objective": _objective(target),
            "learning_rate": rate,
            "num_leaves": leaves,
            "path_smooth": 10.0 if small else 0.0,
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


def _directed(inputs: Inputs, target: Target, names: list[str], width: int) -> dict[str, Any]:
    """Constraints of the table's columns, where some may only rise or fall with the prediction; the contrasts have none."""
    if not any(n in inputs.directions for n in names):
        return {}
    signs = [inputs.directions.get(n, 0) * target.sign for n in names for _ in range(inputs.matrices[n].shape[1])]
    return {"monotone_constraints": signs + [0] * (width - len(signs)), "monotone_constraints_method": "advanced"}


def _lightgbm() -> Any:
    """LightGBM's wheel lacks libgomp: scikit-learn, loaded first, brings one."""
    importlib.import_module("sklearn.ensemble")
    return importlib.import_module("lightgbm")


def _datasets(
    lgb: Any,
    train: tuple[np.ndarray, np.ndarray | None],
    valid: tuple[np.ndarray, np.ndarray | None] | None,
    categories: list[int],
    parameters: dict[str, Any],
) -> tuple[Any, Any]:
    """Rows and their weights, binned once for all labels; these are set later."""
    about = {"categorical_feature": categories, "params": parameters, "free_raw_data": False}
    first = lgb.Dataset(train[0], np.zeros(len(train[0])), weight=train[1], **about).construct()
    if valid is None:
        return first, None
    zeros = np.zeros(len(valid[0]))
    return first, lgb.Dataset(valid[0], zeros, weight=valid[1], reference=first, **about).construct()


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


@dataclass
class Contrasts:
    """What number columns that rise together differ in: (N, C) out of K columns, nan where one is missing.

    means: of the columns that have logarithms, else 0. centre (K,), turn (K, C).
    """

    names: list[str]
    means: np.ndarray
    centre: np.ndarray
    turn: np.ndarray

    @classmethod
    def fit(cls, inputs: Inputs, names: list[str]) -> Contrasts | None:
        """Those of training rows; None where there are none."""
        from dapeng.nn.contrasts import FEWEST_ROWS, directions

        # a column with a promise to keep must not come back in disguise
        numbers = [n for n in names if inputs.columns[n].amounts and not inputs.columns[n].direction]
        if len(numbers) < 2:
            return None
        x = np.concatenate([np.asarray(inputs.matrices[n], np.float64) for n in numbers], 1)
        x = x[~np.isnan(x).any(1)]
        if len(x) < FEWEST_ROWS * len(numbers):
            return None
        means = np.where((x.min(0) >= 0) & (x.mean(0) > 0), x.mean(0), 0.0)
        found = cls(numbers, means, np.zeros(len(numbers)), np.zeros((len(numbers), 0)))
        found.centre, found.turn = directions(found._scaled(x), min(MOST_CONTRASTS, len(numbers) - 1))
        return found if found.turn.shape[1] else None

    def terms(self, inputs: Inputs) -> np.ndarray:
        """(N, K, C): what each column adds."""
        x = np.concatenate([np.asarray(inputs.matrices[n], np.float64) for n in self.names], 1)
        return (self._scaled(x) - self.centre)[..., None] * self.turn

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        logs = self.means > 0
        return np.where(logs, np.log(np.maximum(x / np.where(logs, self.means, 1.0), FLOOR)), x)

    def plain(self) -> dict[str, Any]:
        arrays = {k: getattr(self, k).tolist() for k in ("means", "centre", "turn")}
        return {"names": self.names, **arrays}

    @classmethod
    def of(cls, plain: dict[str, Any] | None) -> Contrasts | None:
        if plain is None:
            return None
        return cls(plain["names"], *(np.array(plain[k]) for k in ("means", "centre", "turn")))


def table_of(inputs: Inputs, names: list[str], contrasts: Contrasts | None) -> tuple[np.ndarray, list[int]]:
    """(N, k) float32 with nan for missing, the contrasts last, and which of its columns are categories."""
    parts = [np.asarray(inputs.matrices[n], np.float32) for n in names]
    if contrasts is not None:
        parts.append(contrasts.terms(inputs).sum(1).clip(-FAR, FAR).astype(np.float32))
    categories, at = [], 0
    for name in names:
        if inputs.columns[name].coded:
            categories.append(at)
        at += inputs.matrices[name].shape[1]
    return np.concatenate(parts, 1), categories


class TreesLearner(Learner):
    """A booster as text, or one for each label of a set; the columns that they read, and their contrasts."""

    name = "trees"

    def __init__(self, text: str | list[str], names: list[str], classes: int, contrasts: Contrasts | None = None):
        lgb = _lightgbm()
        self.tags = isinstance(text, list)
        self.texts = text if isinstance(text, list) else [text]
        self.names, self.classes, self.contrasts = names, classes, contrasts
        self.boosters = [lgb.Booster(model_str=t) for t in self.texts]

    @property
    def booster(self) -> Any:
        """The only one, where it predicts no set."""
        return self.boosters[0]

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        x = table_of(inputs, self.names, self.contrasts)[0]
        if self.tags:
            every = [np.asarray(b.predict(x, num_threads=1), np.float32) for b in self.boosters]
            return {"probabilities": np.stack(every, 1)}
        found: Any = self.booster.predict(x, num_threads=1)
        if not self.classes:
            return {"mean": found.astype(np.float32)}
        if self.classes == 2:
            found = np.stack([1 - found, found], 1)
        return {"probabilities": found.astype(np.float32)}

    def save(self, folder: Path) -> None:
        for number, text in enumerate(self.texts):
            write_text(folder / (f"trees-{number}.txt" if self.tags else "trees.txt"), text)
        contrasts = None if self.contrasts is None else self.contrasts.plain()
        about = {"names": self.names, "classes": self.classes, "contrasts": contrasts}
        write_json(folder / "trees.json", {**about, "tags": len(self.texts) if self.tags else 0})

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> TreesLearner:
        about = read_json(folder / "trees.json")
        tags = about.get("tags", 0)
        files = [folder / f"trees-{i}.txt" for i in range(tags)] or [folder / "trees.txt"]
        texts = [file.read_text(encoding="utf-8") for file in files]
        return cls(texts if tags else texts[0], about["names"], about["classes"], Contrasts.of(about.get("contrasts")))
