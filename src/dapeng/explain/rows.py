"""What counted for single rows: columns of a table, tokens of a text, pixels of a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.table import Frame, Source
from dapeng.explain.gradients import Attribution, attribute, occlusion
from dapeng.explain.learners import contributions
from dapeng.explain.pictures import agreement, heat, picture
from dapeng.explain.words import left_out
from dapeng.product.product import NETWORK, Product

MOST_TOKENS = 200
MEAN_OF = 256


def explain_rows(product: Product, source: Source, count: int, seconds: float) -> list[dict[str, Any]]:
    """The first so many rows that can be read, one by one, until the time is spent."""
    began = time.process_time()
    read = source.read([n for n in [*product.inputs, *product.outputs] if n in source.names])
    table = read.slice(0, max(count, min(MEAN_OF, read.num_rows)))
    answer = product.predict(Frame(table, source.name, source.base))
    store = product.store(Frame(table, source.name, source.base))
    reader = Rows(store, [g.key for g in store.inputs])
    means = _means(product, reader.batch(answer.rows)) if product.model is not None and len(answer.rows) else {}
    out = []
    for at, row in enumerate(answer.rows[:count].tolist()):
        if out and time.process_time() - began > seconds:
            break
        outputs = {}
        for name in product.outputs:
            probabilities = answer.tensors[name].get("probabilities")
            label = None if probabilities is None else _said(product, name, answer.tensors[name], at)
            found: dict[str, Any] = {"prediction": product.outputs[name].in_brief(answer.values[name][at])}
            if probabilities is not None:
                found["probability"] = float(probabilities[at][label])
            if name in table.column_names:
                found["truth"] = _plain(table.column(name)[row].as_py())
            member = _counts_most(product, name)
            found |= {"explains": member, "share": product.shares[name][member]}
            if member == NETWORK:
                batch = reader.batch(np.array([row]))
                found |= _network(product, batch, table, row, name, label, means)
            else:
                labels = None if label is None else np.array([label])
                one = contributions(product, table.slice(row, 1), source.base, name, member, labels)
                found["columns"] = _sorted(one[0], table, row) if one else []
                words = left_out(product, table.slice(row, 1), source.base, name, member, label)
                found |= {"tokens": words} if words else {}
            outputs[name] = found
        out.append({"row": int(row), "outputs": outputs})
    return out


def _counts_most(product: Product, output: str) -> str:
    """The member whose answer is explained: the network, unless another one has more than half of the say."""
    shares = {m: product.shares[output][m] for m in product.members(output)}
    return max(shares, key=lambda m: (shares[m] > 0.5, m == NETWORK, shares[m]))


def _said(product: Product, output: str, tensors: Mapping[str, np.ndarray], at: int) -> int:
    """Which label is explained: the one that is said, where it is one; the likeliest of several."""
    said = product.outputs[output].said({k: v[at : at + 1] for k, v in tensors.items()})
    return int(tensors["probabilities"][at].argmax() if said is None or said.ndim > 1 else said[0])


def _means(product: Product, batch: Batch) -> dict[str, torch.Tensor]:
    """The mean embedding of each block of a table: what a row is compared with."""
    assert product.model is not None
    blocks = {g.key for g in product.groups if g.block}
    with torch.no_grad():
        return {n: e.embed(batch[n]).mean(0, keepdim=True) for n, e in product.model.encoders.items() if n in blocks}


def _network(
    product: Product,
    batch: Batch,
    table: pa.Table,
    row: int,
    output: str,
    label: int | None,
    means: dict[str, torch.Tensor],
) -> dict[str, Any]:
    found = attribute(product, batch, output, label, means)
    columns: dict[str, float] = {}
    details: dict[str, Any] = {}
    for group in product.groups:
        part = found.parts[group.key]
        if group.block:
            columns |= dict(zip(group.columns, part.reshape(len(group.columns), -1).sum(1).tolist()))
            continue
        name = group.columns[0]
        columns[name] = float(part.sum())
        kind = product.inputs[name].type
        if kind == "text":
            details.setdefault("tokens", {})[name] = _tokens(
                product.inputs[name], table.column(name)[row].as_py(), batch, group.key, part
            )
        elif kind == "image":
            details.setdefault("pictures", {})[name] = _picture(product, batch, group.key, output, label, part)
    return {"columns": _sorted(columns, table, row), **details, **_complete(found)}


def _complete(found: Attribution) -> dict[str, Any]:
    return {"of": found.answer, "baseline": found.baseline, "error": round(found.error, 5), "steps": found.steps}


def _tokens(column: Any, text: Any, batch: Batch, key: str, part: np.ndarray) -> list[dict[str, Any]]:
    """Each piece of the text with what it adds, in order."""
    cells = batch[key]
    ids = cells["ids"][0][cells["mask"][0]].tolist()
    weights = part.reshape(part.shape[0], -1).sum(1)[: len(ids)].tolist()
    pieces = column.tokens(str(text or ""))
    vocab = column.state.get("vocab")
    if vocab is not None and (len(pieces) != len(ids) or column.state["kind"] == "ngrams"):
        pieces = [vocab[i] for i in ids]  # n-grams that aren't in the vocabulary are not read at all
    return [{"token": t, "weight": float(w)} for t, w in zip(pieces, weights)][:MOST_TOKENS]


def _picture(
    product: Product, batch: Batch, key: str, output: str, label: int | None, part: np.ndarray
) -> dict[str, Any]:
    gradients = part.sum(0)
    hidden = occlusion(product, batch, key, output, label)
    return {
        "picture": picture(batch[key]["pixels"][0].numpy()),
        "heat": heat(gradients),
        "occlusion": heat(hidden),
        "agreement": round(agreement(gradients, hidden), 3),
    }


def _sorted(columns: dict[str, float], table: pa.Table, row: int) -> list[dict[str, Any]]:
    out = [{"column": n, "value": _plain(table.column(n)[row].as_py()), "adds": v} for n, v in columns.items()]
    return sorted(out, key=lambda c: -abs(c["adds"]))


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, dict, list)):
        return None
    if isinstance(value, str) and len(value) > 500:
        return value[:500] + "..."
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
