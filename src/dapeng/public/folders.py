"""Where public weights lie: a folder in the Hugging Face layout, a run folder, or a sample.

The layout: config.json with `model_type`, one or more *.safetensors, for texts tokenizer.json, for pictures
preprocessor_config.json. Nothing is fetched by itself, and a pickle (pytorch_model.bin) is refused.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from torch import Tensor

from dapeng.columns.template import FIRST, OWN
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import samples
from dapeng.core.run import ABOUT, BESIDE, RunFolder
from dapeng.data.tensors import load

Options = TypeVar("Options", bound=BaseModel)
SAMPLE = "sample:"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class PublicFolder:
    """Named texts and tensors; what a name stands for is the encoders' business."""

    name: str

    def text(self, name: str) -> str | None:
        """A text file, None where there is none of that name."""
        raise NotImplementedError

    def content(self, name: str) -> bytes | None:
        """A file as it is, None where there is none of that name."""
        return None

    def state(self) -> dict[str, Tensor]:
        """All tensors."""
        raise NotImplementedError

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object; {} where there is no such file. Raises SpecError where it is none."""
        found = self.text(name)
        try:
            value = json.loads(found) if found is not None else {}
        except (ValueError, RecursionError) as error:
            raise SpecError(Problem(f"{self.name}/{name}", f"is not JSON: {str(error)[:80]}")) from None
        return value if isinstance(value, dict) else {}

    def encoder(self, kind: str) -> dict[str, Any] | None:
        """Options of a run's encoder of this type; None where this is no run folder."""
        return None

    def tensors(self, kind: str) -> dict[str, Tensor]:
        """The tensors that an encoder of this type is made of: all, or in a run folder its own, by its own names."""
        return self.state()

    def beside(self, kind: str) -> dict[str, Tensor] | None:
        """What a run kept of its masked pretraining for its encoder of this type; {} of nothing, None where this is no run folder."""
        return None

    def vocabulary(self, kind: str) -> dict[str, Any] | None:
        """The fitted state of the text column that a run's encoder of this type reads; None where this is no run folder."""
        return None

    def decoder(self, kind: str) -> dict[str, Any] | None:
        """Options of a run's decoder of this type; None where this is no run folder."""
        return None

    def codec(self, kind: str) -> dict[str, Any] | None:
        """The tokeniser of the text that a run's decoder of this type writes, with its "kind"; None where this is no run folder."""
        return None

    def conversation(self, kind: str) -> dict[str, Any] | None:
        """How a run's decoder of this type writes conversations: the template's text, and its tokens; None where this is no run folder."""
        return None

    def writer(self, kind: str) -> dict[str, Tensor] | None:
        """Tensors of a run's decoder of this type, by the names of `Causal`, with table and head; None where this is no run folder."""
        return None


class Directory(PublicFolder):
    """A folder on disk in the Hugging Face layout."""

    def __init__(self, path: Path):
        self.path, self.name = path, str(path)

    def text(self, name: str) -> str | None:
        path = self.path / name
        try:
            return path.read_text("utf-8") if path.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(Problem(str(path), f"can't be read: {error}")) from None

    def content(self, name: str) -> bytes | None:
        path = self.path / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise SpecError(Problem(str(path), f"can't be read: {error}")) from None

    def state(self) -> dict[str, Tensor]:
        files = self._files()
        if not files:
            raise SpecError(Problem("weights", *_without_weights(self.path)))
        return {name: tensor for file in files for name, tensor in load(file).items()}

    def _files(self) -> list[Path]:
        """The shards that the index names, or the one file; others beside them hold the same in other layouts."""
        named = self.json(INDEX).get("weight_map")
        if isinstance(named, dict):
            names = sorted({str(n) for n in named.values()})
            strange = [n for n in names if Path(n).name != n or not (self.path / n).is_file()]
            if strange:
                what = f"{self.path} lacks {strange[0]}, one of {len(names)} files that {INDEX} names"
                raise SpecError(Problem("weights", what, "fetch the model anew, whole"))
            return [self.path / n for n in names]
        single = self.path / "model.safetensors"
        return [single] if single.is_file() else sorted(self.path.glob("*.safetensors"))


def _without_weights(path: Path) -> tuple[str, str]:
    pickled = next((p.name for p in sorted(path.iterdir()) if p.suffix in PICKLES), None)
    if pickled is None:
        return f"{path} holds no *.safetensors", "name a folder with config.json and model.safetensors"
    why = f"{path} holds its weights as a pickle ({pickled}), which can run code: it is not opened"
    return why, "fetch the model as safetensors"


