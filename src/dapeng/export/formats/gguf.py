"""GGUF: one file with weights, settings and tokeniser, that llama.cpp and what is built on it run.

Weights are written in fp32; llama-quantize makes them small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.core.files import atomic_path
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.table import Source
from dapeng.export import gguf_file, layout
from dapeng.export.differences import largest, refuse_if_far
from dapeng.export.gguf_file import Vocabulary
from dapeng.export.language_model import LanguageModel
from dapeng.export.layout import TOUGH, Layout
from dapeng.export.place import refuse_other_file
from dapeng.export.shares import network_alone
from dapeng.product.product import Product

INSTEAD = "train with decoder=llama or gpt and tokeniser=bpe (or bytes), or --format transformers"
READERS = ("transformers", "accelerate")
NORMAL, CONTROL = 1, 3
"""Types of a token."""


@exporters
class Gguf(ExporterOptions):
    """A language model of the families of Llama and GPT-2 with a byte-level vocabulary, as one file that llama.cpp runs.

    llama.cpp cuts texts into words as GPT-2 does, which is not to the letter how a run cuts them (numbers of four digits and
    more); how many texts have other tokens there is said.

    Example: `dapeng export runs/stories-0001 --format gguf`
    """

    type: Literal["gguf"] = "gguf"
    writes: ClassVar[bool] = True

    def has_a_form_for(self, product: Product) -> bool:
        return LanguageModel.fits(product)

    def refuse_place(self, to: Path) -> None:
        refuse_other_file(to, ".gguf")

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        gguf_file.library()
        path = to if to.suffix == ".gguf" else to / "model.gguf"
        if not self.has_a_form_for(product):
            hint = INSTEAD if product.written else "--format standalone or --format onnx"
            raise RunError("a GGUF file holds a language model: a text as output, and no inputs", hint=hint)
        lacks = network_alone(product, "the GGUF file")
        model = LanguageModel(product)
        written = model.layout()
        kind, refusal = written.config["model_type"], gguf_file.refusal(written.config)
        if refusal:
            raise RunError(refusal, hint=INSTEAD)
        vocabulary = _vocabulary(written, model)
        other = _other_tokens(written, model, [*model.texts(rows), *TOUGH])
        with atomic_path(path) as new:
            gguf_file.write(new, written.config, written.tensors, vocabulary)
            found = _check(new, written, model)
        return {"file": str(path), "bytes": path.stat().st_size, "model": kind, "lacks": lacks, **other, **found}


def _vocabulary(written: Layout, model: LanguageModel) -> Vocabulary:
    """Raises RunError for another kind of tokeniser than byte-level BPE."""
    found = written.tokenizer["model"]
    levels = "ByteLevel" in json.dumps(written.tokenizer["pre_tokenizer"])
    if found["type"] != "BPE" or not levels or written.tokenizer["normalizer"] is not None:
        raise RunError("a GGUF file is written of byte-level vocabularies alone", hint=INSTEAD)
    special = {t["id"]: t["content"] for t in written.tokenizer["added_tokens"]}
    names = {**{i: t for t, i in found["vocab"].items()}, **special}
    size = model.codec.size
    tokens = [names.get(i, f"<unused {i}>") for i in range(size)]  # a table may have more rows than there are tokens
    types = [CONTROL if i in special or i not in names else NORMAL for i in range(size)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in found["merges"]]
    merges = merges or [" ".join(tokens[:2])]  # llama.cpp wants some: of special tokens, which no text has
    return Vocabulary(tokens, types, merges)


def _other_tokens(written: Layout, model: LanguageModel, texts: Sequence[str]) -> dict[str, int]:
    """On how many texts the cutting of GPT-2 gives other tokens than the run's."""
    from tokenizers import Tokenizer

    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    library = Tokenizer.from_str(json.dumps({**written.tokenizer, "pre_tokenizer": level}))
    library.encode_special_tokens = True
    other = sum(library.encode(t).ids != model.ids(t) for t in texts)
    if other:
        warn(
            f"llama.cpp cuts {other} of {len(texts)} texts into other tokens than the run",
            "tokeniser=bytes has no such",
        )
    return {"texts_compared": len(texts), "texts_with_other_tokens": other}


def _check(path: Path, written: Layout, model: LanguageModel) -> dict[str, Any]:
    """Logits of the file as transformers reads it, which needs accelerate for it; without them, its tensors as they lie there."""
    kind = written.config["model_type"]
    # of Qwen3, transformers takes heads to be 128 wide, whatever the file says; experts it doesn't read
    readable = kind != "mixtral" and (kind != "qwen3" or written.config["head_dim"] == 128)
    there = readable and all(find_spec(name) is not None for name in READERS)
    opened = layout.opened(path.parent, "AutoModelForCausalLM", gguf_file=path.name) if there else None
    if opened is None:
        wanted = gguf_file.named(written.config, written.tensors)
        read = gguf_file.library().GGUFReader(path).tensors
        found = {t.name: np.asarray(t.data).reshape(wanted[t.name].shape) for t in read}
        worst = largest([found[n] for n in wanted], list(wanted.values()))
        return {"compared_with": "the file, read back", "largest_difference": refuse_if_far(worst, "the file")}
    worst = 0.0
    with torch.inference_mode():
        for text in TOUGH:
            ids = torch.tensor([model.ids(text)[: model.longest]])
            worst = max(worst, largest([opened(ids).logits.float().numpy()], [model.logits(ids).numpy()]))
    return {"compared_with": layout.compared_with(), "largest_difference": refuse_if_far(worst, "the file")}
