"""Synthesis: from the noise of each sample's key to an image of its mask."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augkit import Draws, Format, Images, Masks
from augkit.store import read_json, write_json
from augkit.training import (
    PAINTING_BATCH,
    as_stored,
    autocast,
    filled_batches,
    load_weights,
    read_format,
    save_weights,
    settle,
    write_format,
)
from augkit_flow.network import FlowNetwork, StudentNetwork
from augkit_flow.options import FACTS, WEIGHTS, Solver
from augkit_flow.spectrum import Spectrum

_NEAR_NOISE = 1.75
"""Of the exponential solver; by KID on ISIC 2017 at 64x64 in 6 steps, of the powers 1.25, 1.5, 1.75 and a cosine."""

N = TypeVar("N", FlowNetwork, StudentNetwork)


class _Painter(ABC):
    """Paints masks from the noise of their samples' keys."""

    def __init__(self, spectrum: Spectrum, device: str) -> None:
        self._spectrum = spectrum
        self._device = device

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return images (N, H, W, C) of the format that was learnt."""
        format = self._spectrum.format
        images = np.empty((*masks.shape, len(format.channels)), format.dtype)
        for where, batch, keyed in filled_batches(masks, draws, self._device, PAINTING_BATCH, format):
            noise = keyed.normal("noise", shape=tuple(self._spectrum.power.shape))
            painted = self.paint(noise, batch * 2 - 1)[: where.stop - where.start]
            images[where] = as_stored(self._spectrum.restore(painted), format)
        return images

    @abstractmethod
    def paint(self, noise: Tensor, masks: Tensor) -> Tensor:
        """Return normalised images as noise (N, C, H, W), of masks (N, K, H, W) in {-1, 1}."""


class Painter(_Painter):
    """A velocity network and a solver that follows it."""

    def __init__(self, network: FlowNetwork, solver: Solver, steps: int, guidance: float, device: str) -> None:
        super().__init__(network.spectrum, device)
        self._network = network
        self._solver = solver
        self._steps = steps
        self._guidance = guidance

    def paint(self, noise: Tensor, masks: Tensor) -> Tensor:
        """Return x_1 of the flow that begins at x_0, the noise."""
        x = noise
        shares = [step / self._steps for step in range(self._steps + 1)]
        # Short steps at both ends: paths of coarse structure bend near noise, those of fine grain near the image.
        times = [(1 - math.cos(math.pi * share)) / 2 for share in shares]
        if self._solver == "exponential":
            times = [share**_NEAR_NOISE for share in shares]  # the grain's bends are in the linear guess
        off: list[tuple[float, Tensor]] = []
        for now, then in pairwise(times):
            slope = self._velocity(x, masks, now)
            if self._solver == "exponential":
                guess = self._spectrum.guess(x, torch.full((1, 1, 1, 1), now, device=x.device))[1]
                off = [*off[-1:], (now, slope - guess)]
                x = self._spectrum.advance(x, off, now, then)
                continue
            there = x + slope * (then - now)
            if self._solver == "heun":
                there = x + (slope + self._velocity(there, masks, then)) * ((then - now) / 2)
            x = there
        return x

    def _velocity(self, x: Tensor, masks: Tensor, time: float) -> Tensor:
        """Return the velocity, guided away from that without a mask."""
        times = torch.full((1, 1, 1, 1), time, device=x.device)
        with autocast(self._device):
            velocity: Tensor = self._network(x, masks, times)
            if self._guidance > 1:
                without: Tensor = self._network(x, torch.zeros_like(masks), times)
                velocity = torch.lerp(without, velocity, self._guidance)
        return velocity


class StudentPainter(_Painter):
    """A network that paints in one evaluation."""

    def __init__(self, network: StudentNetwork, device: str) -> None:
        super().__init__(network.spectrum, device)
        self._network = network

    def paint(self, noise: Tensor, masks: Tensor) -> Tensor:
        """Return what the network makes of the noise."""
        with autocast(self._device):
            painted: Tensor = self._network(noise, masks)
        return painted


def save_network(network: nn.Module, width: int, size: tuple[int, int], format: Format, folder: Path) -> None:
    """Write weights, the option `width`, and the images' size and format."""
    save_weights(network, folder / WEIGHTS)
    write_format(folder, format)
    write_json(folder / FACTS, {"width": width, "size": size})


def open_painter(folder: Path, solver: Solver, steps: int, guidance: float, device: str) -> Painter:
    """Return the painter of the velocity network that `save_network` left in `folder`."""
    return Painter(_load(FlowNetwork, folder, device), solver, steps, guidance, device)


def open_student(folder: Path, device: str) -> StudentPainter:
    """Return the painter of the student that `save_network` left in `folder`."""
    return StudentPainter(_load(StudentNetwork, folder, device), device)


def _load(build: Callable[[int, tuple[int, int], Format], N], folder: Path, device: str) -> N:
    facts, format = read_json(folder / FACTS), read_format(folder)
    network = load_weights(lambda: build(facts["width"], tuple(facts["size"]), format), folder / WEIGHTS)
    return settle(network, device, torch.channels_last).eval()
