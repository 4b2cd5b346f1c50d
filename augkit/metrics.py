"""Per-image agreement of a predicted mask with the true one, as the ISIC challenge scores it.

Counts are taken per image and every metric is macro-averaged over images. Where a metric is undefined, the current
challenge scorer's rule holds: an empty denominator gives 1, exactly one empty mask gives Dice = Jaccard = 0. The
normalised surface distance follows the same rule, because nothing else is defined for an empty mask.

Besides, `grid`: what sets of painted images have where upsampling leaves its traces.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, Masks
from augkit.data.formats import IGNORED, class_masks
from augkit.data.formats import decided as decided

METRICS = ("dice", "accuracy", "sensitivity", "specificity", "jaccard", "thresholded_jaccard", "nsd")
"""Every metric, the paper's four (Table 1) first and in its order."""

TABLE_1 = METRICS[:4]

JACCARD_THRESHOLD = 0.65
"""Below it, the thresholded Jaccard of ISIC 2018 counts an image as failed, with 0 (Codella et al., 2019)."""

GRID_PERIODS = (2, 4, 8)
"""Periods, in pixels, of what upsampling by two leaves behind: Nyquist's, and its double for each earlier layer."""

GRID_SHOWS = 2.0
"""Above it a `grid` is visible."""

_GRID_FROM = 8
"""Lowest frequency, in periods per side, at which a grid is told from the coarse parts of an image."""


def confusion(predicted: Masks, truth: Masks) -> NDArray[np.int64]:
    """Return int64 (N, 4): true positive, false positive, false negative, true negative pixels per image."""
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, true masks {truth.shape}; allowed: equal shapes")
    return _confusion(predicted, truth, np.ones((), np.bool_))


def _confusion(predicted: Masks, truth: Masks, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    inside, outside = predicted & truth, ~(predicted | truth) & counted
    axes = tuple(range(1, truth.ndim))
    counts = [inside.sum(axes), (predicted & ~truth).sum(axes), (truth & ~predicted).sum(axes), outside.sum(axes)]
    return np.stack(counts, axis=1).astype(np.int64)


def class_confusion(predicted: Masks, truth: Masks, classes: int) -> NDArray[np.int64]:
    """Return int64 (N, K, 4): `confusion` of each class, without the pixels that the truth says to ignore.

    predicted, truth: bool (N, H, W) for one class, or label maps uint8 of labels 0 to K and, in the truth, 255.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, true masks {truth.shape}; allowed: equal shapes")
    counted = np.ones(truth.shape, np.bool_) if truth.dtype == np.bool_ else truth != IGNORED
    found, true = class_masks(predicted, classes), class_masks(truth, classes)
    return np.stack([_confusion(found[:, k] & counted, true[:, k], counted) for k in range(classes)], axis=1)


def class_surface_distance(predicted: Masks, truth: Masks, classes: int) -> NDArray[np.float64]:
    """Return float64 (N, K): `surface_distance` of each class; what is predicted in ignored pixels is left out."""
    found, true = class_masks(predicted, classes), class_masks(truth, classes)
    if truth.dtype != np.bool_:
        found = found & (truth != IGNORED)[:, None]
    return np.stack([surface_distance(found[:, k], true[:, k]) for k in range(classes)], axis=1)


def class_scores(counts: NDArray[np.int64], nsd: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
    """Return every metric -> float64 (N, K): of each class, from int64 (N, K, 4) and float64 (N, K)."""
    shape = counts.shape[:2]
    return {**{name: each.reshape(shape) for name, each in scores(counts.reshape(-1, 4)).items()}, "nsd": nsd}


def mean_over_classes(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return float64 (N,): the mean of a metric, float64 (N, K), over the classes that an image has.

    counts: int64 (N, K, 4) of `class_confusion`. A class that is neither in the truth nor in the prediction of an image
            does not count there, as in nnU-Net's means; where that is so of every class, all of them do, and a metric
            that is undefined is 1. A class that is found where it is not counts, with a Dice of 0.
    """
    present = counts[..., :3].sum(-1) > 0
    present[~present.any(axis=1)] = True
    mean: NDArray[np.float64] = np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)
    return mean


def dice(predicted: Masks, truth: Masks, classes: int = 1) -> NDArray[np.float64]:
    """Return float64 (N,): the Dice of each image, the mean over its classes as in `mean_over_classes`."""
    counts = class_confusion(predicted, truth, classes)
    return mean_over_classes(scores(counts.reshape(-1, 4))["dice"].reshape(-1, classes), counts)


