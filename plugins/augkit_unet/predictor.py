"""Predicting with a trained U-Net."""

from __future__ import annotations

from pathlib import Path

from augkit import Predictor
from augkit.training import SegmentationPredictor, load_weights, read_format
from augkit_unet.network import UnetNetwork
from augkit_unet.options import WEIGHTS


def open_predictor(folder: Path, width: int, device: str) -> Predictor:
    """Return the predictor of the network of this width that a training left in `folder`."""
    format = read_format(folder)
    return SegmentationPredictor(load_weights(lambda: UnetNetwork(width, format), folder / WEIGHTS), format, device)
