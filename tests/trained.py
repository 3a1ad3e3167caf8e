"""Small trained products in run folders, made once a session from real data: what serve, export, compress and explain share."""

from __future__ import annotations

import functools
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dapeng.core.files import write_yaml
from dapeng.core.run import RunFolder
from dapeng.core.spec import Spec
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.table import Frame
from dapeng.evaluate.candidates import chosen_learners
from dapeng.learners.base import Target
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.product.files import save
from dapeng.product.product import Product
from dapeng.train.network import train_network
from dapeng.train.validation import truth

REVIEWS = [
    ("a wonderful, moving film", "good"),
    ("I loved every minute of it", "good"),
    ("brilliant acting and a clever story", "good"),
    ("one of the best films this year", "good"),
    ("funny, warm and very well played", "good"),
    ("a dull and tedious mess", "bad"),
    ("I hated it from the first minute", "bad"),
    ("poor acting, no story at all", "bad"),
    ("one of the worst films this year", "bad"),
    ("boring, cold and badly played", "bad"),
]


def iris() -> pa.Table:
    from sklearn.datasets import load_iris

    d = load_iris()
    names = ["sepal length", "sepal width", "petal.length", "petal.width"]
    columns: dict[str, Any] = {n: d.data[:, i] for i, n in enumerate(names)}
    columns["wide"] = ["yes" if v > 3 else "no" for v in d.data[:, 1]]
    columns["species"] = [str(d.target_names[t]) for t in d.target]
    return pa.table(columns)


