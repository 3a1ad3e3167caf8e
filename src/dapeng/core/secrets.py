"""Passwords in addresses: shown as ***, so that no error, log, report or run folder holds one.

The user name stays: it helps to know who was refused. What was masked is given again by the environment variable
DAPENG_PASSWORD when a run goes on, or is measured anew.
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


def redacted(text: str) -> str:
    """A text, with *** for the passwords of the addresses in it."""
    if "://" not in text:
        return text
    text = _USER.sub(rf"\1{MASK}@", _ALONE.sub(rf"\1{MASK}@", text))
    head, mark, rest = text.partition("://")
    return head + mark + _FIELD.sub(rf"\1\2{MASK}", rest)


def restored(address: str) -> str | None:
    """An address whose password was masked, with the one of the environment; None where that names none."""
    if MASK not in address:
        return address
    from urllib.parse import quote

    word = os.environ.get(VARIABLE)
    return None if word is None else address.replace(MASK, quote(word, safe=""))
