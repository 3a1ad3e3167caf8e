"""The design matrix of a linear learner: numbers standardised with a flag for missing, categories one-hot, pixels, and texts as
TF-IDF times how differently the classes use an n-gram: by the largest log-count ratio, or by the divergence of the classes among
the rows that have it from those among all.

Wang, Manning: Baselines and Bigrams, 2012 (https://aclanthology.org/P12-2018): log-count ratios. Measured on sentences and Chinese
reviews: the product beats either factor alone (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from dapeng.core.files import read_json, write_json
from dapeng.learners.base import Inputs, Target

MOST_ONE_HOT = 5_000
MOST_CLASSES = 200
LEAST_DIVERGENCE = 0.02
"""Left to n-grams that all classes use alike."""
Weighing = Literal["ratio", "divergence"]


class Design:
    """Fitted on training rows; `transform` gives (N, k) dense float32, or CSR where a column is text or has many labels."""

    def __init__(self, state: dict[str, Any], arrays: dict[str, np.ndarray]):
        self.state, self.arrays = state, arrays

    @classmethod
    def fit(cls, inputs: Inputs, target: Target | None = None, weighing: Weighing = "ratio") -> Design:
        state: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for at, (name, matrix) in enumerate(inputs.matrices.items()):
            if sp.issparse(matrix):
                seen = np.diff(matrix.tocsc().indptr)
                kept = np.flatnonzero(seen >= 1)
                arrays[f"{at}.kept"] = kept.astype(np.int64)
                idf = np.log((1 + matrix.shape[0]) / (1 + seen[kept])) + 1
                arrays[f"{at}.weight"] = (idf * _differences(matrix[:, kept], target, weighing)).astype(np.float32)
                state[name] = {"kind": "text", "size": int(matrix.shape[1])}
            elif inputs.columns[name].coded:
                size = inputs.columns[name].size  # type: ignore[attr-defined]
                state[name] = {"kind": "category", "size": int(min(size, MOST_ONE_HOT))}
            else:
                dense = np.asarray(matrix, np.float64)
                mean = np.nan_to_num(np.nanmean(dense, 0))
                std = np.nan_to_num(np.nanstd(dense, 0))
                arrays[f"{at}.mean"], arrays[f"{at}.scale"] = mean, 1 / np.where(std > 1e-12, std, np.inf)
                gaps = bool(np.isnan(dense).any())
                state[name] = {"kind": "numbers", "size": int(dense.shape[1]), "gaps": gaps}
        return cls(state, arrays)

    def transform(self, inputs: Inputs) -> Any:
        parts = [self._part(at, inputs.matrices[name], how) for at, (name, how) in enumerate(self.state.items())]
        if any(sp.issparse(p) for p in parts):
            return sp.hstack([p if sp.issparse(p) else sp.csr_matrix(p) for p in parts], format="csr")
        return np.concatenate(parts, 1) if len(parts) > 1 else parts[0]

    def _part(self, at: int, matrix: Any, how: dict[str, Any]) -> Any:
        if how["kind"] == "text":
            x = matrix[:, self.arrays[f"{at}.kept"]].astype(np.float32)
            x.data = 1 + np.log(x.data)
            x = x.multiply(self.arrays[f"{at}.weight"]).tocsr()
            norms = np.sqrt(np.asarray(x.multiply(x).sum(1)).ravel())
            return sp.diags((1 / np.maximum(norms, 1e-12)).astype(np.float32)) @ x
        if how["kind"] == "category":
            codes = np.asarray(matrix[:, 0], np.int64)
            codes = np.where(codes < how["size"], codes, 0)
            if how["size"] <= 64:
                return np.eye(how["size"], dtype=np.float32)[codes]
            ones = np.ones(len(codes), np.float32)
            return sp.csr_matrix((ones, (np.arange(len(codes)), codes)), (len(codes), how["size"]))
        dense = np.asarray(matrix, np.float64)
        x = np.clip((dense - self.arrays[f"{at}.mean"]) * self.arrays[f"{at}.scale"], -10, 10)
        gone = np.isnan(x)
        x = np.where(gone, 0.0, x).astype(np.float32)
        return np.concatenate([x, gone.astype(np.float32)], 1) if how["gaps"] else x

    def signs(self, directions: Mapping[str, int]) -> np.ndarray:
        """(k,) 1, -1 or 0 for each column of the design: those of the values of columns with a direction."""
        parts = []
        for name, how in self.state.items():
            flags = how["size"] if how.get("gaps") else 0
            parts += [np.full(how["size"], directions.get(name, 0)), np.zeros(flags, int)]
        return np.concatenate(parts)

    @property
    def text(self) -> bool:
        return any(s["kind"] == "text" for s in self.state.values())

    def save(self, folder: Path) -> None:
        write_json(folder / "design.json", self.state)
        save_file(
            {n: np.ascontiguousarray(a) for n, a in self.arrays.items()} or {"none": np.zeros(1)},
            folder / "design.safetensors",
        )

    @classmethod
    def load(cls, folder: Path) -> Design:
        return cls(read_json(folder / "design.json"), load_file(folder / "design.safetensors"))


def _differences(counts: Any, target: Target | None, weighing: Weighing) -> np.ndarray:
    """(k,) how differently the classes use an n-gram; 1 for each where there are no classes, or very many."""
    if target is None or not target.classes or target.classes > MOST_CLASSES:
        return np.ones(counts.shape[1])
    used = counts.copy()
    used.data = np.ones_like(used.data)
    of_class = sp.csr_matrix(
        (np.ones(len(target.values)), (target.values, np.arange(len(target.values)))), (target.classes, counts.shape[0])
    )
    inside = np.asarray((of_class @ used).todense())
    return _log_ratios(inside) if weighing == "ratio" else _divergences(inside, np.asarray(of_class.sum(1)))


def _log_ratios(counts: np.ndarray) -> np.ndarray:
    """(k,) largest |log ratio| over the classes of an n-gram's share among a class' n-grams to that among the others'."""
    inside = counts + 1.0
    outside = inside.sum(0) - inside + 1.0
    ratios = np.abs(np.log(inside / inside.sum(1, keepdims=True)) - np.log(outside / outside.sum(1, keepdims=True)))
    return ratios.max(0)


def _divergences(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(k,) root of the divergence (Kullback, Leibler) of the classes where an n-gram is from the classes of all rows (A, 1)."""
    seen = rows[:, 0] > 0
    share = (rows / rows.sum())[seen]
    here = (counts[seen] + share) / (counts[seen].sum(0) + 1)
    return np.sqrt((here * np.log(here / share)).sum(0) + LEAST_DIVERGENCE)
