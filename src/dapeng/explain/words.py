"""What the words of a text add for a classical learner, whose n-grams are hashed: each word is left out once.

Li, Monroe, Jurafsky: Understanding Neural Networks through Representation Erasure, 2016 (https://arxiv.org/abs/1612.08220).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dapeng.columns.tokenisers import WORD
from dapeng.product.product import Product

MOST_WORDS = 200


def left_out(
    product: Product, row: pa.Table, base: Any, output: str, member: str, label: int | None
) -> dict[str, list[dict[str, Any]]]:
    """By text column of one row: each word in order, and how much lower the answer is without it."""
    learner = product.learners[output][member]
    found = {}
    for name, column in product.inputs.items():
        text = row.column(name)[0].as_py() if column.type == "text" else None
        words = list(WORD.finditer(text))[:MOST_WORDS] if isinstance(text, str) else []
        if not words or text is None:
            continue
        texts = [text, *(text[: w.start()] + text[w.end() :] for w in words)]
        many = row.take(pa.array([0] * len(texts)))
        many = many.set_column(many.column_names.index(name), name, pa.array(texts))
        answer = learner.predict(product.matrices(many, base))
        values = (
            answer["probabilities"][:, label] if label is not None else answer["mean"].reshape(len(texts), -1).mean(1)
        )
        found[name] = [{"token": w.group(), "weight": float(values[0] - v)} for w, v in zip(words, values[1:])]
    return found
