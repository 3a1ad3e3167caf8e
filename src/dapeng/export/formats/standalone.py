"""A folder that predicts from raw values without dapeng and without torch: predict.py, model.onnx, columns.json."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from dapeng.core.errors import RunError
from dapeng.core.files import atomic_folder, read_json, write_json, write_text
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.table import Source
from dapeng.export.flat import Flat, example
from dapeng.export.onnx_file import write_onnx
from dapeng.export.place import refuse_taken
from dapeng.export.portable import learners as portable_learners
from dapeng.export.portable import ngrams, program
from dapeng.export.run_standalone import difference
from dapeng.product.product import NETWORK, Product

SAID = ("label", "labels", "number", "numbers")
"""What the program of a folder can say of a row."""
SEEN = ("number", "category", "text")
"""Columns that the program itself shows to classical learners; readers of all others have a `matrix`."""
MARKER = "# --- shipped from here ---\n"
CLASSES = {"linear": "Linear", "trees": "Trees", "mixed": "Mixed", "constant": "Constant"}
OURS = re.compile(
    rf"predict\.py|model\.onnx|columns\.json|requirements\.txt|README\.md|\d+-({'|'.join(CLASSES)})|__pycache__"
)
"""Names in a folder that was exported, and used."""
HEAD = '''"""Predictions of a model that dapeng trained, from raw values. Written by `dapeng export --format standalone`.

    python predict.py data.csv > predictions.csv

    from predict import predict
    predict([{row}])
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
'''
TAIL = '''

_program = None


def load():
    """The program, read at first use."""
    global _program
    if _program is None:
        readers = {{c.__name__: c for c in ({readers},)}}
        learners = {{{learners}}}
        _program = Program(Path(__file__).parent, readers, learners, {counts})
    return _program


def predict(rows):
    """Rows as mappings of raw values by column -> predictions as mappings."""
    return load().predict(rows)


if __name__ == "__main__":
    sys.exit(command(load()))