def png(array: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.round(array).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def digits(rows: int = 500) -> pa.Table:
    from sklearn.datasets import load_digits

    d = load_digits()
    pictures = [png(a * 255 / 16) for a in d.images[:rows]]
    return pa.table({"image": pa.array(pictures, pa.binary()), "label": [str(v) for v in d.target[:rows]]})


def market() -> pa.Table:
    """Days of a market: when, what was on the stalls, three prices; and what was sold, and the prices of the next day."""
    draw = np.random.default_rng(0)
    goods = ["apples", "leeks", "eggs", "honey", "tea; green"]
    days = np.datetime64("2019-03-01") + np.arange(300)
    stalls = [[g for g in goods if draw.random() < 0.6] or ["eggs"] for _ in days]
    prices = np.round(2 + np.sin(np.arange(301) / 30)[:, None] + np.arange(3) + 0.1 * draw.normal(size=(301, 3)), 2)
    sold = [[g for g in s if g != "honey"] for s in stalls]
    return pa.table(
        {
            "day": [d.item().strftime("%d/%m/%Y") for d in days],
            "stalls": stalls,
            "lots": [[f"lot {n}" for n in draw.choice(40, 3, replace=False)] for _ in days],
            "prices": prices[:-1].tolist(),
            "sold": sold,
            "tomorrow": prices[1:].tolist(),
        }
    )


def reviews() -> pa.Table:
    rows = REVIEWS * 12
    return pa.table(
        {
            "review": [r for r, _ in rows],
            "stars": [4.5 if s == "good" else 1.5 for _, s in rows],
            "mood": [s for _, s in rows],
        }
    )


@functools.cache
def place() -> Path:
    return Path(tempfile.mkdtemp(prefix="dapeng-tests-"))


def make(
    name: str,
    table: pa.Table,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    shares: dict[str, float] | None = None,
    epochs: float = 3,
    **more: Any,
) -> tuple[RunFolder, Product, pa.Table]:
    """A run folder with a trained product. shares: of network, trees, linear, for every output; the network alone if None."""
    shares = shares or {"network": 1.0}
    data = place() / f"{name}.parquet"
    pq.write_table(table, data)
    base = {"data": str(data), "inputs": inputs, "outputs": outputs, "train": {"epochs": epochs, "threads": 1}, **more}
    spec = Spec.model_validate(base)
    source = Frame(table)
    side = np.arange(table.num_rows) % 5
    wanted: dict[str, Any] = {n: (o, False) for n, o in spec.inputs.items()} | {
        n: (o, True) for n, o in spec.outputs.items()
    }
    fitted = fit_columns(source, wanted, lambda a, n: side[a : a + n] > 1)
    choices = Choices()
    ins = with_encoders({n: fitted[n] for n in spec.inputs}, table.num_rows, choices)
    outs = {n: fitted[n] for n in spec.outputs}
    store = Prepared(ins, outs, None, 0.5).store(source)
    train, valid, test = np.flatnonzero(side > 1), np.flatnonzero(side == 1), np.flatnonzero(side == 0)
    product = Product(ins, outs, None, {}, {n: dict(shares) for n in outs})
    if "network" in shares:
        torch.manual_seed(0)
        product.model = build_model(spec, ins, outs, choices)
        trained = train_network(spec, product.model, ins, outs, store, train, valid, choices)
        product.autocast = trained.autocast
        product.model.eval()
    for output, column in outs.items():
        seen = product.matrices(table.take(pa.array(train)))
        values, _ = truth(store, output, column, train)
        target = Target(column, values)
        for learner, (options, _) in chosen_learners(
            spec.model_copy(update={"model": "auto"}), output, seen, target
        ).items():
            if learner in shares:
                product.learners.setdefault(output, {})[learner] = options.fit(seen, target, None, 5.0, 0).learner
    folder = RunFolder.create(place() / "runs", name)
    write_yaml(folder.path / "spec.yaml", base)
    save(product, spec, folder, {})
    columns: dict[str, Any] = {"row": test}
    for output, column in outs.items():
        values, present = truth(store, output, column, test)
        columns |= {f"{output}.present": present, f"{output}.truth": values if values.ndim == 1 else list(values)}
    pq.write_table(pa.table(columns), folder.path / "predictions.parquet")
    folder.mark("done")
    folder.manifest()
    return folder, product, table


SMALL = {"type": "concat", "hidden": [32, 32]}
NUMBERS = ["sepal length", "sepal width", "petal.length", "petal.width"]


@functools.cache
def iris_run() -> tuple[RunFolder, Product, pa.Table]:
    """Numbers and a category, network alone."""
    inputs = {**dict.fromkeys(NUMBERS, "number"), "wide": "category"}
    return make("iris", iris(), inputs, {"species": "category"}, None, 25, fusion=SMALL)


@functools.cache
def market_run() -> tuple[RunFolder, Product, pa.Table]:
    """Dates, sets and vectors as inputs, a set and a vector as outputs; network alone."""
    inputs = {"day": "date", "stalls": "set", "lots": "set", "prices": "vector"}
    outputs = {"sold": {"type": "set", "threshold": 0.5}, "tomorrow": "vector"}
    return make("market", market(), inputs, outputs, None, 40, fusion=SMALL)


@functools.cache
def blend_run() -> tuple[RunFolder, Product, pa.Table]:
    """Network, trees and linear model; two outputs; a column with gaps."""
    table = iris()
    width = [None if i % 7 == 0 else v for i, v in enumerate(table.column("petal.width").to_pylist())]
    table = table.set_column(3, "petal.width", pa.array(width))
    inputs = {"sepal length": "number", "petal.width": "number", "wide": "category"}
    outputs = {"species": "category", "petal.length": "number"}
    shares = {"network": 0.5, "trees": 0.2, "linear": 0.3}
    return make("blend", table, inputs, outputs, shares, 10, fusion=SMALL)


@functools.cache
def trees_run() -> tuple[RunFolder, Product, pa.Table]:
    inputs = {**dict.fromkeys(NUMBERS, "number"), "wide": "category"}
    return make("trees", iris(), inputs, {"species": "category"}, {"trees": 1.0})


@functools.cache
def linear_run() -> tuple[RunFolder, Product, pa.Table]:
    """A linear model over numbers, a category and text."""
    outputs = {"mood": "category"}
    return make(
        "linear", reviews(), {"review": "text", "stars": {"type": "number", "scale": "none"}}, outputs, {"linear": 1.0}
    )


@functools.cache
def digits_run() -> tuple[RunFolder, Product, pa.Table]:
    inputs = {"image": {"type": "image", "encoder": {"type": "resnet_small", "width": 8}, "augment": "none"}}
    return make("digits", digits(), inputs, {"label": "category"}, None, 6)


@functools.cache
def reviews_run(encoder: str = "bag") -> tuple[RunFolder, Product, pa.Table]:
    """Text beside numbers; two outputs."""
    how = {"type": "transformer", "embed_dim": 16, "num_heads": 2} if encoder == "transformer" else encoder
    inputs = {"review": {"type": "text", "encoder": how}}
    return make(f"reviews-{encoder}", reviews(), inputs, {"mood": "category", "stars": "number"}, None, 20)


@functools.cache
def mixed_run() -> tuple[RunFolder, Product, pa.Table]:
    """A mixed-effects model over labels of many kinds, and a number with gaps."""
    draw = np.random.default_rng(0)
    shop, day = draw.integers(0, 60, 900), draw.integers(0, 7, 900)
    heat = [None if i % 11 == 0 else float(v) for i, v in enumerate(draw.normal(20, 5, 900))]
    sold = 50 + draw.normal(0, 8, 60)[shop] + draw.normal(0, 4, 7)[day] + draw.normal(0, 3, 900)
    table = pa.table({"shop": [f"no {s}" for s in shop], "day": day, "heat": heat, "sold": sold})
    inputs = {"shop": "category", "day": "category", "heat": "number"}
    return make("mixed", table, inputs, {"sold": "number"}, {"mixed": 1.0})
