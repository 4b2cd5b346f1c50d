"""nnU-Net's trainer on images in memory, and its batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from augkit import ImageSet
from augkit_nnunet.cases import Cases
from augkit_nnunet.options import CONFIGURATION, NnunetOptions
from augkit_nnunet.package import (
    PlansManager,
    called,
    foreign_randomness,
    nnUNetBaseDataset,
    nnUNetTrainer,
)


@dataclass(frozen=True)
class Preprocessed:
    """A case as nnU-Net's preprocessing leaves it.

    image:     float32 (C, 1, h, w), normalised. h and w are those of the image without its black border.
    labels:    int8 or int16 (1, 1, h, w); -1 outside.
    locations: some pixels of each class, int32 (n, 4), from which patches with foreground are drawn.
    """

    image: NDArray[np.float32]
    labels: NDArray[Any]
    locations: Mapping[Any, NDArray[np.int32]]


class InMemory(nnUNetBaseDataset):  # type: ignore[misc]
    """nnU-Net's data set of preprocessed cases, without its files."""

    def __init__(self, cases: Mapping[str, Preprocessed]) -> None:
        self.identifiers = sorted(cases)
        self._cases = cases

    def load_case(self, identifier: str) -> tuple[NDArray[np.float32], NDArray[Any], None, dict[str, Any]]:
        """Return image, labels, nothing of an earlier stage, and properties of a case."""
        case = self._cases[identifier]
        return case.image, case.labels, None, {"class_locations": case.locations}

    @staticmethod
    def save_case(data: Any, seg: Any, properties: Any, output_filename_truncated: str) -> None:
        """Refuse: it keeps no files."""
        raise NotImplementedError("it is in memory")

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """Refuse: it has no folder."""
        raise NotImplementedError("it is in memory")


class Trainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer, which writes no log and compiles nothing, because compiled code has other bits."""

    datasets: tuple[InMemory, InMemory]

    def get_tr_and_val_datasets(self) -> tuple[InMemory, InMemory]:
        """Return the cases to train on and those to validate on."""
        return self.datasets

    def print_to_log_file(self, *args: object, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """Say nothing."""

    def _do_i_compile(self) -> bool:
        return False


def make_trainer(
    options: NnunetOptions,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    parts: tuple[ImageSet, ImageSet],
    work: Path,
    seed: int,
    device: str,
) -> Trainer:
    """Return the trainer with its network, its batches and all else ready for the first step.

    parts: images to train on and to validate on. Without the latter it is nnU-Net's fold ``all``, which validates on
           the images that it trains on.
    """
    fold = 0 if len(parts[1]) else "all"
    alone = patch(
        "torch.distributed.is_initialized", return_value=False
    )  # or it cuts batches among processes, its own way
    with called(work, processes=0), foreign_randomness(seed, 0), alone:
        trainer = Trainer(dict(plans, continue_training=False), CONFIGURATION, fold, dataset, torch.device(device))
        trainer.device = torch.device(device)  # it takes the first one of its kind
        trainer.num_epochs, trainer.num_iterations_per_epoch = options.epochs, options.iterations
        with patch(f"{nnUNetTrainer.__module__}.infer_dataset_class", return_value=InMemory):  # it looks at files
            trainer.initialize()
        train = _preprocessed(parts[0], trainer.plans_manager, dataset)
        trainer.datasets = train, _preprocessed(parts[1], trainer.plans_manager, dataset) if len(parts[1]) else train
        trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    for transform in _transforms(trainer.dataloader_train.data_loader.transforms):
        if hasattr(transform, "benchmark"):
            transform.benchmark = False  # it would choose between two blurs, of other bits, by the clock
    return trainer


def _preprocessed(samples: ImageSet, plans: PlansManager, dataset: dict[str, Any]) -> InMemory:
    cases, configuration = Cases(samples), plans.get_configuration(CONFIGURATION)
    preprocessor = configuration.preprocessor_class(verbose=False)
    found = {}
    for i in range(len(cases)):
        (image, facts), (labels, _) = cases.read_images([str(i)]), cases.read_seg(str(i))
        image, labels, facts = preprocessor.run_case_npy(image, labels, facts, plans, configuration, dataset)
        locations = {key: np.asarray(value, np.int32) for key, value in facts["class_locations"].items()}
        found[f"{i:07}"] = Preprocessed(np.asarray(image, np.float32), np.asarray(labels), locations)
    return InMemory(found)


def _transforms(transform: Any) -> Iterator[Any]:
    """Yield a transform and those inside it."""
    yield transform
    for inner in [*getattr(transform, "transforms", ()), getattr(transform, "transform", None)]:
        if inner is not None:
            yield from _transforms(inner)
