"""Synthesis: masks in, images out, each image a function of its mask and key alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augkit import Draws, Format, Images, Masks, TensorDraws
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
from augkit_mask2lesion.architecture import Architecture, read_architecture
from augkit_mask2lesion.networks import UnetGenerator
from augkit_mask2lesion.options import FACTS, WEIGHTS, Dropout, MaskResample, OutResize, StyleFrom
from augkit_mask2lesion.resampling import resize_masks, resize_painted
from augkit_mask2lesion.spade import SpadeGenerator


class Painter:
    """A generator at work; it may be in training and is left as it was."""

    def __init__(
        self,
        network: UnetGenerator | SpadeGenerator,
        architecture: Architecture,
        format: Format,
        mask_resample: MaskResample,
        out_resize: OutResize,
        device: str,
        batch: int = PAINTING_BATCH,
    ) -> None:
        self._network = network
        self._architecture = architecture
        self._format = format
        self._mask_resample: MaskResample = mask_resample
        self._out_resize: OutResize = out_resize
        self._device = device
        self._batch = batch

    @torch.inference_mode()
    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return images (N, H, W, C) of the format; dropout stays on, drawn from each sample's own key."""
        format = self._format
        images = np.empty((*masks.shape, len(format.channels)), format.dtype)
        height, width = masks.shape[1:]
        was_training = self._network.training
        self._network.eval()
        try:
            for where, batch, keyed in filled_batches(masks, draws, self._device, self._batch, format):
                painted = self._paint(batch, keyed)[: where.stop - where.start].float()
                images[where] = as_stored((resize_painted(painted, height, width, self._out_resize) + 1) / 2, format)
        finally:
            self._network.train(was_training)
        return images

    def restyled(self) -> Painter | None:
        """Return a painter whose images have other styles for the same draws; None where there are no style codes."""
        if not isinstance(self._network, SpadeGenerator) or len(self._network.styles) < 2:
            return None
        network = SpadeGenerator(self._network.decoder, self._network.styles.roll(1, 0), "training")
        choices = self._mask_resample, self._out_resize, self._device, self._batch
        return Painter(network, self._architecture, self._format, *choices)

    def _paint(self, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return images in -1..1 at the working size, (N, C, S, S), of masks (N, K, H, W) in {0, 1}."""
        conditions = resize_masks(masks, self._architecture.size, self._mask_resample) * 2 - 1
        conditions = conditions.expand(-1, self._architecture.conditions, -1, -1)
        with autocast(self._device):
            painted: Tensor = self._network(conditions.contiguous(memory_format=torch.channels_last), draws)
        return painted


def save_generator(
    network: UnetGenerator | SpadeGenerator,
    architecture: Architecture,
    format: Format,
    folder: Path,
    origin: dict[str, Any],
) -> None:
    """Write weights, architecture and the format of what they paint; `origin` says where the weights come from."""
    save_weights(network, folder / WEIGHTS)
    write_format(folder, format)
    write_json(folder / FACTS, {**architecture.facts(), **origin})


def open_painter(
    folder: Path,
    dropout: Dropout,
    mask_resample: MaskResample,
    out_resize: OutResize,
    style_from: StyleFrom,
    device: str,
    batch: int = PAINTING_BATCH,
) -> Painter:
    """Return the painter that `save_generator` left in `folder`; the dropout ``none`` turns the noise off."""
    facts, format = read_json(folder / FACTS), read_format(folder)
    architecture = read_architecture(facts if dropout != "none" else {**facts, "dropout": dropout}, format)
    network = load_weights(lambda: architecture.build(style_from), folder / WEIGHTS)
    network = settle(network, device, torch.channels_last).eval()
    return Painter(network, architecture, format, mask_resample, out_resize, device, batch)
