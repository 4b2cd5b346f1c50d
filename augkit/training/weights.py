"""Weights in a file: written from wherever the network lies, read without building a network twice."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from augkit.errors import InputError, Problem, said_by
from augkit.store import need_memory, write_bytes

MOST_BYTES = 4 * 10**9
"""The largest file of weights from elsewhere that is read."""

_NUMBERS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_COUNTERS = (torch.int64, torch.int32)

M = TypeVar("M", bound=nn.Module)


def save_weights(network: nn.Module, file: Path) -> None:
    """Write the network's parameters and buffers as safetensors, under their names."""
    write_bytes(file, as_safetensors({key: value.contiguous().cpu() for key, value in network.state_dict().items()}))


def as_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of a safetensors file; raises `MemoryError` where there is no room for them."""
    need_memory(2 * sum(tensor.nbytes for tensor in tensors.values()))  # for two copies
    return save(dict(tensors))


def load_weights(build: Callable[[], M], file: Path) -> M:
    """Return the network that `build` makes, on the CPU, with what `save_weights` wrote of its like."""
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
        network = build()
    network.load_state_dict(load_file(file), assign=True)
    return network


def read_bytes(file: Path) -> bytes:
    """Return a file of weights from elsewhere. Raises `InputError` where it cannot be read or is too large."""
    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            what = f"has {size / 1e9:.1f} GB; allowed: {MOST_BYTES // 10**9} GB"
            raise InputError(Problem(str(file), what, "Is it the file of weights alone?"))
        return file.read_bytes()
    except OSError as error:
        raise InputError(Problem(str(file), f"cannot be read: {error.strerror}")) from error


def read_tensors(data: bytes, file: Path) -> Mapping[str, Tensor]:
    """Return the tensors in the bytes of a file from elsewhere, floating-point ones as float32, by their names.

    data: safetensors where the file is called so, otherwise what torch.save wrote of a state dict.

    Nothing is run: a PyTorch checkpoint is a pickle, and is read by torch's restricted unpickler, which builds tensors
    and plain containers. Nothing grows: what unpacks to more bytes than the file has is refused before it does. Raises
    `InputError` for that, and for what is damaged or holds other things. A number that
    float32 cannot hold becomes infinite.
    """
    try:
        if file.suffix == ".safetensors":
            found = load(data)
        else:
            _refuse_growth(data, file)
            found = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a damaged or hostile file can make a reader raise anything, and panic
        what = f"is damaged, or holds more than tensors, and was not loaded ({_reason(error)})"
        hint = "Allowed: the state dict of a generator, saved with torch.save or safetensors"
        raise InputError(Problem(str(file), what, hint)) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        what = f"holds a {type(found).__name__} with other things than tensors; allowed: a generator's state dict"
        raise InputError(Problem(str(file), what, "Save the result of the generator's state_dict() alone"))
    problems = [f"{name} is {what}" for name, value in found.items() if (what := _strangeness(value))]
    if not problems and sum(value.numel() * value.element_size() for value in found.values()) > len(data):
        problems = ["has tensors of more bytes than the file; allowed: each number stored once"]
    if problems:
        raise InputError(*(Problem(str(file), what) for what in problems))
    return {str(name): value.float() if value.is_floating_point() else value for name, value in found.items()}


def _refuse_growth(data: bytes, file: Path) -> None:
    """Refuse an archive, as torch.save writes it, whose members are compressed or lie over each other."""
    if not zipfile.is_zipfile(BytesIO(data)):
        return
    with zipfile.ZipFile(BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > len(data):
        what = f"unpacks to {size / 1e6:.1f} MB from {len(data) / 1e6:.3f} MB; allowed: what torch.save wrote"
        raise InputError(Problem(str(file), f"{what}, which is not compressed"))


def _strangeness(value: Tensor) -> str:
    """Return what is strange about a tensor of weights, with what is allowed; nothing where nothing is."""
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        layout = "quantized" if value.is_quantized else f"{str(value.layout).removeprefix('torch.')}"
        return f"{layout} on {value.device.type}; allowed: plain tensors"
    if value.dtype not in _NUMBERS and not (value.dtype in _COUNTERS and value.numel() <= 1):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind} {tuple(value.shape)}; allowed: float32, float64, float16, bfloat16"
    return ""


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {said_by(error).partition('. ')[0][:120]}"
