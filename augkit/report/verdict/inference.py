"""How sure a mean difference is when both the test images and the trainings could have been others.

A difference is a table: one value per training (seed) and test image. Both are samples: other images of the same kind
and other trainings of the same arms would have given other values. An interval over images alone forgets the luck of
training; a test over seeds alone forgets the luck of the images. Everything here counts both, in the two-way layout of
reader studies (Dorfman, Berbaum & Metz 1992; Hillis, Statistics in Medicine 2007): seeds are readers, images are cases.

With folds, every image is tested once by each seed, with a training of its fold. Trainings of one fold share their
data, and those of different folds most of it. What another data set of this size would have given cannot be estimated
from one without bias (Bengio & Grandvalet, JMLR 2004), so `folded_error` counts it by an assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from augkit.data.draws import Draws

Values = NDArray[np.float64]
Folds = NDArray[np.int64]

RESAMPLES = 10_000
"""Bootstrap samples per interval."""

LEAVE = 0.05
"""What an interval leaves out, half at each end, and the level of every test."""

POWER = 0.8
"""With which probability the detectable difference would be found."""

DATA_LUCK = 1.0
"""With folds: the variance that another data set would bring into a training, over that of the training's own luck.

Assumed, as it cannot be estimated; simulations with as much keep the level (benchmarks/verdict.py)."""

MOST_FLIPS = 16
"""Seeds up to which all 2**S signs are tried."""

_CHUNK = 1000


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference, float64 (S, N) of S seeds and N images, and how sure it is.

    error, freedom:  standard error over images and seeds, and its degrees of freedom; with folds, over data sets too.
    low, high:       95 % interval, from `resampled_means` less half of their excess; with folds, that of the t test.
    p:               two-sided test of no difference, over images and seeds.
    equivalence_p:   two one-sided tests of a difference at least as large as the margin.
    images_only:     95 % interval over images for exactly these trainings; too narrow for any claim about the arms.
    seed_p, flip_p:  paired t test and exact sign-flip test of the S seed means, for exactly these images; `flip_p` is
                     None for more than 16 seeds.
    """

    mean: float
    error: float
    freedom: float
    low: float
    high: float
    p: float
    equivalence_p: float
    images_only: tuple[float, float]
    seed_p: float
    flip_p: float | None


def estimates(
    tables: Values, margin: float, resamples: int = RESAMPLES, folds: Folds | None = None
) -> tuple[MeanDifference, ...]:
    """Return what K tables of differences say, float64 (K, S, N) with S >= 2 and N >= 2; all share their resamples.

    folds: int (N,), the fold in which each image was tested; None, or one for all of them, without folds.
    """
    drawn = zip(tables, *resampled_means(tables, resamples), strict=True)
    if folds is not None and len(np.unique(folds)) == 1:
        folds = None
    return tuple(_estimate(table, crossed, fixed, margin, folds) for table, crossed, fixed in drawn)


def _estimate(table: Values, crossed: Values, fixed: Values, margin: float, folds: Folds | None) -> MeanDifference:
    mean, seeds = float(table.mean()), table.mean(axis=1)
    error, freedom = crossed_error(table) if folds is None else folded_error(table, folds)
    seed_error = float(seeds.std(ddof=1) / np.sqrt(len(seeds)))
    low_high = (
        _interval(mean, _without_excess(table, crossed), freedom) if folds is None else t_interval(mean, error, freedom)
    )
    return MeanDifference(
        mean,
        error,
        freedom,
        *low_high,
        p=_two_sided(mean, error, freedom),
        equivalence_p=_one_sided(margin - abs(mean), error, freedom),
        images_only=_interval(mean, fixed, table.shape[1] - 1),
        seed_p=_two_sided(mean, seed_error, len(seeds) - 1),
        flip_p=sign_flip(seeds) if len(seeds) <= MOST_FLIPS else None,
    )


