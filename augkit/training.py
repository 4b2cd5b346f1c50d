"""What every trained plugin shares: resident data, precision, and one loop that checkpoints, resumes and stops well.

A plugin brings networks, optimisers and a step (`Learner`); `train` does the rest. Everything random in a step comes
from the step's number, so a checkpoint is tensors and a counter, and an interrupted training ends in the same bits as
an uninterrupted one on the same kind of machine.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augkit.contracts import ImageSet, TensorDraws, Workspace
from augkit.draws import Draws, sample_keys
from augkit.errors import DivergedError, InputError, InterruptedRunError, Problem
from augkit.store import (
    MANIFEST,
    explained,
    find_damage,
    publish_folder,
    read_json,
    remove_folder,
    seal,
    write_bytes,
    write_json,
)

M = TypeVar("M", bound=nn.Module)

LOG_EVERY = 25
"""Steps between two reports; between them the host never waits for the device."""

CHECKPOINT_SECONDS = 20.0
KEPT_CHECKPOINTS = 2
CHECKPOINTS = "checkpoints"


class Learner(Protocol):
    """What a plugin trains."""

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Do training step `number` (0-based) and return scalar tensors to watch, such as losses.

        Everything random and every learning rate is a function of `number`; nothing is kept outside networks and
        optimizers.
        """


def train(learner: Learner, space: Workspace, steps: int) -> None:
    """Run `learner.step` for 0 .. steps - 1, or for what is left of them, and write ``history.json``.

    Raises `InterruptedRunError` after a signal, with the state saved, and `DivergedError` when a watched value, a
    weight or an optimiser's state is not finite; no checkpoint of such a state is written. The last checkpoint stays,
    so that a failure after the last step does not cost the training; `remove_checkpoints` ends its life.
    """
    state = _State(learner, {}, [])
    start = _resume(state, space)
    saved_at = time.monotonic()
    with _deferred_signals() as pending, _reproducible():
        for number in range(start, steps):
            state.add(learner.step(number))
            done = number + 1
            if done % LOG_EVERY == 0 or done == steps:
                values = state.close_window(done)
                _refuse_not_finite(values, done, steps)
                space.log.progress(done, steps, values)
            stop = pending.signal is not None
            if stop or done == steps or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                _save(state, space, done, steps)
                saved_at = time.monotonic()
            if stop:
                raise _interrupted(pending, done, steps)
    write_json(space.folder / "history.json", state.history)


# Data


@dataclass(frozen=True)
class Batch:
    """One training batch on the device.

    images: float32 (B, 3, H, W) in 0..1; masks: float32 (B, 1, H, W) in {0, 1}; draws: those of the B samples in
    their epochs.
    """

    images: Tensor
    masks: Tensor
    draws: TensorDraws


class Batches:
    """A data set resident on the device as uint8, cut into batches by a keyed permutation per epoch.

    Batch `number` holds samples number·B .. number·B + B - 1 of the endless sequence of epochs, so every batch is full
    and every sample is seen once per epoch.
    """

    def __init__(self, samples: ImageSet, batch_size: int, seed: int, device: str) -> None:
        self._images = torch.from_numpy(np.ascontiguousarray(samples.images.transpose(0, 3, 1, 2))).to(device)
        self._masks = torch.from_numpy(np.array(samples.masks)[:, None]).to(device)
        self._keys = torch.from_numpy(sample_keys(samples.ids)).to(device)
        self._size = batch_size
        self._seed = seed
        self._orders: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def at(self, number: int) -> Batch:
        """Return batch `number`."""
        n, first = len(self), number * self._size
        index: list[Tensor] = []
        epochs: list[Tensor] = []
        have = 0
        while have < self._size:
            epoch, begin = divmod(first + have, n)
            part = self._order(epoch)[begin : begin + self._size - have]
            index.append(part)
            epochs.append(torch.full_like(part, epoch))
            have += len(part)
        where = torch.cat(index)
        draws = Draws.on_device(self._seed, "batch", self._keys[where], torch.cat(epochs))
        return Batch(self._images[where].float().div_(255), self._masks[where].float(), draws)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            draws = Draws.on_device(self._seed, "order", self._keys, epoch)
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = torch.argsort(draws.bits("order"), stable=True)
        return self._orders[epoch]


# Device and precision


def choose_device(name: str) -> str:
    """Return a usable torch device name for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if name.partition(":")[0] not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no such kind of device")
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            Problem(f"--device {name}", f"not usable: {reason}", "Allowed: auto, cpu, cuda, mps")
        ) from None
    return name


def has_fast_bfloat16(device: str) -> bool:
    """Tell whether bfloat16 matrix products are native on the device."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: str) -> torch.autocast:
    """Return the context for forward passes: bfloat16 where it is native, float32 elsewhere. Losses stay float32."""
    kind = device.partition(":")[0]
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=has_fast_bfloat16(device))


