"""Predicting with a trained network of segmentation_models.pytorch."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from augkit import Predictor
from augkit.training import SegmentationPredictor, read_format, seeded
from augkit_smp.network import build
from augkit_smp.options import WEIGHTS


def open_predictor(folder: Path, architecture: str, encoder: str, device: str) -> Predictor:
    """Return the predictor of the network that a training left in `folder`; nothing is downloaded."""
    format = read_format(folder)
    with seeded(0):  # initial weights are drawn before they are replaced
        network = build(architecture, encoder, None, format)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return SegmentationPredictor(network, format, device)
