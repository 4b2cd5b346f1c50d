"""How often a verdict is wrong: augkit's rule against the tests that papers use, on simulated arms.

    python benchmarks/verdict.py [--quick] [--folds | --power | --ranking]

Two arms whose true means are equal are compared over and over; a method is wrong whenever it finds a difference at the
5 % level. Scores are drawn as they look on real data: most images near 0.9 and a tail of failures (mean 0.80, SD 0.19),
a luck of training per seed, a luck per seed and image that is larger for difficult images, all heavy-tailed. In the
world "same method" the arms differ by luck alone; in "same mean" each image also prefers one of them for good, which
only other images can average out. "rescued" is not a null: one arm moves a tenth of the images halfway to 1, and the
intervals have to cover the gain.

With --folds, every image is tested once by each seed, and two lucks lie on each training beside that of its images: its
own, from initialisation and order, and that of its data. Every image of a data set has an influence, the luck of a
training's data is the sum of the influences of its images, and so folds share most of it. The true mean is that over
data sets of the size: a fresh data set has other images and other influences.

With --power, pilots say how many seeds and images the rule needs, and the rule is tried with as many.

With --ranking, several arms are ranked, equal ones and such that lie apart: how often a simultaneous interval misses a
true difference, and how often an arm's true rank is not among those that are said to be possible.
"""

import argparse
import itertools
import json
import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.report.verdict.inference import LEAVE, MeanDifference, crossed_error, estimates, folded_error
from augkit.report.verdict.power import images_enough, luck_of, seeds_enough
from augkit.report.verdict.ranking import intervals, rank
from augkit.report.verdict.scores import ArmScores

Values = NDArray[np.float64]

IMAGES = 150
SEED_SDS = (0.0, 0.005, 0.01, 0.02)
WORLDS = {"same method": 0.0, "same mean": 0.15, "rescued": 0.0}
"""World -> scale of what an image prefers for good."""

BATCH = 250

FOLD_IMAGES = (20, 60, 200)
FOLD_SDS = (0.0, 0.005, 0.01, 0.02, 0.04)
MOST_VALUES = 3 * 10**6
"""Of one array of a simulation of folds."""


def simulate(
    key: int, world: str, seed_sd: float, seeds: int, tables: int, images: int = IMAGES
) -> tuple[Values, float]:
    """Return differences of two arms, float64 (tables, seeds, images), and their true mean."""
    random = np.random.Generator(np.random.Philox(key))
    level, gain = _levels(random, world, tables, images)

    def luck() -> Values:
        return np.asarray(seed_sd * random.standard_normal((tables, seeds, 1)))

    return _differences(random, world, level, gain, luck, seeds), _truth(world)


def simulate_folds(
    key: int, world: str, seed_sd: float, data_sd: float, seeds: int, tables: int, images: int, folds: int
) -> tuple[Values, float, NDArray[np.int64]]:
    """Return the same with the fold of each image, (images,); data_sd: of one training, from data set to data set."""
    random = np.random.Generator(np.random.Philox(key))
    fold_of = np.arange(images) % folds
    level, gain = _levels(random, world, tables, images)
    trained_on = (fold_of[:, None] != np.arange(folds)).astype(float)
    trained_on /= np.sqrt(trained_on.sum(axis=0))

    def luck() -> Values:
        own = seed_sd * random.standard_normal((tables, seeds, folds))
        data = data_sd * random.standard_normal((tables, images)) @ trained_on
        return np.asarray((own + data[:, None])[:, :, fold_of])

    return _differences(random, world, level, gain, luck, seeds), _truth(world), fold_of


def _levels(random: np.random.Generator, world: str, tables: int, images: int) -> tuple[Values, Values]:
    """Return how well each image is segmented, (tables, 1, images), and what the better arm adds to it."""
    shape = (tables, 1, images)
    level = 1 - random.beta(1.1, 5, shape)
    level = np.where(random.uniform(size=shape) < 0.04, random.uniform(0, 0.4, shape), level)
    gain = np.where(random.uniform(size=shape) < 0.1, 0.5 * (1 - level), 0) if world == "rescued" else 0 * level
    return level, gain


def _differences(
    random: np.random.Generator, world: str, level: Values, gain: Values, luck: Callable[[], Values], seeds: int
) -> Values:
    first, second = _arms(random, world, level, (gain, 0.0), luck, seeds)
    return np.asarray(first - second)


