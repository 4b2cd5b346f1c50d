"""Synthesis: from the noise of each sample's key along the learnt velocity to an image of its mask."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augkit import Draws, Images, Masks
from augkit.store import read_json, write_json
from augkit.training import as_pixels, autocast, filled_batches, load_weights, save_weights, settle
from augkit_flow.network import FlowNetwork
from augkit_flow.options import FACTS, WEIGHTS, Solver


class Painter:
    """A velocity network and a solver that follows it."""

    def __init__(self, network: FlowNetwork, solver: Solver, steps: int, guidance: float, device: str) -> None:
        self._network = network
        self._solver = solver
        self._steps = steps
        self._guidance = guidance
        self._device = device

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return uint8 (N, H, W, 3); the noise an image starts from is drawn from its sample's key."""
        images = np.empty((*masks.shape, 3), np.uint8)
        for where, batch, keyed in filled_batches(masks, draws, self._device):
            noise = keyed.normal("noise", shape=(3, *masks.shape[1:]))
            painted = self._solve(noise, batch * 2 - 1)[: where.stop - where.start]
            images[where] = as_pixels(self._network.spectrum.restore(painted) * 255)
        return images

    def _solve(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return x_1 of the flow that begins at x_0."""
        # Short steps at both ends: paths of coarse structure bend near noise, those of fine grain near the image.
        times = [(1 - math.cos(math.pi * step / self._steps)) / 2 for step in range(self._steps + 1)]
        for now, then in pairwise(times):
            slope = self._velocity(x, masks, now)
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


def save_network(network: nn.Module, width: int, size: tuple[int, int], folder: Path) -> None:
    """Write weights, the option `width`, and the images' size."""
    save_weights(network, folder / WEIGHTS)
    write_json(folder / FACTS, {"width": width, "size": size})


def open_painter(folder: Path, solver: Solver, steps: int, guidance: float, device: str) -> Painter:
    """Return the painter of the network that `save_network` left in `folder`."""
    facts = read_json(folder / FACTS)
    network = load_weights(lambda: FlowNetwork(facts["width"], tuple(facts["size"])), folder / WEIGHTS)
    return Painter(settle(network, device, torch.channels_last).eval(), solver, steps, guidance, device)