def crossed_error(table: Values) -> tuple[float, float]:
    """Return the standard error of the mean of float64 (S, N) over seeds and images, and its degrees of freedom.

    From the mean squares of the two-way layout without replication, error**2 = (MS_seed + max(MS_image - MS_rest, 0)) /
    (S N), with Satterthwaite's degrees of freedom. Hillis's (2007, eq. 6) leave out the images' share because readers
    are few and cases many; kept here, so that few images are not taken for many.
    """
    count_s, count_n = table.shape
    rest = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    seeds, images = _mean_squares(table)
    images = max(images - float((rest**2).sum()) / ((count_s - 1) * (count_n - 1)), 0)
    total = seeds + images
    if total == 0:
        return 0.0, float(count_s - 1)
    freedom = total**2 / (seeds**2 / (count_s - 1) + images**2 / (count_n - 1))
    return float(np.sqrt(total / (count_s * count_n))), freedom


def folded_error(table: Values, folds: Folds) -> tuple[float, float]:
    """Return the same for images that were tested in folds (N,), over seeds, images and data sets of this size.

    Each seed and fold is a training of its own, so trainings lie within folds. V, the variance of the mean of a fold
    from seed to seed, holds the luck of a training and of its images, and ``V * (sum of squared shares of the folds / S
    + share)`` is what trainings and data give: `share`, `DATA_LUCK` * (1 - 1 / folds), is how much of the luck of the
    data is left in a mean over folds where training sets overlap as they do and images act on training one by one, as
    in a delete-a-group jackknife (Shao & Wu, Annals of Statistics 1989). Fewer than five folds may be some of five,
    and count as five. Images are counted as in `crossed_error`.
    """
    count_s, count_n = table.shape
    shares = np.unique(folds, return_counts=True)[1] / count_n
    between, left = noise_in_folds(table, folds)
    trainings = between * training_share(count_s, shares)
    images = max(float(table.mean(axis=0).var(ddof=1)) - left / count_s, 0) / count_n
    total, of_trainings = trainings + images, len(shares) * (count_s - 1)
    if total == 0:
        return 0.0, float(of_trainings)
    return float(np.sqrt(total)), total**2 / (trainings**2 / of_trainings + images**2 / (count_n - 1))


def noise_in_folds(table: Values, folds: Folds) -> tuple[float, float]:
    """Return the variance of the mean of a fold from seed to seed, and that of one image beside its fold's mean.

    Of float64 (S, N) with folds (N,), over seeds with S - 1 degrees of freedom a fold. The first, a mean of the folds
    that counts each by its images, contains the second, which is 0 where no fold has two images.
    """
    count_s, count_n = table.shape
    names, places, counts = np.unique(folds, return_inverse=True, return_counts=True)
    of_fold = np.stack([table[:, places == place].mean(axis=1) for place in range(len(names))], axis=1)
    centred = table - of_fold[:, places]
    rest = centred - centred.mean(axis=0)
    left = float((rest**2).sum()) / ((count_s - 1) * max(count_n - len(names), 1))
    return float((counts * of_fold.var(axis=0, ddof=1)).sum()) / count_n, left


def training_share(seeds: int, shares: Values) -> float:
    """Return how much of the variance of one training's mean is in that of all; shares of the images by fold, (K,)."""
    return float((shares**2).sum()) / seeds + DATA_LUCK * (1 - 1 / max(len(shares), 5))


def _mean_squares(table: Values) -> tuple[float, float]:
    """Return the mean squares of seeds and of images of float64 (S, N); both contain that of what is left over."""
    count_s, count_n = table.shape
    return count_n * float(table.mean(axis=1).var(ddof=1)), count_s * float(table.mean(axis=0).var(ddof=1))


def wide_error(table: Values) -> float:
    """Return the standard error that intervals of float64 (S, N) have: the root of (MS_seed + MS_image) / (S N).

    That counts what is left over of seeds and images twice, where the bootstrap counts it three times and the variance
    of the mean has it once. Counting it once errs in up to 6.6 % with four seeds, in simulations.
    """
    return float(np.sqrt(sum(_mean_squares(table)) / table.size))


def _without_excess(table: Values, drawn: Values) -> Values:
    """Return crossed bootstrap means, float64 (B,), pulled in until their deviation is `wide_error`."""
    mean, spread = table.mean(), drawn.std()
    wanted = wide_error(table)
    return mean + (drawn - mean) * (wanted / spread) if spread > wanted else drawn


