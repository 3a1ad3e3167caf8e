"""A BERT over one text as transformers has it: with the head that finds hidden tokens where the run ends with its pretraining,
with its classifier where ours is theirs, else what it makes of each token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dapeng.columns.tokenisers import clean
from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.data.table import Source
from dapeng.export import layout
from dapeng.export.differences import SIZES, largest, refuse_if_far
from dapeng.export.flat import batches_of
from dapeng.export.layout import MOST_TEXTS, TOUGH, Layout
from dapeng.nn.lora import without_adapters
from dapeng.product.product import Product
from dapeng.public.families import bert

UNCUT = 1_000_000
"""Tokens of a text whose tokens are compared."""
ROLES = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


class Bert:
    """The encoder of a product that reads one text, and its answer, where BertForSequenceClassification gives the same."""

    def __init__(self, product: Product):
        assert product.model is not None
        self.product, self.model = product, without_adapters(product.model.eval())
        (self.name,) = product.inputs
        self.column: Any = product.inputs[self.name]
        self.options = self.column.options.encoder
        self.encoder: Any = self.model.encoders[self.name]

    @staticmethod
    def fits(product: Product) -> bool:
        encoder: Any = getattr(next(iter(product.inputs.values()), object()), "options", None)
        named = getattr(getattr(encoder, "encoder", None), "type", None)
        return named == "bert" and len(product.inputs) == 1 and product.model is not None

    @property
    def classifier(self) -> tuple[str, Any] | None:
        """The one output and its decoder, where it is a linear layer over BERT's own pooler; else None."""
        trunk = getattr(self.model.fusion, "trunk", None)
        if len(self.product.outputs) != 1 or self.encoder.pooler is None or trunk is None or len(trunk):
            return None
        ((name, decoder),) = self.model.decoders.items()
        plain = isinstance(getattr(decoder, "head", None), nn.Linear) and hasattr(decoder, "sharpness")
        return (name, decoder) if plain else None

    @property
    def head(self) -> dict[str, Tensor]:
        """What finds hidden tokens, by the names of `MaskedHead`; {} where the run did not end with a masked phase."""
        own = f"masked.{self.name}."
        return {n.removeprefix(own): t for n, t in self.product.beside.items() if n.startswith(own)}

    def layout(self) -> Layout:
        """The files. Raises RunError where a tokenizer.json can't say the tokeniser."""
        if self.classifier is None and not self.head:
            what = "BERT of transformers answers by a linear layer over its own pooler, and this run does otherwise"
            warn(
                f"{what}: the folder holds what reads the text alone",
                f"train with inputs.{self.name}.encoder.pool=pooler",
            )
        state = self.encoder.public_state()
        try:
            tensors = bert.theirs(state, self.options.num_layers)
            tokenizer = self.column.tokeniser.published()
        except KeyError as error:
            what = f"the network has no plain {error.args[0]}: it was compressed"
            raise RunError(what, hint="export the run that it was made from") from None
        except ValueError as error:
            raise RunError(str(error), hint=f"train with inputs.{self.name}.tokeniser=words") from None
        tokenizer["normalizer"] = self.column.cleaning(tokenizer.get("normalizer"))
        known = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
        roles = {r: next(t for t in names if t in known) for r, names in ROLES.items() if known.keys() & set(names)}
        config = bert.config_of(self.options, len(state["table"]))
        config["pad_token_id"] = known.get(roles.get("pad_token", ""), 0)
        if self.head:
            tensors = {
                **{f"bert.{n}": t for n, t in tensors.items() if not n.startswith("pooler.")},
                **bert.head_for(self.head),
            }
            config = {**config, "architectures": ["BertForMaskedLM"], "tie_word_embeddings": True}
            roles["mask_token"] = next(t for t, i in known.items() if i == self.column.tokeniser.hides)
        elif self.classifier is not None:
            tensors, config = self._with_answer(tensors, config, *self.classifier)
        return Layout(config, tensors, tokenizer, roles, self.column.max_length)

    def _with_answer(
        self, tensors: dict[str, Tensor], config: dict[str, Any], name: str, decoder: Any
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        labels = [str(label) for label in getattr(self.product.outputs[name], "labels", [])]
        named = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        config = {**config, "architectures": ["BertForSequenceClassification"], **named}
        config["problem_type"] = "single_label_classification"
        tensors = {f"bert.{n}": t for n, t in tensors.items()}
        head = {f"classifier.{n}": t * decoder.sharpness for n, t in decoder.head.named_parameters()}
        return {**tensors, **head}, config

    def check(self, folder: Path, rows: Source) -> dict[str, Any]:
        """Tokens, and what the network makes of them, beside the run's own."""
        cells = rows.head(MOST_TEXTS).column(self.name).to_pylist() if self.name in rows.names else []
        texts = [*(str(c) for c in cells if c and str(c).strip()), *TOUGH]
        found = {"texts_compared": layout.refuse_other_tokens(folder, texts, self._ids)}
        answers = self.classifier is not None and not self.head
        opens = (
            "AutoModelForMaskedLM" if self.head else "AutoModelForSequenceClassification" if answers else "AutoModel"
        )
        model = layout.opened(folder, opens)
        if model is None:
            raise RunError("what was written can't be checked without transformers", hint="pip install 'dapeng[hf]'")
        worst = 0.0
        with torch.inference_mode():
            for batch in batches_of(self.product, rows, SIZES):
                cells = batch[self.name]
                theirs = model(input_ids=cells["ids"].long(), attention_mask=cells["mask"].long())
                worst = max(worst, self._difference(batch, theirs))
        worst = refuse_if_far(worst, "what was written")
        return {**found, "compared_with": layout.compared_with(), "largest_difference": worst, "answers": answers}

    def _ids(self, text: str) -> list[int]:
        """A whole text: where the run cuts it is for whoever calls the tokeniser to say (truncation=True)."""
        cleaned = clean(text, self.column.lowercase, self.column.options.normalise)
        return self.column.tokeniser.encode([cleaned], UNCUT)[0].tolist()

    def _difference(self, batch: Any, theirs: Any) -> float:
        """Of the logits of real tokens, of probabilities, or of the features of real tokens."""
        if self.head:
            real = batch[self.name]["mask"]
            tokens = self.model.encode(batch)[self.name].tokens
            assert tokens is not None
            wanted = bert.logits(tokens[real], self.head, self.encoder.table.module.weight, self.options.eps)
            return largest([theirs.logits[real].numpy()], [wanted.numpy()])
        if self.classifier is not None:
            wanted = self.model(batch)[self.classifier[0]]["probabilities"]
            return largest([theirs.logits.softmax(-1).numpy()], [wanted.float().numpy()])
        real = batch[self.name]["mask"]
        wanted = self.model.encode(batch)[self.name].tokens
        assert wanted is not None
        return largest([theirs.last_hidden_state[real].numpy()], [wanted[real].numpy()])
