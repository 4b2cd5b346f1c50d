"""How good the winner of a search is, and what it saves: simulated races and confirmations.

    python benchmarks/search.py [--quick]

Candidates have true gains over the plain one; their Dice on an image is that, what the image prefers for good, the luck
of the training, and a rest of image and training. The race and its rule are augkit's own. The full grid trains every
candidate in all twelve blocks and takes the best mean. Then the winner meets plain with six new trainings on as many
images that the race never scored, by the rule of augkit's verdicts. Four worlds: gains spread evenly over 0 to 0.03;
one candidate with 0.03 and no other gain; no gain at all; and gains of 0.02 and less with hopeless ones down to -0.1.
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.report.verdict.inference import LEAVE, estimates
from augkit.searching.race import LAST, Block, leaving, ranked

Values = NDArray[np.float64]

FOLDS, LASTING, CLOSE = 5, 0.5, 0.005
"""Folds of the development images; the share of image variance that lasts from training to training; Dice that count as
equally good."""

WORLDS = ("spread", "one", "none", "hopeless")

SCATTERS = ((60, 0.05, 0.005), (60, 0.07, 0.01), (60, 0.1, 0.02), (120, 0.05, 0.01), (120, 0.07, 0.01),
            (200, 0.05, 0.005), (200, 0.05, 0.01), (200, 0.07, 0.01), (200, 0.1, 0.02))  # fmt: skip
"""Images, SD of the differences of single trainings over images, SD of trainings."""


def gains_of(world: str, count: int, random: np.random.Generator) -> Values:
    """Return the true gains of candidates over the first one, which is plain: float64 (count,)."""
    gains = np.zeros(count)
    if world == "spread":
        gains[1:] = random.uniform(0, 0.03, count - 1)
    elif world == "one":
        gains[random.integers(1, count)] = 0.03
    elif world == "hopeless":
        gains[1:] = random.uniform(0, 0.02, count - 1)
        gains[1 : 1 + count // 3] = random.uniform(-0.1, -0.04, count // 3)
    return gains


def draw_blocks(
    gains: Values, images: int, image_sd: float, training_sd: float, random: np.random.Generator
) -> list[tuple[NDArray[np.int64], Values]]:
    """Return the images and the scores, float64 (candidates, images of the fold), of `LAST` blocks."""
    lasting = image_sd * np.sqrt(LASTING / 2) * random.standard_normal((len(gains), images))
    blocks = []
    for place in range(LAST):
        fold = np.arange(place % FOLDS, images, FOLDS)
        rest = image_sd * np.sqrt((1 - LASTING) / 2) * random.standard_normal((len(gains), len(fold)))
        luck = training_sd * random.standard_normal((len(gains), 1))
        blocks.append((fold, gains[:, None] + lasting[:, fold] + luck + rest))
    return blocks


def race(drawn: list[tuple[NDArray[np.int64], Values]], best: int) -> tuple[int, int, bool]:
    """Return the winner, the number of trainings, and whether the best one left as worse."""
    racing = [str(i) for i in range(len(drawn[0][1]))]
    blocks: list[Block] = []
    wrong = False
    while len(blocks) < LAST and len(racing) > 1:
        fold, scores = drawn[len(blocks)]
        blocks.append(Block(tuple(map(str, fold)), {one: scores[int(one)] for one in racing}))
        gone = leaving(blocks)
        wrong = wrong or gone.get(str(best)) == "worse"
        winner = ranked(blocks)[0]
        racing = [one for one in racing if one not in gone]
    return int(winner), sum(len(block.scores) for block in blocks), wrong


def confirm(gain: float, images: int, image_sd: float, training_sd: float, random: np.random.Generator) -> bool:
    """Tell whether six new trainings of winner and control on new images end in 'helps'."""
    lasting = image_sd * np.sqrt(LASTING) * random.standard_normal((1, images))
    rest = image_sd * np.sqrt(1 - LASTING) * random.standard_normal((6, images))
    luck = training_sd * np.sqrt(2) * random.standard_normal((6, 1))
    (found,) = estimates((gain + lasting + luck + rest)[None], 0.01, 1000)
    equal = found.equivalence_p < LEAVE and max(-found.low, found.high) < 0.01
    return found.p < LEAVE and found.low > 0 and not equal


def figures(world: str, scatter: tuple[int, float, float], races: int, key: int) -> dict[str, float]:
    """Return what came out of some races in one world."""
    images, image_sd, training_sd = scatter
    rows = []
    for number in range(races):
        random = np.random.Generator(np.random.Philox(key + number))
        gains = gains_of(world, int(random.integers(8, 11)), random)
        drawn = draw_blocks(gains, images, image_sd, training_sd, random)
        best = int(gains.argmax())
        winner, trainings, wrong = race(drawn, best)
        grid = int(np.mean([scores.mean(axis=1) for _, scores in drawn], axis=0).argmax())
        helps = winner > 0 and confirm(gains[winner], images, image_sd, training_sd, random)
        regret, full = gains[best] - gains[winner], gains[best] - gains[grid]
        saved = 1 - trainings / (len(gains) * LAST)
        rows.append((saved, regret <= CLOSE, full <= CLOSE, regret, full, wrong, helps, helps and gains[winner] <= 0))
    names = ("saved", "close", "full grid close", "regret", "full grid regret", "best left as worse", "helps",
             "false helps")  # fmt: skip
    return {name: round(float(value), 4) for name, value in zip(names, np.mean(rows, axis=0), strict=True)}


def main() -> None:
    """Simulate, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer simulations")
    races = 60 if parser.parse_args().quick else 400
    values: dict[str, Any] = {}
    for w, world in enumerate(WORLDS):
        for s, scatter in enumerate(SCATTERS):
            found = figures(world, scatter, races, 10**6 * (10 * w + s))
            if not values:
                print(f"{'world':<10}{'images':>7}{'SD':>6}{'luck':>7}" + "".join(f"{name:>20}" for name in found))
            images, image_sd, luck = scatter
            cells = "".join(f"{value:>20.4f}" for value in found.values())
            print(f"{world:<10}{images:>7}{image_sd:>6}{luck:>7}{cells}", flush=True)
            values[f"{world}, {images} images, image SD {image_sd}, training SD {luck}"] = found
    print(json.dumps(_record(values, races)))


def _record(values: dict[str, Any], races: int) -> dict[str, Any]:
    saved = [found["saved"] for found in values.values()]
    return {
        "benchmark": "search",
        "ratios": {"trainings of the full grid over those of the race": round(1 / (1 - float(np.mean(saved))), 2)},
        "values": {"races a row": races, **values},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("augkit", "numpy", "scipy")},
    }


if __name__ == "__main__":
    main()
