"""The quality of a synthetic set as a table for people: each number, what held-out real images get, what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER = ("measure", "synthetic", "real, held out", "reads")

Row = tuple[str, str, str, str]


def quality_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a ``quality.json``, under `HEADER`."""
    return [
        *_adherence(record["adherence"]),
        *_distribution(record),
        *_diversity(record["diversity"], record["features"]),
        *_memorisation(record["memorisation"], record["features"]),
    ]


def _adherence(found: Mapping[str, float]) -> list[Row]:
    ceiling = f"{found['held_out']:.3f} ± {found['held_out_error']:.3f}"
    return [
        ("mask adherence (Dice)", f"{found['dice']:.3f} ± {found['error']:.3f}", ceiling, "real is the ceiling"),
        ("  with shuffled masks", f"{found['shuffled_masks']:.3f}", "", "what ignoring the mask would get"),
        ("  5th percentile", f"{found['percentile_5']:.3f}", "", "the images that follow worst"),
    ]


def _distribution(record: Mapping[str, Any]) -> list[Row]:
    if "swd_patches" not in record:  # too few images
        return []
    features = record["features"]
    kid = record[f"kid_{features}"]
    value, floor = (f"{kid[a]:.3f} ± {kid[b]:.3f}" for a, b in (("value", "error"), ("held_out", "held_out_error")))
    rows = [(f"kid_{features}", value, floor, "lower; real is the floor")]
    for name in ("density", "coverage"):
        pair = record[f"{name}_{features}"]
        rows.append((f"{name}_{features}", f"{pair['value']:.3f}", f"{pair['held_out']:.3f}", "near real is best"))
    for side, pair in record["swd_patches"].items():
        name = f"swd_patches at {side} pixels"
        rows.append((name, f"{pair['value']:.3f}", f"{pair['held_out']:.3f}", "lower; real is the floor"))
    return rows


def _diversity(found: Mapping[str, float], features: str) -> list[Row]:
    real = f"{found[f'real_{features}']:.3f}"
    return [
        (f"diversity of one mask, {features}", f"{found[features]:.3f}", real, "0: the mask decides everything"),
        ("diversity of one mask, grey levels", f"{found['pixels']:.2f}", "", "root mean square between draws"),
    ]


def _memorisation(found: Mapping[str, float], features: str) -> list[Row]:
    own, chance = found["nearest_is_own_image_share"], found["nearest_is_own_image_chance"]
    z = f"{found['copying_z_pixels']:+.1f} / {found[f'copying_z_{features}']:+.1f}"
    near, far = f"{found['median_pixels']:.2f}", f"{found['held_out_median_pixels']:.2f}"
    suspicious = f"{found['suspicious_share']:.1%}", f"{found['held_out_share']:.1%}"
    rows = [
        ("nearest training image, grey levels", near, far, "smaller: copying, or the masks of training images"),
        ("suspiciously near", *suspicious, "more than real: copying"),
        (f"copying z, pixels / {features}", z, "0", "below -3: copying"),
    ]
    if found["drawn_from_training_masks"]:
        rows.append(("nearest is the mask's own image", f"{own:.1%}", f"{chance:.1%} by chance", "near 1: copying"))
    return rows
