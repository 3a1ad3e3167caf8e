"""Files elsewhere, by fsspec: s3://, gs://, az:// and what else it knows. Fetched once into the cache, then read like any file.

Buckets are reached with the user's own keys, as s3fs, gcsfs or adlfs find them. Schemes that name a host in the address (http,
https, ftp, sftp, ...) are read only where the user's environment allows them, since a spec may come from a stranger.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from dapeng.core.console import say
from dapeng.core.errors import DataError, LimitError, MissingExtra, Problem, need_extra
from dapeng.core.kinds import sources
from dapeng.core.secrets import MASK, VARIABLE, redacted, restored
from dapeng.core.spec import Data
from dapeng.data import files, hosts, kept, shards
from dapeng.data.sources.base import Reader
from dapeng.data.table import Concat, Source

SCHEMES = "DAPENG_SCHEMES"
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "cos", "obs", "tos", "memory")
"""Places whose host is not in the address but in the user's settings."""
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
HERE = ("file", "local")
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "generation", "LastModified", "last_modified", "mtime")
VERSIONS += ("modified", "modify", "updated", "created")
"""What file systems say about a file that changes when its content does."""


@sources
class RemoteOptions(Reader):
    """A file elsewhere: s3://, gs://, az:// and other schemes of fsspec, fetched into the cache and read by its ending.

    Install what fsspec wants for it (s3fs, gcsfs, adlfs); keys come from where that package looks for them. Schemes with a host
    in the address are read if the environment names them: DAPENG_SCHEMES=https,ftp; private hosts too: DAPENG_HOSTS=files.lan.

    Example: `dapeng train "s3://bucket/posts/*.parquet" --target category`
    """

    type: Literal["remote"] = "remote"
    general: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, str) and bool(_scheme(address))

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        return address if _scheme(address) else None

    def open(self, address: object, data: Data) -> Source:
        parts = self.parts(address, data)
        return next(iter(parts.values())) if len(parts) == 1 else Concat(list(parts.values()), redacted(str(address)))

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        from dapeng.data.open import reader_of  # it reads what was fetched, by its ending

        url, mark, sheet = str(address).partition("#")
        whole = restored(url)
        if whole is None:
            what = f"the password is not kept ({MASK} stands for it)"
            raise DataError(Problem(url, what, f"set the environment variable {VARIABLE}"))
        _refuse_scheme(whole)
        found = [f"{path}{mark}{sheet}" for path in _fetched(whole)]
        opened = [reader_of(path, data).parts(path, data) for path in found]
        if len(opened) == 1:
            return opened[0]
        return {"all": Concat([s for parts in opened for s in parts.values()], redacted(url))}


def _scheme(address: str) -> str:
    """The scheme of a URL in small letters, "" for what is none; of a chain (cache::s3://) the last one."""
    found = re.match(r"(?:[a-z]\w*::)*([a-z][\w+.-]*)://", address, re.IGNORECASE)
    return found[1].lower() if found else ""


def _refuse_scheme(url: str) -> None:
    """Refuse what a stranger's spec must not reach, and what nobody knows."""
    scheme = _scheme(url)
    if "::" in url.partition("://")[0] or re.search(r"::[a-z][\w+.-]*://", url, re.IGNORECASE):
        raise DataError(Problem(url, "is a chain of addresses, which is not read", "name the file alone"))
    allowed = {s.strip().lower().removesuffix("://") for s in os.environ.get(SCHEMES, "").split(",")}
    if scheme in HERE:
        raise DataError(Problem(url, f"Dapeng reads no {scheme}:// address", "write the path itself"))
    if scheme in BUCKETS or (scheme in allowed and scheme in _known()):
        return
    if scheme not in _known():
        close = get_close_matches(scheme, [*BUCKETS, *_known()], n=1)
        hint = f"did you mean {close[0]}://?" if close else "download the file and name its path"
        raise DataError(Problem(url, f"Dapeng reads no {scheme}:// address", hint))
    what = f"Dapeng reads no {scheme}:// address unless your environment allows it: a spec may come from a stranger"
    raise DataError(Problem(url, what, f"set {SCHEMES}={scheme}, or download the file and name its path"))


def _known() -> set[str]:
    if find_spec("fsspec") is None:
        return set(hosts.PORTS)
    from fsspec.registry import known_implementations

    return set(known_implementations) | set(hosts.PORTS)


def _fetched(url: str) -> list[Path]:
    """The files behind an address, in the cache."""
    if _scheme(url) in hosts.PORTS:
        return [_over_http(one) for one in shards.expanded(url)]
    try:
        import fsspec
    except ImportError:
        raise need_extra("remote", "fsspec") from None
    pinned = _pinned(url)
    try:
        system, path = fsspec.core.url_to_fs(pinned)
    except ImportError as error:
        raise _without(url, error) from None
    except Exception as error:  # of whatever package reads this scheme
        raise _said(url, error) from None
    out = []
    for one in shards.expanded(path) if path.lower().endswith((".tar", ".tar.gz", ".tgz")) else [path]:
        out += [_from_system(url, system, file) for file in _matching(url, system, one)]
    return out


