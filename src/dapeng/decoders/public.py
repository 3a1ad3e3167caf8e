"""Decoders of texts that can begin from public weights: a local folder in the Hugging Face layout, or a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from dapeng.core.errors import Problem, SpecError
from dapeng.decoders.writing import WritingDecoder, WritingOptions
from dapeng.nn.causal import Shape
from dapeng.nn.features import Widths
from dapeng.public.folders import SAMPLE, open_folder
from dapeng.public.writers import codec_in, shape_in, tensors_in


class PublicWriting(WritingOptions):
    """What every decoder has that can begin from public weights, whose tokeniser is the output's then."""

    family: ClassVar[Any]
    """The layout in `dapeng.public.families`."""
    type: str
    weights: str | None = None
    """Begin from these: a folder with config.json, *.safetensors and tokenizer.json (Hugging Face layout), or a run folder."""
    weights_rate: float = Field(0.1, gt=0, le=10)
    """Learning rate of public weights, as a share of the run's."""

    def architecture(self, shape: Shape, tied: bool) -> dict[str, Any]:
        """Fields of these options for a stack."""
        raise NotImplementedError

    def located(self, base: Path | None) -> PublicWriting:
        own = self.weights
        if own is None or base is None or own.startswith(SAMPLE) or Path(own).expanduser().is_absolute():
            return self
        # beside the spec; what was typed, or a recipe names, may also lie where the user is
        return self.model_copy(update={"weights": str(base / own)}) if (base / own).is_dir() else self

    def resolved(self) -> PublicWriting:
        """These options with the network's shape, where public weights decide it.

        Raises: SpecError where the folder holds another network, or where the spec asks for another shape than it has.
        """
        if self.weights is None:
            return self
        folder = open_folder(self.weights)
        own = folder.decoder(self.type)
        if own is None:
            fields = self.architecture(*shape_in(folder, self.family))
        else:
            fields = {k: v for k, v in own.items() if k not in _LOCAL and k in type(self).model_fields}
        wrong = {k: v for k, v in fields.items() if k in self.model_fields_set and getattr(self, k) != v}
        if wrong:
            (key, value), *_ = wrong.items()
            found = f"{key} is {getattr(self, key)!r}, but the weights in {self.weights} have {value!r}"
            raise SpecError(Problem(key, found, f"leave {key} out: the weights decide it"))
        given = {k: getattr(self, k) for k in self.model_fields_set}
        return type(self).model_validate({**given, **fields})

    def vocabulary(self) -> dict[str, Any] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        return folder.codec(self.type) or codec_in(folder)

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> WritingDecoder:
        decoder = super().build(column, widths, tables, loss)
        if self.weights is not None:
            decoder.slow(self.weights_rate)
        return decoder

    def start(self, decoder: WritingDecoder) -> None:
        """Fill a decoder with the public weights. Raises SpecError where a tensor is missing or has another shape."""
        if self.weights is None:
            return
        folder, writer = open_folder(self.weights), decoder.writer
        state = folder.writer(self.type) or tensors_in(folder, self.family, writer.shape, self.tied())
        own = decoder.public_state()
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


_LOCAL = ("type", "weights", "weights_rate", "dropout", "beams", "length_penalty")
"""Fields that a run's decoder doesn't hand down."""
