"""How far drawn masks are from the training masks, in size, elongation and raggedness: as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import Masks, Workspace
from augkit.figures import GRID, Line, density, line_plot
from augkit.store import write_bytes, write_json
from augkit_masks.moments import moments

Values = NDArray[np.float64]

_MOST = 500
_QUANTILES = np.linspace(0, 1, 21)


def keep_drift(drawn: Masks, training: Masks, space: Workspace) -> None:
    """Leave ``drift.json`` and ``drift.png`` in the folder and one line per measure in the log.

    The file holds, for each measure, the quantiles 0, 0.05 .. 1 of training and drawn masks (500 of each, evenly
    spaced) and their Kolmogorov-Smirnov distance: the largest difference of the two cumulative shares, 0 .. 1.
    """
    before, after = measure(training), measure(drawn)
    facts = {name: _compared(before[name], after[name]) for name in before}
    for name, fact in facts.items():
        middles = f"median {np.median(after[name]):.3f}, of training masks {np.median(before[name]):.3f}"
        space.log.note(f"{name} of drawn masks: {middles}; Kolmogorov-Smirnov distance {fact['distance']:.2f}")
    write_json(space.folder / "drift.json", facts)
    write_bytes(space.folder / "drift.png", _picture(before, after))


def measure(masks: Masks) -> Mapping[str, Values]:
    """Return measure -> float64 (n,) in 0..1 of at most 500 masks of bool (N, H, W); empty ones are left out.

    area:         share of the frame.
    eccentricity: of the ellipse with equal second moments; 0 is a circle.
    solidity:     share of the convex hull that is foreground; ragged and scattered masks have little.
    """
    spaced = np.linspace(0, len(masks) - 1, min(len(masks), _MOST)).round().astype(int)
    some = masks[spaced]
    some = some[some.any(axis=(1, 2))]
    found = moments(some)
    solidity = np.array([mask.sum() / _hull_area(mask) for mask in some])
    return {"area": found.area, "eccentricity": found.eccentricity, "solidity": solidity}


def _hull_area(mask: Masks) -> float:
    """Return the area of the convex hull of a mask's pixels, each a unit square."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    sides = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
    # In two dimensions qhull calls the area a volume.
    return float(ConvexHull(np.concatenate([sides, sides + np.array([1, 0])])).volume)


def _compared(before: Values, after: Values) -> dict[str, Any]:
    places = np.sort(np.concatenate([before, after]))
    shares = [np.searchsorted(np.sort(values), places, side="right") / len(values) for values in (before, after)]
    quantiles = [[round(float(value), 5) for value in np.quantile(values, _QUANTILES)] for values in (before, after)]
    distance = round(float(np.abs(shares[0] - shares[1]).max()), 5)
    return {"training": quantiles[0], "drawn": quantiles[1], "distance": distance}


def _picture(before: Mapping[str, Values], after: Mapping[str, Values]) -> bytes:
    """Return a PNG with one panel of densities per measure."""
    sets = (("training masks", before), ("drawn masks", after))
    panels = {name: [_line(label, i, values[name]) for i, (label, values) in enumerate(sets)] for name in before}
    return line_plot(panels, ("value", "density"), limits=(0.0, 1.0))


def _line(label: str, order: int, values: Values) -> Line:
    drawn = density(values)
    return Line(label, order, values[:1], np.array([])) if drawn is None else Line(label, order, GRID, drawn)
