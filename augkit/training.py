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
from augkit.store import find_damage, publish_folder, read_json, remove_folder, seal, write_bytes, write_json

M = TypeVar("M", bound=nn.Module)

LOG_EVERY = 25
"""Steps between two reports; between them the host never waits for the device."""

CHECKPOINT_SECONDS = 20.0
KEPT_CHECKPOINTS = 2


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

    Raises `InterruptedRunError` after a signal, with the state saved, and `DivergedError` when a watched value is not
    finite; no checkpoint of such a state is written.
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
            if done < steps and (stop or time.monotonic() - saved_at > CHECKPOINT_SECONDS):
                _save(state, space, done)
                saved_at = time.monotonic()
            if stop and done < steps:
                raise _interrupted(pending, done, steps)
    write_json(space.folder / "history.json", state.history)
    remove_folder(space.folder / "checkpoints")


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
    with torch.random.fork_rng(devices=[]):
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
        return {key: value.detach().contiguous().cpu() for key, value in flat.items()}

    def restore(self, tensors: Mapping[str, Tensor], device: str) -> None:
        self.window = {k: v.to(device) for k, v in _under(tensors, "window.").items()}
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


def _save(state: _State, space: Workspace, done: int) -> None:
    folder = space.folder / "checkpoints"
    draft, final = folder / f"draft-{os.getpid()}", folder / f"{done:09d}"
    remove_folder(draft)
    draft.mkdir(parents=True)
    write_bytes(draft / "tensors.safetensors", save(state.tensors()))
    write_json(draft / "state.json", {"done": done, "count": state.count, "history": state.history})
    seal(draft, {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": space.device})
    remove_folder(final)
    publish_folder(draft, final)
    for old in _checkpoints(folder)[:-KEPT_CHECKPOINTS]:
        remove_folder(old)


def _resume(state: _State, space: Workspace) -> int:
    """Load the newest sound checkpoint and return how many steps are done."""
    for folder in reversed(_checkpoints(space.folder / "checkpoints")):
        damage = find_damage(folder)
        if damage:
            space.log.note(f"checkpoint at step {int(folder.name)} is damaged ({damage[0]}); using the one before it")
            continue
        saved: Any = read_json(folder / "state.json")
        state.restore(load_file(folder / "tensors.safetensors"), space.device)
        state.count, state.history = saved["count"], saved["history"]
        space.log.note(f"continues at step {saved['done']}")
        return int(saved["done"])
    return 0


def _checkpoints(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.glob("*") if path.name.isdigit()) if folder.is_dir() else []


# Stopping


def _refuse_not_finite(values: Mapping[str, float], done: int, steps: int) -> None:
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        what = f"{', '.join(bad)} became infinite or not a number"
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


def _interrupted(pending: _Pending, done: int, steps: int) -> InterruptedRunError:
    assert pending.signal is not None
    error = InterruptedRunError(Problem(f"step {done} of {steps}", "interrupted; the state is saved"))
    error.exit_code = 128 + pending.signal
    return error
