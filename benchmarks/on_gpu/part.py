"""What every part is given, the file in which it keeps what it has found so far, and a service of NVIDIA's."""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

_SERVICE = "nvidia-cuda-mps-control"
"""The Multi-Process Service, by which kernels of several processes run together instead of taking turns."""


@dataclass
class Part:
    """One part of the benchmark.

    out:     folder of the results, for ``<name>.json`` and pictures.
    store:   folder for whatever else is made.
    tiny:    whether this is a rehearsal, whose numbers mean nothing.
    seconds: how long it may take.
    """

    name: str
    out: Path
    store: Path
    device: str
    tiny: bool
    seconds: float
    found: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def keep(self, name: str, value: Any) -> None:
        """Print a value, and write it with all that were found before."""
        self.found[name] = round(value, 4) if isinstance(value, float) else value
        if not isinstance(value, (str, list, dict)):
            print(f"{self.name}: {name:<66} {self.found[name]:>12}", flush=True)
        card = torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "cpu"
        record = {"benchmark": f"gpu {self.name}", "card": card, "torch": torch.__version__, "tiny": self.tiny}
        text = json.dumps(record | {"seconds": round(self.spent(), 1), "values": self.found}, indent=1)
        (self.out / f"{self.name}.json").write_text(text + "\n")

    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.seconds - self.spent()

    def wait(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def begin(name: str, measure: Callable[[Part], None], words: Sequence[str] | None = None) -> None:
    """Measure a part as the command line says."""
    parser = argparse.ArgumentParser(prog=name)
    for folder in ("--out", "--store"):
        parser.add_argument(folder, type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=600.0)
    chosen = parser.parse_args(words)
    for folder in (chosen.out, chosen.store):
        folder.mkdir(parents=True, exist_ok=True)
    measure(Part(name, chosen.out, chosen.store, chosen.device, chosen.tiny, chosen.seconds))


def has_service(part: Part) -> bool:
    """Tell whether there is such a service."""
    return part.device.startswith("cuda") and shutil.which(_SERVICE) is not None


@contextmanager
def service(part: Part) -> Iterator[Mapping[str, str]]:
    """Run the service where there is one; yields the environment of the processes that are to use it."""
    if not has_service(part):
        yield os.environ
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        subprocess.run([_SERVICE, "-d"], env=environment, check=True)
        try:
            yield environment
        finally:
            subprocess.run([_SERVICE], input="quit\n", text=True, env=environment, check=False)
