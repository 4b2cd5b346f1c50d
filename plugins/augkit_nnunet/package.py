"""What is used of nnunetv2, and calling it without a trace: no output, no variables, no global random numbers.

Its modules read environment variables, choose a backend of matplotlib, and ask for the host's name when they are
imported; so this is the one place that imports them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import matplotlib
import numpy as np
from tqdm import tqdm

from augkit.training import seeded


@contextmanager
def called(folder: Path | None = None, processes: int = 1) -> Iterator[None]:
    """Let nnU-Net work in `folder` and augment in so many processes besides; everything is then as it was."""
    inside = folder or Path("nowhere")
    variables = {name: str(inside / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    switches = {"nnUNet_n_proc_DA": str(processes), "nnUNet_compile": "0", "nnUNet_wandb_enabled": "0"}
    with (
        patch.dict(os.environ, {**variables, **switches}),
        patch.object(matplotlib, "use"),
        patch.object(tqdm, "monitor_interval", 0),  # or its bars, which are not shown, leave a thread behind
        redirect_stdout(StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        yield


@contextmanager
def foreign_randomness(seed: int, *numbers: int) -> Iterator[None]:
    """Let a package draw from the generators of NumPy and torch, seeded by these; they are then as they were."""
    for_numpy, for_torch = np.random.SeedSequence([seed, *numbers]).generate_state(2)
    before = np.random.get_state()  # noqa: NPY002 - its transforms draw from there
    np.random.seed(int(for_numpy))  # noqa: NPY002
    try:
        with seeded(int(for_torch)):
            yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


with called():
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
        nnUNetPlannerResEncL,
        nnUNetPlannerResEncM,
        nnUNetPlannerResEncXL,
    )
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

__all__ = [
    "DatasetFingerprintExtractor",
    "ExperimentPlanner",
    "NaturalImage2DIO",
    "PlansManager",
    "called",
    "convert_predicted_logits_to_segmentation_with_correct_shape",
    "determine_num_input_channels",
    "foreign_randomness",
    "get_network_from_plans",
    "nnUNetBaseDataset",
    "nnUNetPlannerResEncL",
    "nnUNetPlannerResEncM",
    "nnUNetPlannerResEncXL",
    "nnUNetPredictor",
    "nnUNetTrainer",
]
