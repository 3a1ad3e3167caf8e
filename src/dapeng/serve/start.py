"""From settings to an application: models loaded and checked, one queue each, warmed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dapeng.core.console import warn
from dapeng.core.errors import DapengError, RunError
from dapeng.core.run import RunFolder
from dapeng.product.files import load
from dapeng.product.own_rows import made_up
from dapeng.serve.app import App
from dapeng.serve.engine import Engine
from dapeng.serve.guard import Guard
from dapeng.serve.queue import Item, Queue

if TYPE_CHECKING:
    from dapeng.serve.serve import Settings

WARM_UP = 5


def app_of(settings: Settings) -> App:
    """The application over the runs of some settings. Raises RunError where one is damaged."""
    queues: dict[str, Queue] = {}
    for path in map(Path, settings.folders):
        folder = RunFolder.open(path)
        name = path.resolve().name
        while name in queues:
            name += "-2"
        product = load(folder)
        if not product.inputs:
            what = f"{path} reads nothing: it goes on with a text, and requests have rows to answer"
            raise RunError(what, hint=f"dapeng chat {path} --prompt 'Once'")
        queues[name] = Queue(Engine(product, name, settings.max_batch), settings.batching)
        warm_up(queues[name])
    guard = Guard(settings.host, settings.allowed_hosts)
    return App(queues, guard, settings.max_body, settings.max_rows)


def warm_up(queue: Queue) -> None:
    """A few made-up rows, so that the first client needn't wait, and it is known how long the model takes."""
    try:
        row = made_up(queue.engine.product, 1).read().to_pylist()
        checked = queue.engine.check(row).rows
    except (DapengError, ValueError) as error:
        warn(f"{queue.engine.name} could not be warmed up: {error}")
        return
    for _ in range(WARM_UP):
        answers, seconds = queue._run([Item(checked, None)])  # type: ignore[arg-type]
        queue.seconds_of_batch = queue.seconds_of_row = seconds
        if isinstance(answers[0], Exception):
            warn(f"{queue.engine.name} could not be warmed up: {answers[0]}")
            return
