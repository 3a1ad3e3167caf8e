"""A network from prepared data to its best weights: what `auto` means in `train`, phases, resuming, memory, signals."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.core.checkpoints import Checkpoints
from dapeng.core.console import say, warn
from dapeng.core.errors import Problem, SpecError
from dapeng.core.files import Lines
from dapeng.core.spec import Phase, Spec, Train
from dapeng.data.feed import Feed, Rows, batches
from dapeng.data.stored import Store
from dapeng.models.build import Choices
from dapeng.models.model import Model
from dapeng.models.predict import Predictions, autocasting
from dapeng.objectives.base import Objective
from dapeng.train import machine
from dapeng.train.ema import Average
from dapeng.train.loop import Stopped, fit
from dapeng.train.remembered import remembered
from dapeng.train.samples import FOLDER, sampler
from dapeng.train.setting import Setting, drawn, packed
from dapeng.train.state import Progress, State
from dapeng.train.strategies import STRATEGIES
from dapeng.train.validation import OwnFigures, Validator, truth

MOST_VALIDATED = 20_000
MOST_PRIMED = 20_000
FEWEST_TO_CALIBRATE = 100
SOON = 0.6
LONG_STEP = 5e9
"""FLOPs of a step from which it is said how much of the machine it uses."""


@dataclass
class Trained:
    """A trained network. validation: its predictions on the validation rows, in their order."""

    model: Model
    history: list[dict[str, Any]] = field(default_factory=list)
    validation: Predictions = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    epochs: float = 0.0
    best_epoch: float = 0.0
    best_at: tuple[int, int] = (0, 0)
    last: tuple[float | None, float | None, dict[str, torch.Tensor]] = (None, None, {})
    autocast: torch.dtype | None = None
    device: str = "cpu"
    beside: dict[str, torch.Tensor] = field(default_factory=dict)
    """What the last phase keeps beside the model's weights (`Objective.beside`)."""


@dataclass(frozen=True)
class Budget:
    """What `auto` came to."""

    epochs: float
    batch_size: int
    learning_rate: float
    ema: float | None = None


def phases_of(train: Train, model: Model) -> list[Phase]:
    """The phases of a training, in order. Raises SpecError where an objective finds nothing to train."""
    asked = train.phases or [*([train.pretrain] if train.pretrain is not None else []), _usual_phase(model)]
    if not any(p.objective.judged or p.objective.teaches for p in asked):
        last = asked[-1].objective.type
        warn(
            f"no phase trains the outputs ({last} is the last): their figures are those of a network that was never taught them"
        )
    return [p.model_copy(update={"objective": o}) for p in asked for o in p.objective.parts(model)]


def _usual_phase(model: Model) -> Phase:
    """The phase that trains the outputs where none is named: a decoder may want one of its own."""
    wanted = next((d.phase for d in model.decoders.values() if d.phase), {})
    return Phase.model_validate(wanted)


def _judge(
    phase: Phase, objective: Objective, outputs: Validator, batch_size: int
) -> Callable[[], dict[str, float]] | None:
    """What chooses the best weights of a phase: the outputs' score, or what the objective tells itself, if anything."""
    if phase.objective.judged:
        return outputs
    if type(objective).tell is Objective.tell:
        return None
    return OwnFigures(objective, outputs.store, outputs.rows, batch_size, outputs.device, outputs.autocast)


def advise(inputs: Mapping[str, Column], rows: int, outputs: Mapping[str, Column] | None = None) -> Budget:
    """Epochs, batch and learning rate that encoders and decoders advise; the most careful of each."""
    advice = [c.options.encoder.advice(rows) for c in inputs.values()]  # type: ignore[attr-defined]
    advice += [c.options.decoder.advice(rows) for c in (outputs or {}).values()]  # type: ignore[attr-defined]
    given = [a for a in advice if a]
    epochs = 60 if rows < 10_000 else 30 if rows < 100_000 else 12 if rows < 1_000_000 else 3
    size = 32 if rows < 2_000 else 128 if rows < 10_000 else 256 if rows < 100_000 else 1024
    return Budget(
        epochs=min((a["epochs"] for a in given if "epochs" in a), default=epochs),
        batch_size=min((a["batch_size"] for a in given if "batch_size" in a), default=size),
        learning_rate=min((a["learning_rate"] for a in given if "learning_rate" in a), default=2e-3),
        ema=max((a["ema"] for a in given if "ema" in a), default=None),
    )


