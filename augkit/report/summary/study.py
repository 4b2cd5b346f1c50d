"""What was studied, in the facts that a paper's section on methods states, and that section in one paragraph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augkit.contracts.components import NATIVE_SIZE, PER_GROUP
from augkit.data.arrays import ImageSet
from augkit.data.stored import read_names
from augkit.planning.tasks import Arm, Stage
from augkit.report.verdict.scores import DEVELOPMENT_IMAGES, ArmScores


@dataclass(frozen=True)
class Study:
    """Facts of a report, for its paragraph of methods and for that of a comparison; '' and {} where they are unknown.

    data:      the data set's name in recipes, after that of its folder where it has one, as in ``nuclei (folder)``.
    images:    split -> number of images: ``train``, ``validation``, ``test``; with folds those of all, as ``images``.
               Arms that learn from shares of the training groups leave out ``train`` where their numbers differ.
    size:      of an image, as in ``64 × 64``, and its pixels, as in ``RGB``.
    segmenter: its name and options, as in ``unet (width 8, steps 1500)``.
    external:  name of an external set -> number of its images that were scored.
    date:      when the report was written, as in ``2026-11-27``.
    software:  name -> version or circumstance: ``augkit``, ``torch``, ``python``, ``device``, ``precision``.
    """

    data: str = ""
    images: Mapping[str, int] = field(default_factory=dict)
    size: tuple[str, str] = ("", "")
    segmenter: str = ""
    external: Mapping[str, int] = field(default_factory=dict)
    date: str = ""
    software: Mapping[str, str] = field(default_factory=dict)


_VERSIONS, _MACHINE = ("augkit", "torch", "python"), ("device", "gpu", "precision")


def study_of(
    arms: Sequence[Arm],
    test: ImageSet,
    external: Mapping[str, int],
    environment: Mapping[str, Any],
    date: str,
    inputs: Mapping[Stage, Path],
) -> Study:
    """Return the facts of some arms; `test` is what they are scored on, `inputs` the folder of each of their stages."""
    first = arms[0]
    format, (height, width) = test.format, test.masks.shape[1:]
    return Study(
        data=_named(first),
        images={"images": len(test)} if first.fold is not None else _splits(arms, inputs),
        size=(f"{height} × {width}", "RGB" if format.rgb else ", ".join(map(str, format.channels))),
        segmenter=_in_words(first),
        external=dict(external),
        date=date,
        software={name: str(environment[name]) for name in (*_VERSIONS, *_MACHINE) if name in environment},
    )


def _splits(arms: Sequence[Arm], inputs: Mapping[Stage, Path]) -> dict[str, int]:
    learnt = {len(read_names(inputs[arm.training] / "train").ids) for arm in arms}
    scored = {split: len(read_names(inputs[arms[0].dataset] / split).ids) for split in ("validation", "test")}
    return {"train": learnt.pop(), **scored} if len(learnt) == 1 else scored


def _named(arm: Arm) -> str:
    name, written = arm.dataset.components[0].name, arm.document.get("dataset")
    options = written.get(name) if isinstance(written, dict) else None
    root = options.get("root") if isinstance(options, dict) else None
    return f"{Path(root).name} ({name})" if isinstance(root, str) and Path(root).name else name


def _in_words(arm: Arm) -> str:
    """Return the segmenter of an arm with the options that its recipe names."""
    name, written = arm.segmenter.components[0].name, arm.document.get("segmenter")
    options = written.get(name) if isinstance(written, dict) else None
    if not isinstance(options, dict) or not options:
        return name
    return f"{name} ({', '.join(_option(key, value) for key, value in options.items())})"


def _option(name: str, value: object) -> str:
    return f"{name.replace('_', ' ')} {f'{value:g}' if isinstance(value, float) else value}"


def methods(studies: Sequence[Study], arms: Sequence[ArmScores], margin: float) -> str:
    """Return one paragraph of methods to copy into a paper.

    studies: of one report, or of all whose arms are put together.
    """
    first = studies[0]
    parts = (
        _data(first, arms[0]),
        _trainings(first, arms),
        _scores(first, arms),
        _statistics(arms, margin),
        _circumstances(studies),
    )
    return " ".join(part for part in parts if part)


def _data(study: Study, arm: ArmScores) -> str:
    if not study.data:
        return ""
    height_width, pixels = study.size
    of = f" of {height_width} pixels ({pixels})"
    if arm.design.folds:
        images = study.images.get("images", len(arm.image_ids))
        return f"Data: {study.data}, {_counted(images, 'image')}{of}, each tested once{arm.in_folds}."
    names = {"train": "training", "validation": "validation", "test": arm.design.scored_on.removesuffix(" images")}
    counts = [f"{count} {names[split]}" for split, count in study.images.items() if count and split in names]
    *most, last = counts
    listed = f"{', '.join(most)} and {last}" if most else last
    groups = f" in {len(arm.image_ids)} groups" if arm.design.score_per == PER_GROUP else ""
    return f"Data: {study.data}, {listed} images{of}{groups}."


def _trainings(study: Study, arms: Sequence[ArmScores]) -> str:
    segmenters = dict.fromkeys(arm.design.segmenter.partition(" #")[0] for arm in arms)
    segmenter = study.segmenter if len(segmenters) == 1 and study.segmenter else ", ".join(segmenters)
    what = "A segmenter" if len(segmenters) == 1 else "Segmenters"
    named = f", {segmenter}," if segmenter else ""
    seeds = {arm.seeds for arm in arms}
    each = " for each arm" if len(arms) > 1 else ""
    times = f"with {_seeds(next(iter(seeds)))}" if len(seeds) == 1 else "with the seeds that each arm lists"
    in_each = f"{arms[0].in_folds.replace(' in ', ' in each of ', 1)}" if arms[0].design.folds else ""
    steps = {steps for arm in arms for steps in arm.conditions.get("optimiser steps", ())}
    apiece = "" if len(arms) == len(arms[0].seeds) == arms[0].fold_count == 1 else " each"
    budget = f", {int(next(iter(steps))):,} optimiser steps{apiece}" if len(steps) == 1 else ""
    was, learnt = "was" if len(segmenters) == 1 else "were", "; ".join(_learnt(arms))
    return f"{what}{named} {was} trained{each} {times}{in_each}{budget}: {learnt}."


def _learnt(arms: Sequence[ArmScores]) -> Iterator[str]:
    """Yield what each arm learnt from."""
    for arm in arms:
        painted, transforms = (part.partition(" #")[0] for part in (arm.design.synthesis, arm.design.augment))
        real = "synthetic images alone" if "no real images" in painted else "real images"
        painted = painted.replace(", no real images", "").replace("no real images", "")
        beside = (
            f" and synthetic ones ({painted})"
            if painted and real == "real images"
            else f" ({painted})"
            if painted
            else ""
        )
        with_transforms = f", transformed by {transforms}" if transforms else ""
        name = f"{arm.arm} on " if len(arms) > 1 else "on "
        yield f"{name}{real}{beside}{with_transforms}"


def _scores(study: Study, arms: Sequence[ArmScores]) -> str:
    arm = arms[0]
    one = "group" if arm.design.score_per == PER_GROUP else "image"
    size = "at the size of the mask files" if arm.design.score_at == NATIVE_SIZE else "at training size"
    over = f" over the {len(arm.classes)} classes" if arm.classes else ""
    scored = _counted(len(arm.image_ids), arm.design.scored.removesuffix("s"))
    what = f"the Dice coefficient of each {one}{over}, averaged over the {scored}, {size}"
    chosen = ", which are training images held out, and no test images" * (arm.design.scored_on == DEVELOPMENT_IMAGES)
    sets = ", ".join(f"{name} ({_counted(count, 'image')})" for name, count in study.external.items())
    besides = ""
    if sets:
        besides = (
            f" The same segmenters were scored on external images, on which nothing was trained or chosen: {sets}."
        )
    return f"The outcome is {what}{chosen}.{besides}"


def _statistics(arms: Sequence[ArmScores], margin: float) -> str:
    if len(arms) == 1:
        return ""
    if arms[0].design.folds:
        how = "a t test and its 95 % interval over images, trainings within folds, and data sets of this size"
    else:
        how = (
            "a two-way random-effects test over images and seeds (Hillis 2007) and 95 % intervals of a bootstrap that "
            "draws both (Owen 2007)"
        )
    return (
        f"Planned contrasts were compared by {how}, with p adjusted by Holm's method; differences within "
        f"±{margin:g} Dice count as equal."
    )


def _circumstances(studies: Sequence[Study]) -> str:
    dates = sorted({study.date for study in studies if study.date})
    when = f" on {dates[0]}" if len(dates) == 1 else f" between {dates[0]} and {dates[-1]}" if dates else ""
    known: dict[str, dict[str, None]] = {}
    for study in studies:
        for name, value in study.software.items():
            known.setdefault(name, {})[value] = None
    found = {name: " and ".join(values) for name, values in known.items()}
    versions = [f"{name.title() if name == 'python' else name} {found[name]}" for name in _VERSIONS if name in found]
    machine = [found[name] for name in _MACHINE if name in found]
    if not versions:
        return ""
    on = f" ({', '.join(machine)})" if machine else ""
    return f"Computed{when} with {', '.join(versions)}{on}."


def _seeds(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return f"one seed ({seeds[0]})"
    run = seeds == tuple(range(seeds[0], seeds[-1] + 1))
    return f"{len(seeds)} seeds ({f'{seeds[0]} to {seeds[-1]}' if run else ', '.join(map(str, seeds))})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
