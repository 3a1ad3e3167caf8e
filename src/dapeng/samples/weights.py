"""Public weights that come in a package: files of an archive, read where they are."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dapeng.core.errors import DataError, Problem
from dapeng.data.table import Source
from dapeng.data.tensors import parsed
from dapeng.samples.base import Sample
from dapeng.samples.find import members


class WeightsSample(Sample):
    """Weights by name: `encoder: {type: bert, weights: sample:minilm}`. Not rows."""

    inside: ClassVar[str] = ""
    """Folder of the archive that holds them."""

    def text(self, name: str) -> str | None:
        """A text file of the Hugging Face layout, None where there is none of that name."""
        content = self._members(name).get(name)
        return None if content is None else content.decode("utf-8")

    def state(self) -> dict[str, Tensor]:
        """All tensors."""
        return {
            name: tensor
            for path, content in sorted(self._members(".safetensors").items())
            for name, tensor in parsed(content, f"sample:{self.type}/{path}").items()
        }

    def _members(self, ending: str) -> dict[str, bytes]:
        return {
            path.removeprefix(self.inside): content
            for path, content in members(self.find(), ending)
            if path.startswith(self.inside)
        }

    def load(self) -> dict[str, Source]:
        hint = f"name it as weights of an encoder: weights: sample:{self.type}"
        raise DataError(Problem(f"sample:{self.type}", "holds the weights of a network, not rows", hint))
