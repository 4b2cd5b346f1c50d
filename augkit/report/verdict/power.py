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

    error, freedom, reach = _rule(luck, np.array([luck.training]), seeds, images, folds, tests)
    return float((special.nctdtrinc(freedom, 1 - POWER, reach) * error)[0]) if error[0] > 0 else 0.0


def found_with(luck: Luck, gain: float, seeds: int, images: int, folds: int, tests: int) -> float:
    """Return how probably the rule finds a gain, averaged over what the luck of training may be after this pilot.

    A mean over quantiles of the variance; with the pilot's own estimate alone, its good luck would promise too much.
    """
    from scipy import special

    error, freedom, reach = _rule(luck, _may_be(luck, _QUANTILES), seeds, images, folds, tests)
    with np.errstate(divide="ignore"):
        away = np.minimum(gain / error, reach + 8)  # there it is certain
    return float(1 - special.nctdtr(freedom, away, reach).mean())


_QUANTILES = (np.arange(20) + 0.5) / 20


def _may_be(luck: Luck, quantiles: Values) -> Values:
    """Return quantiles of the variance of training after a pilot.

    The variance of the mean of a fold from seed to seed is chi-square with S - 1 degrees of freedom a fold.
    """
    from scipy import special

    freedom, noise = luck.folds * (luck.seeds - 1), luck.rest * luck.folds / luck.images
    return np.asarray(np.maximum((luck.training + noise) * freedom / special.chdtri(freedom, quantiles) - noise, 0.0))


def _rule(
    luck: Luck, training: Values, seeds: int, images: int, folds: int, tests: int
) -> tuple[Values, Values, Values]:
    """Return the error of the mean, its degrees of freedom, and how many errors from zero the rule finds a difference.

    training: variances, (K,). All three are (K,), as `crossed_error` and `folded_error` have them of expected squares.
    """
    from scipy import special

    noise, of_image = luck.rest * folds / images, luck.image / images
    if folds == 1:
        trainings, twice = (training + noise) / seeds, luck.rest / (seeds * images)  # the interval counts it twice
    else:
        trainings, twice = (training + noise) * training_share(seeds, np.full(folds, 1 / folds)), 0.0
    variance = np.maximum(trainings + of_image, 1e-300)
    spread = trainings**2 / (folds * (seeds - 1)) + of_image**2 / (images - 1)
    freedom = variance**2 / np.maximum(spread, 1e-300)
    test, interval = (special.stdtrit(freedom, 1 - level) for level in (LEAVE / (2 * tests), LEAVE / 2))
    return np.sqrt(trainings + of_image), freedom, np.maximum(test, np.sqrt(1 + twice / variance) * interval)


def seeds_enough(luck: Luck, gain: float, images: int, folds: int, tests: int, least: int) -> int | None:
    """Return with how many seeds the rule finds a gain with 80 % power; None where 100 are too few."""
    return _least(lambda seeds: found_with(luck, gain, seeds, images, folds, tests) >= POWER, least, MOST_SEEDS)


def images_enough(luck: Luck, gain: float, seeds: int, folds: int, tests: int, least: int) -> int | None:
    """Return with how many images the rule finds a gain with 80 % power, rounded up to two digits; None likewise."""
    found = _least(lambda images: found_with(luck, gain, seeds, images, folds, tests) >= POWER, least, MOST_IMAGES)
    return None if found is None else _rounded_up(found)


def both_enough(luck: Luck, gain: float, folds: int, tests: int, least: int) -> tuple[int, int] | None:
    """Return seeds and images that are enough together, with about the smallest product; None likewise."""
    tried = [seeds for seeds in (2, 3, 4, 6, 8, 10, 12, 16, 20, 26, 32, 40, 50, 64, 80, MOST_SEEDS) if seeds >= least]
    found = [(seeds, images_enough(luck, gain, seeds, folds, tests, max(10, 2 * folds))) for seeds in tried]
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


def settles(luck: Luck, gain: float, tests: int, least: int, scored: str) -> str:
    """Return the numbers of `enough` in a few words."""
    seeds, images, folds = luck.seeds, luck.images, luck.folds
    if seen_with(luck, seeds, images, folds, tests) <= gain:
        return f"An effect of {gain:g} Dice would have been found four times in five."
    more_images = images_enough(luck, gain, seeds, folds, tests, images)
    more_seeds = seeds_enough(luck, gain, images, folds, tests, least)
    ways = [] if more_images is None else [f"about {more_images:,} {scored}"]
    ways += [] if more_seeds is None else [f"{more_seeds} seeds{of_folds(folds)}"]
    both = None if ways else both_enough(luck, gain, folds, tests, least)
    if both is not None:
        ways = [f"about {both[1]:,} {scored} together with {both[0]} seeds{of_folds(folds)}"]
    if ways:
        return f"To settle whether there is an effect of {gain:g} Dice: {', or '.join(ways)}."
    return (
        f"No number of seeds or {scored} settles whether there is an effect of {gain:g} Dice: trainings of one recipe "
        "differ too much. Train longer, or ask about a larger effect."
    )


def alternatives(luck: Luck, gain: float, folds: int, tests: int, least: tuple[int, int]) -> list[list[str]]:
    """Return rows of text: seeds, images of one split, images in so many folds, trainings per arm in these.

    least: the fewest seeds that give a verdict, of one split and of folds. ``none`` where 100,000 images are too few.
    """
    rows = []
    for seeds in (2, 3, 4, 6, 8, 12, 20):
        cells = []
        for count, fewest in ((1, least[0]), (folds, least[1])):
            images = images_enough(luck, gain, seeds, count, tests, max(10, 2 * count)) if seeds >= fewest else None
            cells.append("no verdict" if seeds < fewest else "none" if images is None else f"{images:,}")
        rows.append([str(seeds), *cells, str(seeds * folds)])
    return rows


def training_range(luck: Luck) -> tuple[float, float]:
    """Return what the standard deviation from training to training may be after this pilot: an 80 % interval."""
    high, low = np.sqrt(_may_be(luck, np.array([0.9, 0.1])))
    return float(min(low, high)), float(max(low, high))


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
