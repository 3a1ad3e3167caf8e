"""THE loop. Written once, read from top to bottom; what a step means is the objective's business.

Legend: a step is one update; it may have several micro-batches (accumulation) and several turns (two players).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dapeng.core.checkpoints import Checkpoints
from dapeng.core.console import Progress as Line
from dapeng.core.console import say, warn
from dapeng.core.errors import TrainingError
from dapeng.core.files import Lines
from dapeng.core.kinds import ScheduleOptions
from dapeng.core.machine import give_back
from dapeng.data.draws import key
from dapeng.data.feed import Feed
from dapeng.objectives.base import total
from dapeng.train.state import State


@dataclass
class Fit:
    """How one phase is trained; all of it decided before the first step.

    steps: updates, if time allows. validate_every: steps between validations. patience: validations without gain, None: never
    stop early. deadline: seconds of training over all sittings, None: none. checkpoint_seconds, checkpoint_steps: whichever is
    given. autocast: the dtype of forward and backward, None: fp32. work: FLOPs of a step, peak: FLOP/s that the machine can do, 0
    where unknown. show: -> {output: a text that is written now, or the file of what is drawn now}, after each validation but the last.
    """

    steps: int
    validate_every: int
    learning_rate: float
    schedule: ScheduleOptions
    seed: int = 0
    patience: int | None = None
    deadline: float | None = None
    checkpoint_seconds: float | None = 60.0
    checkpoint_steps: int | None = None
    autocast: torch.dtype | None = None
    device: str = "cpu"
    work: float = 0.0
    peak: float = 0.0
    show: Callable[[], dict[str, str]] | None = None


class Stopped(Exception):
    """Someone asked the process to end (SIGTERM, Ctrl-C); a checkpoint was saved."""


def fit(
    state: State,
    feed: Feed,
    how: Fit,
    validate: Callable[[], dict[str, float]] | None,
    checkpoints: Checkpoints | None = None,
    log: Lines | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Train one phase from where `state.progress` stands; `state.best` holds the best weights afterwards.

    validate: -> {"score": higher is better, "loss": ..., any other figure}, of the weights as they are; None: no rows to
    validate on, and the last weights are kept.
    Raises TrainingError where the loss is not finite; Stopped where asked to end.
    """
    objective, strategy, progress = state.objective, state.strategy, state.progress
    wrapped = state.wrapped
    progress.planned = progress.planned or how.steps
    began, saved_at = time.monotonic() - progress.elapsed, time.monotonic()
    line = Line(f"train {progress.phase + 1}" if progress.phase else "train", progress.planned)
    autocast = (
        torch.autocast(how.device.partition(":")[0], how.autocast)
        if how.autocast is not None
        else contextlib.nullcontext()
    )
    recent, recent_at, recent_loss = 0, time.monotonic(), 0.0
    objective.train()

    for micros in feed.steps(progress.step):
        if progress.done or progress.step >= progress.planned:
            break
        feed.grow(progress.step, objective.predict)
        rate = how.learning_rate * how.schedule.factor(progress.share, progress.history)
        shown: Any = None
        for number, turn in enumerate(objective.turns):
            torch.default_generator.manual_seed(
                int(key(how.seed, progress.phase, progress.step, number, strategy.rank)) >> 1
            )
            drawn = [objective.draw(batch.to(how.device) if how.device != "cpu" else batch, turn) for batch in micros]
            counts = strategy.sum([objective.counts(batch, turn) for batch in drawn])
            strategy.learning_rate(turn, rate)
            for batch in drawn:
                with strategy.sync(wrapped[turn], last=batch is drawn[-1]):
                    with autocast:
                        losses = wrapped[turn](batch, turn)
                        loss = total(objective, losses, counts)
                    strategy.backward(loss)
                shown = loss.detach() if shown is None else shown + loss.detach()
            strategy.update(turn)
        progress.step += 1
        progress.share += (1 - progress.share) / max(progress.planned - progress.step + 1, 1)
        state.average.update(progress.step)
        objective.after(progress.step)

        recent, recent_loss = (
            recent + 1,
            float(shown) * strategy.world if how.device == "cpu" or progress.step % 20 == 0 else recent_loss,
        )
        if not math.isfinite(recent_loss):
            raise _not_finite(progress.step, rate, checkpoints)
        now = time.monotonic()
        progress.elapsed = now - began
        if now - recent_at > 0.25 or progress.step == progress.planned:
            pace = (now - recent_at) / recent
            left = pace * (progress.planned - progress.step)
            line.total = progress.planned
            line.update(progress.step, _told(progress, feed, how, recent_loss, rate, pace, left, objective.shown))
            recent, recent_at = 0, now

        # what depends on a clock or a signal is decided by rank 0, at the same steps on all ranks
        late = asked = False
        if strategy.world == 1 or progress.step % 20 == 0:
            asked = bool(strategy.agree(float(stopping())))
            if how.deadline is not None:
                late = bool(strategy.agree(float(progress.elapsed >= how.deadline)))
                _keep_to(how.deadline, state, how.steps)
        last = progress.step >= progress.planned
        if progress.step % how.validate_every == 0 or last or late:
            figures: dict[str, float] = {}
            if validate is not None:
                with state.applied():
                    objective.eval()
                    figures = validate()
                    objective.train()
                    _remember(state, figures)
            if log is not None:
                entry = {"phase": progress.phase, "step": progress.step, "epoch": progress.step / feed.steps_per_epoch}
                log.add(
                    {**entry, "train_loss": recent_loss, "learning_rate": rate, "time": progress.elapsed, **figures}
                )
            if how.show is not None and strategy.rank == 0 and not last:
                with state.applied():
                    objective.eval()
                    _shown(how.show(), progress, line, log)
                    objective.train()
            stale = strategy.agree(float(how.patience is not None and progress.stale >= how.patience))
            progress.elapsed = time.monotonic() - began
            recent_at, recent = time.monotonic(), 0
            if stale or late:
                reason = "no gain in validation" if stale else "the time limit"
                say(f"stopped after step {progress.step:,} of {progress.planned:,}: {reason}")
                progress.done = last = True
        due = (how.checkpoint_steps and progress.step % how.checkpoint_steps == 0) or (
            how.checkpoint_seconds and time.monotonic() - saved_at >= how.checkpoint_seconds
        )
        if checkpoints is not None and (asked or (due and not last)) and strategy.rank == 0:
            save(state, checkpoints, log)
            saved_at = time.monotonic()
        if asked:
            line.close()
            raise Stopped()
        if progress.done:
            break
    line.close()
    if validate is None or not state.best:
        with state.applied():
            state.remember()
    give_back()


