"""Synthesis: masks in, images out, each image a function of its mask and key alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from augkit import Draws, Images, Masks
from augkit.store import read_json, write_bytes, write_json
from augkit.training import autocast, settle
from augkit_mask2lesion.generator import FACTS, WEIGHTS, Dropout
from augkit_mask2lesion.networks import Architecture, UnetGenerator
from augkit_mask2lesion.resampling import resize_masks, resize_painted

if TYPE_CHECKING:
    from augkit_mask2lesion.generator import Mask2Lesion

BATCH = 32
"""Images computed at once; short batches are filled up, so that kernels never see another shape and differ in bits."""


class Painter:
    """A generator at work; it may be in training and is left as it was."""

    def __init__(
        self, network: UnetGenerator, architecture: Architecture, options: Mask2Lesion, device: str, batch: int = BATCH
    ) -> None:
        self._network = network
        self._architecture = architecture
        self._options = options
        self._device = device
        self._batch = batch

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return uint8 (N, H, W, 3); dropout stays on, drawn from each sample's own key."""
        images = np.empty((*masks.shape, 3), np.uint8)
        was_training = self._network.training
        self._network.eval()
        try:
            for begin in range(0, len(masks), self._batch):
                part = slice(begin, begin + self._batch)
                images[part] = self._paint(masks[part], draws[part])
        finally:
            self._network.train(was_training)
        return images

    def _paint(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        n, (height, width) = len(masks), masks.shape[1:]
        filled = np.zeros((self._batch, 1, height, width), np.float32)
        filled[:n, 0] = masks
        keys = np.zeros(self._batch, np.int64)
        keys[:n] = draws.keys
        there = torch.from_numpy(filled).to(self._device)
        conditions = resize_masks(there, self._architecture.size, self._options.mask_resample) * 2 - 1
        conditions = conditions.expand(-1, self._architecture.mask_channels, -1, -1)
        with autocast(self._device):
            painted = self._network(
                conditions.contiguous(memory_format=torch.channels_last),
                Draws(torch.from_numpy(keys).to(self._device)),
            )
        painted = resize_painted(painted[:n].float(), height, width, self._options.out_resize)
        pixels = ((painted + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        images: Images = pixels.permute(0, 2, 3, 1).cpu().numpy()
        return images


def save_generator(network: UnetGenerator, architecture: Architecture, folder: Path, origin: dict[str, Any]) -> None:
    """Write weights and architecture; `origin` says where the weights come from."""
    state = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(state))
    write_json(folder / FACTS, {**vars(architecture), **origin})


def open_painter(options: Mask2Lesion, folder: Path, device: str, batch: int = BATCH) -> Painter:
    """Return the painter that `save_generator` left in `folder`; ``dropout: none`` turns the noise off."""
    facts = read_json(folder / FACTS)
    dropout: Dropout = "none" if options.dropout == "none" else facts["dropout"]
    architecture = Architecture(facts["size"], facts["width"], facts["norm"], facts["mask_channels"], dropout)
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
        network = architecture.build()
    network.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    return Painter(settle(network, device, torch.channels_last).eval(), architecture, options, device, batch)
