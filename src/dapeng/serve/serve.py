"""Start, run and stop the server: one process for each worker, all on one socket; stopping loses no accepted request."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import uvicorn

from dapeng.core.console import say, warn
from dapeng.core.errors import RunError
from dapeng.core.run import RunFolder
from dapeng.serve.guard import EVERYWHERE

MAX_BODY = 16 << 20
MAX_ROWS = 10_000
DRAIN_SECONDS = 1.0
"""After the signal to stop, new requests get 503 with Retry-After for so long, while accepted ones are finished."""
FINISH_SECONDS = 30


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know; it crosses a process border."""

    folders: tuple[str, ...]
    host: str
    max_batch: int
    max_body: int
    max_rows: int
    batching: bool
    allowed_hosts: tuple[str, ...]


def serve(
    folders: list[RunFolder],
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    max_batch: int = 256,
    max_body: int = MAX_BODY,
    max_rows: int = MAX_ROWS,
    batching: bool = True,
    allowed_hosts: tuple[str, ...] = (),
) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C.

    port: 0 for any free one. workers: processes, each with the models and one thread. max_batch: rows of one batch. max_body:
    bytes of one request. allowed_hosts: names beside this machine's that a Host header may bear. Raises RunError where a run
    is damaged or the address is taken.
    """
    if not folders:
        raise RunError("no run to serve is named", hint="dapeng serve runs/reviews-0001")
    settings = Settings(
        tuple(str(f.path) for f in folders), host, max_batch, max_body, max_rows, batching, tuple(allowed_hosts)
    )
    listening = bound(host, port)
    if host in EVERYWHERE:
        warn(f"listening on {host}: whoever reaches this machine can ask, there are no passwords", "--host 127.0.0.1")
    try:
        if workers <= 1:
            work(settings, listening, announce=True)
        else:
            supervise(settings, listening, workers)
    finally:
        listening.close()


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises RunError where the address is taken or is none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    out = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        out.bind((host, port))
        out.listen(2048)
    except (OSError, OverflowError) as error:
        out.close()
        said = getattr(error, "strerror", None) or str(error)
        raise RunError(f"can't listen on {host}:{port}: {said}", hint="--port 0 takes any free port") from None
    out.set_inheritable(True)
    return out


class Server(uvicorn.Server):
    """uvicorn that drains: after the first signal it answers 503 for a moment, then finishes and stops."""

    def __init__(self, config: uvicorn.Config, app: Any):
        super().__init__(config)
        self.app = app
        self.drain_until: float | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.drain_until is None:
            self.app.draining = True
            self.drain_until = time.monotonic() + DRAIN_SECONDS
        elif sig == signal.SIGINT:  # a second Ctrl-C means it
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self.drain_until is not None and time.monotonic() >= self.drain_until:
            self.should_exit = True
        return await super().on_tick(counter)


def work(settings: Settings, listening: socket.socket, announce: bool = False) -> None:
    """One worker: load the models, and answer until told to stop."""
    import torch

    from dapeng.serve.start import app_of

    torch.set_num_threads(1)
    app = app_of(settings)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=FINISH_SECONDS,
        h11_max_incomplete_event_size=64 << 10,
    )
    if announce:
        tell(settings, listening)
    Server(config, app).run([listening])
    for queue in app.queues.values():
        queue.close()


def tell(settings: Settings, listening: socket.socket) -> None:
    """Where to find the server."""
    host, port = listening.getsockname()[:2]
    host = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    names = ", ".join(os.path.basename(f.rstrip("/\\")) for f in settings.folders)
    say(f"serving {names} on http://{host}:{port} (a page to try; POST /predict; GET /openapi.json); Ctrl-C stops")


def supervise(settings: Settings, listening: socket.socket, workers: int) -> None:
    """Several workers on one socket; one that dies is replaced, and a signal to stop reaches all."""
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(sig: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True

    def start() -> BaseProcess:
        process = context.Process(target=work, args=(settings, listening), daemon=True)
        process.start()
        return process

    old = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    running = [start() for _ in range(workers)]
    began = time.monotonic()
    tell(settings, listening)
    try:
        while not stopping:
            time.sleep(0.2)
            for i, process in enumerate(running):
                if not process.is_alive() and not stopping:
                    if time.monotonic() - began < 10:
                        raise RunError("a worker ended while it started", hint="try --workers 1, which says why")
                    warn(f"worker {process.pid} ended with status {process.exitcode}; another takes its place")
                    running[i] = start()
    finally:
        for process in running:
            if process.is_alive():
                process.terminate()
        for process in running:
            process.join(FINISH_SECONDS + 5)
        for s, handler in old.items():
            signal.signal(s, handler)
