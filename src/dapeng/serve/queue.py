"""Micro-batching without a timer: whatever waits when the model is free is the next batch, up to a number of rows.

Fast models run in the event loop itself, slow ones in one thread, as measured. A batch that fails is split until what made it
fail stands alone. Requests whose client has left are dropped before they cost anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from dapeng.serve.engine import Engine, Row

INLINE = 0.005
"""A batch expected to take fewer seconds runs in the event loop: handing it to a thread would cost more."""
MOST_WAITING = 20_000
"""Rows that may wait; more are refused, for they would wait too long."""


class Busy(RuntimeError):
    """Too much is waiting."""


class Gone(RuntimeError):
    """The client has left."""


@dataclass
class Item:
    """One request's rows on their way. receive: the ASGI channel that says when the client leaves."""

    rows: list[Row]
    future: asyncio.Future[list[dict[str, Any]]]
    receive: Callable[[], Any] | None = None
    watcher: asyncio.Task[None] | None = None


@dataclass
class Counts:
    """What metrics tell of a queue."""

    batches: int = 0
    rows: int = 0
    cancelled: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass
class Queue:
    """The requests of one model. batching: False answers each request by itself."""

    engine: Engine
    batching: bool = True
    most_waiting: int = MOST_WAITING
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.items: deque[Item] = deque()
        self.waiting = 0
        self.running = False
        self.scheduled = False
        self.seconds_of_batch = self.seconds_of_row = INLINE * 2  # until measured, a thread
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="dapeng-model")

    async def answers(self, rows: list[Row], receive: Callable[[], Any] | None = None) -> list[dict[str, Any]]:
        """The answers to some rows. Raises Busy, Gone, and whatever the model raises for these very rows."""
        if self.waiting and self.waiting + len(rows) > self.most_waiting:
            raise Busy
        loop = asyncio.get_running_loop()
        item = Item(rows, loop.create_future(), receive)
        self.items.append(item)
        self.waiting += len(rows)
        if self.running:
            self._watch(item)
        elif not self.scheduled:
            self.scheduled = True
            loop.call_soon(self._next)
        try:
            return await item.future
        finally:
            if item.watcher is not None:
                item.watcher.cancel()

    def _watch(self, item: Item) -> None:
        """Look out for the client's leaving; only for requests that really wait, since most are answered at once."""
        if item.receive is not None and item.watcher is None:
            item.watcher = asyncio.get_running_loop().create_task(self._until_gone(item))

    async def _until_gone(self, item: Item) -> None:
        assert item.receive is not None
        while (await item.receive())["type"] != "http.disconnect":
            pass
        if not item.future.done():
            self.counts.cancelled += 1
            item.future.set_exception(Gone())

    def _take(self) -> list[Item]:
        """The next batch: what waits, in order, up to the cap; those who left are dropped."""
        out: list[Item] = []
        rows = 0
        while self.items and (not out or (self.batching and rows + len(self.items[0].rows) <= self.engine.max_batch)):
            item = self.items.popleft()
            self.waiting -= len(item.rows)
            if not item.future.done():
                out.append(item)
                rows += len(item.rows)
        return out

    def _next(self) -> None:
        self.scheduled = False
        if self.running:
            return
        batch = self._take()
        if not batch:
            return
        rows = sum(len(i.rows) for i in batch)
        if max(self.seconds_of_batch, self.seconds_of_row * rows) < INLINE:
            self._finish(batch, *self._run(batch))
        else:
            self.running = True
            for item in (*batch, *self.items):
                self._watch(item)
            loop = asyncio.get_running_loop()
            done = loop.run_in_executor(self.thread, self._run, batch)
            done.add_done_callback(lambda f: self._came(batch, f))

    def _came(self, batch: list[Item], done: asyncio.Future[Any]) -> None:
        self.running = False
        self._finish(batch, *done.result())

    def _run(self, batch: list[Item]) -> tuple[list[Any], float]:
        began = time.perf_counter()
        return self._answered(batch), time.perf_counter() - began

    def _answered(self, batch: list[Item]) -> list[Any]:
        """For each item its answers, or the exception that its own rows cause."""
        try:
            every = self.engine.answers([r for i in batch for r in i.rows])
        except Exception as error:  # whatever a model raises, the other requests of the batch must not suffer
            if len(batch) == 1:
                return [error]
            half = len(batch) // 2
            return self._answered(batch[:half]) + self._answered(batch[half:])
        out, at = [], 0
        for item in batch:
            out.append(every[at : at + len(item.rows)])
            at += len(item.rows)
        return out

    def _finish(self, batch: list[Item], answers: list[Any], seconds: float) -> None:
        rows = sum(len(i.rows) for i in batch)
        self.counts.batches, self.counts.rows = self.counts.batches + 1, self.counts.rows + rows
        self.counts.seconds += seconds
        self.seconds_of_batch += 0.3 * (seconds - self.seconds_of_batch)
        self.seconds_of_row += 0.3 * (seconds / rows - self.seconds_of_row)
        for item, answer in zip(batch, answers):
            if item.future.done():
                continue
            if isinstance(answer, Exception):
                self.counts.failed += 1
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)
        if self.items and not self.scheduled:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def close(self) -> None:
        self.thread.shutdown(wait=False)
