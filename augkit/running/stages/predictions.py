"""What a trained segmenter finds in images, held to its contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Predictor
from augkit.contracts.rules import SAMPLES, STATELESS, check_same, check_scores, contract, harmless
from augkit.data.arrays import Images, Masks
from augkit.data.formats import Format, decided

CHUNK = 256
"""Images handed to a synthesizer or predictor at a time."""

EVERY = 16
"""Chunks from one in which a few answers are asked for twice to the next."""


def segmented(predict: Predictor, images: Images, format: Format, ids: Sequence[str] = ()) -> Masks:
    """Return the masks that a predictor finds in images (N, H, W, C) of a format; `ids` are for messages."""
    found: Masks = np.empty(images.shape[:3], np.bool_ if format.binary else np.uint8)
    for i, scores in enumerate(scores_of(predict, images, format, ids)):
        found[i] = decided(scores, format)
    return found


def scores_of(predict: Predictor, images: Images, format: Format, ids: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the scores of each image, float32 (K, H, W) in 0..1."""
    classes = len(format.classes)
    for begin in range(0, len(images), CHUNK):
        part = images[begin : begin + CHUNK]
        with contract("the segmenter", ids[begin : begin + CHUNK]):
            with harmless():
                values = check_scores(predict(part), part.shape, classes)
            if begin % (CHUNK * EVERY) == 0:
                few = slice(min(SAMPLES, CHUNK))
                with harmless():
                    check_same(values[few], predict(part[few]), "in another batch", STATELESS, 0.01)
        yield from values
