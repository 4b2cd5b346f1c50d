"""How often a verdict is wrong: augkit's rule against the tests that papers use, on simulated arms.

    python benchmarks/verdict.py [--quick]

Two arms whose true means are equal are compared over and over; a method is wrong whenever it finds a difference at the
5 % level. Scores are drawn as they look on real data: most images near 0.9 and a tail of failures (mean 0.80, SD 0.19),
a luck of training per seed, a luck per seed and image that is larger for difficult images, all heavy-tailed. In the
world "same method" the arms differ by luck alone; in "same mean" each image also prefers one of them for good, which
only other images can average out. "rescued" is not a null: one arm moves a tenth of the images halfway to 1, and the
intervals have to cover the gain.
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.report.verdict.inference import LEAVE, MeanDifference, estimates

Values = NDArray[np.float64]

IMAGES = 150
SEED_SDS = (0.0, 0.005, 0.01, 0.02)
WORLDS = {"same method": 0.0, "same mean": 0.15, "rescued": 0.0}
"""World -> scale of what an image prefers for good."""

BATCH = 250


def simulate(key: int, world: str, seed_sd: float, seeds: int, tables: int) -> tuple[Values, float]:
    """Return differences of two arms, float64 (tables, seeds, IMAGES), and their true mean."""
    random = np.random.Generator(np.random.Philox(key))
    shape = (tables, 1, IMAGES)
    level = 1 - random.beta(1.1, 5, shape)
    level = np.where(random.uniform(size=shape) < 0.04, random.uniform(0, 0.4, shape), level)
    spread = 2 * np.sqrt(level * (1 - level))
    gain = np.where(random.uniform(size=shape) < 0.1, 0.5 * (1 - level), 0) if world == "rescued" else 0 * level
    arms = []
    for better in (gain, 0):
        own = WORLDS[world] * spread * random.standard_t(4, shape) / np.sqrt(2)
        luck = seed_sd * random.standard_normal((tables, seeds, 1))
        noise = 0.06 * spread * random.standard_t(4, (tables, seeds, IMAGES)) / np.sqrt(2)
        # A gain is added after the limits, so that its true mean is known exactly.
        arms.append(np.clip(level + own + luck + noise, 0, 1) + better)
    # E[0.1 * 0.5 * (1 - level)]: 4 % of the images have mean 0.2, the others 1 - 1.1 / 6.1.
    truth = 0.05 * (1 - (0.04 * 0.2 + 0.96 * (1 - 1.1 / 6.1))) if world == "rescued" else 0.0
    return arms[0] - arms[1], truth


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


def main() -> None:
    """Simulate, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer simulations, and six seeds only")
    quick = parser.parse_args().quick
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
    print(json.dumps(_record(values)))


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
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("augkit", "numpy", "scipy")},
    }


if __name__ == "__main__":
    main()
