"""Texts from a trained product: a language model goes on with what it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dapeng.core.errors import Problem, RunError
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Piece, stream
from dapeng.product.product import Product


@dataclass
class Written:
    """A text with its tokens: of each what it reads, and the logarithm of the probability that the model gave it.

    That is of the whole vocabulary, before anything was left out. Half a character reads U+FFFD; the end, where the model chose
    it, is the last token, and reads "". end: "stop" where the text is complete, "length" where max_tokens cut it.
    """

    text: str = ""
    tokens: list[tuple[str, float]] = field(default_factory=list)
    end: Literal["stop", "length"] | None = None


@dataclass(frozen=True)
class Engine:
    """What works texts out. model: the `Steps` of `Writing`. name, weights: which it is; why: the reason, for the user."""

    model: Any
    name: str
    weights: str
    why: str


def settings_of(**options: Any) -> Sampling:
    """Settings as a user names them. Raises RunError with the name and what is expected."""
    unknown = [n for n in options if n not in Sampling.__dataclass_fields__]
    if unknown:
        raise RunError(
            f"{unknown[0]} is no setting of writing", hint="one of " + ", ".join(Sampling.__dataclass_fields__)
        )
    if isinstance(options.get("stop"), str):
        options["stop"] = (options["stop"],)
    if isinstance(options.get("schema"), (str, Path)):
        options["schema"] = _schema(Path(options["schema"]))
    try:
        return Sampling(**options)
    except (ValueError, TypeError) as error:
        raise RunError(str(error)) from None


def written(
    product: Product, prompts: Sequence[Any], settings: Sampling, engine: Engine | None = None
) -> Iterator[Piece]:
    """The texts that follow these, piece by piece as they come; `request` is the prompt's place from 1 on.

    engine: what works them out; None: the run's own network, as it was trained.

    prompts: texts, or for a model of conversations their turns ({role, content}); a text is then what a user says.
    Texts longer than what the model was trained to look at go on from their last half. Raises RunError where the product is no language model.
    """
    column, decoder = language_model(product)
    writing = decoder.writing(column.codec, None if engine is None else engine.model)
    for prompt in prompts:
        try:
            writing.add(column.asked(prompt), settings)
        except ValueError as error:
            raise RunError(str(error), hint='a text, or turns: [{"role": "user", "content": "..."}]') from None
    yield from stream(writing)


def language_model(product: Product) -> tuple[Any, Any]:
    """The written column and its decoder. Raises RunError where the product is no language model."""
    if len(product.outputs) != 1 or not product.written or product.inputs or product.model is None:
        raise _not_a_language_model(product)
    name = product.written[0]
    product.model.eval()
    return product.outputs[name], product.model.decoders[name]


def whole(product: Product, prompts: Sequence[Any], settings: Sampling, engine: Engine | None = None) -> list[Written]:
    """The texts that follow these, in their order, once all are done. Raises RunError as `written`."""
    texts = [Written() for _ in prompts]
    for piece in written(product, prompts, settings, engine):
        text = texts[piece.request - 1]
        text.text += piece.text
        codec: Any = product.outputs[product.written[0]]
        text.tokens.append(("" if piece.token is None else codec.codec.decode([piece.token]), piece.logprob))
        text.end = piece.end
    return texts


def _schema(path: Path) -> Mapping[str, Any]:
    """A JSON schema out of a file. Raises RunError with the line."""
    hint = 'a JSON schema in a file, such as {"type": "object", ...}'
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(Problem(f"{path}:{error.lineno}", f"no JSON: {error.msg}", hint)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise RunError(Problem(str(path), f"the schema can't be read: {reason}", hint)) from None


def _not_a_language_model(product: Product) -> RunError:
    """What the run is instead, and what to type."""
    made = f"this run makes {', '.join(product.outputs)} from {', '.join(product.inputs) or 'nothing'}"
    hint = "dapeng predict RUN DATA, where DATA has " + ", ".join(product.inputs)
    return RunError(
        f"only language models (one text as output, no inputs) go on with a text; {made}",
        hint=hint if product.inputs else "dapeng evaluate RUN",
    )
