"""What a training needs to continue in the same bits: its state, on disk and verified.

A checkpoint is a folder that is written aside, sealed with the hash of every file and published by one rename, so a
half-written one is never read. The last two are kept; a damaged one falls back to the one before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load
from torch import Tensor, nn

from augkit.contracts.components import Workspace
from augkit.store import (
    explained,
    find_damage,
    publish_folder,
    remove_folder,
    seal,
    write_bytes,
    write_json,
)
from augkit.training import ranks
from augkit.training.precision import choose_precision, is_compiled
from augkit.training.weights import as_safetensors

KEPT_CHECKPOINTS = 2
CHECKPOINTS = "checkpoints"


class Learner(Protocol):
    """What a plugin trains."""

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Do training step `number` (0-based) and return tensors to watch, such as losses; their means are logged.

        Everything random and every learning rate is a function of `number`; nothing is kept outside networks and
        optimizers.
        """


class State:
    """Everything a checkpoint holds.

    Tensors: networks, optimisers, and the sums of the watched values since the last look at them. Facts: how many
    values were added, the history, the steps that were left out, how often the training went back because of values
    that are not finite, and what changed when it was continued.
    """

    def __init__(self, learner: Learner, device: str) -> None:
        self.learner = learner
        self.history: list[dict[str, float]] = []
        self.skipped: list[int] = []
        self.back = 0
        self.changes: list[str] = []
        self._device = device
        self._exact = torch.float32 if device == "mps" else torch.float64
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add what one step returned to the sums, without waiting for the device."""
        for name, value in values.items():
            mean = value.detach().to(self._exact).mean()
            self._sums[name] = self._sums[name] + mean if name in self._sums else mean
        self._count += 1

    def means(self) -> dict[str, float]:
        """Return the means of the watched values since `close` over all ranks."""
        return {name: float(ranks.average(total) / self._count) for name, total in self._sums.items()}

    def close(self, step: int, means: Mapping[str, float]) -> None:
        """Put the means, if there are any, into the history and begin anew."""
        if means:
            self.history.append({"step": float(step), **means})
        self._sums, self._count = {}, 0

    def live(self) -> dict[str, Tensor]:
        """Return all tensors as they lie on the device, by name; the sums are this process's own."""
        flat = {f"window.{name}": total for name, total in self._sums.items()}
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
        return flat

    def copies(self) -> dict[str, Tensor]:
        """Return copies of all tensors on the device, to go back to them soon; nothing is asked of other processes."""
        return {key: value.detach().clone() for key, value in self.live().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of all tensors on the CPU, by name, with the means of all processes' sums."""
        averaged = {f"window.{name}": ranks.average(total) for name, total in self._sums.items()}
        # Copies, because safetensors refuses two names of one tensor, such as tied weights.
        layout = torch.contiguous_format
        return {
            key: value.detach().to("cpu", copy=True, memory_format=layout)
            for key, value in (self.live() | averaged).items()
        }

    def facts(self) -> dict[str, Any]:
        """Return the rest, fit for JSON."""
        return {
            "count": self._count,
            "watched": list(self._sums),
            "history": list(self.history),
            "skipped": list(self.skipped),
            "back": self.back,
            "changes": list(self.changes),
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken of; what went wrong since is not forgotten."""
        self._sums = {name: tensors[f"window.{name}"].to(self._device) for name in facts["watched"]}  # files sort
        self._count, self.history = facts["count"], list(facts["history"])
        self.skipped = sorted({*self.skipped, *facts["skipped"]})
        self.back = max(self.back, facts["back"])
        self.changes = self.changes or list(facts["changes"])
        for name, network in self.learner.networks.items():
            network.load_state_dict(_under(tensors, f"network.{name}."))
        for name, optimizer in self.learner.optimizers.items():
            for i, parameter in enumerate(_parameters(optimizer)):
                saved = _under(tensors, f"optimizer.{name}.{i}.")
                optimizer.state.pop(parameter, None)
                if saved:
                    optimizer.state[parameter] = {key: _like(value, parameter) for key, value in saved.items()}


def circumstances(learner: Learner, device: str) -> dict[str, str | int]:
    """Return what decides the bits of a training besides its recipe."""
    found: dict[str, str | int] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "precision": choose_precision(device),
        "processes": ranks.world(),
    }
    for name, network in learner.networks.items():
        found[f"layout of {name}"] = _layout(network) + (", compiled" if is_compiled(network) else "")
    for name, optimizer in learner.optimizers.items():
        kind = "fused " if any(group.get("fused") for group in optimizer.param_groups) else ""
        found[f"optimizer of {name}"] = kind + type(optimizer).__name__
    return found


def save_checkpoint(space: Workspace, done: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Publish the state after `done` steps and remove all but the newest checkpoints."""
    folder = space.folder / CHECKPOINTS
    draft, final = folder / "draft", folder / f"{done:09d}"
    remove_folder(draft)
    with explained(final):
        try:
            write_bytes(draft / "tensors.safetensors", as_safetensors(tensors))
            write_json(draft / "state.json", {"done": done, **facts})
            seal(draft, {})
            remove_folder(final)
            publish_folder(draft, final)
        except BaseException:
            remove_folder(draft)  # on a full disk it would take the space that a person is about to free
            raise
    for old in _checkpoints(folder)[:-KEPT_CHECKPOINTS]:
        remove_folder(old)


def load_checkpoint(space: Workspace) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return tensors and facts of the newest sound checkpoint, those of the first rank; None where there is none."""
    tensors, facts = _newest(space) if ranks.rank() == 0 else (b"", b"")
    tensors, facts = ranks.share(tensors), ranks.share(facts)
    return (load(tensors), json.loads(facts)) if facts else None


def remove_checkpoints(folder: Path) -> None:
    """Remove what `train` keeps for continuing, once everything made from the training is written."""
    remove_folder(folder / CHECKPOINTS)


def _newest(space: Workspace) -> tuple[bytes, bytes]:
    for folder in reversed(_checkpoints(space.folder / CHECKPOINTS)):
        damage = find_damage(folder)
        if not damage:
            return (folder / "tensors.safetensors").read_bytes(), (folder / "state.json").read_bytes()
        space.log.note(f"checkpoint at step {int(folder.name)} is damaged ({damage[0]}); using the one before it")
        remove_folder(folder)  # or it would count as one of those that are kept
    return b"", b""


def _checkpoints(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.glob("*") if path.name.isdigit()) if folder.is_dir() else []


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a saved tensor on the parameter's device, in its memory layout where the shapes agree."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to(parameter.device)


def _layout(network: nn.Module) -> str:
    """Return how most of the network's filters lie in memory."""
    filters = [parameter for parameter in network.parameters() if parameter.dim() == 4 and parameter[0, 0].numel() > 1]
    last = sum(parameter.is_contiguous(memory_format=torch.channels_last) for parameter in filters)
    return "channels last" if filters and 2 * last > len(filters) else "contiguous"
