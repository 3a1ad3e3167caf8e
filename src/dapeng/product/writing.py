"""Texts from a trained product: a language model goes on with what it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dapeng.core.errors import DataError, Problem, RunError
from dapeng.data.table import Source
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


DRAW = ("temperature", "top_k", "top_p", "min_p")
"""Settings that speak of draws: where one is given, tokens are drawn; else the likeliest is taken."""


def asked(product: Product, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of predictions as decoders take them: settings of writing, where there are some, as one. For runs that read something.

    Raises RunError for an option that nothing in this run takes.
    """
    decoders: Any = {} if product.model is None else product.model.decoders
    takes = frozenset().union(*(decoders[n].takes for n in decoders))
    names = set(Sampling.__dataclass_fields__) if "settings" in takes else set()
    for name in options:
        if name not in takes | names:
            known = sorted(takes - {"settings"} | names)
            hint = "it takes " + ", ".join(known) if known else "leave it out"
            raise RunError(f"{name} is no option of this run, which makes {', '.join(product.outputs)}", hint=hint)
    given = {n: v for n, v in options.items() if n in names and v is not None}
    rest = {n: v for n, v in options.items() if n not in names or n in takes}
    _refuse_no_number(rest)
    if not given.keys() - {"seed"}:
        return rest
    given.setdefault("temperature", 1.0 if any(n in given for n in DRAW) else 0.0)
    return {**rest, "settings": settings_of(**given)}


def _refuse_no_number(options: Mapping[str, Any]) -> None:
    """Raise RunError for a number of beams, or a length penalty, that is none."""
    for name, kind, low in (("beams", int, 1), ("length_penalty", (int, float), 0)):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or value < low):
            expected = "a whole number, 1 or more" if kind is int else "a number, 0 or more"
            raise RunError(f"{name}: expected {expected}, found {value!r}")


def continued(product: Product, source: Source, options: Mapping[str, Any], engine: Engine | None = None) -> pa.Table:
    """What a language model writes behind the text of each row of a column of its output's name, as a table with this column.

    Of a model of conversations a row is what a user says, or turns. Raises RunError as `written`, DataError where the column is missing.
    """
    column, _ = language_model(product)
    if column.name not in source.names:
        hint = f"a column {column.name} with texts to go on with, or dapeng chat RUN --prompt 'Once'"
        raise DataError(Problem(source.name, f"has no column {column.name!r}", hint))
    prompts = [c or "" for c in source.read([column.name]).column(column.name).to_pylist()]
    texts = whole(product, prompts, settings_of(**options), engine)
    return pa.table({column.name: pa.array([t.text for t in texts], pa.string())})


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
    if not product.goes_on:
        raise _not_a_language_model(product)
    name = product.written[0]
    assert product.model is not None
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
