"""What stages take, estimated and real: time, memory, disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from augkit.amounts import bytes_text
from augkit.store import make_private_folder, private_folder, read_json, write_json

Basis = Literal["measured", "earlier runs", "unknown"]


@dataclass(frozen=True)
class Estimate:
    """What building one stage is expected to take; None where nothing is known.

    seconds: from start to finish.
    memory:  the process's peak in bytes (of the GPU where there is one), everything before this stage included.
    disk:    bytes of the artifact; a training in progress keeps two checkpoints beside it.
    basis:   where it comes from: a few steps just measured, or stages of the same kind and label in this store.
    """

    seconds: float | None
    memory: int | None
    disk: int | None
    basis: Basis


UNKNOWN = Estimate(None, None, None, "unknown")


_FILE = "estimates.json"


class Estimates:
    """The estimates kept in a store's folder, by the fingerprint of the stage."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Any] = {}
        file = private_folder(root) / _FILE
        with suppress(OSError, ValueError, AttributeError, TypeError):  # an estimate that is lost harms nothing
            self._known = {key: asdict(Estimate(**facts)) for key, facts in read_json(file).items()}

    def of(self, fingerprint: str) -> Estimate | None:
        """Return what was estimated for a stage, or None."""
        facts = self._known.get(fingerprint)
        return None if facts is None else Estimate(**facts)

    def keep(self, found: Mapping[str, Estimate]) -> None:
        """Add estimates, replacing older ones of the same stages."""
        self._known |= {fingerprint: asdict(estimate) for fingerprint, estimate in found.items()}
        write_json(make_private_folder(self._root) / _FILE, self._known)


_NEARLY = 0.9
"""Share of the memory that a process may have from which on it may have been what was missing."""


def short_of_memory() -> str:
    """Return a sentence where this process came near the memory that it may have (``ulimit -v``); '' elsewhere.

    Code that gets no memory often raises something else. Known on Linux only.
    """
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):  # Windows, macOS
        return ""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = re.search(r"^VmPeak:\s*(\d+) kB", status, re.MULTILINE)
    if most == resource.RLIM_INFINITY or taken is None or (peak := int(taken[1]) * 1024) < _NEARLY * most:
        return ""
    return f"The memory may be used up: this process had taken {bytes_text(peak)} of the {bytes_text(most)} it may have"


def peak_memory(device: str) -> int | None:
    """Return the most memory in bytes that this process has had: of the GPU on one, else of the main memory."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
