"""How many processes train one model. The loop asks a strategy to wrap, to sum and to update; it has no branch of its own."""

from __future__ import annotations

import contextlib
import os
import warnings
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from dapeng.core.errors import TrainingError
from dapeng.core.kinds import OptimiserOptions
from dapeng.objectives.base import Objective

LONGEST_WAIT = timedelta(hours=2)
"""For another rank: rank 0 fits classical learners between two networks. A rank that dies is torchrun's to notice."""


class _foreach:
    """Operations over lists of tensors, one kernel for many; torch has no public name for them."""

    norm: Any = staticmethod(torch._foreach_norm)  # pyright: ignore[reportPrivateImportUsage]
    mul_: Any = staticmethod(torch._foreach_mul_)  # pyright: ignore[reportPrivateImportUsage]


class Single:
    """One process."""

    rank, world = 0, 1

    def __init__(self, clip: float | None = None, l1: float = 0.0, l2: float = 0.0):
        self.clip, self.l1, self.l2 = clip, l1, l2
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.parameters: dict[str, list[nn.Parameter]] = {}

    def wrap(self, objective: Objective, optimiser: OptimiserOptions, learning_rate: float) -> dict[str, Any]:
        """What is called in place of the objective, by turn; makes the optimisers."""
        for turn in objective.turns:
            self.parameters[turn] = objective.trainable(turn)
            groups = _groups(objective, self.parameters[turn], optimiser.apart)
            self.optimisers[turn] = optimiser.build(groups, learning_rate)
        return {turn: self._wrapped(objective, turn) for turn in objective.turns}

    def _wrapped(self, objective: Objective, turn: str) -> Any:
        return objective

    def sum(self, counts: list[dict[str, Tensor | int]]) -> dict[str, Tensor | float]:
        """Counts over all micro-batches and ranks, at least one."""
        out: dict[str, Tensor | float] = {}
        for one in counts:
            for name, count in one.items():
                number = count if isinstance(count, int) else count.sum()
                out[name] = out[name] + number if name in out else number
        return {n: max(c, 1) if isinstance(c, (int, float)) else c.clamp(min=1e-8) for n, c in out.items()}

    def sync(self, wrapped: Any, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a micro-batch: gradients travel on the last one alone."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def learning_rate(self, turn: str, value: float) -> None:
        for group in self.optimisers[turn].param_groups:
            group["lr"] = value * group.get("factor", 1.0)

    def update(self, turn: str) -> None:
        """Clip, step, forget the gradients."""
        optimiser = self.optimisers[turn]
        if self.l1 or self.l2:
            _penalise(optimiser, self.l1, self.l2)
        if self.clip is not None:
            _clip(self.parameters[turn], self.clip)
        optimiser.step()
        for p in self.parameters[turn]:
            p.grad = None

    def barrier(self) -> None:
        """All ranks are here."""

    def agree(self, value: float) -> float:
        """The value of rank 0, on all ranks."""
        return value

    def close(self) -> None:
        """Leave the group of processes."""


class DataParallel(Single):
    """One process for each device under torchrun; each takes its share of every step."""

    def __init__(self, clip: float | None = None, l1: float = 0.0, l2: float = 0.0):
        super().__init__(clip, l1, l2)
        if "RANK" not in os.environ:
            raise TrainingError(
                "train.strategy is ddp, but this process was not started by torchrun",
                hint="torchrun --nproc-per-node 2 -m dapeng train SPEC train.strategy=ddp",
            )
        if not torch.distributed.is_initialized():
            accelerated = torch.accelerator.is_available()
            if accelerated:
                torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", "0")))
            torch.distributed.init_process_group(_backend(), timeout=LONGEST_WAIT)
        self.rank, self.world = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def _wrapped(self, objective: Objective, turn: str) -> Any:
        from torch.nn.parallel import DistributedDataParallel

        # DDP waits for every parameter that needs a gradient when it is built: other turns' must not be among them
        mine = {id(p) for p in self.parameters[turn]}
        before = {p: p.requires_grad for p in objective.parameters()}
        for p in objective.parameters():
            p.requires_grad_(id(p) in mine)
        with warnings.catch_warnings():
            # the option's successor does not exist in all versions of torch that we run on
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            wrapped = DistributedDataParallel(objective, broadcast_buffers=False)
        for p, needed in before.items():
            p.requires_grad_(needed)
        return wrapped

    def sum(self, counts: list[dict[str, Tensor | int]]) -> dict[str, Tensor | float]:
        local = Single.sum(self, counts)
        device = next(iter(next(iter(self.parameters.values())))).device
        both = torch.stack([torch.as_tensor(v, dtype=torch.float64, device=device) for v in local.values()])
        torch.distributed.all_reduce(both)
        return {n: c.float() for n, c in zip(local, both)}

    def sync(self, wrapped: Any, last: bool) -> AbstractContextManager[Any]:
        return contextlib.nullcontext() if last else wrapped.no_sync()

    def backward(self, loss: Tensor) -> None:
        (loss * self.world).backward()  # DDP averages over ranks; the sum is wanted

    def barrier(self) -> None:
        torch.distributed.barrier()

    def agree(self, value: float) -> float:
        return agreed(value)

    def close(self) -> None:
        leave()


STRATEGIES = {"single": Single, "ddp": DataParallel}


def agreed(value: float) -> float:
    """The value of rank 0, on all ranks; the value itself where there is no group of processes."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    torch.distributed.broadcast(shared, 0)
    return float(shared[0])


def leave() -> None:
    """Leave the group of processes, if this one is in any."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _backend() -> str:
    """gloo for what lies in memory (what ranks agree on), and the accelerator's own for gradients."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return "gloo"
    kind = accelerator.type
    return f"cpu:gloo,{kind}:{torch.distributed.get_default_backend_for_device(kind)}"


def _groups(objective: nn.Module, parameters: list[nn.Parameter], apart: bool) -> list[dict[str, Any]]:
    """Matrices are decayed; biases, norms and single vectors are not, nor are embedding tables. `factor`: a share of the rate.

    apart: matrices that give an answer are a group of their own.
    """
    tables = {id(m.weight) for m in objective.modules() if isinstance(m, nn.Embedding)}
    last = {id(p) for m in objective.modules() for p in getattr(m, "last", lambda: ())()} if apart else set()
    matrices = [p for p in parameters if p.dim() >= 2 and id(p) not in tables]
    inner = [p for p in matrices if id(p) not in last]
    heads = [p for p in matrices if id(p) in last]
    others = [p for p in parameters if p.dim() < 2 or id(p) in tables]
    rates = {id(p): f for m in objective.modules() for p, f in getattr(m, "rates", lambda: ())()}
    groups: list[dict[str, Any]] = []
    kinds = ((inner, {"matrices": True}), (heads, {"matrices": True, "last": True}), (others, {"weight_decay": 0.0}))
    for some, extra in kinds:
        for factor in sorted({rates.get(id(p), 1.0) for p in some}, reverse=True):
            slowed = {} if factor == 1.0 else {"factor": factor}
            groups.append({"params": [p for p in some if rates.get(id(p), 1.0) == factor], **extra, **slowed})
    return groups


@torch.no_grad()
def _penalise(optimiser: torch.optim.Optimizer, l1: float, l2: float) -> None:
    """Add the gradient of l1 |w| + l2 w^2 / 2 to that of every matrix."""
    matrices = [p for g in optimiser.param_groups if g.get("matrices") for p in g["params"] if p.grad is not None]
    for p in matrices:
        assert p.grad is not None
        p.grad.add_(p, alpha=l2).add_(p.sign(), alpha=l1)


def _clip(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale all gradients so that their joint norm is at most `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(_foreach.norm(gradients)))
    factor = largest / (norm + 1e-6)
    if gradients[0].device.type == "cpu":
        if float(factor) < 1:
            _foreach.mul_(gradients, float(factor))
    else:
        _foreach.mul_(gradients, factor.clamp(max=1.0))
