"""A translator as transformers has it (MarianMTModel): one text that is read, and one that is written from it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dapeng.columns.tokenisers import clean
from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.core.files import write_json
from dapeng.data.table import Source
from dapeng.export import layout
from dapeng.export.differences import SIZES, largest, refuse_if_far
from dapeng.export.flat import batches_of
from dapeng.export.layout import MADE, MOST_TEXTS, TOUGH
from dapeng.fusion.concat import ConcatFusion
from dapeng.nn.causal import Shape
from dapeng.nn.lora import without_adapters
from dapeng.product.product import Product
from dapeng.public.families import marian

UNCUT = 1_000_000
"""Tokens of a text whose tokens are compared."""
ROLES = ("pad_token", "bos_token", "eos_token")


@dataclass(frozen=True)
class Files:
    """What a folder says. values: JSON files by their path in it. models: of sentencepiece, by name."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    values: dict[str, dict[str, Any]]
    models: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / "config.json", {**self.config, "dtype": "float32"})
        for name, values in self.values.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_json(folder / name, values)
        for name, content in self.models.items():
            (folder / name).write_bytes(content)
        held = {n: t.detach().cpu().float().clone().contiguous() for n, t in self.tensors.items()}
        save_file(held, folder / "model.safetensors", MADE)


class Translator:
    """The one text that a product reads by a Transformer, and the one that it writes by another."""

    def __init__(self, product: Product):
        assert product.model is not None
        self.product, self.model = product, without_adapters(product.model.eval())
        (self.read,), (self.written,) = product.inputs, product.outputs
        self.source: Any = product.inputs[self.read]
        self.target: Any = product.outputs[self.written]
        self.writer: Any = self.model.decoders[self.written].writer

    @staticmethod
    def fits(product: Product) -> bool:
        if product.model is None or len(product.inputs) != 1 or len(product.outputs) != 1 or not product.written:
            return False
        (read,), (written,) = product.inputs.values(), product.outputs.values()
        parts = (getattr(read.options, "encoder", None), getattr(written.options, "decoder", None))
        return all(getattr(p, "type", None) == "transformer" for p in parts)

    @staticmethod
    def states(
        model: Any, read: str, written: str, each: Callable[[Tensor], Tensor] = lambda p: p
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Tensors of the encoder and of the decoder, by the names that public weights fill. each: what is taken of a parameter."""
        encoder, writer = model.encoders[read], model.decoders[written].writer
        first = {n: each(p) for n, p in encoder.named_parameters()}
        last = {n: each(p) for n, p in writer.stack.named_parameters()}
        last |= {"table": each(writer.table.module.weight)}
        last |= {} if writer.head_bias is None else {"head_bias": each(writer.head_bias)}
        return {**first, "table": each(encoder.table.module.weight)}, last

    def layout(self) -> Files:
        """The files. Raises RunError where Marian has no such network."""
        encoder, shape, codec = self._encoder(), self.writer.shape, self.target.codec
        states = self.states(self.model, self.read, self.written)
        reader: Any = self.model.encoders[self.read]
        one_table = reader.table.module is self.writer.table.module
        sizes = (len(states[0]["table"]), len(states[1]["table"]))
        longest = 1 + max(self.source.max_length, self.target.max_length, self.source.state.get("longest", 511))
        try:
            config = marian.config_of(encoder, shape, sizes, longest, one_table)
            tensors = marian.theirs(*states, (encoder.layers, shape.layers), one_table)
        except KeyError as error:
            what = f"the network has no plain {error.args[0]}: it was compressed"
            raise RunError(what, hint="export the run that it was made from") from None
        except ValueError as error:
            what = f"the translators of transformers (Marian) are others: {error}"
            raise RunError(
                what, hint="train with encoder={type: transformer, pre_norm: false, activation: relu}"
            ) from None
        ids = {"pad_token_id": codec.pad, "eos_token_id": codec.eos, "decoder_start_token_id": codec.bos}
        decoder: Any = self.target.options.decoder
        generation = {
            **ids, "num_beams": decoder.beams, "length_penalty": decoder.length_penalty, "do_sample": False,
            "max_length": self.target.max_length + 1,
        }  # fmt: skip
        if codec.unwritten:
            generation["suppress_tokens"] = list(codec.unwritten)
        config = {**config, **ids, "bos_token_id": None, "forced_eos_token_id": None}
        values, models = self._tokenisers()
        return Files(config, tensors, {"generation_config.json": generation, **values}, models)

    def _encoder(self) -> Shape:
        """What reads, as the shape of a stack. Raises RunError where what is read goes through more than that."""
        o: Any = self.source.options.encoder
        if not isinstance(self.model.fusion, ConcatFusion):
            what = "the translators of transformers write from what the encoder reads itself, and here a fusion lies between"
            raise RunError(what, hint="train with fusion=concat")
        norm = o.norm.rows(o.embed_dim)
        plain = isinstance(norm, torch.nn.LayerNorm)
        return Shape(
            width=o.embed_dim, layers=o.num_layers, heads=o.num_heads, kv_heads=o.num_heads, head_width=o.embed_dim // o.num_heads,
            hidden=4 * o.embed_dim if o.width == "auto" else o.width, norm="layer" if plain else "rms",
            eps=getattr(norm, "eps", 0.0), activation=o.activation.type, gated=False, bias=True, rotary=None,
            waves=o.positions == "sinusoidal", pre_norm=o.pre_norm,
        )  # fmt: skip

    @property
    def mapped(self) -> bool:
        """Whether both sides have the tokenisers of such a translator."""
        source = self.source.state.get("codec") or {}
        return source.get("kind") == self.target.codec.kind == "mapped"

    def _tokenisers(self) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
        if self.mapped:
            return self._marian(self.source.state["codec"], self.target.codec.state)
        warn(
            "MarianTokenizer has pieces of sentencepiece alone, and this run has other tokenisers",
            "source/ and target/ hold them: PreTrainedTokenizerFast.from_pretrained(FOLDER, subfolder='source')",
        )
        out: dict[str, dict[str, Any]] = {}
        for side, made in (("source", self._read_by), ("target", self._written_by)):
            try:
                values, roles = made()
            except ValueError as error:
                warn(f"{side}: {error}; it is left out", "train with tokeniser=bpe (or words, characters)")
                continue
            known = {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True, **roles}
            out |= {f"{side}/tokenizer.json": values, f"{side}/tokenizer_config.json": known}
        return out, {}

    def _read_by(self) -> tuple[dict[str, Any], dict[str, str]]:
        values = self.source.tokeniser.published()
        values["normalizer"] = self.source.cleaning(values.get("normalizer"))
        return values, _named(values, self.source.tokeniser.framing()[:3])

    def _written_by(self) -> tuple[dict[str, Any], dict[str, str]]:
        codec = self.target.codec
        return codec.published(), _named(codec.published(), (codec.pad, codec.bos, codec.eos))

    def _marian(self, source: dict[str, Any], target: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
        lists = [{n: i for i, n in enumerate(s["names"]) if n} for s in (source, target)]
        pad, end = (target["names"][target[r]] for r in ("pad", "eos"))
        apart = lists[0] != lists[1]
        known = {
            "tokenizer_class": "MarianTokenizer", "separate_vocabs": apart, "eos_token": end, "pad_token": pad,
            "unk_token": target["names"][target["unknown"]], "model_max_length": target["longest"] + 1,
            "split_special_tokens": True, "source_lang": None, "target_lang": None, "sp_model_kwargs": {},
        }  # fmt: skip
        values = {"vocab.json": lists[0], "tokenizer_config.json": known}
        values |= {"target_vocab.json": lists[1]} if apart else {}
        models = {f"{side}.spm": base64.b64decode(s["model"]) for side, s in (("source", source), ("target", target))}
        return values, models

    def check(self, folder: Path, rows: Source) -> dict[str, Any]:
        """Tokens of both sides and logits of what was written into the folder, beside the run's own."""
        model = layout.opened(folder, "MarianMTModel")
        if model is None:
            raise RunError("what was written can't be checked without transformers", hint="pip install 'dapeng[hf]'")
        found = self._same_tokens(folder, rows)
        worst = 0.0
        with torch.inference_mode():
            for batch in batches_of(self.product, rows, SIZES):
                ids = self._something(len(batch[self.read]["ids"]))
                features: Any = self.model.features(batch)
                wanted = self.writer.logits(self.writer.behind(ids, None, features.tokens, features.mask))
                cells = batch[self.read]
                theirs = model(
                    input_ids=cells["ids"].long(), attention_mask=features.mask.long(), decoder_input_ids=ids
                ).logits
                worst = max(worst, largest([theirs.float().numpy()], [wanted.float().cpu().numpy()]))
        worst = refuse_if_far(worst, "what was written")
        return {**found, "compared_with": layout.compared_with(), "largest_difference": worst}

    def _something(self, rows: int) -> Tensor:
        """(B, T) texts that may be written, of other tokens in each row."""
        size, longest = self.target.codec.size, min(8, self.target.max_length)
        ids = (torch.arange(rows)[:, None] * 31 + torch.arange(longest) * 7 + 3) % size
        ids[:, 0] = self.target.codec.bos
        return ids

    def _same_tokens(self, folder: Path, rows: Source) -> dict[str, Any]:
        texts = {n: [*self._texts(rows, n), *TOUGH] for n in (self.read, self.written)}
        counts, how = {}, self._readers(folder)
        for side, name, ours in (("source", self.read, self._ids), ("target", self.written, self._written_ids)):
            if side in how:
                other = [t for t in texts[name] if how[side](t) != ours(t)]
                self._tell(side, name, other, how[side], ours)
                counts[side] = len(texts[name]) - len(other)
        return {"texts_compared": counts}

    def _tell(self, side: str, name: str, other: list[str], theirs: Any, ours: Any) -> None:
        """Raises RunError where a side reads texts otherwise, if that is not for how they are cleaned before."""
        column = self.source if side == "source" else None
        for text in other:
            cleaned = text if column is None else clean(text, column.lowercase, column.options.normalise)
            if theirs(cleaned) != ours(text):
                what = f"the folder's tokeniser reads {text[:60]!r} ({name}) otherwise than the run; nothing was kept"
                raise RunError(what, hint="dapeng serve RUN")
        if other:
            warn(
                f"{name}: {len(other)} of the texts that were compared have the run's tokens only once they are cleaned as it does",
                f"unicodedata.normalize({self.source.options.normalise!r}, text), and blanks as one",
            )

    def _readers(self, folder: Path) -> dict[str, Any]:
        """By side, what makes ids of a text out of the folder."""
        if self.mapped:
            transformers: Any = __import__("transformers")
            with layout.quiet():
                found = transformers.MarianTokenizer.from_pretrained(folder, local_files_only=True)
            return {"source": lambda t: found(t)["input_ids"], "target": lambda t: found(text_target=t)["input_ids"]}
        from tokenizers import Tokenizer

        out = {}
        for side in ("source", "target"):
            if (folder / side / "tokenizer.json").is_file():
                library = Tokenizer.from_file(str(folder / side / "tokenizer.json"))
                library.encode_special_tokens = True
                out[side] = lambda t, library=library: library.encode(t).ids
        return out

    def _ids(self, text: str) -> list[int]:
        cleaned = clean(text, self.source.lowercase, self.source.options.normalise)
        return self.source.tokeniser.encode([cleaned], UNCUT)[0].tolist()

    def _written_ids(self, text: str) -> list[int]:
        return [*self.target.codec.encode([text])[0].tolist(), *([self.target.codec.eos] if self.mapped else [])]

    def _texts(self, rows: Source, name: str) -> list[str]:
        """The run's own, where they can be had."""
        cells = rows.head(MOST_TEXTS).column(name).to_pylist() if name in rows.names else []
        return [str(c) for c in cells if c and str(c).strip()]


def _named(values: dict[str, Any], ids: tuple[int, ...]) -> dict[str, str]:
    """Roles by what their tokens are called in a tokenizer.json."""
    names = {t["id"]: t["content"] for t in values["added_tokens"]}
    return {role: names[i] for role, i in zip(ROLES, ids) if i in names}
