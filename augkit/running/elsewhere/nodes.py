"""What the nodes of one run must have in common, because bits depend on it."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from augkit.errors import InputError, Problem
from augkit.store import claim_json

MIXED = "--mixed-nodes"

_WORDS = {"instructions": "CPU instructions", "gpu": "GPU"}


def versions() -> dict[str, str]:
    """Return the versions of this machine that decide bits."""
    return {name: version(name) for name in ("augkit", "torch", "numpy")}


def hardware(device: str) -> dict[str, str]:
    """Return the parts of this machine that decide bits of what is computed on a device; imports torch."""
    import torch

    facts = {"instructions": torch.backends.cpu.get_cpu_capability()}
    if facts["instructions"] == "DEFAULT":  # of a processor that torch knows no kinds of
        facts["instructions"] = platform.machine()
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def check_node(order: Mapping[str, Any]) -> None:
    """Raise `InputError` where this machine is not like those that the run of an order began on.

    order: as `Site.order` makes it. Versions are to be those of the run's own process, parts those of the first node,
    which notes its own for the others.
    """
    if order.get("nodes") is None:
        return
    here = versions()
    wanted = order["versions"]
    unlike = [f"{name} {here[name]} where the run has {wanted[name]}" for name in wanted if here[name] != wanted[name]]
    if not unlike:
        mine = hardware(order["device"])
        first = claim_json(Path(order["nodes"]), {"node": socket.gethostname(), **mine})
        unlike = [
            f"{_WORDS[name]} {mine[name]} where node {first['node']} has {first[name]}"
            for name in mine
            if first.get(name) not in (None, mine[name])
        ]
    if unlike:
        what = f"has {' and '.join(unlike)}, so its numbers would differ; nothing was built on it"
        hint = f"Use nodes that are alike, or {MIXED} to have both in one comparison, which the report then says"
        raise InputError(Problem(f"node {socket.gethostname()}", what, hint))
