"""Layers that only some images have, blended over the rest."""

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws
from augkit_phantom.fields import Plane, Values


def having(draws: ArrayDraws, name: str, probability: float) -> NDArray[np.intp]:
    """Return the index of the images that have this artefact."""
    return np.flatnonzero(draws.boolean(f"has {name}", probability))


def paint(images: Plane, where: NDArray[np.intp], alpha: Plane, colour: Values) -> None:
    """Blend `colour` (M, 3) with opacity `alpha` (M, S, S) into the images at `where` (M,)."""
    part = images[where]
    part += alpha[:, None] * (colour[:, :, None, None] - part)
    images[where] = part