'''


@exporters
class Standalone(ExporterOptions):
    """A folder of its own: numpy and onnxruntime predict from raw values (LightGBM too where trees have a share).

    Example: `dapeng export runs/reviews-0001 --format standalone --to reviews-model`
    """

    type: Literal["standalone"] = "standalone"

    def refuse_place(self, to: Path) -> None:
        head = to / "predict.py"
        refuse_taken(to, OURS, head.is_file() and head.read_bytes().startswith(HEAD.partition(".")[0].encode()))

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def write(folder: Path) -> None:
            found.update(write_standalone(product, folder, rows))

        atomic_folder(to, write)
        return {"folder": str(to), "files": sorted(p.name for p in to.iterdir()), **found}


def write_standalone(product: Product, folder: Path, rows: Source) -> dict[str, Any]:
    """Fill a folder, and check it in a process of its own."""
    _refuse(product)
    readers = [_reader(product, n) for n in product.inputs]
    _refuse_unseen(product, readers)
    used = {m for o in product.outputs for m in product.members(o)}
    network: dict[str, Any] = {}
    flat = None
    if NETWORK in used:
        network = write_onnx(product, folder / "model.onnx", rows)
        flat = Flat(product, example(product, rows))
    places = _write_learners(product, folder)
    kinds = sorted(set(places.values()))
    text = any(c.type == "text" for c in product.inputs.values()) and "linear" in kinds
    about = _about(product, flat, readers, places)
    write_text(folder / "columns.json", json.dumps(about, ensure_ascii=False, indent=1))
    write_text(folder / "predict.py", _source(product, readers, kinds, text))
    needed = _requirements(product, network != {}, kinds)
    write_text(folder / "requirements.txt", "".join(f"{line}\n" for line in needed))
    write_text(folder / "README.md", _readme(product, needed))
    if "trees" in kinds:
        _say_trees(product)
    worst, checked = difference(product, folder, rows)
    facts = {"largest_difference": worst, "rows_compared": checked, "requires": needed}
    return {**facts, "network_difference": network["largest_difference"]} if network else facts


def _say_trees(product: Product) -> None:
    from dapeng.core.console import say

    say("the product has trees in it: the folder also needs lightgbm (see requirements.txt)")


def _refuse(product: Product) -> None:
    """Raise RunError for outputs that are more than labels and numbers, before anything is written."""
    for name, column in product.outputs.items():
        if len(column.predictions()) != 1 or column.answers not in SAID:
            hint = "--format onnx for its tensors, or dapeng serve RUN"
            raise RunError(f"an output of type {column.type} ({name!r}) has no standalone form", hint=hint)


def _reader(product: Product, name: str) -> tuple[type, dict[str, Any]]:
    found = product.inputs[name].reader()
    if found is None:
        kind = product.inputs[name].type
        raise RunError(f"a column of type {kind} ({name!r}) can't be read without dapeng yet", hint="--format onnx")
    return found


def _refuse_unseen(product: Product, readers: list[tuple[type, dict[str, Any]]]) -> None:
    """Raise RunError for a column that a classical learner sees in a way that its reader doesn't know."""
    if not any(m != NETWORK for o in product.outputs for m in product.members(o)):
        return
    for (name, column), (reader, _) in zip(product.inputs.items(), readers):
        if not hasattr(reader, "matrix") and column.type not in SEEN:
            what = f"classical learners see {name!r}, of type {column.type}, in a way that can't leave dapeng yet"
            raise RunError(what, hint="--format onnx for the network alone, or dapeng serve RUN")


def _about(
    product: Product, flat: Flat | None, readers: list[tuple[type, dict[str, Any]]], places: dict[str, str]
) -> dict[str, Any]:
    """columns.json."""
    inputs = [
        {"name": n, "type": c.type, "reader": r.__name__, "arguments": a}
        for (n, c), (r, a) in zip(product.inputs.items(), readers)
    ]
    groups = {g.key: g for g in product.groups}
    network = None
    if flat is not None:
        network = {
            "inputs": [
                {"name": n.name, "tensor": n.tensor, "columns": list(groups[n.of].columns), "block": groups[n.of].block}
                for n in flat.inputs
            ]
        }
    tensors = {n.of: n.name for n in flat.outputs} if flat is not None else {}
    outputs = []
    for name, column in product.outputs.items():
        shares = {m: product.shares[name][m] for m in product.members(name)}
        mine = {m: _place(product, name, m) for m in shares if m != NETWORK}
        labels = getattr(column, "labels", None)
        said: dict[str, Any] = {"answers": column.answers, "joint": column.joint}
        if column.answers == "labels":
            said["thresholds"] = column.thresholds.tolist()  # type: ignore[attr-defined]
        cut = getattr(column, "cut", None)
        if cut is not None:
            said |= {"threshold": cut, "positive": column.positive}  # type: ignore[attr-defined]
        about = {"name": name, "labels": labels, "shares": shares, "places": mine, "tensor": tensors.get(name)}
        outputs.append({**about, **said})
    return {"inputs": inputs, "network": network, "outputs": outputs, "learners": places}


def _place(product: Product, output: str, member: str) -> str:
    return f"{list(product.outputs).index(output)}-{product.learners[output][member].name}"


def _write_learners(product: Product, folder: Path) -> dict[str, str]:
    """Each classical learner with a share in a folder of its own; its kind by its place."""
    out = {}
    for output in product.outputs:
        for member in product.members(output):
            if member == NETWORK:
                continue
            learner, place = product.learners[output][member], _place(product, output, member)
            if learner.name not in CLASSES:
                raise RunError(f"the learner {learner.name} has no standalone form", hint="train with model=network")
            (folder / place).mkdir()
            learner.save(folder / place)
            if learner.name == "linear":
                _as_arrays(product, learner, folder / place)
            if learner.name == "mixed":
                _mixed_arrays(learner, folder / place)
            out[place] = learner.name
    return out


def _as_arrays(product: Product, learner: Any, place: Path) -> None:
    """A linear learner for numpy alone: arrays as .npy, and the parts of its design in order."""
    design, about = learner.design, read_json(place / "linear.json")
    shutil.rmtree(place)
    place.mkdir()
    arrays = {**design.arrays, "weights": learner.weights, "bias": learner.bias}
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array, allow_pickle=False)
    parts = []
    for number, (name, how) in enumerate(design.state.items()):
        column: Any = product.inputs[name]
        part = {"name": name, **how, "width": how["size"]}
        if how["kind"] == "text":
            part |= {
                "width": len(design.arrays[f"{number}.kept"]),
                "han": column.state["han"],
                "lowercase": column.lowercase,
                "form": column.options.normalise,
            }
        elif how["kind"] == "numbers":
            part["width"] = how["size"] * (2 if how["gaps"] else 1)
        parts.append(part)
    write_json(place / "linear.json", {**about, "parts": parts})


def _mixed_arrays(learner: Any, place: Path) -> None:
    """A mixed-effects model for numpy alone: its arrays as .npy, those of its numbers among them."""
    arrays = load_file(place / "mixed.safetensors")
    numbers = []
    if learner.line is not None:
        arrays |= {f"numbers.{n}": a for n, a in learner.line.arrays.items()}
        numbers = [{"name": n, "gaps": how["gaps"]} for n, how in learner.line.state.items()]
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array, allow_pickle=False)
    for spare in [*place.glob("*.safetensors"), *place.glob("design.json")]:
        spare.unlink()
    write_json(place / "mixed.json", {**read_json(place / "mixed.json"), "numbers": numbers})


def _source(product: Product, readers: list[tuple[type, dict[str, Any]]], kinds: list[str], text: bool) -> str:
    """predict.py: the readers that are needed, the learners that are in the product, and the program."""
    classes = {r.__name__: r for r, _ in readers}
    parts = [HEAD.replace("{row}", json.dumps(dict.fromkeys(product.inputs, "..."), ensure_ascii=False))]
    parts += [_shipped(import_module(m)) for m in dict.fromkeys(_carried(r) for r in classes.values()) if m]
    parts += [inspect.getsource(r) for r in classes.values()]
    parts += [_shipped(ngrams)] if text else []
    parts += [_shipped(portable_learners)] if kinds else []
    parts.append(_shipped(program))
    named = ", ".join(f'"{k}": {CLASSES[k]}' for k in kinds)
    tail = TAIL.format(readers=", ".join(classes), learners=named, counts="text_counts" if text else None)
    return "\n\n".join(p.strip("\n") for p in parts) + "\n" + tail


def _carried(reader: type) -> str:
    """The module of what a reader calls outside of its class, if any."""
    return getattr(reader, "CARRIES", "")


def _shipped(module: Any) -> str:
    return inspect.getsource(module).partition(MARKER)[2]


def _requirements(product: Product, network: bool, kinds: list[str]) -> list[str]:
    types = {c.type for c in product.inputs.values()}
    cut = {c.state.get("kind") for c in product.inputs.values()}
    wanted = {"numpy>=1.26": True, "onnxruntime>=1.20": network}
    wanted |= {"pillow>=10.4": bool(types & {"image", "video"}), "av>=14": "video" in types}
    wanted |= {"soundfile>=0.12": "audio" in types, "soxr>=0.4": "audio" in types}
    wanted |= {"tokenizers>=0.20": bool(cut & {"bpe", "file"}), "sentencepiece>=0.2": "pieces" in cut}
    wanted |= {"lightgbm>=4.5": "trees" in kinds}
    return [line for line, needed in wanted.items() if needed]


def _readme(product: Product, needed: list[str]) -> str:
    lines = [
        "# A model to predict with",
        "",
        "It needs " + ", ".join(n.partition(">")[0] for n in needed) + "; neither dapeng nor torch.",
        "",
    ]
    lines += [
        "    pip install -r requirements.txt",
        "    python predict.py data.csv > predictions.csv",
        "",
        "or in Python:",
        "",
    ]
    lines += ["    from predict import predict", "    predict([{...}])", "", "Columns that it reads:", ""]
    lines += [f"- `{n}`: {c.describe()}" for n, c in product.inputs.items()]
    lines += ["", "What it predicts, and each part's share:", ""]
    for name, column in product.outputs.items():
        shares = ", ".join(f"{m} {product.shares[name][m]:.0%}" for m in product.members(name))
        lines.append(f"- `{name}`: {column.describe()} ({shares})")
    return "\n".join(lines) + "\n"
