"""Synthesis: masks in, images out, each image a function of its mask and key alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from augkit import Draws
from augkit.contracts import Images, Masks
from augkit.store import read_json
from augkit.training import autocast, settle
from augkit_mask2lesion.generator import FACTS, WEIGHTS
from augkit_mask2lesion.networks import UnetGenerator
from augkit_mask2lesion.training import MASK_CHANNELS

if TYPE_CHECKING:
    from augkit_mask2lesion.generator import Mask2Lesion

BATCH = 32
"""Images computed at once; short batches are filled up, so that kernels never see another shape and differ in bits."""


class Painter:
    """A trained generator."""

    def __init__(self, options: Mask2Lesion, folder: Path, device: str) -> None:
        with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
            network = UnetGenerator(read_json(folder / FACTS)["size"], options.width, options.norm, MASK_CHANNELS)
        network.load_state_dict(load_file(folder / WEIGHTS), assign=True)
        self._network = settle(network, device).eval()
        self._device = device

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return uint8 (N, H, W, 3); dropout stays on, drawn from each sample's own key."""
        images = np.empty((*masks.shape, 3), np.uint8)
        for begin in range(0, len(masks), BATCH):
            part = slice(begin, begin + BATCH)
            images[part] = self._paint(masks[part], draws[part])
        return images

    def _paint(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        n = len(masks)
        filled = np.zeros((BATCH, *masks.shape[1:]), np.float32)
        filled[:n] = masks
        keys = np.zeros(BATCH, np.int64)
        keys[:n] = draws.keys
        conditions = (torch.from_numpy(filled)[:, None] * 2 - 1).to(self._device, memory_format=torch.channels_last)
        with autocast(self._device):
            painted = self._network(conditions, Draws(torch.from_numpy(keys).to(self._device)))
        pixels = ((painted[:n].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        images: Images = pixels.permute(0, 2, 3, 1).cpu().numpy()
        return images
