"""Texts from a trained product: a language model goes on with what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dapeng.core.errors import RunError
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


def written(product: Product, prompts: Sequence[Any], settings: Sampling) -> Iterator[Piece]:
    """The texts that follow these, piece by piece as they come; `request` is the prompt's place from 1 on.

    prompts: texts, or for a model of conversations their turns ({role, content}); a text is then what a user says.
    Texts longer than what the model was trained to look at go on from their last half. Raises RunError where the product is no language model.
    """
    if len(product.outputs) != 1 or not product.written or product.inputs or product.model is None:
        raise _not_a_language_model(product)
    name = product.written[0]
    column: Any = product.outputs[name]
    decoder: Any = product.model.decoders[name]
    writer = decoder.writer
    product.model.eval()
    writing = Writing(writer, column.codec, device=writer.matrix.device, window=decoder.window)
    for prompt in prompts:
        try:
            writing.add(column.asked(prompt), settings)
        except ValueError as error:
            raise RunError(str(error), hint='a text, or turns: [{"role": "user", "content": "..."}]') from None
    yield from stream(writing)


def _not_a_language_model(product: Product) -> RunError:
    """What the run is instead, and what to type."""
    wanted = "a language model: one text as output, and no inputs"
    made = f"this run makes {', '.join(product.outputs)} from {', '.join(product.inputs) or 'nothing'}"
    hint = "dapeng predict RUN DATA, where DATA has " + ", ".join(product.inputs)
    return RunError(
        f"only {wanted} goes on with a text; {made}", hint=hint if product.inputs else "dapeng evaluate RUN"
    )