def settle(network: M, device: str) -> M:
    """Return the network on the device in channels-last layout, the faster one for convolutions there."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialise networks inside this context from `seed`; the process's own generator is left as it was."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _reproducible() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


# Checkpoints


@dataclass
class _State:
    """Everything a checkpoint holds: networks, optimisers, the open window of watched values, the history."""

    learner: Learner
    window: dict[str, Tensor]
    history: list[dict[str, float]]
    count: int = field(default=0)

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            self.window[name] = self.window[name] + value if name in self.window else value
        self.count += 1

    def close_window(self, step: int) -> dict[str, float]:
        means = {name: float(total) / self.count for name, total in self.window.items()}
        self.history.append({"step": float(step), **means})
        self.window, self.count = {}, 0
        return means

    def tensors(self) -> dict[str, Tensor]:
        flat = {f"window.{name}": total for name, total in self.window.items()}
        for name, network in self.learner.networks.items():
            flat |= {f"network.{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self.learner.optimizers.items():
            for i, parameter in enumerate(_parameters(optimizer)):
                for key, value in optimizer.state.get(parameter, {}).items():
                    if isinstance(value, Tensor):
                        flat[f"optimizer.{name}.{i}.{key}"] = value
                    elif value is not None:
                        found = f"optimizer '{name}' keeps '{key}' as {type(value).__name__}"
                        raise TypeError(f"{found}; only tensors can be saved and continued")
        # Copies, because safetensors refuses two names of one tensor, such as tied weights.
        layout = torch.contiguous_format
        return {key: value.detach().to("cpu", copy=True, memory_format=layout) for key, value in flat.items()}

    def restore(self, tensors: Mapping[str, Tensor], watched: Sequence[str], device: str) -> None:
        self.window = {name: tensors[f"window.{name}"].to(device) for name in watched}  # a file sorts names
        for name, network in self.learner.networks.items():
            network.load_state_dict(_under(tensors, f"network.{name}."))
        for name, optimizer in self.learner.optimizers.items():
            for i, parameter in enumerate(_parameters(optimizer)):
                saved = _under(tensors, f"optimizer.{name}.{i}.")
                if saved:
                    optimizer.state[parameter] = {key: _like(value, parameter) for key, value in saved.items()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a saved tensor on the parameter's device, in its memory layout where the shapes agree."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to(parameter.device)


def _save(state: _State, space: Workspace, done: int, steps: int) -> None:
    tensors = state.tensors()
    _refuse_not_finite(tensors, done, steps)
    folder = space.folder / CHECKPOINTS
    draft, final = folder / "draft", folder / f"{done:09d}"
    remove_folder(draft)
    with explained(final):
        try:
            write_bytes(draft / "tensors.safetensors", save(tensors))
            facts = {"done": done, "count": state.count, "watched": list(state.window), "history": state.history}
            write_json(draft / "state.json", facts)
            seal(draft, _circumstances(space))
            remove_folder(final)
            publish_folder(draft, final)
        except BaseException:
            remove_folder(draft)  # on a full disk it would take the space that a person is about to free
            raise
    for old in _checkpoints(folder)[:-KEPT_CHECKPOINTS]:
        remove_folder(old)


def _circumstances(space: Workspace) -> dict[str, str | int]:
    """Return what decides the bits of a training besides its recipe."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": space.device}


def _resume(state: _State, space: Workspace) -> int:
    """Load the newest sound checkpoint and return how many steps are done."""
    for folder in reversed(_checkpoints(space.folder / CHECKPOINTS)):
        damage = find_damage(folder)
        if damage:
            space.log.note(f"checkpoint at step {int(folder.name)} is damaged ({damage[0]}); using the one before it")
            remove_folder(folder)  # or it would count as one of those that are kept
            continue
        saved: Any = read_json(folder / "state.json")
        state.restore(load_file(folder / "tensors.safetensors"), saved["watched"], space.device)
        state.count, state.history = saved["count"], saved["history"]
        space.log.note(f"continues at step {saved['done']}")
        _tell_changes(read_json(folder / MANIFEST), space)
        return int(saved["done"])
    return 0


def _tell_changes(saved: Mapping[str, Any], space: Workspace) -> None:
    now = _circumstances(space)
    changed = [f"{name} {saved.get(name)} -> {value}" for name, value in now.items() if saved.get(name) != value]
    if changed:
        space.log.note(f"{', '.join(changed)} since the checkpoint; the result can differ in its last digits")


def remove_checkpoints(folder: Path) -> None:
    """Remove what `train` keeps for continuing, once everything made from the training is written."""
    remove_folder(folder / CHECKPOINTS)


def _checkpoints(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.glob("*") if path.name.isdigit()) if folder.is_dir() else []


# Stopping


def _refuse_not_finite(values: Mapping[str, float | Tensor], done: int, steps: int) -> None:
    bad = [name for name, value in values.items() if not torch.isfinite(torch.as_tensor(value)).all()]
    if bad:
        others = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        what = f"{', '.join(bad[:4])}{others} became infinite or not a number"
        hint = "Lower the learning rate, or look for broken input images"
        raise DivergedError(Problem(f"step {done} of {steps}", what, hint))


@dataclass
class _Pending:
    signal: int | None = None


@contextmanager
def _deferred_signals() -> Iterator[_Pending]:
    """Let the first Ctrl-C or SIGTERM wait for the end of the step; a second one ends the process at once."""
    pending = _Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if pending.signal is not None:
            os._exit(128 + number)
        pending.signal = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending.signal is not None:  # it came after the last step was checked
        signal.raise_signal(pending.signal)


def _interrupted(pending: _Pending, done: int, steps: int) -> InterruptedRunError:
    assert pending.signal is not None
    error = InterruptedRunError(Problem(f"step {done} of {steps}", "interrupted; the state is saved"))
    error.exit_code = 128 + pending.signal
    return error
