"""What number columns that rise together differ in."""

from __future__ import annotations

import numpy as np
import torch

from dapeng.columns.number import Number
from dapeng.data.batch import Cells
from dapeng.encoders.piecewise import Piecewise
from dapeng.nn.contrasts import FAR, Contrasts, directions


def _columns(*arrays: np.ndarray) -> list:
    import pyarrow as pa

    columns = []
    for at, values in enumerate(arrays):
        options = Number()
        summary = options.summary(False)
        summary.add(pa.array(values))
        columns.append(options.fitted(str(at), summary.result(), False))
    return columns


def _stones(seed: int = 0, rows: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Length, width, colour: the ratio of the first two, 1 % about 1, is what one wants to know."""
    draw = np.random.default_rng(seed)
    length, ratio = draw.lognormal(1.5, 0.3, rows), 1 + 0.01 * draw.standard_normal(rows)
    return length, length * ratio, draw.standard_normal(rows), ratio


def _values(columns: list, arrays: tuple[np.ndarray, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack([c.standardise(a) for c, a in zip(columns, arrays)], 1).astype(np.float32))


def test_a_ratio_is_found_and_other_columns_have_no_part_in_it() -> None:
    *arrays, ratio = _stones()
    arrays[0][:5] = 0.0  # wild rows hide nothing
    columns = _columns(*arrays)
    contrasts = Contrasts(columns, 2)
    values = _values(columns, tuple(arrays))
    contrasts.prime(values)
    found = contrasts.joined(contrasts(values)).numpy()
    assert abs(np.corrcoef(found[5:, 0], ratio[5:])[0, 1]) > 0.99
    assert abs(found[5:, 0].std() - 1) < 0.1
    assert not found[:, 1].any()
    assert np.abs(found).max() <= FAR


def test_columns_that_do_not_rise_together_have_none() -> None:
    draw = np.random.default_rng(0)
    columns = draw.standard_normal((1_000, 3))
    assert directions(columns, 2)[1].shape == (3, 0)
    same = np.concatenate([columns, columns[:, :1]], 1)  # no difference at all is no contrast either
    assert directions(same, 3)[1].shape == (4, 0)
    assert directions(np.concatenate([columns, np.ones((1_000, 1))], 1), 3)[1].shape == (4, 0)


def test_a_row_that_lacks_a_column_has_no_contrast_and_few_rows_teach_none() -> None:
    arrays = _stones()[:3]
    columns = _columns(*arrays)
    contrasts = Contrasts(columns, 2)
    values = _values(columns, arrays)
    present = torch.ones(values.shape, dtype=torch.bool)
    present[7, 0] = False
    contrasts.prime(values[:30], present[:30])
    assert not contrasts.turn.any()
    contrasts.prime(values, present)
    assert not contrasts(values, present)[7].any()
    assert contrasts(values, present)[8].any()


def test_they_reach_the_pooled_features_through_the_columns_own_entrance() -> None:
    arrays = _stones()[:3]
    columns = _columns(*arrays)
    encoder = Piecewise().build(columns, None)
    cells = Cells({"values": _values(columns, arrays)}, None)
    encoder.prime(cells)
    embedded = encoder.embed(cells)
    features = encoder.read(embedded, cells)
    assert features.pooled is not None
    assert features.pooled.shape == (2_000, encoder.widths.pooled)
    assert features.tokens is not None
    assert features.tokens.shape == (2_000, 3, 16)
    assert torch.equal(features.pooled[:, 48:], embedded[..., 16:].sum(1).clamp(-FAR, FAR))
    assert Piecewise(contrasts=0).build(columns, None).widths.pooled == 48
