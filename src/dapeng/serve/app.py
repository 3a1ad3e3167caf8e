"""The ASGI application: routes, and what each answers. Plain ASGI, since a framework's routing would cost more than the model.

POST /predict             JSON {"rows": [...]} or one object; CSV; a form with files       (?model=NAME where there are several)
GET  /health  /health/ready  /metrics  /openapi.json  /models  /
     /v2 ...              Open Inference Protocol v2
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson

from dapeng import __version__
from dapeng.core.console import say
from dapeng.serve import forms, protocol
from dapeng.serve.engine import BadRequest, Engine, NotFinite
from dapeng.serve.guard import Guard
from dapeng.serve.http import Left, Message, Receive, Refused, Reply, Request, Send
from dapeng.serve.metrics import Metrics
from dapeng.serve.openapi import openapi
from dapeng.serve.page import Page
from dapeng.serve.queue import Busy, Gone, Queue

LARGE_BODY = 200_000
"""Bodies above this many bytes are read and checked in a thread, so that others needn't wait for that."""
RETRY = [(b"retry-after", b"1")]
Handler = Callable[[Request], Awaitable[Reply]]


class App:
    """queues: by model, the first is the default. max_body: bytes. max_rows: of one request."""

    def __init__(self, queues: dict[str, Queue], guard: Guard, max_body: int, max_rows: int):
        self.queues, self.guard, self.max_body, self.max_rows = queues, guard, max_body, max_rows
        self.first = next(iter(queues.values()))
        self.draining = False
        self.metrics = Metrics()
        self.pages = {n: Page(q.engine, list(queues)) for n, q in queues.items()}
        self.routes: dict[str, dict[str, Handler]] = {
            "/predict": {"POST": self.predict},
            "/health": {"GET": self.health},
            "/health/ready": {"GET": self.ready},
            "/metrics": {"GET": self.show_metrics},
            "/openapi.json": {"GET": self.show_openapi},
            "/models": {"GET": self.models},
            "/": {"GET": self.page},
            "/v2": {"GET": self.v2},
            "/v2/health/live": {"GET": self.health},
            "/v2/health/ready": {"GET": self.ready},
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self.http(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def http(self, scope: Message, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = Request(scope, receive)
        route = request.path if request.path in self.routes else "other"
        try:
            reply = await self.reply(request)
        except Refused as error:
            reply = error.reply()
        except Left:
            self.metrics.left += 1
            return
        except Gone:  # counted where it was dropped
            return
        except Exception as error:  # the last resort: the client is told, and the server lives on
            say(f"{request.method} {request.path[:100]!r} failed: {type(error).__name__}: {str(error)[:500]}")
            reply = Refused(500, "the server failed on this request").reply()
        if self.draining:
            reply.headers = [*reply.headers, (b"connection", b"close")]
        self.metrics.add(route, reply.status, time.perf_counter() - began)
        await reply.send(send, request.method == "HEAD")

    async def reply(self, request: Request) -> Reply:
        self.guard.check(request)
        methods = self.routes.get(request.path) or self._of_model(request.path)
        if methods is None:
            raise Refused(404, "there is nothing here")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allow = ", ".join(methods).encode()
            raise Refused(405, f"{request.method[:20]} is not possible here", headers=[(b"allow", allow)])
        if self.draining and request.method == "POST":
            raise Refused(503, "the server is stopping", headers=RETRY)
        return await handler(request)

    def _of_model(self, path: str) -> dict[str, Handler] | None:
        """Routes below /v2/models/NAME."""
        parts = path.split("/")
        if parts[:3] != ["", "v2", "models"] or len(parts) < 4 or parts[3] not in self.queues:
            return None
        queue, rest = self.queues[parts[3]], parts[4:]
        if rest[:2] == ["versions", "1"]:
            rest = rest[2:]
        if not rest:
            return {"GET": lambda request: self._plain(protocol.metadata(queue.engine))}
        if rest == ["ready"]:
            return {"GET": self.ready}
        return {"POST": lambda request: self.infer(request, queue)} if rest == ["infer"] else None

    async def _plain(self, value: Any) -> Reply:
        return Reply(orjson.dumps(value))

    def queue_of(self, request: Request) -> Queue:
        """The model that ?model= names, or the first."""
        if not request.query:
            return self.first
        name = parse_qs(request.query.decode("latin-1")).get("model", [""])[0]
        if name and name not in self.queues:
            raise Refused(404, f"there is no model {name[:100]!r}; there is {', '.join(self.queues)}")
        return self.queues[name] if name else self.first

    async def predict(self, request: Request) -> Reply:
        queue = self.queue_of(request)
        body = await request.body(self.max_body)
        kind = request.kind
        names = queue.engine.names
        if kind == b"multipart/form-data":
            rows: Any = await forms.rows_of_form(request, body, names)
            found = await self._checked(queue.engine, lambda: rows, len(body))
        elif kind == b"text/csv":
            found = await self._checked(queue.engine, lambda: forms.rows_of_csv(body), len(body))
        elif kind in (b"application/json", b""):
            found = await self._checked(queue.engine, lambda: forms.rows_of_json(body, names), len(body))
        else:
            raise Refused(415, "send application/json, text/csv or multipart/form-data")
        answers = await self._answers(queue, found.rows, request)
        if b"text/csv" in request.headers.get(b"accept", b""):
            joints = {n: c.joint for n, c in queue.engine.product.outputs.items()}
            return Reply(forms.csv_of(answers, joints), b"text/csv; charset=utf-8")
        reply: dict[str, Any] = {"model": queue.engine.name, "predictions": answers}
        if found.notes:
            reply["notes"] = found.notes
        return Reply(orjson.dumps(reply))

    async def infer(self, request: Request, queue: Queue) -> Reply:
        body = await request.body(self.max_body)
        identity: str | None = None

        def rows() -> list[Any]:
            nonlocal identity
            read, identity = protocol.read(request, body, queue.engine)
            return read

        found = await self._checked(queue.engine, rows, len(body))
        answers = await self._answers(queue, found.rows, request)
        return Reply(orjson.dumps(protocol.answer(queue.engine, answers, identity)))

    async def _checked(self, engine: Engine, rows: Callable[[], list[Any]], size: int) -> Any:
        """Rows read and checked, before anything waits for the model."""

        def read() -> Any:
            given = rows()
            if len(given) > self.max_rows:
                raise Refused(413, f"{len(given):,} rows are over the cap of {self.max_rows:,} a request")
            try:
                return engine.check(given)
            except BadRequest as error:
                raise Refused(
                    400, str(error.wrongs[0].where) + ": " + _said(error), [w.plain() for w in error.wrongs]
                ) from None

        if size <= LARGE_BODY:
            return read()
        return await asyncio.get_running_loop().run_in_executor(None, read)

    async def _answers(self, queue: Queue, rows: list[Any], request: Request) -> list[dict[str, Any]]:
        try:
            return await queue.answers(rows, request.receive)
        except Busy:
            raise Refused(503, "too many rows wait already", headers=RETRY) from None
        except NotFinite as error:
            raise Refused(400, str(error)) from None

    async def health(self, request: Request) -> Reply:
        return Reply(b'{"live":true}')

    async def ready(self, request: Request) -> Reply:
        if self.draining:
            raise Refused(503, "the server is stopping", headers=RETRY)
        return Reply(b'{"ready":true}')

    async def show_metrics(self, request: Request) -> Reply:
        return Reply(self.metrics.text(self.queues).encode(), b"text/plain; version=0.0.4; charset=utf-8")

    async def show_openapi(self, request: Request) -> Reply:
        return await self._plain(openapi({n: q.engine for n, q in self.queues.items()}, self.max_rows))

    async def models(self, request: Request) -> Reply:
        return await self._plain([q.engine.describe() for q in self.queues.values()])

    async def v2(self, request: Request) -> Reply:
        return await self._plain({"name": "dapeng", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def page(self, request: Request) -> Reply:
        page = self.pages[self.queue_of(request).engine.name]
        chinese = page.wants_chinese(request.headers.get(b"accept-language", b"").decode("latin-1"))
        return Reply(page.html(chinese), b"text/html; charset=utf-8", headers=page.headers(chinese))


def _said(error: BadRequest) -> str:
    first = error.wrongs[0]
    more = len(error.wrongs) - 1
    return f"expected {first.expected}, found {first.found}" + (f" (and {more} more)" if more else "")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
