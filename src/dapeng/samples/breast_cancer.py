"""Cell nuclei of breast tumours."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class BreastCancer(Sample):
    """569 breast tumours, 30 measurements of their cell nuclei each."""

    type: Literal["breast_cancer"] = "breast_cancer"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = (
        "UCI: Wolberg, Mangasarian, Street and Street, Breast Cancer Wisconsin (Diagnostic), 1995 (in scikit-learn)"
    )
    rows: ClassVar = 569
    columns: ClassVar = (
        "mean_radius",
        "mean_texture",
        "mean_perimeter",
        "mean_area",
        "mean_smoothness",
        "mean_compactness",
        "mean_concavity",
        "mean_concave_points",
        "mean_symmetry",
        "mean_fractal_dimension",
        "radius_error",
        "texture_error",
        "perimeter_error",
        "area_error",
        "smoothness_error",
        "compactness_error",
        "concavity_error",
        "concave_points_error",
        "symmetry_error",
        "fractal_dimension_error",
        "worst_radius",
        "worst_texture",
        "worst_perimeter",
        "worst_area",
        "worst_smoothness",
        "worst_compactness",
        "worst_concavity",
        "worst_concave_points",
        "worst_symmetry",
        "worst_fractal_dimension",
        "diagnosis",
    )
    target: ClassVar = "diagnosis"

    def load(self) -> dict[str, Source]:
        from sklearn.datasets import load_breast_cancer

        bunch: Any = load_breast_cancer()
        names = bunch.target_names[bunch.target]
        columns = {name: pa.array(values) for name, values in zip(self.columns, bunch.data.T)}
        return {"all": part(self.type, "all", {**columns, self.target: pa.array(names.astype(str), pa.string())})}
