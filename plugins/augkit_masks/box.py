"""The part of the frame that a mask occupies, so that costly steps can leave out the rest."""

from __future__ import annotations

import numpy as np

from augkit import Masks

Box = tuple[slice, slice]


def foreground_box(mask: Masks, margin: int = 0) -> Box:
    """Return the rows and columns of bool (H, W) that hold its foreground, and up to `margin` more on every side.

    A mask without foreground has no rows and no columns.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)
