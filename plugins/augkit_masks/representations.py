"""How a mask becomes the vector that a shape model averages, and how a vector becomes a mask again.

Every vector is cut at 0: what is above is inside.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from augkit import Masks
from augkit_masks.warp import signed_distance

Representation = Literal["sdm", "pixel", "landmark", "logodds"]
"""How shapes are compared.

sdm:      signed distance to the outline in pixels, positive inside, clipped at a quarter of the frame's shorter side
          (32 pixels of 128) and divided by it (Leventon, Grimson & Faugeras, CVPR 2000). A weighted sum of distance
          maps is no distance map: only its sign is used.
pixel:    +0.5 inside, -0.5 outside; closest to the ragged edges of the Mask2Lesion paper's figure 3.
landmark: 128 points at equal steps along the outline (Cootes et al., CVIU 1995), without removing size and rotation.
logodds:  tanh(distance / (1/32 of the shorter side)): the probability, in -1..1, whose logarithmic odds are
          proportional to the signed distance (Pohl et al., MedIA 2007). It saturates a few pixels from the outline.
"""

Vectors = NDArray[np.float32]

_LANDMARKS = 128
_ROUNDS = 5


def vector_length(representation: Representation, height: int, width: int) -> int:
    """Return how many numbers stand for a mask."""
    return 2 * _LANDMARKS if representation == "landmark" else height * width


def encode(masks: Masks, representation: Representation) -> Vectors:
    """Return float32 (N, D) from bool (N, H, W), each one part without holes."""
    count, height, width = masks.shape
    vectors = np.empty((count, vector_length(representation, height, width)), np.float32)

    def encode_one(i: int) -> None:
        vectors[i] = _vector(np.asarray(masks[i]), representation)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # distance transforms let go of the interpreter
        list(pool.map(encode_one, range(count)))
    return _align_starts(vectors) if representation == "landmark" else vectors


def decode(vector: Vectors, representation: Representation, height: int, width: int) -> Masks:
    """Return bool (H, W) from float32 (D,); it may have holes, several parts or nothing inside."""
    if representation != "landmark":
        inside: Masks = vector.reshape(height, width) > 0
        return inside
    from skimage.draw import polygon2mask

    middle = np.array([height, width]) / 2 - 0.5
    points = vector.reshape(_LANDMARKS, 2).astype(np.float64) + middle
    rasterise: Callable[..., Masks] = polygon2mask
    return rasterise((height, width), points)


def _vector(mask: Masks, representation: Representation) -> Vectors:
    if representation == "landmark":
        return _landmarks(mask).ravel()
    if representation == "pixel":
        return mask.ravel().astype(np.float32) - np.float32(0.5)
    side = min(mask.shape)
    # Beyond the margin all is clipped; a hyperbolic tangent is 1 in float32 from 10 on.
    distance = signed_distance(mask, margin=math.ceil(side / 4 if representation == "sdm" else side * 10 / 32)).ravel()
    distance -= np.sign(distance) / 2  # to the outline between pixels, not to the next pixel
    scaled = np.tanh(distance / (side / 32)) if representation == "logodds" else np.clip(distance / (side / 4), -1, 1)
    vector: Vectors = scaled.astype(np.float32)
    return vector


def _landmarks(mask: Masks) -> Vectors:
    """Return float32 (128, 2): points (y, x) from the frame's middle at equal steps along the outline."""
    from skimage.measure import find_contours

    # Padding closes the outline of a mask that touches the frame's edge.
    find: Callable[..., list[NDArray[np.float64]]] = find_contours
    outline = max(find(np.pad(mask, 1).astype(np.float32), 0.5), key=len) - 1
    outline = outline - (np.array(mask.shape) / 2 - 0.5)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(outline, axis=0).T))])
    steps = np.linspace(0, along[-1], _LANDMARKS, endpoint=False)
    return np.stack([np.interp(steps, along, axis) for axis in outline.T], axis=1).astype(np.float32)


def _align_starts(vectors: Vectors) -> Vectors:
    """Return the landmarks with each outline's first point moved along it to where it fits the mean outline best."""
    outlines = vectors.reshape(len(vectors), _LANDMARKS, 2).astype(np.float64) @ np.array([1j, 1])
    places = np.arange(_LANDMARKS)
    mean = outlines[0]
    for _ in range(_ROUNDS):
        fit = np.fft.ifft(np.fft.fft(outlines) * np.conj(np.fft.fft(mean))).real.argmax(axis=1)
        outlines = np.take_along_axis(outlines, (places + fit[:, None]) % _LANDMARKS, axis=1)
        mean = outlines.mean(axis=0)
    aligned: Vectors = np.stack([outlines.imag, outlines.real], axis=2).reshape(len(vectors), -1).astype(np.float32)
    return aligned
