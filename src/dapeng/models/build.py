"""From options and fitted columns to a Model; and what is chosen where the spec says auto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dapeng.columns.base import Column
from dapeng.core.errors import Problem, SpecError, under
from dapeng.core.kinds import EncoderOptions, encoders, fusions
from dapeng.core.spec import Spec
from dapeng.data.groups import group
from dapeng.layers.perceptron import initialise
from dapeng.models.model import Model
from dapeng.models.windows import windows_of
from dapeng.nn.features import Widths
from dapeng.nn.tables import Tables
from dapeng.transforms.views import views_of


@dataclass
class Choices:
    """What was chosen where the spec said auto: path -> (value, reason)."""

    reasons: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def add(self, path: str, value: Any, reason: str) -> Any:
        self.reasons[path] = (value, reason)
        return value


def choose_encoder(column: Column, rows: int, path: str, choices: Choices) -> EncoderOptions:
    """The encoder that the spec names, or the default for the column's type."""
    asked = getattr(column.options, "encoder", None)
    if asked is not None:
        return asked
    members = encoders.fitting(column.type)
    tag, reason = column.default_encoder(rows)
    if tag not in members:
        tag, reason = next(iter(members), ""), "the first that fits"
    if not tag:
        raise SpecError(Problem(path, f"nothing that is registered reads a column of type {column.type}"))
    choices.add(path, tag, reason)
    return members[tag]()


def with_encoders(columns: Mapping[str, Column], rows: int, choices: Choices) -> dict[str, Column]:
    """The same columns, with every encoder decided, so that like columns can be grouped."""
    out = {}
    for name, column in columns.items():
        encoder = choose_encoder(column, rows, f"inputs.{name}.encoder", choices)
        options = column.options.model_copy(update={"encoder": encoder})
        out[name] = type(column)(name, options, column.state, column.target)
    return out


def build_model(spec: Spec, inputs: Mapping[str, Column], outputs: Mapping[str, Column], choices: Choices) -> Model:
    """The network of a spec over fitted columns. Inputs must have their encoders decided (`with_encoders`).

    Raises: SpecError if a decoder needs what the inputs can't give.
    """
    tables = Tables()
    groups = group(inputs)
    built: dict[str, Any] = {}
    absent: set[str] = set()
    for g in groups:
        columns = [inputs[n] for n in g.columns]
        options: EncoderOptions = columns[0].options.encoder  # type: ignore[attr-defined]
        with under(f"inputs.{g.columns[0]}.encoder"):
            built[g.key] = options.build(columns, tables)
        if not g.block and columns[0].can_be_absent:
            absent.add(g.key)
    fusion = None
    if built:
        fusion = chosen_fusion(spec, inputs, choices).build({k: e.widths for k, e in built.items()}, absent)
    decoders = {}
    for name, column in outputs.items():
        options: Any = column.options
        reads = options.decoder.reads(column, inputs)
        widths = fusion.widths if fusion is not None else None
        if reads is not None:
            widths = {n: built[n].widths for n in reads}
        lacking = options.decoder.needs - _given(widths)
        if lacking and not (widths is None and options.decoder.alone):
            raise SpecError(
                Problem(
                    f"outputs.{name}.decoder",
                    f"{options.decoder.type} needs {', '.join(sorted(lacking))}, which these inputs and this fusion don't give",
                    "choose another encoder or fusion",
                )
            )
        decoders[name] = options.decoder.build(column, widths, tables, getattr(options, "loss", None))
    return Model(built, fusion, decoders, tables, views_of(inputs), windows_of(inputs))


def _given(widths: Widths | dict[str, Widths] | None) -> frozenset[str]:
    """What features of these widths hold: of several inputs, what each of them does."""
    several = widths.values() if isinstance(widths, dict) else [widths] if widths is not None else []
    return frozenset.intersection(*(w.gives for w in several)) if several else frozenset()


def fresh_model(spec: Spec, inputs: Mapping[str, Column], outputs: Mapping[str, Column], choices: Choices) -> Model:
    """The network of a spec as training starts it: first weights as the spec says, public weights where it names some."""
    model = build_model(spec, inputs, outputs, choices)
    if spec.train.initialisation is not None:
        initialise(model, spec.train.initialisation)
    for g in group(inputs):
        options: EncoderOptions = inputs[g.columns[0]].options.encoder  # type: ignore[attr-defined]
        with under(f"inputs.{g.columns[0]}.encoder"):
            options.start(model.encoders[g.key])
    for name, column in outputs.items():
        with under(f"outputs.{name}.decoder"):
            column.options.decoder.start(model.decoders[name])  # type: ignore[attr-defined]
    return model


def chosen_fusion(spec: Spec, inputs: Mapping[str, Column], choices: Choices) -> Any:
    """The fusion of a spec with everything decided; asked again of its own answer, it gives the same."""
    options: Any = spec.fusion
    groups = group(inputs)
    if getattr(options, "hidden", None) != "auto":
        return options
    decoders: list[Any] = [getattr(o, "decoder", None) for o in spec.outputs.values()]
    if not any(d is None or ("pooled" in d.needs and not d.unfused) for d in decoders):
        choices.add("fusion.hidden", [], "no decoder looks at all inputs as one vector")
        return fusions.members()[options.type](**{**options.model_dump(), "hidden": []})
    first = inputs[groups[0].columns[0]]
    single = len(groups) == 1 and not groups[0].block and first.type != "vector"
    encoder: Any = first.options.encoder  # type: ignore[attr-defined]
    if single and not encoder.advice(1).get("trunk"):
        hidden: list[int] = []
        choices.add("fusion.hidden", hidden, "a single input needs no trunk")
    else:
        hidden = [256, 256]
        choices.add("fusion.hidden", hidden, "two full layers mix the inputs")
    dropout = options.dropout
    if hidden and "dropout" not in options.model_fields_set and not single:
        dropout = 0.15
        choices.add("fusion.dropout", dropout, "against overfitting of a table's trunk")
    return fusions.members()[options.type](**{**options.model_dump(), "hidden": hidden, "dropout": dropout})


def parameters(model: torch.nn.Module) -> int:
    """Number of trained parameters, shared tables once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
