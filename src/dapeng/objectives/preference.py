"""One text is to be likelier than another: preferences of people, learnt without a model of their reward.

Rafailov et al.: Direct Preference Optimization, 2023 (https://arxiv.org/abs/2305.18290).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError, TrainingError
from dapeng.core.kinds import ObjectiveOptions, objectives
from dapeng.data.batch import Batch, Cells
from dapeng.data.groups import BESIDE, PROMPT, REJECTED
from dapeng.models.model import Model
from dapeng.nn.tables import Lent
from dapeng.objectives.base import Objective


@objectives
class Preference(ObjectiveOptions):
    """The output's own text is to be likelier than the one in the column of the role `rejected`, more so than when training began.

    A column of the role `prompt` stands before both, and is not learnt. Begin from a model that writes already (`weights`).

    Paper: Rafailov et al., 2023, https://arxiv.org/abs/2305.18290
    Example: `train: {phases: [{objective: {type: preference, beta: 0.1}, epochs: 1}]}` with `columns: {worse: rejected, asked: prompt}`
    """

    type: Literal["preference"] = "preference"
    judged: ClassVar[bool] = False
    beta: float = Field(0.1, gt=0, le=100)
    """How dear it is to leave the model that training began from."""

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        written = [
            n for n, c in (columns or {}).items() if c.target and c.answers == "text" and n not in BESIDE.values()
        ]
        if len(written) != 1:
            what = f"a preference is between two texts of one output, and {len(written)} outputs are written"
            raise SpecError(Problem("train.phases.objective", what, "outputs: one of type text"))
        if REJECTED not in (columns or {}):
            what = "no column holds the text that is not preferred"
            raise SpecError(Problem("columns", what, "columns: {NAME: rejected}"))
        return Preferred(model, written[0], self.beta)


class Preferred(Objective):
    """The model, and beside it the model as it was: frozen, no child of it, so that neither checkpoints nor optimisers hold it.

    A resumed run makes it anew from what the spec begins with, and tells by its digest whether that is still the same.
    """

    columns: ClassVar[frozenset[str]] = frozenset({"rejected"})
    digest: Tensor

    def __init__(self, model: Model, output: str, beta: float):
        super().__init__(model)
        self.output, self.beta = output, beta
        self.before = Lent(copy.deepcopy(model).requires_grad_(False).eval())
        self.register_buffer("digest", _digest(self.before.module))
        self.shown = (f"{output}.reward_accuracy", f"{output}.preferred")

    def begins(self, first: bool) -> None:
        if not first:  # what an earlier phase has made can't be made again
            self.kept = self.before.module

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        if "kept" not in self._modules and not torch.equal(state_dict["digest"].cpu(), self.digest.cpu()):
            what = "the weights that this run began from are no longer the same: what it is kept near to is lost"
            raise TrainingError(what, hint="bring the old folder back, or start a new run")
        return super().load_state_dict(state_dict, *args, **options)

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def draw(self, batch: Batch, turn: str) -> Batch:
        """Both texts behind what was asked."""
        if PROMPT not in batch:
            return batch
        prompt = batch[PROMPT]
        return batch.replace({n: behind(prompt, batch[n]) for n in (self.output, REJECTED)})

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        there = self._there(batch)
        return {"preference": batch.size if there is None else there.float()}

    def _there(self, batch: Batch) -> Tensor | None:
        """(B,) rows of which both texts are known; None where all are."""
        marks = [m for n in (self.output, REJECTED, PROMPT) if n in batch and (m := batch[n].present) is not None]
        return torch.stack(marks).all(0) if marks else None

    def margin(self, model: Model, batch: Batch) -> Tensor:
        """(B,) nats by which the preferred text is likelier than the other."""
        parts = model.encode(batch)
        fused = model.fusion(parts) if model.fusion is not None else None
        decoder: Any = model.decoders[self.output]
        read = model.read_by(decoder, parts, fused)
        return decoder.score(read, batch[self.output]) - decoder.score(read, batch[REJECTED])

    def gains(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B,) the margin, and what of it was gained since training began."""
        with torch.no_grad():
            reference: Any = self.before.module.to(batch.rows.device)
            before = self.margin(reference, batch)
        now = self.margin(self.model, batch)
        return now, now - before

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        _, gained = self.gains(batch)
        loss, there = -F.logsigmoid(self.beta * gained), self._there(batch)
        return {"preference": loss if there is None else torch.where(there, loss, 0.0)}

    def tell(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        drawn = self.draw(batch, "model")
        there = self._there(drawn)
        at = torch.ones(batch.size, dtype=torch.bool, device=batch.rows.device) if there is None else there
        margin, gained = (t[at] for t in self.gains(drawn))
        # a tie is no gain and half a win: before the first step all pairs are tied with themselves
        right = (gained > 0).float() + 0.5 * (gained == 0).float()
        told = {
            "loss": -F.logsigmoid(self.beta * gained),
            "right": right,
            "likelier": (margin > 0).float(),
            "margin": margin,
        }
        return {n: (t.sum(), at.sum()) for n, t in told.items()}

    def figures(self, means: Mapping[str, float]) -> dict[str, float]:
        named = {"reward_accuracy": means["right"], "preferred": means["likelier"], "margin_nats": means["margin"]}
        return {"score": means["right"], "loss": means["loss"], **{f"{self.output}.{n}": v for n, v in named.items()}}


def behind(prompt: Cells, said: Cells) -> Cells:
    """Two texts as one: ids, mask (B, T), and `taught`, which of them are of the second. Begin and end are there once."""
    first = prompt["mask"].sum(1, keepdim=True) - 1  # without the end
    second = said["mask"].sum(1, keepdim=True) - 1  # without the begin
    room = prompt["mask"].shape[1] + said["mask"].shape[1] - 2
    at = torch.arange(max(room, 1), device=first.device).expand(len(first), -1)
    asked = at < first
    left = at.clamp(max=prompt["mask"].shape[1] - 1)
    right = (at - first + 1).clamp(0, said["mask"].shape[1] - 1)
    ids = torch.where(asked, prompt["ids"].gather(1, left), said["ids"].gather(1, right))
    mask = at < first + second
    taught = mask & ~asked
    if "taught" in said:
        taught = taught & said["taught"].gather(1, right)
    return Cells({"ids": ids * mask, "mask": mask, "taught": taught}, said.present)


def _digest(model: nn.Module) -> Tensor:
    """(32,) bytes: SHA-256 over names and weights."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).data)
    return torch.tensor(list(found.digest()), dtype=torch.uint8)
