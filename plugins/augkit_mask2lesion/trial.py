"""Trying a finished generator: does it paint a grid, does a key change an image, does a style?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws, Draws, Images, ImageSet, Synthesizer, sample_keys
from augkit.metrics import grid

MASKS = 16
"""Training masks that are painted."""

KEYS = 4
"""Images of each."""

_REAL = 256

_LEAST_SPREAD = 2.0
"""Grey levels by which real images' mean colours have to spread before a generator is asked for varied images."""


def try_out(paint: Synthesizer, restyled: Synthesizer | None, samples: ImageSet, seed: int) -> dict[str, float | None]:
    """Return what painting some training masks under several keys shows; see `augkit_mask2lesion.health.Health`.

    restyled: the same generator with other styles for the same draws; None where there are no style codes.
    """
    chosen = samples.take(_evenly(len(samples), MASKS))
    masks = np.repeat(np.asarray(chosen.masks), KEYS, axis=0)
    draws = _draws(chosen, seed)
    painted = paint(masks, draws)
    real = np.asarray(samples.images[_evenly(len(samples), _REAL)])
    between = _apart(real[_evenly(len(real), MASKS * KEYS)][None])
    varied = real.mean((1, 2)).std(0).mean() >= _LEAST_SPREAD

    def share(within: float) -> float | None:
        return within / between if varied else None

    other = None if restyled is None else restyled(masks[::KEYS], draws[::KEYS])
    return {
        "grid": grid(painted, real),
        "one_mask": share(_apart(painted.reshape(len(chosen), KEYS, *painted.shape[1:]))),
        "style": None if other is None else share(_apart(np.stack([painted[::KEYS], other], axis=1))),
    }


def _draws(samples: ImageSet, seed: int) -> ArrayDraws:
    """Return the draws of `KEYS` images for each sample."""
    return Draws.of(seed, "trial", np.repeat(sample_keys(samples.ids), KEYS), np.tile(np.arange(KEYS), len(samples)))


def _evenly(total: int, most: int) -> NDArray[np.int64]:
    count = min(total, most)
    return np.linspace(0, total - 1, count).astype(np.int64)


def _apart(groups: Images) -> float:
    """Return the mean root mean square difference of the pairs within groups, in grey levels: (G, M, H, W, 3)."""
    i, j = np.triu_indices(groups.shape[1], 1)
    if not len(i):
        return 0.0
    flat = groups.reshape(*groups.shape[:2], -1).astype(np.float32)
    return float(np.mean([np.sqrt(np.square(one[i] - one[j]).mean(1)).mean() for one in flat]))
