"""What is installed, what each missing extra would add, and what this machine can do.

dapeng doctor
dapeng doctor --json
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from argparse import ArgumentParser, Namespace
from importlib import metadata
from typing import Any

from dapeng import __version__
from dapeng.cli import arguments
from dapeng.core import machine
from dapeng.core.console import emit, table

EXTRAS = {
    "serve": "a faster HTTP server",
    "export": "ONNX",
    "hf": "public weights and layouts of Hugging Face",
    "gguf": "language models as llama.cpp runs them",
    "llama": "language models written by llama.cpp (built from source)",
    "video": "videos as inputs: MP4, AVI, MKV, WebM, GIF",
    "medical": "slices of NIfTI and DICOM scans as pictures and masks",
    "constrain": "texts that are kept to a regular expression or a JSON schema",
    "excel": "workbooks of Excel and LibreOffice",
    "sql": "tables and queries of databases",
    "datasets": "data sets of the Hugging Face hub",
    "remote": "files in buckets and on servers (s3://, gs://, ...)",
    "tensorboard": "a run's curves in TensorBoard",
    "mlflow": "a run's curves in an MLflow store",
    "zh": "Chinese word segmentation",
    "private": "training with differential privacy",
    "dev": "tests and checks of dapeng itself",
}


def add(parser: ArgumentParser) -> None:
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    facts = examine()
    if args.json:
        from dapeng.core.files import json_text

        emit(json_text(facts, indent=1))
    else:
        emit(_text(facts))
    return 0 if all(p["installed"] for p in facts["packages"]) else 1


def examine() -> dict[str, Any]:
    """Everything that `doctor` knows, as plain values."""
    packages, extras = _packages()
    return {
        "dapeng": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": packages,
        "extras": extras,
        "machine": _machine(),
        "torch": _torch(),
        "chinese_font": str(machine.chinese_font() or "") or None,
        "cache": _cache(),
    }


def _packages() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Core dependencies with their versions, and the extras with what each lacks."""
    core, extras = [], {}
    for line in metadata.requires("dapeng") or []:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if extra is None:
            core.append({"name": name, "installed": _version(name)})
        elif not ("win32" in line and sys.platform == "win32"):
            extras.setdefault(extra[1], []).append({"name": name, "installed": _version(name)})
    found = [
        {
            "name": name,
            "adds": EXTRAS.get(name, ""),
            "missing": [p["name"] for p in packages if not p["installed"]],
            "install": f"pip install 'dapeng[{name}]'",
        }
        for name, packages in extras.items()
    ]
    return core, found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    memory = machine.memory()
    return {
        "cores": machine.cores(),
        "load": machine.load(),
        "memory_gb": round(memory[0] / 1e9, 1) if memory else None,
        "free_gb": round(memory[1] / 1e9, 1) if memory else None,
    }


def _torch() -> dict[str, Any]:
    """What torch can compute on; why not, where it can't be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"error": str(error).splitlines()[0]}
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = device.type if device else "cpu"
    return {
        "accelerator": kind if device else None,
        "devices": torch.accelerator.device_count() if device else 0,
        "name": torch.cuda.get_device_name() if kind == "cuda" else None,
        "bf16": _bf16(kind),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _bf16(kind: str) -> bool:
    """True if bfloat16 is arithmetic of the hardware, not emulated."""
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return True
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            flags = next((line for line in stream if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        return sys.platform == "darwin"
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _cache() -> dict[str, Any]:
    folder = machine.cache_folder()
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    held = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it may vanish meanwhile
                held += os.path.getsize(os.path.join(place, name))
    return {"folder": str(folder), "writable": os.access(there, os.W_OK), "bytes": held}


def _text(facts: dict[str, Any]) -> str:
    torch, cache = facts["torch"], facts["cache"]
    lines = [f"dapeng {facts['dapeng']}, Python {facts['python']}, {facts['system']}", "", "machine"]
    rows = [[f"  {key.replace('_', ' ')}", value] for key, value in facts["machine"].items()]
    rows += [
        [f"  {key}", "yes" if value is True else "no" if value in (False, None) else value]
        for key, value in torch.items()
    ]
    rows.append(
        ["  Chinese font", facts["chinese_font"] or "none: Chinese in plots shows as boxes; install Noto Sans CJK"]
    )
    size = f" ({cache['bytes'] / 1e9:.2f} GB; it may be deleted, and DAPENG_CACHE_SIZE bounds it)"
    rows.append(["  cache", cache["folder"] + (size if cache["writable"] else " (not writable: set DAPENG_CACHE)")])
    lines += [table(rows), "", "packages"]
    lines.append(
        table([[f"  {p['name']}", p["installed"] or "MISSING: pip install dapeng"] for p in facts["packages"]])
    )
    lines += ["", "extras"]
    lines.append(
        table(
            [
                f"  {e['name']}",
                e["adds"],
                f"{e['install']}  (lacks {', '.join(e['missing'])})" if e["missing"] else "installed",
            ]
            for e in facts["extras"]
        )
    )
    return "\n".join(lines)