def train_network(
    spec: Spec,
    model: Model,
    inputs: Mapping[str, Column],
    outputs: Mapping[str, Column],
    store: Store,
    rows: np.ndarray,
    validation: np.ndarray,
    choices: Choices,
    checkpoints: Checkpoints | None = None,
    log: Lines | None = None,
    resume: bool = False,
    deadline: float | None = None,
    epochs: float | None = None,
    announce: Callable[[], None] = lambda: None,
    untargeted: np.ndarray | None = None,
    beside: Mapping[str, Column] | None = None,
) -> Trained:
    """Train a model on positions `rows` of a store; keep the weights that are best on positions `validation`.

    deadline: seconds, over all sittings. epochs: instead of what the spec says (a last training on all rows). announce: called
    before the first step, when `choices` are complete. untargeted: positions that train and have no target, for phases that need none. beside: further columns of a batch, by where they lie in it.
    Raises TrainingError; Stopped on SIGTERM or Ctrl-C, after a checkpoint.
    """
    train = spec.train
    _refuse_parts_of_a_batch(train, model)
    count = drawn(inputs, outputs, store, rows)
    unit = "rows" if packed(inputs, outputs, store) is None else "windows of text"
    budget = advise(inputs, count, outputs)
    told = Choices() if train.steps is not None else choices  # where steps are given, epochs decide nothing
    length: float = epochs or _or(
        train.epochs, budget.epochs, "train.epochs", told, f"as the networks advise for {count:,} {unit}"
    )
    rate = _or(train.learning_rate, budget.learning_rate, "train.learning_rate", choices, "as the networks advise")
    ema = (
        _or(train.ema, budget.ema, "train.ema", choices, "as the decoders advise") if budget.ema else _plain(train.ema)
    )
    strategy = STRATEGIES[train.strategy](train.clip, train.l1, train.l2)
    asked = _or(train.batch_size, budget.batch_size, "train.batch_size", choices, "as the networks advise")
    micro = max(1, min(asked, math.ceil(count / strategy.world)))
    device = choices.add("train.device", *machine.device_for(train))
    work = machine.flops(_multiplied(model), 1.0, micro) * _visits(inputs, outputs)
    autocast, why = machine.precision_for(train, device, work)
    choices.add("train.precision", "bf16" if autocast is not None else "fp32", why)
    threads = choices.add("train.threads", *machine.threads_for(train, work))
    torch.set_num_threads(threads)
    announce()

    for name, part in [*model.encoders.items(), *model.decoders.items()]:
        prime: Any = getattr(part, "prime", None)  # what it takes from training rows before the first step
        if prime is not None:
            prime(Rows(store, [name]).batch(rows[:: -(-len(rows) // MOST_PRIMED)])[name])
    model.to(device)
    weights = {n: getattr(c.options, "weight", 1.0) for n, c in outputs.items()}
    phases = phases_of(train, model)
    shown = (
        validation
        if len(validation) <= MOST_VALIDATED
        else np.sort(validation[:: len(validation) // MOST_VALIDATED + 1])
    )
    known = remembered(model, inputs, store, np.sort(np.concatenate([rows, validation])), device, autocast)
    validator = Validator(model, store, shown, outputs, weights, 4 * micro, device, autocast, known)
    setting = Setting(train, inputs, outputs, store, rows, strategy, known, autocast, device, deadline, untargeted)
    trained = Trained(model, autocast=autocast, device=device)
    kept = None if log is None else log.path.parent / FOLDER
    show = sampler(model, outputs, store, shown, device, autocast, kept) if train.samples else None
    began, began_cpu = time.monotonic(), time.process_time()
    attempts = [(phase, phase.epochs or length) for phase in phases]
    initial = {n: t.detach().clone() for n, t in model.state_dict().items()}
    with _signals() as stopping:
        number = _phase_of(checkpoints) if resume else 0
        resuming = resume
        while number < len(attempts) or (resuming and number == len(attempts)):
            again = number >= len(phases)  # a second attempt at the only phase, over fewer epochs
            phase, passes = attempts[min(number, len(attempts) - 1)]
            objective = phase.objective.build(model, weights, {**inputs, **outputs, **(beside or {})}).to(device)
            objective.begins(first=number == 0 or again)
            optimiser, peak = phase.optimiser or train.optimiser, phase.learning_rate or rate
            wrapped = strategy.wrap(objective, optimiser, peak)
            begin = Progress(
                phase=number, batch_size=micro, accumulate=train.accumulate, passes=passes, threads=threads
            )
            state = State(objective, strategy, Average(objective.model, ema), begin, wrapped)
            if again and not resuming:
                _carry(trained, state)
            if resuming and checkpoints is not None:
                _restore(state, checkpoints, log)
                passes = state.progress.passes
            resuming = False
            feed = setting.feed(state, phase)
            how = setting.how(phase, passes, feed, peak)
            how = replace(how, **_measured(setting, model, feed), show=show)
            if again:  # it has to beat the best of the first, which it does at its end, if at all
                how = replace(how, patience=None)
            while True:
                try:
                    judge = _judge(phase, objective, validator, 4 * micro) if len(validation) else None
                    fit(state, feed, how, judge, checkpoints, log, stopping)
                    break
                except (torch.OutOfMemoryError, MemoryError) as error:
                    feed = setting.halved(state, error, phase)
                except RuntimeError as error:
                    if "can't allocate memory" not in str(error):
                        raise
                    feed = setting.halved(state, error, phase)
            progress = state.progress
            trained.steps += progress.step
            trained.history += progress.history
            trained.epochs = progress.planned / feed.steps_per_epoch
            trained.best_epoch = progress.best_step / feed.steps_per_epoch
            trained.best_at = (progress.best_phase, progress.best_step)
            trained.beside = dict(state.beside)
            trained.last = (progress.best_score, progress.best_loss, dict(state.best))
            shorter = _shorter(train, phases, number, state, feed, deadline) if len(validation) else None
            shorter = strategy.agree(shorter or 0.0) or None  # clocks and batch statistics differ between ranks
            if shorter is not None:
                say(
                    f"validation was best after {trained.best_epoch:.1f} epochs: training anew over {shorter:.0f}, to end there"
                )
                model.load_state_dict(initial)
                attempts.append((phase, shorter))
            else:
                model.load_state_dict(state.best)
            number += 1
    model.eval()
    _remember(model, store, rows, micro, device, autocast)
    trained.seconds, trained.cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
    if len(validation):
        final = Validator(model, store, validation, outputs, weights, 4 * micro, device, autocast, known)
        final()
        if _calibrated(model, outputs, final, store, validation):
            final()
        trained.validation = final.predictions
    return trained


def _refuse_parts_of_a_batch(train: Train, model: Model) -> None:
    """Raise SpecError where rows of a batch are told from each other, and not all of them are seen at once."""
    if any(d.compares for d in model.decoders.values()) and (train.accumulate > 1 or train.strategy != "single"):
        where = "train.accumulate" if train.accumulate > 1 else "train.strategy"
        what = "an output is learnt by telling the rows of a batch from each other: parts of it would leave fewer to tell from"
        raise SpecError(
            [Problem(where, what, "train.accumulate=1 train.strategy=single, and a larger train.batch_size")]
        )


def _remember(
    model: Model, store: Store, rows: np.ndarray, size: int, device: str, autocast: torch.dtype | None
) -> None:
    """Show the training rows once more to decoders that keep something of them, now that the network stays as it is."""
    keeping: dict[str, Any] = {n: d for n, d in model.decoders.items() if hasattr(d, "remember")}
    if not keeping:
        return
    with torch.inference_mode(), autocasting(device, autocast):
        for number, batch in enumerate(batches(store, np.sort(rows), size)):
            moved = batch.to(device) if device != "cpu" else batch
            parts = model.encode(moved)
            fused = model.fusion(parts) if model.fusion is not None else None
            for name, decoder in keeping.items():
                decoder.remember(model.read_by(decoder, parts, fused), moved[name], number)
    for decoder in keeping.values():
        decoder.remembered()


def _calibrated(model: Model, outputs: Mapping[str, Column], final: Validator, store: Store, rows: np.ndarray) -> bool:
    """Fit the sharpness of probabilities on the validation rows, where they are enough."""
    changed = False
    for name, column in outputs.items():
        calibrate = getattr(model.decoders[name], "calibrate", None)
        wanted, present = truth(store, name, column, rows)
        if calibrate is not None and present.sum() >= FEWEST_TO_CALIBRATE:
            found = torch.from_numpy(final.predictions[name]["probabilities"][present])
            calibrate(found, torch.from_numpy(wanted[present]))
            changed = True
    return changed


def _measured(setting: Setting, model: Model, feed: Feed) -> dict[str, float]:
    """FLOPs of a step and what the machine can do, for a language model whose steps are long beside the measuring."""
    name = setting.packed
    if name is None:
        return {}
    decoder: Any = model.decoders[name]
    work = decoder.work(setting.outputs[name].window) * feed.per_step / setting.strategy.world
    return {"work": work, "peak": machine.peak(setting.autocast, setting.device)} if work > LONG_STEP else {}


def _or(asked: Any, advised: Any, path: str, choices: Choices, why: str) -> Any:
    return choices.add(path, advised, why) if asked == "auto" else asked


def _plain(ema: Any) -> float | None:
    """None where nothing is advised."""
    return None if ema == "auto" else ema


def _multiplied(model: Model) -> int:
    """Parameters that take part in products, frozen ones too; a table of embeddings is looked up."""
    looked_up = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding))
    return sum(p.numel() for p in model.parameters()) - looked_up


def _visits(inputs: Mapping[str, Column], outputs: Mapping[str, Column]) -> float:
    """How often a parameter is used for a row: once in a trunk, at every place of a picture or text."""
    written = [float(c.window or c.places) if not inputs else c.places for c in outputs.values()]
    return max([c.places for c in inputs.values()] + written, default=1.0)


def _carry(trained: Trained, state: State) -> None:
    """A second attempt must beat the best of the first."""
    score, loss, best = trained.last
    state.progress.best_score, state.progress.best_loss, state.best = score, loss, best
    state.progress.best_phase, state.progress.best_step = trained.best_at


def _shorter(
    train: Train, phases: list[Phase], number: int, state: State, feed: Feed, deadline: float | None
) -> float | None:
    """Epochs of a second attempt, where the best came early: the rate should fall to nothing there, not long after."""
    progress = state.progress
    auto = train.epochs == "auto" and train.steps is None and len(phases) == 1 and number == 0
    if not auto or progress.best_step > SOON * progress.planned or progress.best_step == 0:
        return None
    length = 1.5 * progress.best_step
    if deadline is not None and progress.elapsed * (1 + length / max(progress.step, 1)) > deadline:
        return None
    return max(length / feed.steps_per_epoch, 1.0)


def _phase_of(checkpoints: Checkpoints | None) -> int:
    latest = checkpoints.latest() if checkpoints is not None else None
    return int(latest.name) // 100_000_000 if latest is not None else 0


def _restore(state: State, checkpoints: Checkpoints, log: Lines | None) -> None:
    """The state of the newest good checkpoint; what the log told after it will be told again."""
    latest = checkpoints.latest()
    if log is not None and latest is None:
        log.cut(0)
    if latest is None:
        say("no checkpoint yet: starting from the beginning")
        return
    state.read(latest)
    if state.progress.threads:
        torch.set_num_threads(state.progress.threads)
    if log is not None:
        log.cut(state.progress.log_bytes)
        log.add({"phase": state.progress.phase, "step": state.progress.step, "checkpoint": latest.name})
    say(f"resumed at step {state.progress.step:,}")


@contextlib.contextmanager
def _signals() -> Iterator[Any]:
    """SIGTERM and Ctrl-C ask the loop to stop after a checkpoint; a second Ctrl-C stops at once.

    Outside the main thread there are no signals.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if number == signal.SIGINT and asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["Budget", "Objective", "Stopped", "Trained", "advise", "train_network"]
