"""A product to and from its run folder: JSON, safetensors and LightGBM's text; loading never runs code."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import ValidationError

from dapeng.core.errors import RunError
from dapeng.core.files import atomic_folder
from dapeng.core.kinds import columns as column_types
from dapeng.core.kinds import compressors
from dapeng.core.kinds import learners as learner_types
from dapeng.core.run import BESIDE, RunFolder
from dapeng.core.spec import Spec, plain
from dapeng.core.wording import spec_error
from dapeng.learners.base import Learner
from dapeng.models.build import Choices, build_model, chosen_fusion
from dapeng.product.product import Product
from dapeng.train import weights

LEARNERS = "learners"


def save(product: Product, spec: Spec, folder: RunFolder, facts: dict[str, Any]) -> None:
    """Columns, weights, learners and shares into a run folder. `facts`: what else predicting must know."""
    described = {
        "inputs": {n: _column(c) for n, c in product.inputs.items()},
        "outputs": {n: _column(c) for n, c in product.outputs.items()},
    }
    folder.write_json("columns.json", described)
    for column in product.outputs.values():
        column.leave(folder.path)
    if product.model is not None:
        weights.save(product.model.state_dict(), folder.path / "weights.safetensors")
        if product.beside:
            weights.save(product.beside, folder.path / BESIDE)
    made: dict[str, dict[str, Any]] = {}
    for output, group in product.learners.items():
        for number, (name, learner) in enumerate(group.items()):
            place = f"{list(product.outputs).index(output)}-{number}-{learner.name}"
            atomic_folder(folder.path / LEARNERS / place, learner.save)
            made.setdefault(output, {})[name] = {"type": learner.name, "folder": place}
    folder.write_json(
        "product.json",
        {
            "shares": product.shares,
            "learners": made,
            "network": product.model is not None,
            "precision": "bf16" if product.autocast is not None else "fp32",
            "fusion": plain(chosen_fusion(spec, product.inputs, Choices()), every=True) if product.inputs else {},
            **facts,
        },
    )


def _column(column: Any) -> dict[str, Any]:
    return {"options": plain(column.options, every=True), "state": column.state}


def load(folder: RunFolder, device: str = "cpu") -> Product:
    """The product of a run folder. Raises RunError where something is missing, damaged or from elsewhere."""
    folder.verify()
    if not folder.has("product.json"):
        raise RunError(f"{folder.path} holds no trained model yet", hint=f"dapeng train --resume {folder.path}")
    described, facts = folder.read_json("columns.json"), folder.read_json("product.json")
    inputs = {n: _fitted(n, d, False) for n, d in described["inputs"].items()}
    outputs = {n: _fitted(n, d, True) for n, d in described["outputs"].items()}
    for column in outputs.values():
        column.find(folder.path)
    model = None
    if facts["network"]:
        spec = Spec.model_validate(
            {"outputs": dict.fromkeys(outputs, "category") or {"_": "category"}, "fusion": facts["fusion"]}
        )
        model = build_model(spec, inputs, outputs, Choices())
        if facts.get("compressed"):
            _compressor(facts["compressed"]).apply(model)
        weights.apply(model, weights.load(folder.file("weights.safetensors")), str(folder.path))
        model.to(device).eval()
    learners: dict[str, dict[str, Learner]] = {}
    for output, group in facts["learners"].items():
        for name, made in group.items():
            place = folder.path / LEARNERS / made["folder"]
            learners.setdefault(output, {})[name] = _learner(made["type"]).load(place, inputs, outputs[output])
    autocast = torch.bfloat16 if facts["precision"] == "bf16" else None
    product = Product(inputs, outputs, model, learners, facts["shares"], autocast, device)
    product.beside = weights.load(folder.file(BESIDE)) if folder.has(BESIDE) else {}
    return product


def _fitted(name: str, described: dict[str, Any], target: bool) -> Any:
    options = described["options"]
    members = column_types.members()
    if options["type"] not in members:
        raise RunError(f"column {name!r} is of type {options['type']!r}, which is not installed here")
    try:
        made = members[options["type"]].model_validate(options)
    except ValidationError as error:
        found = spec_error(members[options["type"]], error, options)
        what = f"column {name!r} was saved with options that this release does not know"
        raise RunError(found.problems, what) from None
    return made.fitted(name, described["state"], target)


def _compressor(tag: str) -> Any:
    """The method by which the weights were made smaller; it changes the network so that they fit."""
    members = compressors.members()
    if tag not in members:
        raise RunError(f"the compression {tag!r} is not installed here")
    return members[tag]()


def _learner(tag: str) -> type[Learner]:
    """The class that a learner's type makes."""
    import sys

    members = learner_types.members()
    if tag not in members:
        raise RunError(f"the learner {tag!r} is not installed here")
    module = sys.modules[members[tag].__module__]
    return next(
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Learner) and getattr(c, "name", None) == tag
    )
