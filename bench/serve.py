"""What the server costs: requests per CPU-second of its process tree, latency, memory, start, and requests lost beside bad ones.

    python bench/serve.py [RUN] [--seconds 6] [--workers 1]

Without RUN an MLP 64-256-256-10 over 64 numbers is trained first. 32 keep-alive clients send one row each; the client is this
process and its time is not counted. Linux alone: it reads /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlp_run import make

from dapeng.core.console import emit, table
from dapeng.core.run import RunFolder
from dapeng.product.files import load
from dapeng.product.own_rows import made_up

CLIENTS = 32
TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for c in children for p in tree(int(c)))]


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for p in tree(pid):
        fields = Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def resident(pid: int) -> float:
    """MB."""
    text = "\n".join(Path(f"/proc/{p}/status").read_text() for p in tree(pid))
    return sum(int(kb) for kb in re.findall(r"VmRSS:\s+(\d+)", text)) / 1024


def request(body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask(reader: Any, writer: Any, message: bytes) -> int:
    """One request on an open connection; returns the status."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
    return int(head[9:12])


async def load_for(port: int, message: bytes, clients: int, seconds: float) -> list[float]:
    """Latencies in ms of all answered requests."""
    end = time.perf_counter() + seconds
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            assert await ask(reader, writer, message) == 200
            times.append(1000 * (time.perf_counter() - began))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return times


async def lost(port: int, good: bytes, bad: list[bytes], count: int = 300) -> tuple[int, int]:
    """Of so many good requests sent between bad ones, how many failed; and how many bad ones got a 5xx."""
    queue = [(i, good) for i in range(count)] + [(-1, b) for b in bad * (count // len(bad))]
    queue.sort(key=lambda item: hash(item[0] * 7919) % 1000)
    failed = broken = 0

    async def client() -> None:
        nonlocal failed, broken
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            number, message = queue.pop()
            status = await ask(reader, writer, message)
            failed += number >= 0 and status != 200
            broken += number < 0 and status >= 500
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return failed, broken


def start(run: Path, workers: int) -> tuple[subprocess.Popen[str], int, float]:
    began = time.monotonic()
    command = [sys.executable, "-m", "dapeng", "serve", str(run), "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = ""
    while "http://127.0.0.1:" not in line:
        line = process.stderr.readline()
        assert line, "the server ended"
    return process, int(re.findall(r"127\.0\.0\.1:(\d+)", line)[0]), time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    run = Path(args.run) if args.run else make(tempfile.mkdtemp(prefix="dapeng-bench-"))
    row = made_up(load(RunFolder.open(run)), 1).read().to_pylist()[0]
    good = request(json.dumps({"rows": [row]}).encode())
    first = next(iter(row))
    bodies = [
        b"",
        b"{",
        b"[" * 5000,
        json.dumps({"rows": [{**row, first: {}}]}).encode(),
        json.dumps({"rows": [{}]}).encode(),
    ]
    bad = [
        request(b)
        for b in [
            *bodies,
            json.dumps({"rows": [{**row, first: 0}]}).replace(": 0", ": NaN", 1).encode(),
            b'{"rows": 3}',
        ]
    ]
    process, port, started = start(run, args.workers)
    try:
        asyncio.run(load_for(port, good, CLIENTS, 0.5))
        idle = resident(process.pid)
        before = cpu_seconds(process.pid)
        times = asyncio.run(load_for(port, good, CLIENTS, args.seconds))
        spent = cpu_seconds(process.pid) - before
        alone = asyncio.run(load_for(port, good, 1, args.seconds / 3))
        failed, broken = asyncio.run(lost(port, good, bad))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    rows = [
        ("requests per CPU-second, 32 clients", round(len(times) / spent)),
        ("p50 with 32 clients, ms", round(statistics.median(times), 2)),
        ("p50 with one client, ms", round(statistics.median(alone), 2)),
        ("resident, MB", round(idle)),
        ("start, s", round(started, 1)),
        ("good requests lost beside bad ones, of 300", failed),
        ("malformed requests answered with 5xx", broken),
    ]
    emit(table(rows, (run.name, "")))


if __name__ == "__main__":
    main()
