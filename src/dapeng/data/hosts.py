"""Which hosts may be asked: none inside the own network unless its user names it, whatever a name resolves to.

A spec from a stranger must not make this machine ask for http://169.254.169.254 or a printer's page. A name is resolved once, and
the connection goes to that very address; redirects are not followed.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import SplitResult, unquote, urlsplit

from dapeng.core.errors import DataError, Problem

HOSTS = "DAPENG_HOSTS"
SECONDS = 30.0
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Response:
    """What a server gave: the body to read, its size where it is said, and what changes when the content does."""

    body: BinaryIO
    size: int | None
    version: str | None


def resolved(url: str, host: str, port: int) -> str:
    """The address of a host. Raises DataError where one of its addresses is private, unless DAPENG_HOSTS names the host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DataError(Problem(url, f"no host is called {host!r}", "check the address and the network")) from None
    addresses = list(dict.fromkeys(str(f[4][0]) for f in found))
    named = {h.strip().lower() for h in os.environ.get(HOSTS, "").split(",")}
    private = [a for a in addresses if not _is_public(a)]
    if private and not named & {host.lower(), f"{host.lower()}:{port}"}:
        what = f"{host!r} is {private[0]}, an address within your own network: specs of others must not reach it"
        raise DataError(
            Problem(url, what, f"if it is yours, set {HOSTS}={host}; or download the file and name its path")
        )
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return all(one.is_global and not one.is_multicast for one in (ip, mapped) if one is not None)


@contextlib.contextmanager
def get(url: str) -> Iterator[Response]:
    """Ask for a file over http or https. Raises DataError for everything but the file itself."""
    parts = split(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        stream: socket.socket = socket.create_connection((resolved(url, host, port), port), SECONDS)
        if parts.scheme == "https":
            stream = ssl.create_default_context().wrap_socket(stream, server_hostname=host)
        connection.sock = stream
        connection.request(
            "GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=_headers(parts)
        )
        response = connection.getresponse()
        _refuse(url, response)
        said = response.getheader("Content-Length", "")
        version = response.getheader("ETag") or response.getheader("Last-Modified")
        yield Response(cast(BinaryIO, response), int(said) if said.isdecimal() else None, version)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(Problem(url, f"can't be fetched: {str(error) or type(error).__name__}", "try again")) from None
    finally:
        connection.close()


def split(url: str) -> SplitResult:
    """A URL in its parts. Raises DataError for one that is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
        if any(c.isspace() or not c.isprintable() for c in url):
            raise ValueError("a blank in it is written %20")
    except ValueError as error:
        raise DataError(Problem(url, f"is no address ({error})", "as in https://host/file.csv")) from None
    return parts


def _headers(parts: SplitResult) -> dict[str, str]:
    user, word = parts.username, parts.password
    headers = {"User-Agent": "dapeng", "Accept-Encoding": "identity"}
    if user is not None:
        pair = f"{unquote(user)}:{unquote(word or '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return headers


def _refuse(url: str, response: http.client.HTTPResponse) -> None:
    if 300 <= response.status < 400:
        to = response.getheader("Location", "elsewhere")[:200]
        raise DataError(Problem(url, f"redirects to {to}, which is not followed", "name that address itself"))
    if response.status != 200:
        what = f"the server says {response.status} {response.reason}"
        raise DataError(Problem(url, what, "open the address in a browser and look"))
