"""A shape model in a folder: its numbers, and what its components mean in words and in ``pca.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augkit import Log, Masks
from augkit.store import read_array, read_json, write_array, write_json
from augkit_masks.representations import Representation
from augkit_masks.shape_model import Preparation, ShapeModel, fit_shape_model

_SHOWN = 5
_STRONG = 0.3


def fit_or_find(
    masks: Masks, representation: Representation, centred: bool, modes: int, folder: Path, log: Log
) -> ShapeModel:
    """Return the model of bool (N, H, W): the one in `folder` if it is of these masks and options, else a new one.

    A new one is left in the folder: ``mean.npy``, ``components.npy`` and, last, ``pca.json``.
    """
    digest = hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()
    identity = {"representation": representation, "centred": centred, "modes": modes, "masks_sha256": digest}
    size = (masks.shape[1], masks.shape[2])
    found = _find(identity, representation, size, folder)
    if found is not None:
        return found
    model, preparation = fit_shape_model(masks, representation, centred, modes)
    write_array(folder / "mean.npy", model.mean)
    write_array(folder / "components.npy", model.components)
    write_json(folder / "pca.json", {**identity, "masks": preparation._asdict(), "components": _components(model)})
    _say(model, preparation, log)
    return model


def meaning(model: ShapeModel, k: int) -> str:
    """Return what a component has to do with, strongest first: ``area r = +0.98, diagonal elongation r = +0.31``."""
    r = {name: float(values[k]) for name, values in model.correlations.items()}
    strong = sorted((name for name in r if abs(r[name]) >= _STRONG), key=lambda name: -abs(r[name]))
    return ", ".join(f"{name} r = {r[name]:+.2f}" for name in strong) or "no simple meaning"


def _find(
    identity: Mapping[str, Any], representation: Representation, size: tuple[int, int], folder: Path
) -> ShapeModel | None:
    if not (folder / "pca.json").is_file():
        return None
    kept = read_json(folder / "pca.json")
    if {name: kept.get(name) for name in identity} != identity:
        return None
    components = kept["components"]
    shares = np.array([component["variance"] for component in components])
    names = components[0]["correlation"]
    correlations = {name: np.array([component["correlation"][name] for component in components]) for name in names}
    mean, directions = (np.array(read_array(folder / f"{name}.npy")) for name in ("mean", "components"))
    return ShapeModel(representation, size, mean, directions, shares, correlations)


def _components(model: ShapeModel) -> list[dict[str, Any]]:
    return [
        {
            "number": k + 1,
            "variance": round(float(share), 6),
            "correlation": {name: round(float(values[k]), 6) for name, values in model.correlations.items()},
        }
        for k, share in enumerate(model.shares)
    ]


def _say(model: ShapeModel, done: Preparation, log: Log) -> None:
    changes = [
        f"{number} {what}"
        for number, what in (
            (done.empty, "empty left out"),
            (done.parted, "with several parts reduced to the largest"),
            (done.holed, "with holes filled"),
        )
        if number
    ]
    log.note(f"shape model of {done.used} masks" + (f": {', '.join(changes)}" if changes else ""))
    for k in range(min(_SHOWN, len(model.components))):
        log.note(f"component {k + 1}: {model.shares[k]:.1%} of the variance; {meaning(model, k)}")
