"""Requests and replies in plain ASGI: headers, bodies with a cap, errors as JSON. No model here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
IN_MEMORY = 64 << 10
"""Bytes of a body that wait in memory while the rest is on its way; more waits in a file, so that many senders cost little."""
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Refused(Exception):
    """A request that gets an error instead of an answer."""

    def __init__(
        self,
        status: int,
        error: str,
        problems: list[dict[str, str]] | None = None,
        headers: list[tuple[bytes, bytes]] | None = None,
    ):
        self.status, self.error, self.problems, self.headers = status, error, problems or [], headers or []
        super().__init__(error)

    def reply(self) -> Reply:
        body = {"error": self.error, **({"problems": self.problems} if self.problems else {})}
        return Reply(orjson.dumps(body), status=self.status, headers=self.headers)


class Left(Exception):
    """The client left before its request was complete."""


class Reply:
    """A whole reply."""

    __slots__ = ("body", "headers", "kind", "status")

    def __init__(
        self, body: bytes, kind: bytes = JSON, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None
    ):
        self.body, self.kind, self.status, self.headers = body, kind, status, headers or []

    async def send(self, send: Send, head: bool = False) -> None:
        headers = [
            (b"content-type", self.kind),
            (b"content-length", str(len(self.body)).encode()),
            *SAFE,
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


class Request:
    """One request. headers: by lower-case name, the last of each."""

    __slots__ = ("headers", "method", "path", "query", "receive")

    def __init__(self, scope: Message, receive: Receive):
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive

    @property
    def kind(self) -> bytes:
        """The content type without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    async def body(self, most: int) -> bytes:
        """The whole body. Raises Refused (413) as soon as a header or what has come says that it is too large; Left."""
        length = self.headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > most):
            raise too_large(most)
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body = message.get("body", b"")
            if len(body) > most:
                raise too_large(most)
            return body
        return await self._pieces(message, most)

    async def _pieces(self, message: Message, most: int) -> bytes:
        """A body that comes in several messages, of which this is the first."""
        size = 0
        with SpooledTemporaryFile(IN_MEMORY) as kept:
            while True:
                if message["type"] == "http.disconnect":
                    raise Left
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    raise too_large(most)
                try:
                    kept.write(piece)
                    if not message.get("more_body"):
                        kept.seek(0)
                        return kept.read()
                except OSError as error:
                    raise Refused(503, f"there is no room for a body of this size ({error.strerror})") from None
                message = await self.receive()


def too_large(most: int) -> Refused:
    return Refused(413, f"the body is over {most:,} bytes")


def parse_json(body: bytes) -> Any:
    """JSON strictly: no NaN, no infinity, no depth without end. Raises Refused (400) that says where it breaks off."""
    if not body.strip():
        raise Refused(400, "the body is empty", [{"where": "body", "expected": "JSON", "found": "nothing"}])
    try:
        return orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise Refused(
            400, "the body is not JSON", [{"where": "body", "expected": "JSON", "found": str(error)}]
        ) from None
