"""What this machine is and how fast: versions, device, speed of each precision, disk, plugins and their faults."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from augkit.contracts.registry import Registry
from augkit.store import free_bytes

if TYPE_CHECKING:
    import torch

Facts = Mapping[str, str]

_MATRIX = {"cpu": 512, "cuda": 8192, "mps": 2048}
"""Side of the square matrices that are multiplied, by kind of device: milliseconds each."""

_ROUNDS = 5
_MOST_SECONDS = 1.0
"""After which no further round begins: a precision without units of its own can be a thousand times as slow."""


def versions() -> Facts:
    """Return package -> version of augkit, Python, and everything augkit needs."""
    names = [requirement for requirement in requires("augkit") or [] if "extra ==" not in requirement]
    packages = [name for text in names if (name := _package_of(text))]
    return {"augkit": version("augkit"), "python": platform.python_version(), **{p: _version(p) for p in packages}}


def hardware(device: str) -> Facts:
    """Return what computes: the device, its name and memory, and the threads torch uses."""
    import torch

    facts = {"device": device, "system": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count())}
    facts["threads"] = str(torch.get_num_threads())
    if device.startswith("cuda"):
        seen = torch.cuda.get_device_properties(device)
        facts["gpu"] = f"{seen.name}, {seen.total_memory / 2**30:.1f} GiB"
    return facts


def precision_speeds(device: str) -> Facts:
    """Return precision -> measured speed of a matrix product, in TFLOP/s; the median of a few rounds."""
    import torch

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return {name: _speed(device, kind) for name, kind in kinds.items()}


def disk(out: Path) -> Facts:
    """Return the space that is free where artifacts go."""
    return {str(out.absolute()): f"{free_bytes(out) / 1e9:.1f} GB free"}


def plugins(registry: Registry) -> Facts:
    """Return provider -> the components and commands it provides, and for a plugin with faults what is wrong."""
    facts: dict[str, str] = {}
    for (_, name), entry in sorted(registry.entries.items()):
        provider = str(entry.provider)
        facts[provider] = f"{facts[provider]}, {name}" if provider in facts else name
    for name, command in sorted(registry.commands.items()):
        provider, what = str(command.provider), f"augkit {name}"
        facts[provider] = f"{facts[provider]}, {what}" if provider in facts else what
    for fault in registry.faults:
        provider, what = str(fault.provider), f"not usable: {fault.reason}"
        facts[provider] = f"{facts[provider]}; {what}" if provider in facts else what
    return facts


def _speed(device: str, kind: torch.dtype) -> str:
    import torch

    side = _MATRIX.get(device.partition(":")[0], 512)
    try:
        left = torch.full((side, side), 0.5, dtype=kind, device=device)
        seconds = _median_seconds(lambda: float((left @ left)[0, 0]))  # reading a number waits for the device
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return f"not available: {str(error).splitlines()[0]}"
    return f"{2 * side**3 / seconds / 1e12:.3g} TFLOP/s"


def _median_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()  # the first one prepares what the others find prepared
    times: list[float] = []
    while not times or (len(times) < _ROUNDS and time.perf_counter() - start < _MOST_SECONDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def _package_of(requirement: str) -> str:
    """Return the name in a requirement such as ``torch>=2.10``."""
    end = next((i for i, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return requirement[:end]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
