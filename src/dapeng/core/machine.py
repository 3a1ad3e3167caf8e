"""What this machine has: processors, memory, load, a place for caches. No torch: `doctor` adds accelerators."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path


def cores() -> int:
    """Processors that this process may use: its affinity, and the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        if quota != "max":
            count = min(count, max(round(int(quota) / int(period)), 1))
    except (OSError, ValueError):
        pass  # no cgroup v2: the affinity stands
    return count


def load() -> float | None:
    """Processes that want to run, averaged over the last minute; None where the system doesn't say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def memory() -> tuple[int, int] | None:
    """Bytes in total and bytes available now, within the limit of the container; None where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _memory_elsewhere()
    known = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    total, free = known["MemTotal"], known.get("MemAvailable", known["MemFree"])
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return total, free
    return min(total, limit), max(min(free, limit - used), 0)


def _memory_elsewhere() -> tuple[int, int] | None:
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
                (name, ctypes.c_ulonglong) for name in ("total", "free", "p1", "p2", "v1", "v2", "v3")
            ]

        status = Status(length=ctypes.sizeof(Status))
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return status.total, status.free
        return None
    if "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return total, total
    return None


def cache_folder() -> Path:
    """Where prepared data and downloads go: DAPENG_CACHE, else the system's place for caches. It may not exist yet."""
    named = os.environ.get("DAPENG_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "dapeng"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dapeng"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dapeng"


FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.fonts",
    "~/.local/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "C:/Windows/Fonts",
)
CHINESE_FONTS = (
    "cjk",
    "notosanssc",
    "sourcehan",
    "wqy",
    "simhei",
    "simsun",
    "msyh",
    "pingfang",
    "droidsansfallback",
    "uming",
)


def chinese_font() -> Path | None:
    """A font on this machine that has Chinese characters."""
    for folder in map(Path, FONT_FOLDERS):
        expanded = folder.expanduser()
        if expanded.is_dir():
            for file in sorted(expanded.rglob("*.[tToO][tT][fFcC]")):
                if any(name in file.name.lower().replace("-", "").replace("_", "") for name in CHINESE_FONTS):
                    return file
    return None


def give_back() -> None:
    """Memory that was freed, to the system: what preparing took in passing is wanted by training. Does nothing but on Linux."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
