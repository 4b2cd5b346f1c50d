"""Per-image overlap of a predicted mask with the true one, as the ISIC challenge scores it.

Counts are taken per image and every metric is macro-averaged over images. Where a metric is undefined, the current
challenge scorer's rule holds: an empty denominator gives 1, exactly one empty mask gives Dice = Jaccard = 0.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from augkit.contracts import Masks

METRICS = ("dice", "accuracy", "sensitivity", "specificity", "jaccard")
"""Every metric, the paper's four (Table 1) first and in its order."""

TABLE_1 = METRICS[:4]


def confusion(predicted: Masks, truth: Masks) -> NDArray[np.int64]:
    """Return int64 (N, 4): true positive, false positive, false negative, true negative pixels per image."""
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, true masks {truth.shape}; allowed: equal shapes")
    inside, outside = predicted & truth, ~(predicted | truth)
    axes = tuple(range(1, truth.ndim))
    counts = [inside.sum(axes), (predicted & ~truth).sum(axes), (truth & ~predicted).sum(axes), outside.sum(axes)]
    return np.stack(counts, axis=1).astype(np.int64)


def scores(counts: NDArray[np.int64]) -> Mapping[str, NDArray[np.float64]]:
    """Return metric name -> float64 (N,) in 0..1 from the counts of `confusion`."""
    tp, fp, fn, tn = counts.astype(np.float64).T
    return {
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "jaccard": _ratio(tp, tp + fp + fn),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
