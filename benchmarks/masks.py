"""Mask sources against what a user would take instead: masks per second, and the share of masks that are invalid.

    pip install -e '.[bench]' && python benchmarks/masks.py [--quick]

Every row starts from the same single-object training masks (drawn phantoms, 128x128) and makes as many new ones. A mask
is invalid when it is empty, in several pieces or has a hole. Medians of three interleaved rounds.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit import Draws, MaskSource, Workspace
from augkit.contracts.components import SilentLog
from augkit.data.arrays import Masks
from augkit_masks.elastic import Elastic
from augkit_masks.pca import Pca
from augkit_masks.shapes import Shapes
from augkit_phantom import Phantom
from peers import absent, tell

ROUNDS = 3
Maker = Callable[[Masks, int], Masks]


def by_augkit(source: MaskSource) -> Maker:
    """Return a maker that draws from one of augkit's sources, fitting included."""

    def make(masks: Masks, number: int) -> Masks:
        draws = Draws.of(number, "masks", np.arange(len(masks)))
        with tempfile.TemporaryDirectory() as folder:
            return source.draw(masks, len(masks), draws, Workspace(Path(folder), number, "cpu", SilentLog())).masks

    return make


def scikit_image_shapes(masks: Masks, number: int) -> Masks:
    """Draw one random shape per mask with skimage.draw.random_shapes."""
    from skimage.draw import random_shapes

    size = masks.shape[1:]
    drawn: list[NDArray[Any]] = [
        random_shapes(  # type: ignore[no-untyped-call]
            size, max_shapes=1, min_size=24, max_size=90, channel_axis=None, rng=number * len(masks) + i
        )[0]
        for i in range(len(masks))
    ]
    shapes: Masks = np.array(drawn) != 255
    return shapes


def elasticdeform_grid(masks: Masks, number: int) -> Masks:
    """Deform with a random 3x3 control grid, sigma 6 pixels, nearest neighbour, as elasticdeform's readme does."""
    import elasticdeform

    grid = np.random.Generator(np.random.Philox(number)).normal(0, 6, (len(masks), 2, 3, 3))
    drawn = [elasticdeform.deform_grid(m.astype(np.float32), g, order=0) for m, g in zip(masks, grid, strict=True)]
    return np.array(drawn) > 0.5


def torchio_elastic(masks: Masks, number: int) -> Masks:
    """Deform with TorchIO's RandomElasticDeformation, 7x7 control points, up to 8 pixels."""
    import torch
    import torchio

    transform = torchio.RandomElasticDeformation(
        num_control_points=(7, 7, 5), max_displacement=(8, 8, 0), locked_borders=2, image_interpolation="nearest"
    )
    drawn = []
    with torch.random.fork_rng():
        torch.manual_seed(number)
        for mask in masks:
            image = torchio.LabelMap(tensor=torch.from_numpy(mask[None, :, :, None].astype(np.uint8)))
            drawn.append(transform(image).data[0, :, :, 0].numpy() > 0)
    return np.array(drawn)


def scikit_learn_pca(masks: Masks, number: int) -> Masks:
    """Fit ten principal components of the pixels, draw normal weights, threshold at one half."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=10, svd_solver="randomized", random_state=0)
    model.fit(masks.reshape(len(masks), -1).astype(np.float32))
    weights = np.random.Generator(np.random.Philox(number)).normal(0, 1, (len(masks), 10))
    pixels = model.inverse_transform(weights * np.sqrt(model.explained_variance_))
    drawn: Masks = (pixels > 0.5).reshape(masks.shape)
    return drawn


ROWS: Mapping[str, Mapping[str, Maker]] = {
    "shapes": {"augkit": by_augkit(Shapes()), "scikit-image": scikit_image_shapes},
    "elastic": {"augkit": by_augkit(Elastic()), "elasticdeform": elasticdeform_grid, "torchio": torchio_elastic},
    "pca": {"augkit": by_augkit(Pca()), "scikit-learn": scikit_learn_pca},
}


PEERS = {
    "scikit-image": "skimage.draw",
    "elasticdeform": "elasticdeform",
    "torchio": "torchio",
    "scikit-learn": "sklearn.decomposition",
}
"""The module that is needed of each."""


def invalid_share(masks: Masks) -> float:
    """Return the share of masks that are empty, in several pieces, or have a hole."""
    bad = 0
    for mask in masks:
        pieces = ndimage.label(mask, np.ones((3, 3)))[1]
        bad += pieces != 1 or bool((ndimage.binary_fill_holes(mask) & ~mask).any())
    return bad / len(masks)


def measure(masks: Masks, missing: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """Return ratios of speed to the best peer that is not missing, and every value."""
    taking_part = {row: [name for name in makers if name not in missing] for row, makers in ROWS.items()}
    rates: dict[str, list[float]] = {}
    invalid: dict[str, float] = {}
    for number in range(ROUNDS):
        for row, names in taking_part.items():
            for name in names:
                began = time.perf_counter()
                drawn = ROWS[row][name](masks, number)
                rates.setdefault(f"{row} {name}", []).append(len(masks) / (time.perf_counter() - began))
                invalid[f"{row} {name}"] = invalid_share(drawn)
    speed = {key: statistics.median(found) for key, found in rates.items()}
    print(f"{'row':<24}{'masks/s':>10}{'invalid':>10}")
    for key, value in speed.items():
        print(f"{key:<24}{value:>10.0f}{invalid[key]:>10.1%}")
    tell(missing)
    ratios = {
        row: speed[f"{row} augkit"] / max(speed[f"{row} {name}"] for name in names if name != "augkit")
        for row, names in taking_part.items()
        if len(names) > 1
    }
    values = {f"{key} masks/s": round(value, 1) for key, value in speed.items()}
    return ratios, values | {f"{key} invalid": round(value, 4) for key, value in invalid.items()}


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 masks instead of 2,000")
    count = 200 if parser.parse_args().quick else 2000
    missing = absent(PEERS)
    ratios, values = measure(np.asarray(Phantom(train=count, test=1, size=128).load().train.masks), missing)
    record = {
        "benchmark": "masks",
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "values": values,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", *PEERS) if name not in missing},
        "missing": missing,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
