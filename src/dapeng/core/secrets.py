"""Passwords in addresses: shown as ***, so that no error, log, report or run folder holds one.

The user name stays: it helps to know who was refused. What was masked is given again by the environment variable
DAPENG_PASSWORD when another process goes on with a run, or measures it anew.
"""

from __future__ import annotations

import os
import re

MASK = "***"
VARIABLE = "DAPENG_PASSWORD"

_NAMES = r"password|passwd|pwd|sslpassword|token|secret|api_?key|access_?key|secret_?key|sig|signature|credential"
# the first @ ends a password, as SQLAlchemy reads it; what else stands before the last @ of the host was one too
_USER = re.compile(r"([a-z][\w+.-]*://[^\s:/@?#]*:)[^@\s]+((?:@[^\s/?#@]*(?=@))*)@", re.IGNORECASE)
_ALONE = re.compile(r"^([a-z][\w+.-]*://[^\s:/@?#]*:)[^@]+((?:@[^/?#@]*(?=@))*)@", re.IGNORECASE)
_FIELD = re.compile(rf"(?<![a-z])([\w-]*(?:{_NAMES}))(=|%3D)(?!\*\*\*)(?:(?!%3B)[^;&\s#'\"])+", re.IGNORECASE)


_seen: dict[str, str] = {}
"""Whole addresses by masked ones, for the life of the process: what is trained is explained and exported from its run folder."""


def redacted(text: str) -> str:
    """A text, with *** for the passwords of the addresses in it."""
    if "://" not in text:
        return text
    text = _USER.sub(rf"\1{MASK}@", _ALONE.sub(rf"\1{MASK}@", text))
    head, mark, rest = text.partition("://")
    return head + mark + _FIELD.sub(rf"\1\2{MASK}", rest)


def restored(address: str) -> str | None:
    """An address whose password was masked, with the one that this process has seen in it, or that the environment names.

    None where neither is there.
    """
    if MASK not in address:
        masked = redacted(address)
        if masked != address:
            _seen[masked] = address
        return address
    if address in _seen:
        return _seen[address]
    from urllib.parse import quote

    word = os.environ.get(VARIABLE)
    return None if word is None else address.replace(MASK, quote(word, safe=""))
