"""A sound's frames as they are: for decoders that go along with it, and for fusions that do the reading."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from dapeng.core.kinds import encoders
from dapeng.data.batch import Cells
from dapeng.encoders.sounds import SoundEncoder, SoundOptions
from dapeng.nn.attention import pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import within


@encoders
class Spectrogram(SoundOptions):
    """Mel bands, a cepstrum or samples of each frame, with no network behind them.

    Example: `inputs: {heard: {type: audio, encoder: {type: spectrogram, bands: 64, hop: 0.008}}}` with `outputs: {clip: {type: audio, decoder: wavenet}}`
    """

    type: Literal["spectrogram"] = "spectrogram"
    tiny: ClassVar[dict[str, Any]] = {"bands": 8}

    def build(self, columns: list[Any], tables: Any) -> SpectrogramEncoder:
        return SpectrogramEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"trunk": True}


class SpectrogramEncoder(SoundEncoder):
    """samples, mask (B, T) -> tokens (B, F, M), their mask, and pooled (B, M): their mean."""

    def __init__(self, column: Any, o: Spectrogram):
        super().__init__(column, o)
        self.widths = Widths(pooled=self.front.width, tokens=self.front.width, **self.span(1))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = within(self.lengths(cells), embedded)
        return Features(pooled=pooled_tokens(embedded, mask, "mean"), tokens=embedded * mask[..., None], mask=mask)
