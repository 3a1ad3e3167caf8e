"""What changes of sounds share."""

from __future__ import annotations

import torch
from torch import Tensor

from dapeng.data.batch import Batch, Cells


def with_samples(batch: Batch, name: str, samples: Tensor, mask: Tensor | None = None) -> Batch:
    """The batch with other samples (B, T), rounded, cut at full scale, and silent behind the end. mask: of another length."""
    cells = batch[name]
    mask = cells["mask"] if mask is None else mask
    whole = (samples.round().clamp(-32768, 32767) * mask).to(torch.int16)
    return batch.replace({name: Cells({**cells.tensors, "samples": whole, "mask": mask}, cells.present)})