def resampled_means(tables: Values, resamples: int = RESAMPLES) -> tuple[Values, Values]:
    """Return the means of bootstrap samples of float64 (K, S, N), each (K, resamples), equal for equal input.

    First with seeds and images drawn independently, the crossed ("pigeonhole") bootstrap of Owen (Annals of Applied
    Statistics 2007); then with images drawn and every seed kept. S - 1 seeds and N - 1 images are drawn, which makes
    the variance of either unbiased (McCarthy & Snowden 1985).
    """
    count_k, count_s, count_n = tables.shape
    seeds, images = _times_drawn(resamples, "seeds", count_s), _times_drawn(resamples, "images", count_n)
    crossed, fixed = [], []
    for begin in range(0, resamples, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        over_images = tables.reshape(-1, count_n) @ (images[part].T / (count_n - 1))
        over_images = over_images.reshape(count_k, count_s, -1)
        crossed.append((over_images * (seeds[part].T / (count_s - 1))).sum(axis=1))
        fixed.append(over_images.mean(axis=1))
    return np.concatenate(crossed, axis=1), np.concatenate(fixed, axis=1)


def _interval(mean: float, drawn: Values, freedom: float) -> tuple[float, float]:
    """Return the 95 % interval of bootstrap means, float64 (B,).

    The distances of the percentiles from the mean are widened by the t quantile with `freedom` degrees over the normal
    one: where trainings scatter by 0.02 Dice, the percentiles as they are cover 90 % with six seeds, 81 % with three.
    """
    from scipy import special

    widened = special.stdtrit(freedom, 1 - LEAVE / 2) / special.ndtri(1 - LEAVE / 2)
    low, high = mean + widened * (np.quantile(drawn, [LEAVE / 2, 1 - LEAVE / 2]) - mean)
    return float(low), float(high)


def t_interval(mean: float, error: float, freedom: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean with a standard error (Student's t, so many degrees of freedom)."""
    from scipy import special

    reach = float(special.stdtrit(freedom, 1 - LEAVE / 2)) * error
    return mean - reach, mean + reach


def sign_flip(values: Values) -> float:
    """Return the exact two-sided p value of float64 (S,) under sign symmetry: 2**(1 - S) at best."""
    signs = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    sums = np.abs(signs @ values)
    return float((sums >= abs(values.sum()) * (1 - 1e-12)).mean())


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number (Holm, Scandinavian Journal of Statistics 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def detectable(found: MeanDifference, tests: int) -> float:
    """Return the smallest true difference that the rule finds with 80 % power, with errors as large as here.

    The rule asks for the test, adjusted for `tests` of them, and for the interval, so the wider of the two decides how
    far the mean has to be from zero; how often it is that far is a noncentral t probability. At the hardest step of
    Holm's, level 0.05 / tests, so that it promises no more than the design can hold.
    """
    if found.error == 0:
        return 0.0
    from scipy import special

    reach = max(special.stdtrit(found.freedom, 1 - LEAVE / (2 * tests)), (found.high - found.low) / 2 / found.error)
    return float(special.nctdtrinc(found.freedom, 1 - POWER, reach) * found.error)


@lru_cache(maxsize=4)
def _times_drawn(resamples: int, name: str, count: int) -> NDArray[np.uint16]:
    """Return how often each of `count` units is among count - 1 drawn ones: uint16 (resamples, count)."""
    draws = Draws.of(0, "crossed bootstrap", np.arange(resamples, dtype=np.int64))
    parts = []
    for begin in range(0, resamples, _CHUNK):
        drawn = draws[begin : begin + _CHUNK].integers(name, 0, count, (count - 1,))
        places = drawn + count * np.arange(len(drawn))[:, None]
        parts.append(np.bincount(places.ravel(), minlength=count * len(drawn)).reshape(-1, count).astype(np.uint16))
    return np.concatenate(parts)


def _two_sided(mean: float, error: float, freedom: float) -> float:
    if error == 0:
        return float(mean == 0)
    from scipy import special

    return float(2 * special.stdtr(freedom, -abs(mean) / error))


def _one_sided(distance: float, error: float, freedom: float) -> float:
    """Return the p value of a positive distance from the margin."""
    if error == 0:
        return float(distance <= 0)
    from scipy import special

    return float(special.stdtr(freedom, -distance / error))