def _pinned(url: str) -> str:
    """An address whose host is what it resolves to now, where it has one that is none of a bucket."""
    if _scheme(url) in BUCKETS:
        return url
    parts = hosts.split(url)
    if not parts.hostname:
        return url
    host = hosts.resolved(url, parts.hostname, parts.port or 0)
    netloc = parts.netloc.rpartition("@")[0] + "@" * ("@" in parts.netloc) + (f"[{host}]" if ":" in host else host)
    return urlunsplit(parts._replace(netloc=netloc + (f":{parts.port}" if parts.port else "")))


def _without(url: str, error: ImportError) -> MissingExtra:
    from fsspec.registry import known_implementations

    said = known_implementations.get(_scheme(url), {}).get("err", "") or str(error)
    words = [w.strip("'\"`,.") for w in said.split()]
    after = words[words.index("install") + 1 :][:1] if "install" in words else []
    package = PACKAGES.get(_scheme(url)) or next(iter(after), "what it names")
    return MissingExtra(
        f"{_scheme(url)}:// needs a package that is not installed: {said}", hint=f"pip install {package}"
    )


def _said(url: str, error: Exception) -> DataError:
    """A file system's error in its first line, without the password, wherever it may stand."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    word = urlsplit(url).password
    for form in {word or "", unquote(word or "")} - {""}:
        text = text.replace(form, MASK)
    return DataError(Problem(url, f"can't be read: {text}", "check the address, the network and your keys"))


def _matching(url: str, system: Any, path: str) -> list[str]:
    """The files that a path or a pattern stands for. Raises DataError, with the nearest name, where there is none."""
    try:
        if any(c in path for c in "*?["):
            found = sorted(str(f) for f in system.glob(path))
            if not found:
                raise DataError(Problem(url, "no file fits the pattern", "look at what is there"))
            return found
        if system.isdir(path):
            raise DataError(Problem(url, "is a folder", "name its files, as in s3://bucket/folder/*.parquet"))
        if system.exists(path):
            return [path]
        parent = path.rpartition("/")[0]
        there = [PurePosixPath(f).name for f in system.ls(parent, detail=False)] if system.isdir(parent) else []
    except DataError:
        raise
    except ImportError as error:
        raise _without(url, error) from None
    except Exception as error:  # of whatever package reads this scheme
        raise _said(url, error) from None
    close = get_close_matches(PurePosixPath(path).name, there, n=1, cutoff=0.7)
    hint = f"did you mean {close[0]!r}?" if close else "check the address"
    raise DataError(Problem(url, "no such file", hint))


def _from_system(url: str, system: Any, path: str) -> Path:
    """A file of a file system, fetched unless this very version of it lies in the cache."""
    try:
        facts = system.info(path)
        version = [str(facts[k]) for k in VERSIONS if facts.get(k)]
        host = "" if _scheme(url) in BUCKETS else urlsplit(url).netloc.rpartition("@")[2]
        place = f"{_scheme(url)}://{host}{path}"
        key = kept.address("remote", place, facts.get("size"), version) if version else None
        return _placed(place, facts.get("size"), key, lambda: system.open(path, "rb"))
    except (DataError, MissingExtra):
        raise
    except Exception as error:  # of whatever package reads this scheme
        raise _said(url, error) from None


def _over_http(url: str) -> Path:
    with hosts.get(url) as response:
        key = kept.address("remote", redacted(url), response.size, response.version) if response.version else None
        return _placed(url, response.size, key, lambda: response.body)


def _placed(url: str, size: int | None, key: str | None, body: Callable[[], BinaryIO]) -> Path:
    """The file in the cache, under its own name; without a version it is fetched each time, and kept by its content."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "file"
    there = kept.found(key) if key else None
    if there is not None and (there / name).is_file():
        return there / name
    cache = kept.folder()
    cache.mkdir(parents=True, exist_ok=True)
    most = kept.limit(cache, 0)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache) as place:
        say(f"fetching {redacted(url)}" + (f" ({size / 1e6:,.1f} MB)" if size else ""))
        temporary = Path(place) / name
        digest = _copied(url, body(), temporary, size, most)
        key = key or kept.address("remote", redacted(url), digest)
        if kept.found(key) is None:
            with kept.filling(key) as entry:
                shutil.move(temporary, entry / name)
    return cache / key / name


def _copied(url: str, body: BinaryIO, to: Path, size: int | None, most: float) -> str:
    """Copy a stream into a file; its SHA-256. Raises LimitError past what the cache may take, DataError where it breaks off."""
    digest, count = hashlib.sha256(), 0
    with body, to.open("wb") as file:
        while chunk := body.read(files.CHUNK):
            count += len(chunk)
            if max(count, size or 0) > most:
                what = f"takes more than the {most / 1e9:.1f} GB that the cache may"
                raise LimitError(Problem(url, what, "make room, or set DAPENG_CACHE_SIZE (in GB)"))
            file.write(chunk)
            digest.update(chunk)
    if size is not None and count != size:
        raise DataError(Problem(url, f"broke off after {count:,} of {size:,} bytes", "try again"))
    return digest.hexdigest()
