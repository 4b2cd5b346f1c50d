"""What a trained segmenter finds in images, held to its contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Predictor
from augkit.contracts.rules import SAMPLES, STATELESS, check_same, check_scores, contract, harmless
from augkit.data.arrays import Images, Masks

CHUNK = 256
"""Images handed to a synthesizer or predictor at a time."""

FOREGROUND = 0.5
"""A pixel is foreground where its score is above this."""


def segmented(predict: Predictor, images: Images, ids: Sequence[str] = ()) -> Masks:
    """Return bool (N, H, W): what a predictor finds in uint8 images (N, H, W, 3); `ids` are for messages."""
    found = np.empty(images.shape[:3], np.bool_)
    for i, score in enumerate(scores_of(predict, images, ids)):
        found[i] = score > FOREGROUND
    return found


def scores_of(predict: Predictor, images: Images, ids: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the scores of each image, float32 (H, W) in 0..1."""
    for begin in range(0, len(images), CHUNK):
        part = images[begin : begin + CHUNK]
        with contract("the segmenter", ids[begin : begin + CHUNK]):
            values = check_scores(predict(part), part.shape)
            if begin == 0:
                few = slice(min(SAMPLES, CHUNK))
                with harmless():
                    check_same(values[few], predict(part[few]), "in another batch", STATELESS, 0.01)
        yield from values[:, 0]
