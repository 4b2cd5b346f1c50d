"""Synthesis: from the noise of each sample's key along the learnt velocity to an image of its mask."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augkit import Draws, Images, Masks
from augkit.store import read_json, write_bytes, write_json
from augkit.training import autocast, settle
from augkit_flow.generator import FACTS, WEIGHTS
from augkit_flow.network import FlowNetwork

if TYPE_CHECKING:
    from augkit_flow.generator import Flow

BATCH = 32
"""Images computed at once; short batches are filled up, so that kernels never see another shape and differ in bits."""


class Painter:
    """A velocity network and a solver that follows it."""

    def __init__(self, network: FlowNetwork, options: Flow, device: str) -> None:
        self._network = network
        self._options = options
        self._device = device

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return uint8 (N, H, W, 3); the noise an image starts from is drawn from its sample's key."""
        images = np.empty((*masks.shape, 3), np.uint8)
        for begin in range(0, len(masks), BATCH):
            part = slice(begin, begin + BATCH)
            images[part] = self._paint(masks[part], draws[part])
        return images

    def _paint(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        n, (height, width) = len(masks), masks.shape[1:]
        filled = np.full((BATCH, 1, height, width), -1, np.float32)
        filled[:n, 0] = masks * 2.0 - 1
        keys = np.zeros(BATCH, np.int64)
        keys[:n] = draws.keys
        noise = Draws(torch.from_numpy(keys).to(self._device)).normal("noise", shape=(3, height, width))
        painted = self._solve(noise, torch.from_numpy(filled).to(self._device))[:n]
        pixels = self._network.spectrum.restore(painted) * 255
        images: Images = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return images

    def _solve(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return x_1 of the flow that begins at x_0."""
        steps = self._options.solver_steps
        # Short steps at both ends: paths of coarse structure bend near noise, those of fine grain near the image.
        times = [(1 - math.cos(math.pi * step / steps)) / 2 for step in range(steps + 1)]
        for now, then in pairwise(times):
            slope = self._velocity(x, masks, now)
            there = x + slope * (then - now)
            if self._options.solver == "heun":
                there = x + (slope + self._velocity(there, masks, then)) * ((then - now) / 2)
            x = there
        return x

    def _velocity(self, x: Tensor, masks: Tensor, time: float) -> Tensor:
        """Return the velocity, guided away from that without a mask."""
        times = torch.full((1, 1, 1, 1), time, device=x.device)
        with autocast(self._device):
            velocity: Tensor = self._network(x, masks, times)
            if self._options.guidance > 1:
                without: Tensor = self._network(x, torch.zeros_like(masks), times)
                velocity = torch.lerp(without, velocity, self._options.guidance)
        return velocity


def save_network(network: nn.Module, width: int, size: tuple[int, int], folder: Path) -> None:
    """Write weights, the option `width`, and the images' size."""
    state = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(state))
    write_json(folder / FACTS, {"width": width, "size": size})


def open_painter(options: Flow, folder: Path, device: str) -> Painter:
    """Return the painter of the network that `save_network` left in `folder`."""
    facts = read_json(folder / FACTS)
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
        network = FlowNetwork(facts["width"], tuple(facts["size"]))
    network.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    return Painter(settle(network, device, torch.channels_last).eval(), options, device)
