"""MLflow: a run's settings, curves and test figures in a tracking store, written by MLflow's own client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.errors import RunError, need_extra
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.core.run import RunFolder
from dapeng.core.secrets import redacted
from dapeng.export.curves import Curves, Point, curves, settings, tested
from dapeng.export.differences import refuse_if_far

STORE = "MLFLOW_TRACKING_URI"
PARAMETERS, FIGURES, LONGEST = 100, 1000, 500
"""Most parameters and figures that MLflow takes at once, and the longest value."""
FILES = ("report.html", "MODEL_CARD.md")


@exporters
class MlFlow(ExporterOptions):
    """What a run told while it was trained, for MLflow: settings, losses, validation and test figures, the report.

    Written into a store of files beside the run (runs/mlruns), or into the one that MLFLOW_TRACKING_URI names. Folds are runs below
    the run; what an earlier export of the run left is replaced. Then: mlflow ui --backend-store-uri runs/mlruns

    Example: `dapeng export runs/reviews-0001 --format mlflow`
    """

    type: Literal["mlflow"] = "mlflow"
    predicts: ClassVar[bool] = False

    def place(self, folder: RunFolder) -> Path:
        return folder.path.parent / "mlruns"  # one store for all runs beside each other, so that they are compared

    def export_run(self, folder: RunFolder, product: Any, to: Path, rows: Any) -> dict[str, Any]:
        try:
            from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise need_extra("mlflow", "mlflow-skinny") from None
        found = curves(folder)
        named = os.environ.get(STORE) if to == self.place(folder) else None
        # MLflow has taken stores of files out of fashion; they are the one kind that needs no database
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            return _written(folder, found, named or to.absolute().as_uri(), named or str(to))
        except (MlflowException, OSError) as error:
            first = str(error).splitlines()[0][:300]
            raise RunError(
                f"MLflow can't write to {named or to}: {first}", hint=f"check {STORE}, or name --to"
            ) from None


def _written(folder: RunFolder, found: list[Curves], store: str, shown: str) -> dict[str, Any]:
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    client = MlflowClient(tracking_uri=store)
    name = str(folder.about().get("name") or folder.name)
    experiment = client.get_experiment_by_name(name)
    place = experiment.experiment_id if experiment is not None else client.create_experiment(name)
    tags = {"dapeng.run": folder.name, "dapeng.data": str(folder.about().get("data") or "")}
    for old in client.search_runs([place], f"tags.`dapeng.run` = '{folder.name}'"):
        client.delete_run(old.info.run_id)
    run = client.create_run(place, run_name=folder.name, tags=tags)
    top = run.info.run_id
    _settings(client, top, folder)
    alone = [one for one in found if one.fold is None]
    _figures(client, top, [p for one in alone for p in _named(one, len(alone))])
    _figures(client, top, [Point(n, v, 0, _now(found)) for n, v in tested(folder).items()])
    differs = [_differs(client, top, one, len(alone)) for one in alone]
    for group in dict.fromkeys(one.group for one in found if one.group):
        under = {**tags, "mlflow.parentRunId": top}
        below = client.create_run(place, run_name=f"{folder.name} {group}", tags=under).info.run_id
        phases = [one for one in found if one.group == group]
        _figures(client, below, [p for one in phases for p in _named(one, len(phases))])
        differs += [_differs(client, below, one, len(phases)) for one in phases]
        client.set_terminated(below)
    for file in FILES:
        if folder.has(file):
            client.log_artifact(top, str(folder.file(file)))
    client.set_terminated(top)
    return {
        "folder": redacted(shown),
        "experiment": name,
        "run_id": top,
        "points": sum(len(one.points) for one in found),
        "largest_difference": max(refuse_if_far(d, "what the store gives back") for d in differs),
    }


def _now(found: list[Curves]) -> float:
    return max(p.seconds for one in found for p in one.points)


def _settings(client: Any, run: str, folder: RunFolder) -> None:
    from mlflow.entities import Param  # pyright: ignore[reportMissingImports]

    every = [Param(_allowed(key), value[:LONGEST]) for key, value in settings(folder).items()]
    for some in _parts(every, PARAMETERS):
        client.log_batch(run, params=some)


def _figures(client: Any, run: str, points: list[Point]) -> None:
    from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

    every = [Metric(_allowed(p.name), p.value, int(p.seconds * 1000), p.step) for p in points]
    for some in _parts(every, FIGURES):
        client.log_batch(run, metrics=some)


def _named(one: Curves, phases: int) -> list[Point]:
    """Points by the name that they have in the store: of several phases, each has names of its own."""
    if phases < 2:
        return one.points
    return [Point(f"phase {one.phase}/{p.name}", p.value, p.step, p.seconds) for p in one.points]


def _parts(every: list[Any], size: int) -> Iterable[list[Any]]:
    return (every[i : i + size] for i in range(0, len(every), size))


def _allowed(name: str) -> str:
    """A name of those letters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)[:250]


def _differs(client: Any, run: str, one: Curves, phases: int) -> float:
    """The largest difference between what was told and what the store gives back."""
    told = _named(one, phases)
    found: dict[tuple[str, int], float] = {}
    for name in dict.fromkeys(_allowed(p.name) for p in told):
        found.update({(name, m.step): m.value for m in client.get_metric_history(run, name)})
    pairs = [(p.value, found.get((_allowed(p.name), p.step), np.inf)) for p in told]
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
