"""A real server in a process of its own, on loopback, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SLOW = """
import sys, time
from dapeng.serve import engine
plain = engine.Engine.answers
def slow(self, rows):
    time.sleep({seconds})
    return plain(self, rows)
engine.Engine.answers = slow
from dapeng.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int):
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and reply; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(self.url + path, data, named)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text, status = reply.read(), reply.status
        except urllib.error.HTTPError as error:
            text, status = error.read(), error.code
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def rss(self, what: str = "VmRSS") -> int:
        """Resident memory in bytes: now, or at its highest (VmHWM) since `watch`."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

    def watch(self) -> None:
        """Forget the highest memory so far."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def metric(self, name: str) -> float:
        text = self.ask("/metrics")[1]
        return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(rf"{name}(\{{| )", line))


@contextlib.contextmanager
def serving(*runs: Path, options: tuple[str, ...] = (), slow: float | None = None) -> Iterator[Server]:
    start = ["-m", "dapeng"] if slow is None else ["-c", SLOW.format(seconds=slow)]
    command = [sys.executable, *start, "serve", *map(str, runs), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stderr is not None
        said = ""
        while "http://127.0.0.1:" not in said:
            line = process.stderr.readline()
            assert line, f"the server ended: {said}"
            said += line
        server = Server(process, int(re.findall(r"http://127\.0\.0\.1:(\d+)", said)[0]))
        for _ in range(200):
            try:
                if server.ask("/health/ready")[0] == 200:
                    break
            except OSError:
                time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
