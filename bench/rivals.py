"""Classical learners as their users take them, each within a budget of CPU seconds of one thread, for `bench/tables.py`.

What each needs is done for it: one-hot columns and medians for the linear model and the forest, native labels for boosted trees;
a tenth of the rows to stop early by, where it can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

MOST_LABELS = 255


def numbers_and_labels(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Both tables with labels as categories known in training, and the labels' names."""
    labels = [c for c in train.columns if not pd.api.types.is_numeric_dtype(train[c])]
    train, test = train.copy(), test.copy()
    for name in labels:
        frequent = train[name].value_counts().index[:MOST_LABELS]
        kind = pd.CategoricalDtype(sorted(map(str, frequent)))
        train[name], test[name] = (t[name].astype("string").astype(kind) for t in (train, test))
    return train, test, labels


def _encoded(labels: list[str], numbers: list[str], scale: bool) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    steps = [SimpleImputer(strategy="median", add_indicator=True), *([StandardScaler()] if scale else [])]
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=50)
    return ColumnTransformer([("n", make_pipeline(*steps), numbers), ("l", one_hot, labels)])


def _answers(model: Any, x: Any, classes: bool) -> np.ndarray:
    return model.predict_proba(x) if classes else model.predict(x)


def linear(train: Any, y: Any, test: Any, labels: list[str], classes: bool, left: Callable[[], float]) -> np.ndarray:
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline

    numbers = [c for c in train.columns if c not in labels]
    penalised = (
        LogisticRegressionCV(Cs=[0.01, 0.1, 1.0, 10.0], cv=3, max_iter=300)
        if classes
        else RidgeCV(np.logspace(-3, 3, 13))
    )
    model = make_pipeline(_encoded(labels, numbers, True), penalised).fit(train, y)
    return _answers(model, test, classes)


def forest(train: Any, y: Any, test: Any, labels: list[str], classes: bool, left: Callable[[], float]) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    numbers = [c for c in train.columns if c not in labels]
    encoder = _encoded(labels, numbers, False)
    seen, asked = encoder.fit_transform(train), encoder.transform(test)
    kind = RandomForestClassifier if classes else RandomForestRegressor
    model = kind(n_estimators=0, warm_start=True, random_state=0, min_samples_leaf=2)
    began = left()
    for trees in range(10, 501, 10):
        model.set_params(n_estimators=trees)
        model.fit(seen, y)
        each = (began - left()) / trees * 10
        if left() < 3 * each:
            break
    return _answers(model, asked, classes)


def histogram(train: Any, y: Any, test: Any, labels: list[str], classes: bool, left: Callable[[], float]) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    model = kind(max_iter=1000, early_stopping=True, random_state=0, categorical_features="from_dtype").fit(train, y)
    return _answers(model, test, classes)


def lightgbm(train: Any, y: Any, test: Any, labels: list[str], classes: bool, left: Callable[[], float]) -> np.ndarray:
    import lightgbm as lgb

    few = classes and pd.Series(y).value_counts().min() >= 2
    x, held, t, wanted = train_test_split(train, y, test_size=0.1, random_state=0, stratify=y if few else None)
    kind = lgb.LGBMClassifier if classes else lgb.LGBMRegressor

    def out_of_time(environment: Any) -> None:
        if left() < 5:
            raise lgb.callback.EarlyStopException(environment.iteration, environment.evaluation_result_list)

    model = kind(n_estimators=5000, learning_rate=0.05, n_jobs=1, random_state=0, verbose=-1)
    model.fit(x, t, eval_set=[(held, wanted)], callbacks=[lgb.early_stopping(50, verbose=False), out_of_time])
    found = _answers(model, test, classes)
    return found if not classes else _spread(found, model.classes_, np.unique(y))


def catboost(train: Any, y: Any, test: Any, labels: list[str], classes: bool, left: Callable[[], float]) -> np.ndarray:
    from catboost import CatBoostClassifier, CatBoostRegressor

    train, test = (
        t.assign(**{c: t[c].astype("string").fillna("missing").astype(object) for c in labels}) for t in (train, test)
    )
    few = classes and pd.Series(y).value_counts().min() >= 2
    x, held, t, wanted = train_test_split(train, y, test_size=0.1, random_state=0, stratify=y if few else None)

    class OutOfTime:
        def after_iteration(self, info: Any) -> bool:
            return left() > 5

    kind = CatBoostClassifier if classes else CatBoostRegressor
    model = kind(iterations=5000, thread_count=1, random_seed=0, verbose=False, allow_writing_files=False)
    model.fit(x, t, cat_features=labels, eval_set=(held, wanted), early_stopping_rounds=50, callbacks=[OutOfTime()])
    found = _answers(model, test, classes)
    return found if not classes else _spread(found, model.classes_, np.unique(y))


def _spread(found: np.ndarray, there: Any, every: Any) -> np.ndarray:
    """Probabilities of the classes that a model has seen, over all of them."""
    out = np.zeros((len(found), len(every)))
    out[:, np.searchsorted(every, np.asarray(there).ravel())] = found
    return out


RIVALS: dict[str, Callable[..., np.ndarray]] = {
    "linear": linear,
    "random forest": forest,
    "HistGradientBoosting": histogram,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
}


def answers(
    name: str, train: pd.DataFrame, test: pd.DataFrame, target: str, classes: bool, seconds: float
) -> np.ndarray:
    """Probabilities (N, A) of the sorted classes, or numbers (N,), of a rival for the rows of `test`."""
    began = time.process_time()
    y = train[target].to_numpy() if not classes else train[target].astype(str).to_numpy()
    every = np.unique(y) if classes else None
    if classes:  # a class with one row can't be on both sides of what they stop early by
        names, counts = np.unique(y, return_counts=True)
        kept = np.isin(y, names[counts >= 2])
        train, y = train[kept], y[kept]
    seen, asked, labels = numbers_and_labels(train.drop(columns=target), test.drop(columns=target))
    found = RIVALS[name](seen, y, asked, labels, classes, lambda: seconds - (time.process_time() - began))
    return found if every is None else _spread(found, np.unique(y), every)
