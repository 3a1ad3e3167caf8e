"""Convolutions over the log-mel spectrum, as over a picture whose one side is time.

Hershey et al.: CNN Architectures for Large-Scale Audio Classification, 2017 (https://arxiv.org/abs/1609.09430); residual blocks: He et
al., 2015. Time and frequency are halved between stages; what is behind the end of a sound reads as zero in every layer.

Legend: B rows, C channels, F frames, M bands, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.sounds import SoundEncoder, SoundOptions
from dapeng.nn.attention import pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import as_picture, halved, within


@encoders
class SpectrogramCnn(SoundOptions):
    """Convolutions over the log-mel spectrum of a sound; what it is, wherever in it.

    Paper: Hershey et al., 2017, https://arxiv.org/abs/1609.09430
    Example: `inputs: {clip: {type: audio, encoder: {type: spectrogram_cnn, width: 32}}}`
    """

    type: Literal["spectrogram_cnn"] = "spectrogram_cnn"
    width: int = Field(24, ge=4, le=1024)
    """Channels of the first stage; each stage has twice as many."""
    stages: int = Field(3, ge=1, le=5)
    """Stages of convolutions; time and frequency are halved before each."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.2, ge=0, lt=1)
    """On what it gives."""
    tiny: ClassVar[dict[str, Any]] = {"width": 8, "stages": 2, "dropout": 0.0}

    def build(self, columns: list[Any], tables: Any) -> SpectrogramCnnEncoder:
        return SpectrogramCnnEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 40 if rows < 5_000 else 20 if rows < 20_000 else 10
        return {"epochs": epochs, "batch_size": 32 if rows < 10_000 else 64, "learning_rate": 3e-3}


class Stage(nn.Module):
    """Two 3 x 3 convolutions beside a 1 x 1 one, (B, C, F, M) -> (B, D, F, M); what is behind the end stays zero."""

    def __init__(self, inputs: int, outputs: int, norm: NormOptions):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1, self.norm2 = norm.maps(outputs), norm.maps(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x))) * real
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x)) * real


class SpectrogramCnnEncoder(SoundEncoder):
    """samples, mask (B, T) -> tokens (B, F / 2^stages, D), their mask, and pooled (B, 2 D): their mean and maximum."""

    def __init__(self, column: Any, o: SpectrogramCnn):
        super().__init__(column, o)
        widths = [o.width * 2**i for i in range(o.stages)]
        # full resolution would cost more than all stages together: it is left at once
        self.stem = nn.Conv2d(1, o.width, 5, 2, 2, bias=False)
        self.norm = o.norm.maps(o.width)
        self.stages = nn.ModuleList(Stage(a, b, o.norm) for a, b in zip([o.width, *widths], widths))
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=2 * widths[-1], tokens=widths[-1], **self.span(2**o.stages))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        lengths = self.lengths(cells)
        x = as_picture(embedded * within(lengths, embedded)[..., None])  # (B, 1, F, M)
        x, lengths = self.stem(x), halved(lengths)
        mask = within(lengths, x, 2)
        x = F.relu(self.norm(x)) * mask[:, None, :, None]
        for number, stage in enumerate(self.stages):
            if number:
                x, lengths = _pooled(x), halved(lengths)
                mask = within(lengths, x, 2)
            x = stage(x, mask[:, None, :, None])
        tokens = x.mean(3).mT.contiguous()  # (B, F, D)
        pooled = torch.cat([pooled_tokens(tokens, mask, how) for how in ("mean", "max")], 1)
        return Features(pooled=self.drop(pooled), tokens=self.drop(tokens), mask=mask)


def _pooled(x: Tensor) -> Tensor:
    """(B, C, F, M), none below zero -> maxima over two by two, what stands alone at an end included, of any F."""
    return F.max_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, 1)), 2)
