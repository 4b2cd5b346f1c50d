"""Weights in a file: written from wherever the network lies, read without building a network twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save
from torch import nn

from augkit.store import write_bytes

M = TypeVar("M", bound=nn.Module)


def save_weights(network: nn.Module, file: Path) -> None:
    """Write the network's parameters and buffers as safetensors, under their names."""
    write_bytes(file, save({key: value.contiguous().cpu() for key, value in network.state_dict().items()}))


def load_weights(build: Callable[[], M], file: Path) -> M:
    """Return the network that `build` makes, on the CPU, with what `save_weights` wrote of its like."""
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
        network = build()
    network.load_state_dict(load_file(file), assign=True)
    return network