def save(state: State, checkpoints: Checkpoints, log: Lines | None) -> Path:
    """A checkpoint of the state; said in the log once it is safe on disk."""
    if log is not None:
        state.progress.log_bytes = log.path.stat().st_size
    give_back()  # of batches of many sizes much is freed in pieces, which would grow for as long as training lasts
    path = checkpoints.save(state.progress.phase * 100_000_000 + state.progress.step, state.write)
    if log is not None:
        log.add({"phase": state.progress.phase, "step": state.progress.step, "checkpoint": path.name})
    return path


def _shown(texts: dict[str, str], progress: Any, line: Line, log: Lines | None) -> None:
    """What is written now, said and logged."""
    line.close()
    for name, text in texts.items():
        say(f"step {progress.step:,} writes {name}: {text}")
    if log is not None:
        log.add({"phase": progress.phase, "step": progress.step, "samples": texts})


def _remember(state: State, figures: dict[str, float]) -> None:
    """Keep the weights if they are the best so far: by score, then by loss."""
    progress = state.progress
    score, loss = figures["score"], figures.get("loss", math.inf)
    progress.history.append({"step": progress.step, **figures})
    best = (progress.best_score, progress.best_loss)
    if best[0] is None or best[1] is None or (score, -loss) > (best[0], -best[1]):
        progress.best_score, progress.best_loss, progress.stale = score, loss, 0
        progress.best_step, progress.best_phase = progress.step, progress.phase
        state.remember()
    else:
        progress.stale += 1


def _keep_to(deadline: float, state: State, steps: int) -> None:
    """Plan as many steps as the time allows, validations counted in, so that the schedule ends where the time does."""
    progress, planned = state.progress, 0
    if progress.elapsed >= 0.02 * deadline and progress.step >= 3:
        pace = progress.elapsed / progress.step
        possible = progress.step + max(int((0.98 * deadline - progress.elapsed) / pace), 1)
        planned = min(steps, possible)
    planned = int(state.strategy.agree(float(planned)))  # asked on every rank, whatever its own clock says
    if not planned:
        return
    if abs(planned - progress.planned) > 0.02 * progress.planned or planned == steps:
        progress.planned = planned


def _told(
    progress: Any, feed: Feed, how: Fit, loss: float, rate: float, pace: float, left: float, shown: tuple[str, ...] = ()
) -> str:
    """The state in one line, with units. shown: figures of the last validation, in place of the best."""
    at = f"step {progress.step:,}/{progress.planned:,}  epoch {progress.step / feed.steps_per_epoch:.1f}"
    speed = f"{pace * 1000:.1f} ms/step  {feed.per_step / pace:,.0f} {feed.unit}/s"
    if how.work and how.peak:
        speed += f"  MFU {how.work / pace / how.peak:.0%}"
    best = "" if progress.best_score is None else f"  best {progress.best_score:.4f}"
    told = "".join(f"  {name} {progress.history[-1][name]:.4g}" for name in shown if progress.history)
    return f"{at}  loss {loss:.4f}  lr {rate:.2g}  {speed}{told or best}  {left:,.0f} s left"


def _not_finite(step: int, rate: float, checkpoints: Checkpoints | None) -> TrainingError:
    kept = checkpoints.latest() if checkpoints is not None else None
    if kept is not None:
        warn(f"the checkpoint of step {kept.name} is intact")
    return TrainingError(
        f"the loss is not finite at step {step:,} (learning rate {rate:.3g})",
        hint=f"train.learning_rate={rate / 10:.1g}, or train.clip=1.0, and look for extreme values with `dapeng check`",
    )