def scores(counts: NDArray[np.int64]) -> Mapping[str, NDArray[np.float64]]:
    """Return metric name -> float64 (N,) in 0..1 for every metric that the counts of `confusion` decide."""
    tp, fp, fn, tn = counts.astype(np.float64).T
    return {
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "jaccard": (jaccard := _ratio(tp, tp + fp + fn)),
        "thresholded_jaccard": np.where(jaccard >= JACCARD_THRESHOLD, jaccard, 0.0),
    }


def tolerance(size: tuple[int, int]) -> float:
    """Return the tolerance of `surface_distance` in pixels: 1/64 of the shorter side, so 2 at 128, but at least 1."""
    return max(1.0, min(size) / 64)


def surface_distance(predicted: Masks, truth: Masks) -> NDArray[np.float64]:
    """Return the normalised surface distance (NSD) of masks: bool (N, H, W) twice -> float64 (N,) in 0..1.

    The share of both borders' pixels that lie within `tolerance` of the other border (Nikolov et al., JMIR 2021,
    doi:10.2196/26151, there the surface Dice). Border pixels are those of the mask with one of their four neighbours,
    or the edge of the image, outside. Both masks empty give 1, exactly one gives 0.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, true masks {truth.shape}; allowed: equal shapes")
    reach = tolerance((truth.shape[1], truth.shape[2]))
    return np.array([_surface_dice(_border(p), _border(t), reach) for p, t in zip(predicted, truth, strict=True)])


def _border(mask: Masks) -> Masks:
    from scipy import ndimage

    inner: Masks = ndimage.binary_erosion(mask)
    return mask & ~inner


def _surface_dice(a: Masks, b: Masks, reach: float) -> float:
    if not (a.any() and b.any()):
        return float(a.any() == b.any())
    one, other = np.argwhere(a), np.argwhere(b)
    near = (_distances(one, other) <= reach).sum() + (_distances(other, one) <= reach).sum()
    return float(near / (len(one) + len(other)))


def _distances(pixels: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return float64 (N,): the distance of each pixel (y, x) to the nearest of the others.

    A tree of border pixels: photographs of 20 million pixels have only thousands of these.
    """
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(others).query(pixels)[0])


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)


def grid(painted: Images, real: Images) -> float | None:
    """Return how much a grid painted images have, uint8 (N, H, W, 3), beside real ones of their size; about 1 for none.

    The energy of rows and of columns at the periods of `GRID_PERIODS`, over that of their neighbours among the
    frequencies, over the same of real images; the largest of the two directions and of the periods. Neighbours make it
    a measure of grids and not of grain: a blurred image with a grid has one, and noise has none. Odena et al. 2016
    (distill.pub 00003) tell where grids come from. None for images with sides below 16.
    """
    found = [
        float(ours / theirs)
        for axis in (1, 2)
        for ours, theirs in zip(_peaks(painted, axis), _peaks(real, axis), strict=True)
    ]
    return max(found) if found else None


def _peaks(images: Images, axis: int) -> list[float]:
    """Return the energy at each period that the side has room for, over the geometric mean of its neighbours'."""
    side = images.shape[axis] // GRID_PERIODS[-1] * GRID_PERIODS[-1]
    window = np.hanning(side + 1)[:-1]  # its main lobe is three frequencies wide, so neighbours begin at the second
    lines = np.moveaxis(images, axis, -1)[..., :side]
    energy = np.zeros(side // 2 + 1)
    for some in np.array_split(lines, max(1, len(lines) // 32)):
        centred = some - some.mean(-1, keepdims=True)
        energy += np.square(np.abs(np.fft.rfft(centred * window))).reshape(-1, len(energy)).sum(0)
    energy = energy / (lines.size // max(lines.shape[-1], 1)) + np.square(window).sum() / 12  # rounding to whole levels
    peaks = []
    for frequency in (side // period for period in GRID_PERIODS):
        if frequency >= _GRID_FROM:
            beside = [f for f in (-3, -2, 2, 3) if frequency + f < len(energy)]
            around = np.exp(np.log(energy[[frequency + f for f in beside]]).mean())  # of a steep fall, its middle
            peaks.append(float(energy[frequency] / around))
    return peaks
