"""Predicting with a trained nnU-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from augkit import Images, InputError, Predictor, Problem, Scores
from augkit.store import read_json
from augkit_nnunet.cases import SPACING, as_case
from augkit_nnunet.options import CONFIGURATION, DATASET, INFERENCE, PLANS, WEIGHTS
from augkit_nnunet.package import (
    PlansManager,
    called,
    convert_predicted_logits_to_segmentation_with_correct_shape,
    determine_num_input_channels,
    get_network_from_plans,
    nnUNetPredictor,
)

_NETWORKS = (
    "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
)
_LAYERS = (
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.instancenorm.InstanceNorm2d",
    "torch.nn.LeakyReLU",
    None,
)
"""What a plan may name, for nnU-Net imports what it names."""


def open_predictor(folder: Path, mirror: bool, device: str) -> Predictor:
    """Return the predictor of the network that a training left in `folder`.

    mirror: average over the mirrored forms of an image.
    """
    plans, dataset, facts = (read_json(folder / name) for name in (PLANS, DATASET, INFERENCE))
    _check_names(plans, folder / PLANS)
    benchmark = torch.backends.cudnn.benchmark
    with called():
        manager = PlansManager(plans)
        configuration = manager.get_configuration(CONFIGURATION)
        with torch.device("meta"):  # no random numbers for weights that are about to be loaded
            network = get_network_from_plans(
                configuration.network_arch_class_name,
                configuration.network_arch_init_kwargs,
                configuration.network_arch_init_kwargs_req_import,
                determine_num_input_channels(manager, configuration, dataset),
                manager.get_label_manager(dataset).num_segmentation_heads,
                allow_init=False,
                deep_supervision=False,
            )
        _load(network, folder / WEIGHTS)
        predictor = nnUNetPredictor(use_mirroring=mirror, device=torch.device(device), allow_tqdm=False)
        predictor.manual_initialization(
            network.to(device), manager, configuration, None, dataset, "nnUNetTrainer", tuple(facts["mirror"])
        )
    torch.backends.cudnn.benchmark = benchmark  # the predictor had turned it on
    return NnunetPredictor(predictor)


class NnunetPredictor:
    """Scores images with nnU-Net's preprocessing, sliding window and softmax, one image at a time."""

    def __init__(self, predictor: nnUNetPredictor) -> None:
        self._predictor = predictor
        self._preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, K, H, W) in 0..1 for images (N, H, W, C)."""
        with called():
            return np.stack([self._score(image) for image in images])

    def _score(self, image: Images) -> NDArray[np.float32]:
        """Return the classes' probabilities, float32 (K, H, W), of an image (H, W, C)."""
        used = self._predictor
        facts: dict[str, Any] = {"spacing": SPACING}
        plans, configuration = used.plans_manager, used.configuration_manager
        pixels, _, facts = self._preprocessor.run_case_npy(
            as_case(image), None, facts, plans, configuration, used.dataset_json
        )
        logits = used.predict_sliding_window_return_logits(torch.from_numpy(pixels)).cpu()
        _, shares = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, plans, configuration, used.label_manager, facts, True, torch.get_num_threads()
        )
        scores: NDArray[np.float32] = np.clip(shares[1:, 0], 0, 1).astype(np.float32)
        return scores


def _check_names(plans: Any, file: Path) -> None:
    """Refuse plans that name anything but nnU-Net's own networks and layers."""
    architecture = plans["configurations"][CONFIGURATION]["architecture"]
    named = [architecture["arch_kwargs"][name] for name in architecture["_kw_requires_import"]]
    strange = [name for name in named if name not in _LAYERS]
    if architecture["network_class_name"] not in _NETWORKS:
        strange.append(architecture["network_class_name"])
    if strange:
        raise InputError(Problem(str(file), f"names {strange[0]}; allowed: the networks and layers of nnU-Net's plans"))


def _load(network: torch.nn.Module, file: Path) -> None:
    """Fill a network without memory with the weights in a file; an encoder that has two names is one."""
    weights = load_file(file)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            value.copy_(weights[name])
