"""Texts from a trained product: a language model goes on with what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dapeng.core.errors import Problem, RunError
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Piece, Writing, stream
from dapeng.product.product import Product


def settings_of(**options: Any) -> Sampling:
    """Settings as a user names them. Raises RunError with the name and what is expected."""
    unknown = [n for n in options if n not in Sampling.__dataclass_fields__]
    if unknown:
        raise RunError(
            f"{unknown[0]} is no setting of writing", hint="one of " + ", ".join(Sampling.__dataclass_fields__)
        )
    if isinstance(options.get("stop"), str):
        options["stop"] = (options["stop"],)
    try:
        return Sampling(**options)
    except (ValueError, TypeError) as error:
        raise RunError(str(error)) from None


def written(product: Product, prompts: Sequence[str], settings: Sampling) -> Iterator[Piece]:
    """The texts that follow these, piece by piece as they come; `request` is the prompt's place from 1 on.

    Raises RunError where the product is no language model, or a prompt is too long.
    """
    if len(product.outputs) != 1 or not product.written or product.inputs or product.model is None:
        raise RunError(
            Problem(
                "run", "only a language model goes on with a text: one text as output, and no inputs", "dapeng predict"
            )
        )
    name = product.written[0]
    column: Any = product.outputs[name]
    writer: Any = product.model.decoders[name].writer
    product.model.eval()
    writing = Writing(writer, column.codec, writer.shape.positions or None, device=writer.matrix.device)
    for prompt in prompts:
        ids, _ = column.codec.encode([prompt])
        try:
            writing.add([column.codec.bos, *ids.tolist()], settings)
        except ValueError as error:
            raise RunError(str(error), hint="a shorter prompt") from None
    yield from stream(writing)
