"""Linear models and trees in a standalone export. `seen` gives each column as a classical learner sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

# --- shipped from here ---


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class Linear:
    """weights (A, k) over numbers, labels, pixels and n-grams of texts."""

    def __init__(self, folder):
        about = json.loads((Path(folder) / "linear.json").read_text("utf-8"))
        self.parts, self.classes, self.temperature = about["parts"], about["classes"], about["temperature"]
        self.gives = about.get("gives")
        arrays = Path(folder).glob("*.npy")
        self.arrays = {p.stem: np.load(p, allow_pickle=False) for p in arrays}

    def predict(self, seen):
        weights = self.arrays["weights"]
        found = np.tile(self.arrays["bias"].astype(np.float64), (seen.rows, 1))
        at = 0
        for number, part in enumerate(self.parts):
            width = part["width"]
            found += getattr(self, part["kind"])(number, part, seen, weights[:, at : at + width])
            at += width
        if self.gives == "tags":
            return 1 / (1 + np.exp(-np.clip(found, -60, 60)))
        if self.gives == "vector":
            return found
        return softmax(found * self.temperature) if self.classes else found[:, 0]

    def numbers(self, number, part, seen, weights):
        x = (seen.matrix(part["name"]).astype(np.float64) - self.arrays[f"{number}.mean"]) * self.arrays[
            f"{number}.scale"
        ]
        x = np.clip(x, -10, 10)
        gone = np.isnan(x)
        x = np.where(gone, 0.0, x)
        return np.concatenate([x, gone], 1) @ weights.T if part["gaps"] else x @ weights.T

    def category(self, number, part, seen, weights):
        codes = seen.matrix(part["name"])[:, 0].astype(np.int64)
        return weights.T[np.where(codes < part["size"], codes, 0)]

    def text(self, number, part, seen, weights):
        kept, weight = self.arrays[f"{number}.kept"], self.arrays[f"{number}.weight"]
        out = np.zeros((seen.rows, len(weights)))
        how = (part["han"], part["lowercase"], part["form"])
        for row, counts in enumerate(seen.counts(part["name"], *how)):
            places = np.array(sorted(counts), np.int64)
            found = np.minimum(np.searchsorted(kept, places), len(kept) - 1)
            known = kept[found] == places
            found, places = found[known], places[known]
            x = (1 + np.log([counts[p] for p in places.tolist()])) * weight[found]
            out[row] = weights[:, found] @ x / max(float(np.sqrt((x * x).sum())), 1e-12)
        return out


class Mixed:
    """Effects of the levels of columns, alone and crossed, beside slopes of numbers."""

    def __init__(self, folder):
        self.about = json.loads((Path(folder) / "mixed.json").read_text("utf-8"))
        self.arrays = {p.stem: np.load(p, allow_pickle=False) for p in Path(folder).glob("*.npy")}

    def predict(self, seen):
        fixed, effects = self.arrays["fixed"].astype(np.float64), self.arrays["effects"]
        found, at = np.full(seen.rows, fixed[0]), 1
        for number, part in enumerate(self.about["numbers"]):
            x = self.standardised(number, part, seen)
            found += x @ fixed[at : at + x.shape[1]]
            at += x.shape[1]
        names = self.about["factors"]
        levels = {n: self.arrays[f"levels.{i}"] for i, n in enumerate(names)}
        codes = {n: self.places(seen.matrix(n)[:, 0].astype(np.float64), levels[n]) for n in names}
        at = 0
        for number, columns in enumerate(self.about["crossings"]):
            keys, key, known = self.arrays[f"keys.{number}"], np.zeros(seen.rows, np.int64), True
            for name in columns:
                key = key * len(levels[name]) + np.maximum(codes[name], 0)
                known = known & (codes[name] >= 0)
            place = self.places(np.where(known, key, -1), keys)
            found += np.where(place >= 0, effects[at + np.maximum(place, 0)], 0.0)
            at += len(keys)
        return found

    def standardised(self, number, part, seen):
        mean, scale = self.arrays[f"numbers.{number}.mean"], self.arrays[f"numbers.{number}.scale"]
        x = np.clip((seen.matrix(part["name"]).astype(np.float64) - mean) * scale, -10, 10)
        gone = np.isnan(x)
        x = np.where(gone, 0.0, x)
        return np.concatenate([x, gone], 1) if part["gaps"] else x

    def places(self, values, known):
        at = np.minimum(np.searchsorted(known, values), len(known) - 1)
        return np.where(known[at] == values, at, -1)


class Trees:
    """A LightGBM booster."""

    def __init__(self, folder):
        import lightgbm

        about = json.loads((Path(folder) / "trees.json").read_text("utf-8"))
        self.names, self.classes, self.contrasts = about["names"], about["classes"], about.get("contrasts")
        self.tags = about.get("tags", 0)
        files = [f"trees-{i}.txt" for i in range(self.tags)] or ["trees.txt"]
        self.boosters = [lightgbm.Booster(model_str=(Path(folder) / f).read_text("utf-8")) for f in files]

    def predict(self, seen):
        parts = [seen.matrix(n).astype(np.float32) for n in self.names]
        if self.contrasts is not None:
            c = self.contrasts
            raw = np.concatenate([seen.matrix(n).astype(np.float32).astype(np.float64) for n in c["names"]], 1)
            means = np.array(c["means"])
            logs = np.log(np.maximum(raw / np.where(means > 0, means, 1.0), 0.01))
            terms = (np.where(means > 0, logs, raw) - np.array(c["centre"]))[..., None] * np.array(c["turn"])
            parts.append(terms.sum(1).clip(-6.0, 6.0).astype(np.float32))
        x = np.concatenate(parts, 1)
        every = [np.asarray(b.predict(x, num_threads=1)) for b in self.boosters]
        if self.tags:
            return np.stack(every, 1)
        found = every[0]
        return np.stack([1 - found, found], 1) if self.classes == 2 else found


class Constant:
    """The same for every row."""

    def __init__(self, folder):
        about = json.loads((Path(folder) / "constant.json").read_text("utf-8"))
        self.values, self.classes = about["values"], about["classes"]

    def predict(self, seen):
        return np.tile(self.values, (seen.rows, 1)) if self.classes else np.full(seen.rows, self.values[0])
