"""How many seeds and images the rule needs to find a difference, from what a pilot says of luck.

A pilot's table of differences, float64 (S, N), is taken apart into the variances that its mean squares estimate: of
trainings, of images, and of what is left over of both. From these follows what the rule would meet with other numbers
of seeds and images, and so the difference that it finds with 80 % power. Nothing here looks at the difference that the
pilot found: power for an effect that was seen says nothing that its p value does not (Hoenig & Heisey, The American
Statistician 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from augkit.report.verdict.inference import LEAVE, POWER, Folds, Values, noise_in_folds, training_share

MOST_SEEDS, MOST_IMAGES = 100, 100_000
"""Beyond these, nobody would train or annotate: no number is enough."""


@dataclass(frozen=True)
class Luck:
    """What a difference between two arms varies by, as variances of Dice, and the numbers that told so.

    training: from training to training, in all images alike.
    image:    from image to image, in all trainings alike.
    rest:     of one image in one training, beside these two.
    """

    training: float
    image: float
    rest: float
    seeds: int
    images: int
    folds: int = 1

    @property
    def deviations(self) -> tuple[float, float, float]:
        """The square roots: standard deviations in Dice."""
        return math.sqrt(self.training), math.sqrt(self.image), math.sqrt(self.rest)


def luck_of(table: Values, folds: Folds) -> Luck:
    """Return the luck that differences float64 (S, N) show, S >= 2 and N >= 2, of images tested in `folds` (N,)."""
    (count_s, count_n), count_k = table.shape, len(np.unique(folds))
    between, rest = noise_in_folds(table, folds)
    image = float(table.mean(axis=0).var(ddof=1)) - rest / count_s
    training = between - rest * count_k / count_n
    return Luck(max(training, 0.0), max(image, 0.0), rest, count_s, count_n, count_k)


def seen_with(luck: Luck, seeds: int, images: int, folds: int, tests: int) -> float:
    """Return the smallest true difference that the rule finds with 80 % power, at the hardest of `tests` of Holm's."""
    from scipy import special

    squares = _seed_images(luck, seeds, images) if folds == 1 else _folded(luck, seeds, images, folds)
    trainings, pictures, excess, of_trainings = squares
    error = math.sqrt(trainings + pictures)
    if error == 0:
        return 0.0
    freedom = (trainings + pictures) ** 2 / (trainings**2 / of_trainings + pictures**2 / (images - 1))
    widened = math.sqrt(1 + excess / (trainings + pictures))
    test, interval = special.stdtrit(freedom, [1 - LEAVE / (2 * tests), 1 - LEAVE / 2])
    return float(special.nctdtrinc(freedom, 1 - POWER, max(test, widened * interval)) * error)


def _seed_images(luck: Luck, seeds: int, images: int) -> tuple[float, float, float, int]:
    """Return the shares of the variance that `crossed_error` has of seeds and images, what the interval adds, freedom.

    The interval counts what is left over twice.
    """
    left = luck.rest / (seeds * images)
    return luck.training / seeds + left, luck.image / images, left, seeds - 1


def _folded(luck: Luck, seeds: int, images: int, folds: int) -> tuple[float, float, float, int]:
    """Return the same of `folded_error`, for folds of equal size; its interval adds nothing."""
    fold = luck.training + luck.rest * folds / images
    shares = np.full(folds, 1 / folds)
    return fold * training_share(seeds, shares), luck.image / images, 0.0, folds * (seeds - 1)


def seeds_enough(luck: Luck, gain: float, images: int, folds: int, tests: int, least: int) -> int | None:
    """Return with how many seeds the rule finds a gain with 80 % power; None where 100 are too few."""
    return _least(lambda seeds: seen_with(luck, seeds, images, folds, tests) <= gain, least, MOST_SEEDS)


def images_enough(luck: Luck, gain: float, seeds: int, folds: int, tests: int, least: int) -> int | None:
    """Return with how many images the rule finds a gain with 80 % power, rounded up to two digits; None likewise."""
    found = _least(lambda images: seen_with(luck, seeds, images, folds, tests) <= gain, least, MOST_IMAGES)
    return None if found is None else _rounded_up(found)


def both_enough(luck: Luck, gain: float, folds: int, tests: int, least: int) -> tuple[int, int] | None:
    """Return seeds and images that are enough together, with the smallest product, for where neither alone is."""
    found = [
        (seeds, images_enough(luck, gain, seeds, folds, tests, 2 * folds)) for seeds in range(least, MOST_SEEDS + 1)
    ]
    able = [(seeds, images) for seeds, images in found if images is not None]
    return min(able, key=lambda one: one[0] * one[1], default=None)


def enough(luck: Luck, gain: float, tests: int, least: int, scored: str) -> str:
    """Return what would have been enough to find a gain with 80 % power, in one sentence.

    least: the fewest seeds that give a verdict. scored: what has one score, as in ``test images``.
    """
    seeds, images, folds = luck.seeds, luck.images, luck.folds
    if seen_with(luck, seeds, images, folds, tests) <= gain:
        return f"A true difference of {gain:g} would have been found four times in five."
    more_seeds = seeds_enough(luck, gain, images, folds, tests, least)
    more_images = images_enough(luck, gain, seeds, folds, tests, images)
    on_these, with_these = f"on these {images} {scored}", f"with these {counted(seeds, 'seed')}{of_folds(folds)}"
    by_seeds = f"about {more_seeds} seeds{of_folds(folds)} {on_these}"
    by_images = f"about {more_images} {scored} {with_these}"
    if more_seeds is not None and more_images is not None:
        return f"To see {gain:g}, {by_seeds} or {by_images} would have been enough."
    if more_seeds is not None:
        return f"To see {gain:g}, {by_seeds} would have been enough; no number of {scored} {with_these} would."
    if more_images is not None:
        return f"To see {gain:g}, {by_images} would have been enough; no number of seeds {on_these} would."
    both = both_enough(luck, gain, folds, tests, least)
    if both is not None:
        together = f"about {both[0]} seeds{of_folds(folds)} and {both[1]} {scored} together"
        return f"To see {gain:g}, {together} would have been enough; more of one alone would not."
    if folds > 1:
        return (
            f"To see {gain:g}, no number of seeds would have been enough, and no number of images without less luck "
            "of training: what other data would have changed is taken to be as large, and no seed takes it away."
        )
    return f"To see {gain:g}, no number of seeds up to {MOST_SEEDS} and of {scored} up to {MOST_IMAGES} is enough."


def of_folds(folds: int) -> str:
    """Return what stands behind a number of seeds: `` of 5 folds``, or nothing without folds."""
    return "" if folds == 1 else f" of {folds} folds"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 seed``, ``2 seeds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _least(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number of low..high that is enough; numbers above one that is are enough, too."""
    if low > high or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def _rounded_up(count: int) -> int:
    step = int("1" + "0" * max(len(str(count)) - 2, 0))
    return -(-count // step) * step
