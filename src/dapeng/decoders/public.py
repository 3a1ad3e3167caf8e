"""Decoders of texts that can begin from public weights: a local folder in the Hugging Face layout, or a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dapeng.core.errors import DapengError, Problem, SpecError
from dapeng.decoders.adapted import Lora, adapt, digest, save_adapters_alone
from dapeng.decoders.writing import BlockOptions, WritingDecoder
from dapeng.nn.causal import Shape
from dapeng.nn.features import Widths
from dapeng.public.folders import SAMPLE, PublicFolder, beside, decided, open_folder
from dapeng.public.writers import codec_in, conversation_in, shape_in, tensors_in


class PublicWriting(BlockOptions):
    """What every decoder has that can begin from public weights, whose tokeniser is the output's then."""

    family: ClassVar[Any]
    """The layout in `dapeng.public.families`."""
    whole: ClassVar[bool] = False
    """Whether such weights say too how inputs are looked at."""
    type: str
    weights: str | None = None
    """Begin from these: a folder with config.json, *.safetensors and tokenizer.json (Hugging Face layout), or a run folder."""
    weights_rate: float = Field(0.1, gt=0, le=10)
    """Learning rate of public weights, as a share of the run's."""
    lora: Lora | None = None
    """Train adapters in place of the public weights: {rank: 8, alpha: 16, dropout: 0, on: [q, v] or all, train: [head, norms],
    keep_base: true}. With keep_base: false a run holds them alone, is small, and needs the weights' folder.
    """

    @model_validator(mode="after")
    def _adapts_something(self) -> PublicWriting:
        if self.lora is not None and self.weights is None:
            raise ValueError("lora: there is nothing to adapt without weights")
        return self

    def architecture(self, shape: Shape, tied: bool) -> dict[str, Any]:
        """Fields of these options for a stack."""
        raise NotImplementedError

    def located(self, base: Path | None) -> PublicWriting:
        return self.model_copy(update={"weights": beside(self.weights, base)})

    def resolved(self) -> PublicWriting:
        """These options with the network's shape, where public weights decide it.

        Raises: SpecError where the folder holds another network, or where the spec asks for another shape than it has.
        """
        if self.weights is None:
            return self
        folder = open_folder(self.weights)
        own = folder.decoder(self.type)
        if own is not None and own.get("lora") is not None:
            what = f"the run {self.weights} holds adapters, not whole weights"
            hint = (
                f"dapeng export {self.weights} --format transformers, and begin from {self.weights}/export/transformers"
            )
            raise SpecError(Problem("weights", what, hint))
        if own is None:
            fields = self.architecture(*shape_in(folder, self.family))
        else:
            fields = {k: v for k, v in own.items() if k not in _LOCAL and k in type(self).model_fields}
        found = decided(self, fields, self.weights)
        return found if self.lora is None else found._with_base()

    def _with_base(self) -> PublicWriting:
        """The same, with where the weights lie from anywhere, and what they are."""
        assert self.lora is not None
        assert self.weights is not None
        shape = self.shape(None, 1)
        place = self.weights if self.weights.startswith(SAMPLE) else str(Path(self.weights).expanduser().absolute())
        lora = self.lora.model_copy(update={"base": digest(self._tensors(shape))})
        return self.model_copy(update={"weights": place, "lora": lora})

    def vocabulary(self) -> dict[str, Any] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        return folder.codec(self.type) or codec_in(folder)

    def conversation(self) -> dict[str, Any] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        return folder.conversation(self.type) or conversation_in(folder)

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> WritingDecoder:
        decoder = super().build(column, widths, tables, loss)
        if self.weights is not None:
            decoder.slow(self.weights_rate)
            decoder.whole = self.whole and widths is not None
        if self.lora is not None:
            try:
                adapt(decoder, self.lora)
            except ValueError as error:
                raise SpecError(Problem(f"outputs.{column.name}.decoder.lora.on", str(error))) from None
            if not self.lora.keep_base:  # no file of the run holds it, so that it is read wherever the network is made
                self._based(decoder, column.name)
                save_adapters_alone(decoder)
        return decoder

    def start(self, decoder: WritingDecoder) -> None:
        """Fill a decoder with the public weights. Raises SpecError where a tensor is missing or has another shape."""
        if self.weights is not None and (self.lora is None or self.lora.keep_base):
            self._fill(decoder, self._tensors(decoder.writer.shape))

    def _tensors(self, shape: Shape) -> dict[str, Tensor]:
        """The public weights, by the names of `Causal`."""
        assert self.weights is not None
        folder = open_folder(self.weights)
        return folder.writer(self.type) or self.translated(folder, shape)

    def translated(self, folder: PublicFolder, shape: Shape) -> dict[str, Tensor]:
        """The tensors of a folder in the Hugging Face layout, by the names of `Causal`. Raises SpecError where one is missing."""
        return tensors_in(folder, self.family, shape, self.tied())

    def _based(self, decoder: WritingDecoder, name: str) -> None:
        """Fill a decoder whose run holds adapters alone. Raises SpecError where the public weights are gone or are others."""
        assert self.lora is not None
        hint = "bring the folder back, or train with decoder.lora.keep_base=true"
        where = f"outputs.{name}.decoder.weights"
        try:
            state = self._tensors(decoder.writer.shape)
            self._fill(decoder, state)
        except DapengError as error:
            what = f"adapters alone are kept, and what they belong to can't be read: {error.problems[0].what}"
            raise SpecError(Problem(where, what, hint)) from None
        if self.lora.base is not None and digest(state) != self.lora.base:
            what = f"the weights in {self.weights} are not those that the adapters were trained with"
            raise SpecError(Problem(where, what, hint))

    def _fill(self, decoder: WritingDecoder, state: dict[str, Tensor]) -> None:
        own = decoder.public_parameters()
        for name, tensor in own.items():
            if name not in state or state[name].shape != tensor.shape:
                what = f"the weights in {self.weights} lack {name}"
                if name in state:
                    what = (
                        f"{name} in {self.weights} is {list(state[name].shape)}, but {list(tensor.shape)} is expected"
                    )
                raise SpecError(Problem("weights", what, "name a folder with all weights of the model"))
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])


_LOCAL = ("type", "weights", "weights_rate", "dropout", "beams", "length_penalty", "lora")
"""Fields that a run's decoder doesn't hand down."""
