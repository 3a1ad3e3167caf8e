"""How something is learnt. What each kind must offer; no torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dapeng.core.registry import Options


class ObjectiveOptions(Options):
    """What one training step means."""

    type: str
    judged: ClassVar[bool] = True
    """Whether the outputs are better for it at every step: then validation rows choose its best weights; else the last are kept,
    or those that are best by what it tells itself (`dapeng.objectives.base.Objective.tell`)."""
    teaches: ClassVar[bool] = False
    """Whether outputs are taught by it though validation rows don't judge it."""
    untargeted: ClassVar[bool] = False
    """Whether rows that train and have no target are read too."""

    def parts(self, model: Any) -> list[Any]:
        """The phases that it is, one after the other, over a `dapeng.models.model.Model`."""
        return [self]

    def build(
        self, model: Any, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Any:
        """The `dapeng.objectives.base.Objective` around a model; `weights` of its losses, and fitted columns, by name."""
        raise NotImplementedError


class OptimiserOptions(Options):
    """How parameters follow their gradients."""

    type: str
    schedule: ClassVar[str | None] = None
    """The schedule that it wants where none is named; None: the default."""
    apart: ClassVar[bool] = False
    """True if matrices that give an answer are to be a group of their own, with `last`."""

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> Any:
        """A torch optimiser over parameter groups."""
        raise NotImplementedError


class ScheduleOptions(Options):
    """How the learning rate moves over a run."""

    type: str

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        """The factor of the peak learning rate at `progress` (0 at the start, 1 at the end).

        history: figures of the validations so far ("loss", "score", "step"), for a schedule that follows them.
        """
        raise NotImplementedError


class TransformOptions(Options):
    """A change of a batch during training (Batch -> Batch), for columns of a type named in `fits`."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[bool] = False
    """True if a row depends on others of its batch: they are mixed, and where it says so their answers with them."""
    carries: ClassVar[bool] = False
    """True if what lies in a picture stays where it belongs: nothing is moved, or the picture's affine tells how."""

    def build(self, column: Any) -> Any:
        """What is called as (batch, column's name, draw) -> batch, for a fitted column."""
        raise NotImplementedError

    def with_outputs(self, built: Any, outputs: Mapping[str, Any]) -> Any:
        """The built step, where it changes answers of these fitted outputs too."""
        return built


class LearnerOptions(Options):
    """A classical learner: a baseline, and where `product` is true also something that `model: auto` may ship."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ()
    """Types of output columns that it can predict."""
    product: ClassVar[bool] = False
    free: ClassVar[bool] = False
    """It costs nothing, and asks for no second class: never left out."""
    directed: ClassVar[bool] = False
    """It keeps what columns promise (`Column.direction`): predictions that never fall, or never rise, with them."""

    def reads(self, inputs: Any, target: Any) -> bool:
        """Whether it makes sense for these `dapeng.learners.base.Inputs` (n-grams want texts, HOG wants pictures)."""
        raise NotImplementedError

    def fit(self, inputs: Any, target: Any, valid: Any, seconds: float, seed: int) -> Any:
        """A `dapeng.learners.base.Learner`, fitted within about so many CPU seconds.

        valid: (inputs, target) to stop early by, or None.
        """
        raise NotImplementedError

    def refit(self, fitted: Any, inputs: Any, target: Any, seed: int) -> Any:
        """The same learner, as it was chosen, on training and validation rows together; None: it stays as it is."""
        return None
