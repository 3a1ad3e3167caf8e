"""llama.cpp on the processor, through a GGUF file that is made for it of the run's network.

https://github.com/ggml-org/llama.cpp, by the package llama-cpp-python. The tokens stay the run's own: the file knows ids alone.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dapeng.core.errors import RunError
from dapeng.core.kinds import EngineOptions, engines
from dapeng.engines.native import LARGE
from dapeng.engines.sequences import LlamaSteps, bindings
from dapeng.export import gguf_file
from dapeng.export.language_model import LanguageModel
from dapeng.product.writing import Engine

Weights = Literal["auto", "fp32", "fp16", "int8", "int4"]
KINDS = {"fp16": "MOSTLY_F16", "int8": "MOSTLY_Q8_0", "int4": "MOSTLY_Q4_0"}
"""What llama.cpp calls them."""
GROUP = 32
"""Inputs that share a scale: what int8 and int4 weights are multiples of."""


@engines
class LlamaCpp(EngineOptions):
    """llama.cpp: language models of the families of Llama and GPT-2, on the processor; fp32, fp16, int8 or int4 weights.

    Example: `dapeng chat runs/story-0001 --engine llama.cpp --weights int4`
    """

    type: Literal["llama.cpp"] = "llama.cpp"
    order: ClassVar[int] = 40
    weights: Weights = "auto"
    """auto: fp16; int4 is fastest for a text at a time."""

    def suits(self, product: Any) -> bool:
        return sum(p.numel() for p in product.model.parameters()) >= LARGE

    def refusal(self, product: Any) -> str:
        if any(find_spec(name) is None for name in ("llama_cpp", "gguf")):
            return "llama-cpp-python is not installed: pip install 'dapeng[llama]'"
        lacks = _unusable()
        if lacks:
            return lacks
        model = LanguageModel(product)
        if model.writer.matrix.device.type != "cpu":
            return "the model is on an accelerator, where torch is faster"
        try:
            config, _ = model.published()
        except RunError as error:
            return str(error)
        return gguf_file.refusal(config) or self._unfit(config)

    def _unfit(self, config: dict[str, Any]) -> str:
        widths = [config[n] for n in ("hidden_size", "n_embd", "intermediate_size", "n_inner") if n in config]
        odd = [w for w in widths if w % GROUP]
        small = self.weights in ("int8", "int4")
        return (
            f"{self.weights} weights want widths that are multiples of {GROUP}, and {odd[0]} is none"
            if odd and small
            else ""
        )

    def open(self, product: Any, folder: Any) -> Engine:
        kind = "fp16" if self.weights == "auto" else self.weights
        steps = opened(*LanguageModel(product).published(), kind, torch.get_num_threads())
        why = "as asked" if self.weights != "auto" else "it is installed, and the model is large"
        return Engine(steps, self.type, kind, why)


def opened(config: Mapping[str, Any], tensors: Mapping[str, Tensor], kind: str, threads: int) -> LlamaSteps:
    """A model with this config.json and these tensors, by transformers' names, in llama.cpp. Raises RunError where it can't."""
    try:
        with tempfile.TemporaryDirectory(prefix="dapeng-", ignore_cleanup_errors=True) as place:
            path = Path(place) / "fp32.gguf"
            gguf_file.write(path, config, tensors)
            return LlamaSteps(_made_small(path, kind), threads)
    except OSError as error:
        size = 4 * sum(t.numel() for t in tensors.values()) / 1e9
        what = f"the model in fp32 ({size:.1f} GB) could not be written to {tempfile.gettempdir()}: {error.strerror or error}"
        raise RunError(what, hint="TMPDIR=FOLDER with more room, or --engine native") from None


def _unusable() -> str:
    """Why the package that is installed can't be used; empty where it can."""
    try:
        library = bindings()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"llama-cpp-python is installed and can't be loaded: {error}"
    found = hasattr(library, "LLAMA_LOAD_MODE_NONE")
    return "" if found else "llama-cpp-python is too old: pip install -U 'llama-cpp-python>=0.3.35'"


def _made_small(path: Path, kind: str) -> Path:
    """The same model with weights of this kind, beside the file of fp32. Raises RunError where llama.cpp can't."""
    if kind == "fp32":
        return path
    library, to = bindings(), path.with_name(f"{kind}.gguf")
    options = library.llama_model_quantize_default_params()
    options.ftype, options.nthread = getattr(library, f"LLAMA_FTYPE_{KINDS[kind]}"), torch.get_num_threads()
    if library.llama_model_quantize(str(path).encode(), str(to).encode(), ctypes.byref(options)):
        raise RunError(f"llama.cpp could not make {kind} weights of the model", hint="--weights fp32")
    return to
