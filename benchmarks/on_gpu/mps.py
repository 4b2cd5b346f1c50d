"""NVIDIA's Multi-Process Service, by which kernels of several processes run together instead of taking turns."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from on_gpu.part import Part

_SERVICE = "nvidia-cuda-mps-control"


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
