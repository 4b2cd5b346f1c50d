"""Pictures of a synthetic set's quality: masks followed best and worst, nearest training images, draws of one mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, ImageSet, Masks
from augkit.figures import PREDICTION, TRUTH, Row, Tile, gallery, mask_picture
from augkit.quality.memorisation import Nearest

SHOWN = 8
"""Images in a row."""


def adherence_picture(samples: ImageSet, segmented: Masks, adherence: NDArray[np.float64]) -> bytes:
    """Return the worst, median and best followed masks, with what was asked for and what was found."""
    rows = []
    for label, index in rows_of_adherence(adherence):
        tiles = [
            Tile(samples.images[i], ((samples.masks[i], TRUTH), (segmented[i], PREDICTION)), f"{adherence[i]:.2f}")
            for i in index
        ]
        rows.append(Row(f"{label}: asked for (white), found by a segmenter of real images (blue)", tuple(tiles)))
    return gallery(rows)


def rows_of_adherence(adherence: NDArray[np.float64]) -> list[tuple[str, NDArray[np.int64]]]:
    """Return (label, indices of images) of rows that share no image: worst, median, best; all where they fill no three.

    adherence: float64 (N,).
    """
    order = np.argsort(adherence, kind="stable").astype(np.int64)
    count = len(order)
    if count >= 3 * SHOWN:
        middle = count // 2 - SHOWN // 2
        return [("worst", order[:SHOWN]), ("median", order[middle : middle + SHOWN]), ("best", order[-SHOWN:])]
    rows = []
    for first in range(0, count, SHOWN):
        index = order[first : first + SHOWN]
        which = "" if count <= SHOWN else f"{first + 1} to {first + len(index)} of "
        images = "the only image" if count == 1 else f"{which}all {count} images, worst first"
        rows.append((images, index))
    return rows


def closest_picture(train: ImageSet, sets: Mapping[str, tuple[ImageSet, Nearest]]) -> bytes:
    """Return the images of each set that are nearest to training images, over those; the distance in grey levels."""
    rows = []
    for name, (samples, nearest) in sets.items():
        closest = np.argsort(nearest.distance, kind="stable")[:SHOWN]
        tiles = [Tile(samples.images[i], note=f"{nearest.distance[i]:.1f}") for i in closest]
        known = [Tile(train.images[nearest.index[i]]) for i in closest]
        rows += [Row(f"{name} images nearest to training images", tuple(tiles)), Row("those", tuple(known))]
    return gallery(rows)


def diversity_picture(masks: Masks, images: Images) -> bytes:
    """Return masks, bool (n, H, W), over several images of each, uint8 (n, keys, H, W, 3)."""
    rows = [Row("masks", tuple(Tile(mask_picture(mask)) for mask in masks[:SHOWN]))]
    for key in range(images.shape[1]):
        tiles = tuple(Tile(image) for image in images[:SHOWN, key])
        rows.append(Row(f"draw {key + 1}", tiles))
    return gallery(rows)
