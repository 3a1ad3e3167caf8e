"""What this machine can do for a run, each choice with its reason: device, threads, precision."""

from __future__ import annotations

import math
import os
import time

import torch

from dapeng.core.errors import Problem, SpecError
from dapeng.core.spec import Train


def device_for(train: Train) -> tuple[str, str]:
    """The device to train on, and why. Raises SpecError for one that is not there."""
    if train.device != "auto":
        if not _is_there(train.device):
            there = ["auto", "cpu"]
            if torch.accelerator.is_available():
                there.append(str(torch.accelerator.current_accelerator()))
            expected = ", ".join(there[:-1]) + f" or {there[-1]}"
            what = f"expected {expected} on this machine, found {train.device!r}"
            raise SpecError(Problem("train.device", what, "train.device=auto"))
        return train.device, "as asked"
    if torch.accelerator.is_available():
        name = str(torch.accelerator.current_accelerator())
        return name, "an accelerator is there"
    return "cpu", "no accelerator was found"


def _is_there(name: str) -> bool:
    """True if tensors can lie on the device of this name, such as cpu, cuda or cuda:1."""
    try:
        asked = torch.device(name)
    except RuntimeError:
        return False
    if asked.type == "cpu":
        return asked.index in (None, 0)
    own = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return own is not None and asked.type == own.type and (asked.index or 0) < torch.accelerator.device_count()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(train: Train, work: float) -> tuple[int, str]:
    """Threads, from the load of the machine and the arithmetic of a step (FLOPs); small steps are faster on one."""
    if train.threads != "auto":
        return train.threads, "as asked"
    count = cores()
    if work < 1e9:
        return 1, "steps are small"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    free = max(1, min(count, int(count - load + 0.5)))
    return free, f"{count} cores, load {load:.1f}"


def precision_for(train: Train, device: str, work: float) -> tuple[torch.dtype | None, str]:
    """bfloat16 where it is faster, else fp32 (None)."""
    if train.precision == "fp32":
        return None, "as asked"
    if train.precision == "bf16":
        return torch.bfloat16, "as asked"
    if device.startswith("cuda"):
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return (torch.bfloat16, "the accelerator has it") if able else (None, "the accelerator lacks bfloat16")
    if device != "cpu":
        return None, f"not tried on {device}"
    able = multiplies_bf16()
    if able and work > 5e9:
        return torch.bfloat16, "the processor has it and steps are large"
    return None, "steps are small" if able else "the processor lacks fast bfloat16"


def multiplies_bf16() -> bool:
    """Whether products of bfloat16 are faster than others on this processor."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and _has_native_bf16()


PRODUCT, LARGE_PRODUCT = 1024, 8192
"""Rows and columns of the product that is timed, on a processor and on an accelerator."""


def _has_native_bf16() -> bool:
    """AVX-512 BF16 or AMX; elsewhere bfloat16 is emulated and slower."""
    try:
        with open("/proc/cpuinfo") as stream:
            flags = stream.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def peak(dtype: torch.dtype | None, device: str) -> float:
    """FLOP/s of a large product here and now, with the threads that are set: the best of three."""
    size = PRODUCT if device == "cpu" else LARGE_PRODUCT
    x = torch.ones(size, size, dtype=dtype or torch.float32, device=device)
    best = math.inf
    for _ in range(3):
        began = time.perf_counter()
        (x @ x)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def flops(parameters: int, positions: float, rows: int) -> float:
    """A rough count for a step: 6 a parameter and position, where a picture or text visits its parameters often."""
    return 6.0 * parameters * positions * rows
