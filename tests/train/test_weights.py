"""Row weights: a weight of 2 is the row twice, equal weights change nothing, whether or not a target is missing."""

from __future__ import annotations

import pytest
import torch
from tests.contract.parts import batch_of, fitted, with_encoder
from torch import Tensor

from dapeng.core.spec import Spec
from dapeng.data.batch import Batch, Cells
from dapeng.data.groups import WEIGHT
from dapeng.models.build import Choices, build_model
from dapeng.objectives.base import Objective, total
from dapeng.train.strategies import Single


def system() -> tuple[Objective, Batch]:
    torch.manual_seed(0)
    inputs = {"x": with_encoder("number", "linear")}
    outputs = {"y": fitted("number", "y", target=True)}
    spec = Spec(inputs={"x": "number"}, outputs={"y": "number"}, fusion={"dropout": 0.0})  # type: ignore
    return Objective(build_model(spec, inputs, outputs, Choices())), batch_of(inputs, outputs)


def loss_of(objective: Objective, batch: Batch, weights: Tensor | None = None) -> Tensor:
    if weights is not None:
        batch = batch.replace({WEIGHT: Cells({"values": weights})})
    return total(objective, objective(batch, "model"), Single().sum([objective.counts(batch, "model")]))


@pytest.mark.parametrize("whole", [True, False])
def test_equal_weights_give_the_loss_of_no_weights(whole: bool) -> None:
    objective, batch = system()
    target = batch["y"]
    assert target.present is not None
    batch = batch.replace({"y": Cells(target.tensors, None if whole else target.present)})
    plain = loss_of(objective, batch)
    torch.testing.assert_close(loss_of(objective, batch, torch.full((8,), 3.0)), plain)


@pytest.mark.parametrize("whole", [True, False])
def test_a_weight_of_two_is_the_row_twice(whole: bool) -> None:
    objective, batch = system()
    target = batch["y"]
    batch = batch.replace({"y": Cells(target.tensors, None if whole else target.present)})
    weights = torch.tensor([1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    twice = batch.take(torch.tensor([0, 1, 1, 2, 3, 4, 4, 5, 6, 7]))
    torch.testing.assert_close(loss_of(objective, batch, weights), loss_of(objective, twice))