def _arms(
    random: np.random.Generator,
    world: str,
    level: Values,
    gains: Sequence[Values | float],
    luck: Callable[[], Values],
    seeds: int,
) -> list[Values]:
    """Return the scores of as many arms as there are gains, each (tables, seeds, images)."""
    spread = 2 * np.sqrt(level * (1 - level))
    tables, _, images = level.shape
    arms = []
    for better in gains:
        own = WORLDS[world] * spread * random.standard_t(4, level.shape) / np.sqrt(2)
        lucky = luck()
        noise = 0.06 * spread * random.standard_t(4, (tables, seeds, images)) / np.sqrt(2)
        # A gain is added after the limits, so that its true mean is known exactly.
        arms.append(np.asarray(np.clip(level + own + lucky + noise, 0, 1) + better))
    return arms


def _truth(world: str) -> float:
    # E[0.1 * 0.5 * (1 - level)]: 4 % of the images have mean 0.2, the others 1 - 1.1 / 6.1.
    return 0.05 * (1 - (0.04 * 0.2 + 0.96 * (1 - 1.1 / 6.1))) if world == "rescued" else 0.0


def finds_difference(found: MeanDifference) -> bool:
    """Tell whether augkit's rule finds a difference: the test and the interval together."""
    return found.p < LEAVE and (found.low > 0 or found.high < 0)


def wilcoxon_p(differences: Values) -> Values:
    """Return the p values of the paired signed-rank test over images: float64 (K, N) -> float64 (K,)."""
    from scipy.stats import wilcoxon

    return np.asarray(wilcoxon(differences, axis=1).pvalue)


def rates(key: int, world: str, seed_sd: float, seeds: int, tables: int, resamples: int = 1000) -> dict[str, float]:
    """Return how often each method finds a difference, and how often augkit's interval covers the true one."""
    counts: dict[str, float] = {}
    for begin in range(0, tables, BATCH):
        drawn, truth = simulate(key + begin, world, seed_sd, seeds, BATCH)
        single, averaged = wilcoxon_p(drawn[:, 0]), wilcoxon_p(drawn.mean(axis=1))
        for i, found in enumerate(estimates(drawn, 0.01, resamples)):
            answers = {
                "augkit": finds_difference(found),
                "augkit covers": found.low <= truth <= found.high,
                "t over seeds": found.seed_p < LEAVE,
                "images only": found.images_only[0] > 0 or found.images_only[1] < 0,
                "Wilcoxon, one seed": single[i] < LEAVE,
                "Wilcoxon, seeds averaged": averaged[i] < LEAVE,
            }
            for name, answer in answers.items():
                counts[name] = counts.get(name, 0) + answer
    return {name: round(count / tables, 4) for name, count in counts.items()}


