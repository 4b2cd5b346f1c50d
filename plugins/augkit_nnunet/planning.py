"""Fingerprint and plans, by nnU-Net's own extractor and planners."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augkit import ImageSet, InputError, Problem, shows
from augkit.store import read_json, write_json
from augkit_nnunet.cases import Cases, described
from augkit_nnunet.options import CONFIGURATION, DATASET, FINGERPRINT, PLANS, NnunetOptions
from augkit_nnunet.package import (
    DatasetFingerprintExtractor,
    ExperimentPlanner,
    NaturalImage2DIO,
    called,
    foreign_randomness,
    nnUNetPlannerResEncL,
    nnUNetPlannerResEncM,
    nnUNetPlannerResEncXL,
)

PLANNERS = {
    "standard": ExperimentPlanner,
    "resenc_m": nnUNetPlannerResEncM,
    "resenc_l": nnUNetPlannerResEncL,
    "resenc_xl": nnUNetPlannerResEncXL,
}

_NAME = "Dataset001_recipe"
_MOST_NUMBERS = 10**8
"""As many foreground pixels nnU-Net draws for its fingerprint; no more are drawn here than the images have pixels."""


def plan(options: NnunetOptions, samples: ImageSet, work: Path, kept: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return nnU-Net's plans and dataset.json for the samples that plans are made from.

    work: a folder for nnU-Net, of which nothing is needed afterwards.
    kept: the folder for plans, dataset.json and the fingerprint.
    """
    cases = Cases(_planned_from(options, samples))
    dataset = described(samples.format, len(cases))
    fingerprint = take_fingerprint(cases)
    write_json(work / "nnUNet_raw" / _NAME / DATASET, dataset)
    write_json(work / "nnUNet_preprocessed" / _NAME / FINGERPRINT, fingerprint)
    with called(work), foreign_randomness(0):  # it makes networks to measure them
        memory = {} if options.gpu_memory is None else {"gpu_memory_target_in_gb": options.gpu_memory}
        planner = PLANNERS[options.planner](_NAME, **memory)
        planner.determine_reader_writer = lambda: NaturalImage2DIO  # there is no file to try it on
        if options.features is not None:
            planner.UNet_base_num_features = options.features
        planner.plan_experiment()
        plans = read_json(work / "nnUNet_preprocessed" / _NAME / f"{planner.plans_identifier}.json")
    if options.batch_size is not None:
        plans["configurations"][CONFIGURATION]["batch_size"] = options.batch_size
    write_json(kept / PLANS, plans)
    write_json(kept / DATASET, dataset)
    write_json(kept / FINGERPRINT, fingerprint)
    return plans, dict(dataset)


def take_fingerprint(cases: Cases) -> Mapping[str, Any]:
    """Return nnU-Net's fingerprint: its extractor looks at every case, here without processes of its own."""
    height, width = cases.read_seg("0")[0].shape[-2:]
    each = max(1, min(_MOST_NUMBERS, len(cases) * height * width) // len(cases))
    analyse = DatasetFingerprintExtractor.analyze_case
    found = [analyse([str(i)], str(i), lambda: cases, each) for i in range(len(cases))]
    shapes, spacings, numbers, _, sizes = zip(*found, strict=True)
    channels = [np.concatenate(of_cases) for of_cases in zip(*numbers, strict=True)]
    return {
        "spacings": [list(spacing) for spacing in spacings],
        "shapes_after_crop": [[int(side) for side in shape] for shape in shapes],
        "foreground_intensity_properties_per_channel": {str(i): _statistics(one) for i, one in enumerate(channels)},
        "median_relative_size_after_cropping": float(np.median(sizes)),
    }


def _statistics(numbers: Any) -> dict[str, float]:
    low, median, high = np.percentile(numbers, (0.5, 50, 99.5))
    values = {
        "mean": numbers.mean(),
        "median": median,
        "std": numbers.std(),
        "min": numbers.min(),
        "max": numbers.max(),
        "percentile_99_5": high,
        "percentile_00_5": low,
    }
    return {name: float(value) for name, value in values.items()}


def _planned_from(options: NnunetOptions, samples: ImageSet) -> ImageSet:
    real = [i for i, origin in enumerate(samples.origins) if origin == "real"]
    chosen = samples.take(real) if real and options.plan_from == "real" else samples
    if not any(shows(mask).any() for mask in chosen.masks):
        what = f"found {len(chosen)} training masks without foreground; allowed: foreground in one or more"
        raise InputError(Problem("nnunet", what, "nnU-Net takes the fingerprint of the foreground"))
    return chosen
