"""Who may ask: hosts by name, so that another site's page can't reach a local server through DNS; and no form of another site."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from dapeng.serve.http import Refused, Request

LOCAL = {"127.0.0.1", "localhost", "::1"}
EVERYWHERE = {"0.0.0.0", "::"}
MOST_REMEMBERED = 64


class Guard:
    """hosts: names beside those of this machine that a Host header may bear."""

    def __init__(self, listens: str, hosts: tuple[str, ...] = ()):
        self.everywhere = listens in EVERYWHERE
        self.names = LOCAL | {h.lower() for h in hosts}
        if self.everywhere:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        else:
            self.names.add(listens.lower())
        self.good: set[bytes] = set()

    def check(self, request: Request) -> None:
        """Raises Refused (403)."""
        host = request.headers.get(b"host", b"")
        if host not in self.good:
            self._look(host)
        if request.method not in ("GET", "HEAD"):
            self._same_site(request, host)

    def _look(self, host: bytes) -> None:
        name = hostname(host.decode("latin-1"))
        # a name can be made to point here by whoever owns it, an address can't
        if name not in self.names and not (self.everywhere and _is_address(name)):
            raise Refused(403, f"this server does not answer to the host {name[:100]!r}; start it with --allow-host")
        if len(self.good) < MOST_REMEMBERED:
            self.good.add(host)

    def _same_site(self, request: Request, host: bytes) -> None:
        origin = request.headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.decode("latin-1").lower():
            raise Refused(403, "requests from pages of other sites are refused")
        if request.headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise Refused(403, "requests from pages of other sites are refused")


def hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
