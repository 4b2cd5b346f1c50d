"""Numbers that are not finite: in a training's input, weights, gradients or loss, once or whenever a step is done."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from augkit import ImageSet, TensorDraws, Workspace
from augkit.contracts.components import SilentLog
from augkit.training import checkpoints, loop
from augkit_phantom import Phantom
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner

STEPS = 40
SAVING_SECONDS = 0.2
"""From one checkpoint to the next."""

PLACES = ("input", "weight", "gradient", "loss")
VALUES = (float("nan"), float("inf"), float("-inf"))

Bits = Mapping[str, bytes]


@dataclass
class Fault:
    """Where numbers are spoilt: at which step, what of it, by which value, once or again whenever it is done."""

    step: int
    place: str
    value: float
    again: bool
    comes: bool = field(default=False, init=False)
    """Whether it comes in the step that is being done."""

    def __str__(self) -> str:
        return f"{self.value} in the {self.place} of step {self.step}{', again and again' if self.again else ''}"

    def spoil(self, values: Tensor) -> Tensor:
        """Return values, one of them spoilt if it comes now."""
        if not self.comes:
            return values
        spoilt = values.clone()
        spoilt[(0,) * spoilt.dim()] = self.value
        return spoilt


class Spoilt(UnetLearner):
    """A U-Net's learner with a fault."""

    def __init__(self, options: Unet, samples: ImageSet, space: Workspace, fault: Fault | None) -> None:
        super().__init__(options, samples, self.augmented, space)
        self._fault = fault
        if fault is not None and fault.place == "gradient":
            next(self.network.parameters()).register_hook(fault.spoil)  # type: ignore[no-untyped-call]

    def augmented(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Return what it was given, spoilt if the fault is in the input."""
        fault = self._fault
        return (fault.spoil(images), masks) if fault is not None and fault.place == "input" else (images, masks)

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Do a step, in which the fault may come."""
        fault = self._fault
        if fault is None:
            return super().step(number)
        fault.comes = number == fault.step
        values = super().step(number)
        if fault.place == "weight":
            weight = next(self.network.parameters())
            weight.data.copy_(fault.spoil(weight.data))
        elif fault.place == "loss":
            values = {name: fault.spoil(value) for name, value in values.items()}
        if fault.comes and not fault.again:
            fault.step = -1
        return values


def attempts(quick: bool) -> Iterator[str]:
    """20 times, 4 if quick, each once and again and again: what was the machine's must leave no trace, a step that
    always spoils is left out, and nothing that is saved is ever spoilt."""
    moments = np.random.Generator(np.random.Philox(key=14))
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name))
        undisturbed = trial.train(None)
        for number in range(4 if quick else 20):
            step, value = int(moments.integers(STEPS)), VALUES[int(moments.integers(len(VALUES)))]
            for again in (False, True):
                fault = Fault(step, PLACES[number % len(PLACES)], value, again)
                yield trial.spoilt(fault, step, undisturbed)


class Trial:
    """Trainings of one tiny network in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples = Phantom(train=8, test=1, size=32).load().train
        self._count = 0

    def train(self, fault: Fault | None) -> tuple[Bits, list[int]]:
        """Return the bits of the end, and the steps that were left out."""
        self._count += 1
        space = Workspace(self._folder / str(self._count), 0, "cpu", SilentLog())
        learner = Spoilt(Unet(width=2, steps=STEPS, batch_size=4), self._samples, space, fault)
        with patch.object(loop, "CHECKPOINT_SECONDS", SAVING_SECONDS), patch.object(loop, "save_checkpoint", watched):
            loop.train(learner, space, STEPS)
        state = checkpoints.State(learner, "cpu").tensors()
        facts = checkpoints.load_checkpoint(space)
        assert facts is not None
        return {name: value.numpy().tobytes() for name, value in state.items()}, facts[1]["skipped"]

    def spoilt(self, fault: Fault, step: int, undisturbed: tuple[Bits, list[int]]) -> str:
        """Return what was wrong with a training that has a fault at this step."""
        what = str(fault)
        try:
            bits, skipped = self.train(fault)
        except Exception as error:  # it ought to end well
            return f"{what}: {type(error).__name__}: {error}"
        if not fault.again:
            return "" if (bits, skipped) == undisturbed else f"{what}: it left a trace"
        return "" if skipped == [step] and bits != undisturbed[0] else f"{what}: left out {skipped}"


def watched(space: Workspace, done: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Save a checkpoint that may hold finite numbers only."""
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} would be saved after {done} steps and is not finite")
    checkpoints.save_checkpoint(space, done, tensors, facts)
