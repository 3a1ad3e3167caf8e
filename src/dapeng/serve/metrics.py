"""GET /metrics: what this process has done, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass
class Metrics:
    """Requests by route and status, and their latency."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    left: int = 0

    def add(self, route: str, status: int, seconds: float) -> None:
        self.requests[(route, status)] += 1
        self.seconds += seconds
        at = 0
        while at < len(BOUNDS) and seconds > BOUNDS[at]:
            at += 1
        self.buckets[at] += 1

    def text(self, queues: dict[str, Any]) -> str:
        lines = ["# HELP dapeng_requests_total Requests by route and status.", "# TYPE dapeng_requests_total counter"]
        lines += [
            f'dapeng_requests_total{{route="{r}",status="{s}"}} {n}' for (r, s), n in sorted(self.requests.items())
        ]
        refused = sum(n for (_, s), n in self.requests.items() if s >= 400)
        lines += _one("rejected_total", "counter", "Requests answered with an error.", refused)
        lines += self._latency()
        cancelled = self.left + sum(q.counts.cancelled for q in queues.values())
        lines += _one("cancelled_total", "counter", "Requests dropped because the client left.", cancelled)
        for name, kind, what, value in (
            ("batches_total", "counter", "Batches that a model has run.", lambda q: q.counts.batches),
            ("rows_total", "counter", "Rows that a model has answered.", lambda q: q.counts.rows),
            ("failed_total", "counter", "Requests that a model failed on.", lambda q: q.counts.failed),
            ("model_seconds_total", "counter", "Seconds in the model.", lambda q: round(q.counts.seconds, 6)),
            ("waiting_rows", "gauge", "Rows that wait now.", lambda q: q.waiting),
        ):
            lines += [f"# HELP dapeng_{name} {what}", f"# TYPE dapeng_{name} {kind}"]
            lines += [f'dapeng_{name}{{model="{_escaped(m)}"}} {value(q)}' for m, q in queues.items()]
        return "\n".join(lines) + "\n"

    def _latency(self) -> list[str]:
        lines = ["# HELP dapeng_request_seconds Time from request to reply.", "# TYPE dapeng_request_seconds histogram"]
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), self.buckets):
            total += count
            lines.append(f'dapeng_request_seconds_bucket{{le="{bound}"}} {total}')
        return [*lines, f"dapeng_request_seconds_sum {self.seconds:.6f}", f"dapeng_request_seconds_count {total}"]


def _one(name: str, kind: str, what: str, value: float) -> list[str]:
    return [f"# HELP dapeng_{name} {what}", f"# TYPE dapeng_{name} {kind}", f"dapeng_{name} {value}"]


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
