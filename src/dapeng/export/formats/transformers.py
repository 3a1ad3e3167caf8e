"""transformers: a folder in the layout of Hugging Face, that `from_pretrained` opens, and that `weights` begins from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.core.errors import RunError
from dapeng.core.files import atomic_folder
from dapeng.core.kinds import ExporterOptions, exporters
from dapeng.data.table import Source
from dapeng.export.bert import Bert
from dapeng.export.language_model import LanguageModel
from dapeng.export.layout import made_here
from dapeng.export.place import refuse_taken
from dapeng.export.shares import network_alone
from dapeng.export.translator import Translator
from dapeng.product.product import Product

OURS = re.compile(
    r"[a-z_]*config\.json|model\.safetensors|(tokenizer|vocab)\.json|chat_template\.jinja|(source|target)(\.spm)?"
)
"""Names in a folder that was exported."""
COUNTERPARTS: tuple[Any, ...] = (LanguageModel, Translator, Bert)


@exporters
class Transformers(ExporterOptions):
    """A language model, a BERT over one text, or a translator (Marian), as transformers opens it: config.json, model.safetensors,
    tokenizer.json (of a translator its source.spm, target.spm and vocab.json, or source/ and target/).

    Tokens are the run's own, and so are logits, to 1e-4; a text is begun with the begin token, and special tokens in it are text.
    Then: AutoModelForCausalLM.from_pretrained("runs/stories-0001/export/transformers")

    Example: `dapeng export runs/stories-0001 --format transformers`
    """

    type: Literal["transformers"] = "transformers"
    writes: ClassVar[bool] = True

    def has_a_form_for(self, product: Product) -> bool:
        return any(kind.fits(product) for kind in COUNTERPARTS)

    def refuse_place(self, to: Path) -> None:
        refuse_taken(to, OURS, made_here(to / "model.safetensors"))

    def export(self, product: Product, to: Path, rows: Source) -> dict[str, Any]:
        made = _counterpart(product)
        lacks = network_alone(product, "the folder")
        written = made.layout()
        found: dict[str, Any] = {"model": written.config["architectures"][0], "lacks": lacks}

        def write(folder: Path) -> None:
            written.write(folder)
            found.update(made.check(folder, rows))

        atomic_folder(to, write)
        return {"folder": str(to), "files": sorted(p.name for p in to.iterdir()), **found}


def _counterpart(product: Product) -> Any:
    """What transformers has for this product. Raises RunError where that is nothing, with what would work."""
    for kind in COUNTERPARTS:
        if kind.fits(product):
            return kind(product)
    if product.written and product.inputs:
        what = f"{product.written[0]} is written from what inputs say, which transformers has between one text and another alone, by two Transformers"
        raise RunError(what, hint="dapeng serve RUN; or encoder=transformer and decoder=transformer")
    what = (
        "transformers has no model like this one: it has language models (a text as output, no inputs), translators "
        "(a text from a text, by two Transformers) and BERT over one text"
    )
    raise RunError(what, hint="--format standalone or --format onnx")
