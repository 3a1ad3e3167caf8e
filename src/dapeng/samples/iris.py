"""Sepals and petals of three kinds of iris."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class Iris(Sample):
    """150 flowers of three kinds of iris, four lengths each."""

    type: Literal["iris"] = "iris"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = "UCI: Fisher, 1936 (in scikit-learn)"
    rows: ClassVar = 150
    columns: ClassVar = ("sepal_length", "sepal_width", "petal_length", "petal_width", "species")
    target: ClassVar = "species"

    def load(self) -> dict[str, Source]:
        from sklearn.datasets import load_iris

        bunch: Any = load_iris()
        names = bunch.target_names[bunch.target]
        columns = {name: pa.array(values) for name, values in zip(self.columns, bunch.data.T)}
        return {"all": part(self.type, "all", {**columns, self.target: pa.array(names.astype(str), pa.string())})}