class RunDirectory(PublicFolder):
    """The encoder of a run, to start another run from."""

    def __init__(self, path: Path):
        self.run, self.name = RunFolder.open(path), str(path)
        self.run.verify()
        described = self.run.read_json("columns.json")
        self.columns: dict[str, Any] = described["inputs"]
        self.outputs: dict[str, Any] = described["outputs"]

    def text(self, name: str) -> str | None:
        return None

    def state(self) -> dict[str, Tensor]:
        return load(self.run.file("weights.safetensors"))

    def _place(self, kind: str) -> tuple[str, str, dict[str, Any]]:
        """The input that an encoder of this kind reads, what its weights' names begin with, and its options: alone, or within another."""
        used = set()
        for name, column in self.columns.items():
            within, options = "", column["options"].get("encoder")
            while options:
                if options["type"] == kind:
                    return name, within, options
                used.add(options["type"])
                within, options = f"{within}network.", options.get("network")
        what = f"no input of the run {self.name} is read by {kind}, but by {', '.join(sorted(used)) or 'nothing'}"
        raise SpecError(
            Problem("weights", what, f"encoder={min(used)}, or name another run" if used else "name another run")
        )

    def encoder(self, kind: str) -> dict[str, Any]:
        return self._place(kind)[2]

    def tensors(self, kind: str) -> dict[str, Tensor]:
        from dapeng.nn.tables import module_key

        column, within, _ = self._place(kind)
        domain = self.columns[column]["options"].get("like") or column
        own, table = f"encoders.{module_key(column)}.{within}", f"tables.{module_key(domain)}.weight"
        found = self.state()
        out = {name[len(own) :]: tensor for name, tensor in found.items() if name.startswith(own)}
        return {**out, "table": found[table]} if table in found and not within else out

    def beside(self, kind: str) -> dict[str, Tensor]:
        own = f"masked.{self._place(kind)[0]}."
        found = load(self.run.file(BESIDE)) if self.run.has(BESIDE) else {}
        return {n.removeprefix(own): t for n, t in found.items() if n.startswith(own)}

    def vocabulary(self, kind: str) -> dict[str, Any]:
        return self.columns[self._place(kind)[0]]["state"]

    def _output(self, kind: str) -> str:
        used = {n: (c["options"].get("decoder") or {}).get("type", "?") for n, c in self.outputs.items()}
        found = next((n for n, t in used.items() if t == kind), None)
        if found is None:
            what = (
                f"no output of the run {self.name} is written by {kind}, but by {', '.join(sorted(set(used.values())))}"
            )
            raise SpecError(Problem("weights", what, "name another run, or a decoder of its type"))
        return found

    def decoder(self, kind: str) -> dict[str, Any]:
        return self.outputs[self._output(kind)]["options"]["decoder"]

    def codec(self, kind: str) -> dict[str, Any]:
        state = self.outputs[self._output(kind)]["state"]
        return {**state["codec"], "kind": state["kind"]}

    def conversation(self, kind: str) -> dict[str, Any]:
        column = self.outputs[self._output(kind)]
        first = FIRST if column["options"].get("chat") else None
        return column["state"].get("template") or {"text": first, "tokens": OWN}

    def writer(self, kind: str) -> dict[str, Tensor]:
        from dapeng.nn.tables import module_key

        column = self._output(kind)
        domain = self.outputs[column]["options"].get("like") or column
        own = f"decoders.{module_key(column)}.writer."
        found = self.state()
        mine = {n.removeprefix(own): t for n, t in found.items() if n.startswith(own)}
        stack = {n.removeprefix("stack."): t for n, t in mine.items() if n.startswith("stack.")}
        head = {"head": mine["head.weight"]} if "head.weight" in mine else {}
        head |= {"head_bias": mine["head_bias"]} if "head_bias" in mine else {}
        return {**stack, **head, "table": found[f"tables.{module_key(domain)}.weight"]}


class SampleFolder(PublicFolder):
    """Weights that a sample holds."""

    def __init__(self, sample: Any, name: str):
        self.sample, self.name = sample, name

    def text(self, name: str) -> str | None:
        return self.sample.text(name)

    def state(self) -> dict[str, Tensor]:
        return self.sample.state()


def beside(address: str | None, base: Path | None) -> str | None:
    """An address as it is meant in a spec that lies in `base`: its own folder there, where there is one of that name.

    What was typed, or a recipe names, may also lie where the user is: that is left as it stands.
    """
    if address is None or base is None or address.startswith(SAMPLE) or Path(address).expanduser().is_absolute():
        return address
    return str(base / address) if (base / address).is_dir() else address


def decided(options: Options, fields: dict[str, Any], address: str) -> Options:
    """Options with the fields that public weights decide. Raises SpecError where one of them was given and is another."""
    said = options.model_fields_set
    meant = type(options).model_validate(fields)  # a part may be written short
    wrong = {k: v for k, v in fields.items() if k in said and getattr(options, k) != getattr(meant, k)}
    if wrong:
        (key, value), *_ = wrong.items()
        found = f"{key} is {getattr(options, key)!r}, but the weights in {address} have {value!r}"
        raise SpecError(Problem(key, found, f"leave {key} out: the weights decide it"))
    given = {k: getattr(options, k) for k in options.model_fields_set}
    return type(options).model_validate({**given, **fields})


def open_folder(address: str) -> PublicFolder:
    """What an address names. Raises SpecError where there is nothing that weights could be read from."""
    if address.startswith(SAMPLE):
        return _sample(address)
    path = Path(address).expanduser()
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "no such folder"
        hint = "name a local folder in the Hugging Face layout, a run folder, or sample:minilm: nothing is fetched from a hub"
        raise SpecError(Problem("weights", f"{address}: {what}", hint))
    return RunDirectory(path) if (path / ABOUT).is_file() else Directory(path)


def _sample(address: str) -> PublicFolder:
    name = address.removeprefix(SAMPLE)
    known = {n: m for n, m in samples.members().items() if hasattr(m, "state")}
    if name in known:
        return SampleFolder(known[name](), address)
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {SAMPLE}{close[0]}?" if close else f"one of {', '.join(SAMPLE + n for n in known)}"
    raise SpecError(Problem("weights", f"{address}: no sample of that name holds weights", hint))
