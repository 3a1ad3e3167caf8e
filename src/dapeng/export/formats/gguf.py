"""GGUF: one file with weights, settings and tokeniser, that llama.cpp and what is built on it run.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Weights are written in fp32; llama-quantize makes them small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from dapeng.core.console import warn
from dapeng.core.errors import RunError, need_extra
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.table import Source
from dapeng.export import layout
from dapeng.export.differences import largest, refuse_if_far
from dapeng.export.language_model import LanguageModel
from dapeng.export.layout import TOUGH, Layout
from dapeng.export.shares import network_alone
from dapeng.product.product import Product

KINDS = ("llama", "qwen2", "qwen3")
TURNED = ("llama",)
"""Kinds whose queries and keys lie in another order there: the two coordinates of a turn beside each other."""
INSTEAD = "train with decoder=llama and tokeniser=bpe (or bytes), or --format transformers"
READERS = ("transformers", "accelerate")
NORMAL, CONTROL = 1, 3
"""Types of a token."""


@exporters
class Gguf(ExporterOptions):
    """A language model of the Llama family with a byte-level vocabulary, as one file that llama.cpp runs.

    llama.cpp cuts texts into words as GPT-2 does, which is not to the letter how a run cuts them (numbers of four digits and
    more); how many texts have other tokens there is said.

    Example: `dapeng export runs/stories-0001 --format gguf`
    """

    type: Literal["gguf"] = "gguf"
    writes: ClassVar[bool] = True

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        library = _library()
        path = to if to.suffix == ".gguf" else to / "model.gguf"
        if not LanguageModel.fits(product):
            raise RunError("a GGUF file holds a language model: a text as output, and no inputs", hint=INSTEAD)
        lacks = network_alone(product, "the GGUF file")
        model = LanguageModel(product)
        written = model.layout()
        kind = written.config["model_type"]
        if kind not in KINDS:
            raise RunError(f"a GGUF file is written of {', '.join(KINDS)}, and this is {kind}", hint=INSTEAD)
        vocabulary = _vocabulary(written, model)
        other = _other_tokens(written, model, [*model.texts(rows), *TOUGH])
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(library, path, written, vocabulary)
            found = _check(library, path, written, model)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return {"file": str(path), "bytes": path.stat().st_size, "model": kind, "lacks": lacks, **other, **found}


def _library() -> Any:
    try:
        import gguf  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise need_extra("gguf", "gguf") from None
    return gguf


def _vocabulary(written: Layout, model: LanguageModel) -> tuple[list[str], list[int], list[str]]:
    """Tokens by id, their types, and the merges. Raises RunError for another kind of tokeniser than byte-level BPE."""
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
    return tokens, types, merges


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


def _write(library: Any, path: Path, written: Layout, vocabulary: tuple[list[str], list[int], list[str]]) -> None:
    c, (tokens, types, merges) = written.config, vocabulary
    file = library.GGUFWriter(path, c["model_type"])
    file.add_name(path.stem)
    file.add_file_type(0)  # fp32
    file.add_context_length(c["max_position_embeddings"])
    file.add_embedding_length(c["hidden_size"])
    file.add_block_count(c["num_hidden_layers"])
    file.add_feed_forward_length(c["intermediate_size"])
    file.add_head_count(c["num_attention_heads"])
    file.add_head_count_kv(c["num_key_value_heads"])
    file.add_key_length(c["head_dim"])
    file.add_value_length(c["head_dim"])
    file.add_rope_dimension_count(c["head_dim"])
    file.add_rope_freq_base(c["rope_theta"])
    file.add_layer_norm_rms_eps(c["rms_norm_eps"])
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list(tokens)
    file.add_token_types(types)
    file.add_token_merges(merges)
    file.add_bos_token_id(c["bos_token_id"])
    file.add_eos_token_id(c["eos_token_id"])
    file.add_pad_token_id(c["pad_token_id"])
    file.add_add_bos_token(True)
    for name, tensor in _named(library, written).items():
        file.add_tensor(name, tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def _named(library: Any, written: Layout) -> dict[str, np.ndarray]:
    """The tensors by the names of llama.cpp, in its order."""
    c = written.config
    architecture = next(a for a, n in library.MODEL_ARCH_NAMES.items() if n == c["model_type"])
    names = library.get_tensor_name_map(architecture, c["num_hidden_layers"])
    heads = {".q_proj.": c["num_attention_heads"], ".k_proj.": c["num_key_value_heads"]}
    out = {}
    for name, tensor in written.tensors.items():
        turned = next((n for part, n in heads.items() if part in name), None) if c["model_type"] in TURNED else None
        tensor = tensor.detach().cpu().float()
        tensor = tensor if turned is None else interleaved(tensor, turned)
        out[names.get_name(name, try_suffixes=(".weight", ".bias"))] = tensor.contiguous().numpy()
    return out


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """(H K, ...) with both halves of each head's K one after the other, to (H K, ...) with their elements in turn."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def halved(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `interleaved`."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _check(library: Any, path: Path, written: Layout, model: LanguageModel) -> dict[str, Any]:
    """Logits of the file as transformers reads it, which needs accelerate for it; without them, its tensors as they lie there."""
    # of Qwen3, transformers takes heads to be 128 wide, whatever the file says
    readable = written.config["model_type"] != "qwen3" or written.config["head_dim"] == 128
    there = readable and all(find_spec(name) is not None for name in READERS)
    opened = layout.opened(path.parent, "AutoModelForCausalLM", gguf_file=path.name) if there else None
    if opened is None:
        wanted = _named(library, written)
        found = {t.name: np.asarray(t.data).reshape(wanted[t.name].shape) for t in library.GGUFReader(path).tensors}
        worst = largest([found[n] for n in wanted], list(wanted.values()))
        return {"compared_with": "the file, read back", "largest_difference": refuse_if_far(worst, "the file")}
    worst = 0.0
    with torch.inference_mode():
        for text in TOUGH:
            ids = torch.tensor([model.ids(text)[: model.longest]])
            worst = max(worst, largest([opened(ids).logits.float().numpy()], [model.logits(ids).numpy()]))
    return {"compared_with": layout.compared_with(), "largest_difference": refuse_if_far(worst, "the file")}
