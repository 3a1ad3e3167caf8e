"""Schedules, optimisers, losses and averages against torch's own, or against the formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dapeng.decoders.losses import cross_entropy, focal, huber, mae, mse
from dapeng.objectives.base import Objective
from dapeng.train.ema import Average
from dapeng.train.optimisers.adam import Adam
from dapeng.train.optimisers.adamw import AdamW
from dapeng.train.optimisers.sgd import SGD
from dapeng.train.schedules.constant import Constant
from dapeng.train.schedules.cosine import Cosine
from dapeng.train.schedules.one_cycle import OneCycle
from dapeng.train.strategies import Single, _groups
from tests.systems.training import farthest, table, tabular, train, weights


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def torch_rates(make, steps: int) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def test_cosine_is_torchs_cosine_annealing() -> None:
    schedule = Cosine(warmup=0.0, floor=0.1)
    wanted = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 100, eta_min=0.1), 100)
    assert [schedule.factor(k / 100) for k in range(100)] == pytest.approx(wanted, abs=1e-9)


def test_one_cycle_is_torchs_one_cycle() -> None:
    """torch ends its rise at pct_start * steps - 1 of steps - 1; the shape over progress is the same."""
    steps = 101
    schedule = OneCycle(warmup=0.3, start=0.04, end=1e-4)
    pct = (0.3 * (steps - 1) + 1) / steps

    def make(optimiser):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, 1.0, total_steps=steps, pct_start=pct, div_factor=25, final_div_factor=1e4 / 25
        )

    found = [schedule.factor(k / (steps - 1)) for k in range(steps)]
    assert found == pytest.approx(torch_rates(make, steps), abs=1e-6)
    assert max(found) == pytest.approx(1.0)


def test_warm_up_is_linear_and_meets_the_peak() -> None:
    for schedule in (Cosine(warmup=0.1), Constant(warmup=0.1)):
        assert [schedule.factor(p) for p in (0.0, 0.05, 0.1)] == pytest.approx([0.0, 0.5, 1.0])
    assert Constant().factor(0.7) == 1.0
    assert Cosine().factor(1.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (AdamW(weight_decay=0.3), lambda g: torch.optim.AdamW(g, lr=0.02, weight_decay=0.3)),
        (Adam(), lambda g: torch.optim.Adam(g, lr=0.02)),
        (SGD(momentum=0.9, nesterov=True), lambda g: torch.optim.SGD(g, lr=0.02, momentum=0.9, nesterov=True)),
        (SGD(weight_decay=0.3), lambda g: torch.optim.SGD(g, lr=0.02, weight_decay=0.3)),
    ],
    ids=["adamw", "adam", "nesterov", "sgd with decay"],
)
def test_ten_steps_of_the_loop_are_ten_steps_by_hand_with_torchs_optimiser(ours, theirs) -> None:
    rows = table()
    objective = Objective(tabular())
    start = {n: t.clone() for n, t in objective.state_dict().items()}
    train(objective, rows, 10, 0.02, ours)
    by_hand = Objective(tabular())
    by_hand.load_state_dict(start)
    tables = {id(m.weight) for m in by_hand.modules() if isinstance(m, nn.Embedding)}
    decayed = [p for p in by_hand.parameters() if p.dim() > 1 and id(p) not in tables]
    others = [p for p in by_hand.parameters() if p.dim() == 1 or id(p) in tables]
    optimiser = theirs([{"params": decayed}, {"params": others, "weight_decay": 0.0}])
    price = rows["price"]
    assert price.present is not None
    for _ in range(10):
        losses = by_hand(rows, "model")
        loss = losses["label"].mean() + losses["price"].sum() / price.present.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert farthest(weights(objective), weights(by_hand)) < 1e-5


def test_only_matrices_are_decayed() -> None:
    """Without gradients a decayed parameter shrinks by 1 - rate * decay, and no other moves."""
    objective = Objective(tabular())
    parameters = objective.trainable("model")
    with torch.no_grad():
        for p in parameters:
            p.fill_(1.0)
    optimiser = AdamW(weight_decay=0.5).build(_groups(objective, parameters, apart=False), 0.1)
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimiser.step()
    tables = {id(m.weight) for m in objective.modules() if isinstance(m, nn.Embedding)}
    for name, p in objective.named_parameters():
        wanted = 1.0 if p.dim() == 1 or id(p) in tables else 0.95
        torch.testing.assert_close(p.detach(), torch.full_like(p, wanted), msg=name)


def test_clipping_is_torchs() -> None:
    a, b = tabular(), tabular()
    b.load_state_dict(a.state_dict())
    strategy = Single(clip=0.01)
    strategy.wrap(Objective(a), SGD(), 1.0)
    for model in (a, b):
        sum(v.sum() for v in model.losses(table()).values()).backward()  # type: ignore[union-attr]
    torch.nn.utils.clip_grad_norm_(b.parameters(), 0.01)
    before = weights(a)
    strategy.update("model")
    for name, p in b.named_parameters():
        torch.testing.assert_close(before[name] - weights(a)[name], p.grad, rtol=1e-4, atol=1e-7)


LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0]])
CODES = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("gamma", [0.0, 2.0, 3.5])
def test_focal_loss_is_its_formula(gamma: float) -> None:
    found = focal.Criterion(gamma)(LOGITS, CODES)
    for row, code in enumerate(CODES.tolist()):
        p = math.exp(LOGITS[row, code]) / sum(math.exp(z) for z in LOGITS[row].tolist())
        assert float(found[row]) == pytest.approx(-((1 - p) ** gamma) * math.log(p), rel=1e-5)
    if gamma == 0:
        torch.testing.assert_close(found, F.cross_entropy(LOGITS, CODES, reduction="none"))
    torch.testing.assert_close(found, focal.Criterion(gamma)(LOGITS, F.one_hot(CODES, 3).float()))


def test_cross_entropy_with_weights_and_smoothing_is_torchs() -> None:
    weight = torch.tensor([0.5, 1.0, 2.0])
    found = cross_entropy.Criterion(weight, 0.1)(LOGITS, CODES)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, CODES, weight, reduction="none", label_smoothing=0.1))


def test_balanced_class_weights_make_every_class_weigh_the_same() -> None:
    class _Counted:
        counts = [90, 9, 1]

    weight = cross_entropy.class_weights("balanced", _Counted())
    assert weight is not None
    torch.testing.assert_close(weight * torch.tensor([90.0, 9.0, 1.0]), torch.full((3,), 100 / 3))


def test_losses_of_numbers_are_torchs() -> None:
    x, y = torch.tensor([0.0, 2.0, -5.0]), torch.tensor([0.4, 2.0, 1.0])
    torch.testing.assert_close(huber.Criterion(1.5)(x, y), F.huber_loss(x, y, reduction="none", delta=1.5))
    torch.testing.assert_close(huber.Criterion(1.5)(x, y), torch.tensor([0.08, 0.0, 1.5 * (6 - 0.75)]))
    torch.testing.assert_close(mae.Criterion()(x, y), F.l1_loss(x, y, reduction="none"))
    torch.testing.assert_close(mse.Criterion()(x, y), F.mse_loss(x, y, reduction="none"))


def test_the_moving_average_is_torchs_with_its_decay_warmed_up() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(model, 0.9)

    def averaged(old, new, count):
        decay = min(0.9, int(count) / (int(count) + 10))
        return old * decay + new * (1 - decay)

    theirs = AveragedModel(model, avg_fn=averaged, use_buffers=True)
    theirs.update_parameters(model)  # the first call copies
    for step in range(1, 40):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        model(torch.randn(8, 3))
        average.update(step)
        theirs.update_parameters(model)
    wanted = theirs.module.state_dict()
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(average.values[name], wanted[name], rtol=1e-4, atol=1e-5)
    kept = {n: t.clone() for n, t in model.state_dict().items()}
    with average.applied():
        torch.testing.assert_close(model.state_dict()["0.weight"], average.values["0.weight"])
    for name, t in model.state_dict().items():
        assert torch.equal(t, kept[name])
