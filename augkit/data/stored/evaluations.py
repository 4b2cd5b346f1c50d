"""Evaluations: ``predictions.npy``, ``counts.npy`` and ``nsd.npy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Masks
from augkit.store import read_array, write_array


@dataclass(frozen=True)
class Evaluation:
    """What a segmenter found in the test split.

    predictions: (N, H, W), as masks of the data set are, of the images' size.
    counts:      int64 (N, K, 4): true positives, false positives, false negatives, true negatives of each image and
                 class, at the size at which the recipe scores.
    nsd:         float64 (N, K): normalised surface distance, which counts do not decide.
    """

    predictions: Masks
    counts: NDArray[np.int64]
    nsd: NDArray[np.float64]


def write_evaluation(folder: Path, found: Evaluation) -> None:
    """Write an evaluation artifact."""
    write_array(folder / "predictions.npy", found.predictions)
    write_array(folder / "counts.npy", found.counts)
    write_array(folder / "nsd.npy", found.nsd)


def read_evaluation(folder: Path) -> Evaluation:
    """Return an evaluation whose predictions are mapped from disk, read-only."""
    counts, nsd = (np.array(read_array(folder / f"{name}.npy")) for name in ("counts", "nsd"))
    return Evaluation(read_array(folder / "predictions.npy"), counts, nsd)
