"""From per-image scores of arms and seeds to the numbers of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import PER_IMAGE, TRAINING_SIZE
from augkit.metrics import METRICS

TEST_IMAGES, DEVELOPMENT_IMAGES = "test images", "development images"
"""What arms are scored on: the test split, or a part of the training images that was held out in its place."""


@dataclass(frozen=True)
class Design:
    """What an arm is, as far as a fair comparison depends on it; names are free, so contrasts are found from this.

    Each part names its components, in words for people and a digest of their options: equal text, equal part.

    data:      the data set.
    segmenter: the model that is trained, with its budget.
    augment:   the classical transforms; '' for none.
    synthesis: the synthetic sources and their amounts; '' for none.
    scored_on: `TEST_IMAGES` or `DEVELOPMENT_IMAGES`, as texts about scores say.
    score_at:  `TRAINING_SIZE` or `NATIVE_SIZE`.
    score_per: `PER_IMAGE` or `PER_GROUP`.
    folds:     the number of folds in which images are tested; 0 for a test split.
    """

    data: str = ""
    segmenter: str = ""
    augment: str = ""
    synthesis: str = ""
    scored_on: str = TEST_IMAGES
    score_at: str = TRAINING_SIZE
    score_per: str = PER_IMAGE
    folds: int = 0

    @property
    def scored(self) -> str:
        """What has one score, in words: ``test images``, or ``test groups``."""
        return self.scored_on if self.score_per == PER_IMAGE else self.scored_on.replace("images", "groups")


CLASS_DICE = "dice of "
"""Stands before the name of a class in the name of a metric."""


@dataclass(frozen=True)
class ArmScores:
    """The scores of one arm: every metric for every seed and image.

    image_ids: N images to score on, the same in every arm that is compared; groups where these are scored.
    seeds:     S seeds, one training each.
    values:    metric name -> float64 (S, N) in 0..1; of several classes the mean over them, and ``dice of NAME``.
    design:    what the arm is.
    conditions: how it was trained, beside the design: ``device``, ``torch``, ``precision``, ``optimiser steps``, as far
               as that is known; several values where its trainings differ.
    empty:     how many of the images have a mask without foreground, where finding nothing scores a Dice of 1.
    classes:   where there are several, name -> how many of the images show it.
    folds:     int (N,), the fold in which each image was tested, by a training that never saw it; all 0 without folds,
               and where it is left out. Before images are counted, each fold once.
    """

    arm: str
    image_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, NDArray[np.float64]]
    design: Design = Design()
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    empty: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    folds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)

    def __post_init__(self) -> None:
        if len(self.folds) == 0:
            object.__setattr__(self, "folds", np.zeros(len(self.image_ids), np.int64))

    @property
    def fold_count(self) -> int:
        """How many folds there are; 1 without folds."""
        return max(1, len(np.unique(self.folds)))

    @property
    def in_folds(self) -> str:
        """In what images are tested, in words: `` in 5 folds``; nothing for a test split."""
        count, tested = self.design.folds, self.fold_count
        if not count:
            return ""
        return f" in {count} folds" if tested == count else f" in {tested} of {count} folds"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric: `METRICS`, and the Dice of each class where there are several."""
        return (*METRICS, *(f"{CLASS_DICE}{name}" for name in self.classes))

    @property
    def over_classes(self) -> str:
        """What a mean is taken over besides images, in words: `` over the 3 classes``; nothing for one class."""
        return f" over the {len(self.classes)} classes" if self.classes else ""


@dataclass(frozen=True)
class Summary:
    """A mean over images with its standard error, as the paper prints it.

    standard_error: s / sqrt(N) over images (ddof 1) of the seed-averaged scores; 0 for one image. It says how much the
                    mean would move with other test images, and nothing about other trainings.
    seed_sd:        standard deviation (ddof 1) of the S per-seed means; None for one seed, where it is unknown.
    """

    mean: float
    standard_error: float
    images: int
    seed_sd: float | None

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.standard_error:.4f}"


def summarise(values: NDArray[np.float64]) -> Summary:
    """Return the summary of one metric of one arm from float64 (S, N)."""
    per_image = values.mean(axis=0)
    n = len(per_image)
    error = float(per_image.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    seeds = float(values.mean(axis=1).std(ddof=1)) if len(values) > 1 else None
    return Summary(float(per_image.mean()), error, n, seeds)