def fold_rates(
    key: int, world: str, sds: tuple[float, float], seeds: int, tables: int, images: int, folds: int = 5
) -> dict[str, float]:
    """Return how often the interval of each method misses the true mean, and half its width, with images in folds.

    With one seed, of the methods that need no more. Where arms are equal, to miss it is to find a difference.
    """
    from scipy.special import stdtrit

    errors: dict[str, tuple[Values, Any]]
    counts: dict[str, float] = {}
    batch, done = max(50, min(tables, MOST_VALUES // (images * seeds))), 0
    while done < tables:
        drawn, truth, fold_of = simulate_folds(key + done, world, *sds, seeds, batch, images, folds)
        done += batch
        means = np.stack([drawn[:, :, fold_of == fold].mean(axis=(1, 2)) for fold in range(folds)], axis=1)
        error = means.std(axis=1, ddof=1)
        errors = {
            "t over folds": (error * np.sqrt(1 / folds), folds - 1),
            "Nadeau & Bengio": (error * np.sqrt(1 / folds + 1 / (folds - 1)), folds - 1),
        }
        if seeds > 1:
            errors["augkit"] = tuple(np.transpose([folded_error(table, fold_of) for table in drawn]))
            errors["as without folds"] = tuple(np.transpose([crossed_error(table) for table in drawn]))
        away = np.abs(drawn.mean(axis=(1, 2)) - truth)
        for name, (error, freedom) in errors.items():
            reach = stdtrit(freedom, 1 - LEAVE / 2) * error
            counts[name] = counts.get(name, 0) + (away > reach).sum()
            counts[f"{name}, half width"] = counts.get(f"{name}, half width", 0) + reach.sum()
    return {name: round(float(count) / done, 4) for name, count in counts.items()}


def run_folds(quick: bool) -> dict[str, Any]:
    """Simulate folds, print a table, and return the rates by row."""
    tables = 300 if quick else 2000
    rows: list[tuple[str, int, int, int, float, float]] = []
    for images in FOLD_IMAGES:
        for seeds in (3,) if quick else (1, 2, 3, 4, 6):
            rows += [(world, images, seeds, 5, sd, sd) for world in WORLDS for sd in FOLD_SDS]
    null = [world for world in WORLDS if world != "rescued"]
    rows += [(world, 10, 2, 5, 0.02, 0.02) for world in null]
    rows += [(world, 60, seeds, folds, 0.02, 0.02) for world in null for folds, seeds in ((2, 3), (3, 3), (10, 2))]
    rows += [(world, 60, 3, 5, 0.01, data) for world in null for data in (0.0, 0.005, 0.02)]
    values: dict[str, Any] = {}
    for number, (world, images, seeds, folds, own, data) in enumerate(rows):
        name = f"{world}, {images} images, {seeds} seeds, {folds} folds, seed SD {own}, data SD {data}"
        found = fold_rates(10**6 * (number + 1000), world, (own, data), seeds, tables, images, folds)
        values[name] = found
        shown = [f"{one} {value:6.1%}" for one, value in found.items() if "width" not in one]
        print(f"{name:<75}" + "  ".join(shown), flush=True)
    return values


POWER_ROWS = (
    ("more seeds", 1, "same method", (0.02, 0.02), 0.02),
    ("more seeds", 5, "same method", (0.01, 0.01), 0.07),
    ("more images", 1, "same mean", (0.005, 0.005), 0.02),
    ("more images", 5, "same mean", (0.005, 0.005), 0.03),
)
"""What a pilot asks for, folds, world, SDs of training and data, gain: rows where there is an answer."""


RANKED = {"equal": 0.0, "apart by 0.01": 0.01}
"""What true means are -> how much each arm gains over the next."""


def rank_rates(
    key: int, world: str, step: float, seed_sd: float, arms: int, seeds: int, folds: int, tables: int
) -> dict[str, float]:
    """Return how often some interval of a ranking misses, and how often some arm's rank does.

    With folds, 60 images, and a luck of the data as large as that of training. Equal arms share all ranks.
    """
    random, images = np.random.Generator(np.random.Philox(key)), 60 if folds > 1 else IMAGES
    gains = [-step * i for i in range(arms)]
    fold_of, level = np.arange(images) % folds, _levels(random, world, tables, images)[0]
    trained_on = (fold_of[:, None] != np.arange(folds)).astype(float)
    trained_on /= np.sqrt(np.maximum(trained_on.sum(axis=0), 1))

    def luck() -> Values:
        own = seed_sd * random.standard_normal((tables, seeds, folds))
        data = seed_sd * random.standard_normal((tables, images)) @ trained_on
        return np.asarray((own + data[:, None])[:, :, fold_of])

    scores = _arms(random, world, level, gains, luck, seeds)
    misses = ranks = 0
    for table in range(tables):
        studied = [
            ArmScores(str(i), tuple(map(str, range(images))), tuple(range(seeds)), {"dice": one[table]}, folds=fold_of)
            for i, one in enumerate(scores)
        ]
        found = rank(studied, 2, 10)
        assert found is not None
        low, high = intervals([arm.values["dice"] for arm in studied], studied[0])
        true = np.subtract.outer(gains, gains)
        misses += bool(((true < low) | (true > high)).any())
        worse, better = ((true > 1e-9).sum(axis=1), (true < -1e-9).sum(axis=1))
        ranks += any(
            place.best > 1 + better[int(place.arm)] or place.worst < arms - worse[int(place.arm)]
            for place in found.places
        )
    return {"an interval misses": round(misses / tables, 4), "a rank misses": round(ranks / tables, 4)}


def run_ranking(quick: bool) -> dict[str, Any]:
    """Simulate rankings, print a table, and return the rates by row."""
    tables = 100 if quick else 500
    values: dict[str, Any] = {}
    print(
        f"{'world':<13}{'arms':>6}{'seeds':>7}{'folds':>7}{'true means':>15}{'seed SD':>9}{'interval':>10}{'rank':>8}"
    )
    designs = [(6, 1)] if quick else [(4, 1), (6, 1), (2, 5), (3, 5)]
    rows = itertools.product(("same method", "same mean"), (3, 8), designs, RANKED, (0.0, 0.01, 0.02))
    for i, (world, arms, (seeds, folds), means, seed_sd) in enumerate(rows):
        found = rank_rates(10**6 * (i + 1), world, RANKED[means], seed_sd, arms, seeds, folds, tables)
        cells = "".join(f"{rate:>10.1%}" for rate in found.values())
        print(f"{world:<13}{arms:>6}{seeds:>7}{folds:>7}{means:>15}{seed_sd:>9}{cells}", flush=True)
        values[f"{world}, {arms} arms {means}, {seeds} seeds, {folds} folds, seed SD {seed_sd}"] = found
    return values


def run_power(quick: bool) -> dict[str, Any]:
    """Return how often the rule finds a gain with the seeds, or the images, that pilots say are enough."""
    pilots, values = 10 if quick else 40, {}
    for (what, folds, world, sds, gain), seeds in itertools.product(POWER_ROWS, (2, 4, 6)):
        shares, numbers = [], []
        images, least = (IMAGES, 4) if folds == 1 else (60, 2)
        for pilot in range(pilots):
            key = 10**7 * (seeds + 10 * folds) + 1000 * pilot
            drawn, fold_of = _drawn(key, world, sds, seeds, 1, images, folds)
            luck = luck_of(drawn[0], fold_of)
            more_seeds, more_images = max(seeds, least), images
            if what == "more seeds":
                number = seeds_enough(luck, gain, images, folds, 1, least)
                more_seeds = number or 0
            else:
                number = images_enough(luck, gain, more_seeds, folds, 1, 10)
                more_images = number or 0
            if number is not None and more_seeds * more_images <= 10**4:
                tried, fold_of = _drawn(key + 1, world, sds, more_seeds, 60, more_images, folds)
                found = estimates(tried + gain, 0.01, 100, fold_of)
                shares.append(np.mean([finds_difference(one) for one in found]))
                numbers.append(number)
        name = f"{what}, {folds} folds, {world}, gain {gain}, SD {sds[0]}, pilot of {seeds} seeds of {images} images"
        values[name] = {
            "found": round(float(np.mean(shares)), 3) if shares else None,
            "number": [float(one) for one in np.percentile(numbers, (10, 50, 90))] if numbers else [],
            "without an answer": 1 - len(numbers) / pilots,
        }
        print(f"{name:<100} {values[name]}", flush=True)
    return values


def _drawn(
    key: int, world: str, sds: tuple[float, float], seeds: int, tables: int, images: int, folds: int
) -> tuple[Values, NDArray[np.int64]]:
    if folds == 1:
        return simulate(key, world, sds[0], seeds, tables, images)[0], np.zeros(images, np.int64)
    drawn, _, fold_of = simulate_folds(key, world, *sds, seeds, tables, images, folds)
    return drawn, fold_of


def run_seeds(quick: bool) -> dict[str, Any]:
    """Simulate one split, print a table, and return the rates by row."""
    tables = 500 if quick else 2000
    values: dict[str, Any] = {}
    print(f"{'world':<13}{'seeds':>6}{'seed SD':>9}", end="")
    for seeds in (6,) if quick else (2, 3, 4, 6):
        for world in WORLDS:
            for i, seed_sd in enumerate(SEED_SDS):
                found = rates(10**6 * (i + 10 * seeds), world, seed_sd, seeds, tables)
                if not values:
                    print("".join(f"{name:>26}" for name in found))
                shown = found if world != "rescued" else {"augkit covers": found["augkit covers"]}
                cells = "".join(f"{shown[name]:>26.1%}" if name in shown else f"{'':>26}" for name in found)
                print(f"{world:<13}{seeds:>6}{seed_sd:>9}{cells}", flush=True)
                values[f"{world}, {seeds} seeds, seed SD {seed_sd}"] = shown
    return values


def main() -> None:
    """Simulate, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer simulations, and six seeds or three only")
    parser.add_argument("--folds", action="store_true", help="images that are tested in folds")
    parser.add_argument("--power", action="store_true", help="numbers of seeds and images that pilots recommend")
    parser.add_argument("--ranking", action="store_true", help="rankings of several arms")
    chosen = parser.parse_args()
    if chosen.folds or chosen.power or chosen.ranking:
        name, part = ("verdict-folds", run_folds) if chosen.folds else ("verdict-power", run_power)
        name, part = ("verdict-ranking", run_ranking) if chosen.ranking else (name, part)
        print(json.dumps({"benchmark": name, "ratios": {}, "values": part(chosen.quick), **_where()}))
        return
    print(json.dumps(_record(run_seeds(chosen.quick))))


def _where() -> dict[str, Any]:
    return {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("augkit", "numpy", "scipy")},
    }


def _record(values: dict[str, Any]) -> dict[str, Any]:
    ratios = {}
    for seed_sd in SEED_SDS[1:]:
        found = values[f"same method, 6 seeds, seed SD {seed_sd}"]
        row = f"false positives of a one-seed Wilcoxon over augkit's, seed SD {seed_sd}"
        ratios[row] = round(found["Wilcoxon, one seed"] / max(found["augkit"], 0.0005), 1)
    return {
        "benchmark": "verdict",
        "ratios": ratios,
        "values": values,
        **_where(),
    }


if __name__ == "__main__":
    main()
