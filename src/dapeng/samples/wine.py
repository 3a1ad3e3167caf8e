"""Chemistry of wines from three growers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class Wine(Sample):
    """178 wines of three growers, 13 chemical measurements each."""

    type: Literal["wine"] = "wine"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = "UCI: Aeberhard and Forina, Wine, 1992 (in scikit-learn)"
    rows: ClassVar = 178
    columns: ClassVar = (
        "alcohol",
        "malic_acid",
        "ash",
        "alcalinity_of_ash",
        "magnesium",
        "total_phenols",
        "flavanoids",
        "nonflavanoid_phenols",
        "proanthocyanins",
        "color_intensity",
        "hue",
        "od280_od315_of_diluted_wines",
        "proline",
        "grower",
    )
    target: ClassVar = "grower"

    def load(self) -> dict[str, Source]:
        from sklearn.datasets import load_wine

        bunch: Any = load_wine()
        names = bunch.target_names[bunch.target]
        columns = {name: pa.array(values) for name, values in zip(self.columns, bunch.data.T)}
        return {"all": part(self.type, "all", {**columns, self.target: pa.array(names.astype(str), pa.string())})}
