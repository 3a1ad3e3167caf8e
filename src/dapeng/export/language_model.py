"""A language model as transformers has it: GPT-2, Llama, Qwen or Mixtral, by what the stack is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dapeng.columns.chat import turns_of
from dapeng.columns.template import Turn
from dapeng.core.errors import RunError
from dapeng.data.table import Source
from dapeng.export import layout
from dapeng.export.differences import largest, refuse_if_far
from dapeng.export.layout import MOST_TEXTS, TOUGH, Layout
from dapeng.nn.causal import Causal, Shape, plain_view
from dapeng.nn.lora import plain_parameters
from dapeng.product.product import Product
from dapeng.public.families import FAMILIES, Family, family_of
from dapeng.tokens.published import begun

MOST_LOGITS_OF = 8
"""Texts whose logits are compared."""


class LanguageModel:
    """The one text that a product writes, without any input."""

    def __init__(self, product: Product):
        assert product.model is not None
        (self.name,) = product.outputs
        self.column: Any = product.outputs[self.name]
        decoder: Any = product.model.decoders[self.name]
        self.writer: Any = decoder.writer.eval()
        self.codec = self.column.codec

    @staticmethod
    def fits(product: Product) -> bool:
        return bool(product.written) and not product.inputs and len(product.outputs) == 1 and product.model is not None

    def layout(self) -> Layout:
        """The files. Raises RunError where transformers has no such stack, or a tokenizer.json can't say the tokeniser."""
        config, tensors = self.published()
        ids = {role: config[role] for role in ("bos_token_id", "eos_token_id", "pad_token_id")}
        names = {number: name for name, number in self.codec.names.items()}
        roles = {role: names[i] for role, i in zip(("bos_token", "eos_token", "pad_token"), ids.values())}
        try:
            tokenizer = {**self.codec.published(), "post_processor": begun(roles["bos_token"], self.codec.bos)}
        except ValueError as error:
            raise RunError(str(error), hint="train with tokeniser=bpe") from None
        template = "" if self.column.talk is None else self.column.talk.template.text
        if self.column.talk is not None:  # what the template knows them as, which need not be what ends an answer
            roles |= {r: n for r, n in self.column.talk.template.tokens.items() if n in self.codec.specials}
        generation = {**ids, "do_sample": False}
        if self.codec.unwritten:
            generation["suppress_tokens"] = list(self.codec.unwritten)
        return Layout(config, tensors, tokenizer, roles, self.longest, generation, template)

    def published(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """A config.json, and the tensors by transformers' names. Raises RunError where transformers has no such stack."""
        family, config = self._family()
        ids = {"bos_token_id": self.codec.bos, "eos_token_id": self.codec.eos, "pad_token_id": self.codec.pad}
        return {**config, **ids}, family.theirs(self.tensors(), self.writer.shape)

    @property
    def longest(self) -> int:
        return self.writer.shape.positions or self.column.window

    def tensors(self) -> dict[str, Tensor]:
        """By the names of `Causal`, with the table and the head; adapters are in the weights."""
        found = {**plain_parameters(self.writer.stack), "table": self.writer.table.module.weight}
        return found if self.writer.head is None else {**found, "head": self.writer.head.weight}

    def _family(self) -> tuple[Family, dict[str, Any]]:
        if not isinstance(self.writer.shape, Shape):
            what = f"{self.name} is written by a recurrent network, and transformers has blocks with attention alone"
            raise RunError(what, hint="train with decoder=llama or decoder=gpt")
        reasons = []
        for family in FAMILIES:
            try:
                return family, family.config_of(
                    self.writer.shape, self.codec.size, self.longest, self.writer.head is None
                )
            except ValueError as error:
                reasons.append(str(error))
        what = "transformers has no model made of such blocks: " + "; ".join(reasons)
        raise RunError(what, hint="train with decoder=llama or decoder=gpt as they are")

    def check(self, folder: Path, rows: Source) -> dict[str, Any]:
        """Tokens and logits of what was written into the folder, beside the run's own."""
        texts = [*self.texts(rows), *TOUGH]
        tokens = layout.refuse_other_tokens(folder, texts, self.ids)
        if self.column.talk is not None:
            layout.refuse_other_chats(folder, self.column.talk, self.conversations(rows))
        model = layout.opened(folder, "AutoModelForCausalLM")
        theirs = (lambda ids: model(ids).logits) if model is not None else _read_back(folder)
        worst = 0.0
        with torch.inference_mode():
            for text in [*texts[:MOST_LOGITS_OF], *TOUGH]:
                ids = torch.tensor([self.ids(text)[: self.longest]])
                wanted, found = self.logits(ids), theirs(ids).float()
                worst = max(worst, largest([found.numpy()], [wanted.numpy()]))
        return {
            "texts_compared": tokens,
            "compared_with": layout.compared_with() if model is not None else "the files, read back",
            "largest_difference": refuse_if_far(worst, "what was written"),
        }

    def ids(self, text: str) -> list[int]:
        """A text as it is gone on with: begin, then its tokens."""
        return [self.codec.bos, *self.codec.encode([text])[0].tolist()]

    def logits(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), fp32."""
        device = self.writer.matrix.device
        hidden = self.writer.hidden(ids.to(device), plain_view(len(ids), ids.shape[1], device))
        return F.linear(hidden, self.writer.matrix).float().cpu()

    def conversations(self, rows: Source) -> list[list[Turn]]:
        """A made-up one, and the run's own, where they can be had."""
        cells = [] if self.name not in rows.names else turns_of(rows.head(MOST_TEXTS).column(self.name))[0]
        return [[Turn("user", TOUGH[0]), Turn("assistant", TOUGH[1])], *(t for t in cells if t)]

    def texts(self, rows: Source) -> list[str]:
        """The run's own, where they can be had."""
        if self.name not in rows.names:
            return []
        cells = rows.head(MOST_TEXTS).column(self.name).to_pylist()
        return [str(c) for c in cells if c]


def _read_back(folder: Path) -> Any:
    """ids (B, T) -> logits (B, T, V), out of the files as `weights` reads them."""
    from dapeng.public.folders import open_folder

    place = open_folder(str(folder))
    config = place.json("config.json")
    family = family_of(config["model_type"])
    assert family is not None
    shape = family.shape_of(config)
    state = family.ours(place.state(), shape)
    table = state.pop("table")
    head = state.pop("head", table)
    stack = Causal(shape).eval()
    stack.load_state_dict(state)
    return lambda ids: F.linear(stack(F.embedding(ids, table), plain_view(len(ids), ids.shape[1])), head)
