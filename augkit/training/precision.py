"""Where and how numbers are computed: device, precision, memory layout, compilation.

Precision is a property of a run or of the process (`augkit.contracts.precision`), and reaches child processes as the
number of threads does: through the environment, as ``AUGKIT_PRECISION``. It is not an option of a component, because a
recipe must mean the same on every machine, and not part of a `Workspace`, because predictors and synthesizers need it
too and have none.

``auto`` asks the hardware and not the clock. A choice by timing can turn out otherwise on a busy machine, and two arms
of one comparison would then be trained in two precisions. Native bfloat16 units gain wherever they were measured: a
U-Net step is 1.8 to 2.3 times faster on a CPU with AVX512-BF16. Without them bfloat16 is emulated, and slower.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar, cast

import torch
from torch import nn
from torch.utils import deterministic

from augkit.contracts.components import Workspace
from augkit.contracts.precision import PRECISIONS, VARIABLE, wanted_precision
from augkit.errors import InputError, Problem

M = TypeVar("M", bound=nn.Module)
Precision = Literal["float32", "bfloat16"]

COMPILE_ABOVE: dict[tuple[str, Precision], float] = {("cpu", "float32"): 1e14, ("cuda", "bfloat16"): 4e16}
"""Operations of a training, by kind of device and precision, above which it is compiled.

On two cores that is a quarter of an hour at 100 GFLOP/s, of which compiled steps save a tenth: more than the minute
that compiling takes. In bfloat16 on a CPU they save nothing (0.882 s against 0.888 s for a U-Net of width 64 at 128
pixels, batch 8). An H100 (torch 2.11.0, steps recorded) compiles that U-Net in 29 s at batch 32 and then does 3,493
images/s; without it 2,911, so that 4e16 operations repay it, 15,000 of these steps. Other kinds of device have no entry
until they are measured.
"""


def choose_device(name: str) -> str:
    """Return a usable torch device name for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Among the processes of torchrun, ``auto`` and ``cuda`` are a GPU for each of them.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if name.partition(":")[0] not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no such kind of device")
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            Problem(f"--device {name}", f"not usable: {reason}", "Allowed: auto, cpu, cuda, mps")
        ) from None
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return name


def choose_precision(device: str) -> Precision:
    """Return the precision of forward passes on the device: what was asked for, or what gains there."""
    wanted = wanted_precision()
    if wanted not in PRECISIONS:
        raise InputError(Problem(VARIABLE, f"found '{wanted}'; allowed: {', '.join(PRECISIONS)}"))
    if wanted == "auto":
        return "bfloat16" if has_native_bfloat16(device) else "float32"
    return cast(Precision, wanted)


def has_native_bfloat16(device: str) -> bool:
    """Tell whether the device has units for bfloat16 products; emulation does not count."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # oneDNN also says yes where AVX512 without these units emulates them; other processors than x86 it asks rightly.
    return not torch.cpu._is_avx512_supported() or torch.cpu._is_avx512_bf16_supported()


def computes_in_bfloat16(device: str) -> bool:
    """Tell whether forward passes on the device are in bfloat16."""
    return choose_precision(device) == "bfloat16"


def autocast(device: str) -> torch.autocast:
    """Return the context for forward passes in the chosen precision.

    Weights and statistics of norms stay float32 in either; take losses on ``output.float()``, outside the context.
    """
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=computes_in_bfloat16(device))


def memory_layout(device: str) -> torch.memory_format:
    """Return the layout in which convolutions of batches (N, C, H, W) gain on the device.

    Channels-last, but for float32 on a CPU: there the step of a U-Net of width 64 took 1.2 times as long in it.
    """
    slow = device == "cpu" and not computes_in_bfloat16(device)
    return torch.contiguous_format if slow else torch.channels_last


def settle(network: M, device: str, layout: torch.memory_format | None = None) -> M:
    """Return the network on the device in a memory layout, `memory_layout` unless another is known to be faster."""
    layout = layout or memory_layout(device)
    return network.to(device, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def compile_if_repaid(network: nn.Module, shape: tuple[int, ...], planned: float, space: Workspace) -> None:
    """Compile the network in place where so much is planned that the faster steps repay the time to compile.

    shape:   of the network's input in training.
    planned: multiplications and additions of the whole training. It decides, and not the clock or what is left of the
             training, because compiled code has other bits, and a continued training must choose as it did before.

    A machine that cannot compile, for instance without a C++ compiler, trains as it is, and the log says so.
    """
    kind = space.device.partition(":")[0], choose_precision(space.device)
    if planned < COMPILE_ABOVE.get(kind, float("inf")):
        return
    twin = copy.deepcopy(network)  # so that trying changes no running statistics
    compile_in_place(twin)
    try:
        with autocast(space.device):
            outputs = twin(
                torch.zeros(shape, device=space.device).contiguous(memory_format=memory_layout(space.device))
            )
        outputs.float().sum().backward()
    except Exception as error:  # compilers fail in many ways, and none of them is a reason not to train
        space.log.note(f"cannot compile the network here ({type(error).__name__}); trains a tenth slower")
        return
    compile_in_place(network)


def compile_in_place(network: nn.Module) -> None:
    """Let the network be compiled when it is called, by choices that no clock makes."""
    network.compile(options={"deterministic": True})


def is_compiled(network: nn.Module) -> bool:
    """Tell whether `compile_if_repaid` compiled the network."""
    return network._compiled_call_impl is not None


@contextmanager
def reproducible() -> Iterator[None]:
    """Let torch use deterministic algorithms, chosen without timing them, and full float32 products, in this context.

    An operation that has no deterministic form warns. Memory is not filled before it is written, as torch would do
    in this mode for the sake of who reads it all the same: that took a tenth of a U-Net's step.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS may split sums as it likes
    before = torch.get_deterministic_debug_mode()
    filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_deterministic_debug_mode("warn")  # torch.use_deterministic_algorithms would import the compiler
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_deterministic_debug_mode(before)
