"""Pictures of a synthetic set's quality: masks followed best and worst, nearest training images, draws of one mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.formats import Format, as_shown
from augkit.figures import Row, Tile, class_legend, found_in, gallery, mask_tile, outlined
from augkit.quality.memorisation import Nearest

SHOWN = 8
"""Images in a row."""


def adherence_picture(samples: ImageSet, segmented: Masks, adherence: NDArray[np.float64]) -> bytes:
    """Return the worst, median and best followed masks, with what was asked for and what was found.

    Of several classes each has a row.
    """
    rows, format = [], samples.format
    for label, index in rows_of_adherence(adherence):
        shown, asked, notes = as_shown(samples.images[index], format), samples.masks[index], adherence[index]
        pairs = zip(shown, asked, segmented[index], notes, strict=True)
        tiles = tuple(found_in(image, mask, found, format, f"{dice:.2f}") for image, mask, found, dice in pairs)
        if len(format.classes) == 1:
            rows.append(Row(f"{label}: asked for (white), found by a segmenter of real images (blue)", tiles))
            continue
        rows.append(Row(f"{label}: asked for", tuple(map(outlined, shown, asked, [format] * len(shown)))))
        rows.append(Row("found by a segmenter of real images", tiles))
    return gallery(rows, legend=class_legend(format))


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
        tiles = [Tile(_shown(samples, i), note=f"{nearest.distance[i]:.1f}") for i in closest]
        known = [Tile(_shown(train, nearest.index[i])) for i in closest]
        rows += [Row(f"{name} images nearest to training images", tuple(tiles)), Row("those", tuple(known))]
    return gallery(rows)


def diversity_picture(masks: Masks, shown: Images, format: Format) -> bytes:
    """Return masks of a format (n, H, W) over several pictures of each, uint8 (n, keys, H, W, 3)."""
    rows = [Row("masks", tuple(mask_tile(mask, format) for mask in masks[:SHOWN]))]
    for key in range(shown.shape[1]):
        tiles = tuple(Tile(image) for image in shown[:SHOWN, key])
        rows.append(Row(f"draw {key + 1}", tiles))
    return gallery(rows, legend=class_legend(format))


def _shown(samples: ImageSet, index: int | np.int64) -> Images:
    return as_shown(samples.images[index], samples.format)
