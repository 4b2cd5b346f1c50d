"""What a report is made from, gathered from the artifacts of its arms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from augkit.data.arrays import ImageSet
from augkit.data.folds import DEVELOPMENT
from augkit.data.stored import (
    read_excluded,
    read_health,
    read_history,
    read_image_set,
    read_names,
    read_quality,
    read_remarks,
    read_training_facts,
)
from augkit.planning.tasks import (
    Arm,
    HoldOutDevelopment,
    SelectAdherent,
    Stage,
    TakeFold,
    WriteReport,
    in_order,
)
from augkit.report.arms import of_seeds, read_evaluations, read_mean_scores, read_scores
from augkit.report.costs import cost_rows
from augkit.report.evidence import ArmEvidence, Evidence, External, Section
from augkit.report.origin import content_of, origin_of
from augkit.report.quality import quality_section, unjudged_section
from augkit.report.summary.study import study_of
from augkit.report.summary.training import still_falls, weak_judge
from augkit.report.verdict.scores import external_images

SHOWN = 64
"""Samples of a set that the report may show."""

Inputs = Mapping[Stage, Path]

Manifests = Mapping[Stage, Mapping[str, Any]]


def gather_evidence(
    task: WriteReport, inputs: Inputs, manifests: Manifests, costs: Mapping[str, Any], date: str
) -> Evidence:
    """Return what the arms left behind.

    inputs, manifests: the folder and the manifest of every stage before the report.
    costs:             what `cost_record` says of them.
    date:              today's, as in ``2026-11-27``.
    """
    first = [arm for arm in task.arms if (arm.name, arm.seed) == (task.arms[0].name, task.arms[0].seed)]
    datasets = [inputs[arm.dataset] for arm in first]  # of each fold
    train = read_image_set(datasets[0] / "train")
    test = ImageSet.concatenate([read_image_set(dataset / "test") for dataset in datasets])
    names = list(dict.fromkeys(arm.name for arm in task.arms))
    arms = tuple(
        _arm_evidence([arm for arm in task.arms if arm.name == name], test, task, inputs, manifests) for name in names
    )
    external = tuple(_external(set_name, names, task.arms, arms, inputs) for set_name in task.arms[0].external)
    environment: Mapping[str, object] = manifests[task.arms[0].segmenter]["environment"]
    scored = {"scored on": _scored_on(first, len(test))}
    places = {arm.name: arm.sweep for arm in task.arms if arm.sweep is not None}
    return Evidence(
        title=task.title,
        arms=arms,
        train=train.take(range(min(SHOWN, len(train)))),
        test=test,
        provenance={key: str(value) for key, value in environment.items()}
        | scored
        | dict(_excluded(datasets))
        | {f"external {one.name}": _scored_of(one) for one in external},
        artifacts=tuple((stage.title, f"{stage.address.kind}/{stage.address.name}") for stage in inputs),
        sections=tuple(_quality_sections(task, inputs)),
        costs=cost_rows(costs),
        sweep=tuple((places[arm.scores.arm], arm.scores) for arm in arms if arm.scores.arm in places),
        origin=replace(
            origin_of(task.arms, task.files, lambda stage: _known(stage, inputs, manifests)), contrasts=task.contrasts
        ),
        external=external,
        study=study_of(task.arms, test, {one.name: len(one.test) for one in external}, environment, date, inputs),
        contrasts=task.contrasts,
    )


def _known(stage: Stage, inputs: Inputs, manifests: Manifests) -> tuple[Mapping[str, Any], str]:
    """Return how a stage was built, and the digest of what came out; masks are no input of a report."""
    if stage not in manifests:
        return {}, ""
    manifest, processes = manifests[stage], read_training_facts(inputs[stage]).get("processes")
    environment = manifest["environment"] | ({} if processes is None else {"processes": processes})
    return environment, content_of(manifest)


def _judges(arm: Arm, task: WriteReport, inputs: Inputs) -> Iterator[str]:
    """Yield which of those that judge the synthetic images of an arm are weak."""
    for stage in task.quality:
        if stage.inputs["synthesis"] in arm.syntheses:
            yield from weak_judge(read_quality(inputs[stage]).record)


def _arm_evidence(
    arms: Sequence[Arm], test: ImageSet, task: WriteReport, inputs: Inputs, manifests: Manifests
) -> ArmEvidence:
    first, of_seed = arms[0], next(iter(of_seeds(arms).values()))
    synthetic = []
    real = len(read_names(inputs[first.training] / "train").ids)
    composition = {"real": real} if first.real_images else {}
    for stage in first.selected:
        samples = read_image_set(inputs[stage])
        origin = samples.origins[0]
        composition[origin] = composition.get(origin, 0) + len(samples)
        synthetic.append((origin, samples.take(range(min(SHOWN, len(samples))))))
    stages = dict.fromkeys(stage for arm in of_seed for stage in _stages_of(arm))
    seconds: dict[str, float] = {}
    for stage in stages:
        title = _without_fold(stage.title)
        seconds[title] = seconds.get(title, 0.0) + float(manifests[stage]["seconds"])
    history = {stage.title: read_history(inputs[stage]) for stage in (*first.generators, first.segmenter)}
    return ArmEvidence(
        scores=replace(
            read_scores(arms, test, lambda stage: inputs[stage]), conditions=_conditions(arms, inputs, manifests)
        ),
        predictions=read_evaluations(of_seed, lambda stage: inputs[stage]).predictions,
        synthetic=tuple(synthetic),
        history={title: rows for title, rows in history.items() if rows},
        training_images=composition,
        recipe=yaml.safe_dump({**first.document, "seed": first.seed}, sort_keys=False, allow_unicode=True),
        seconds=seconds,
        warnings=(
            *(remark for stage in in_order([arm.dataset for arm in of_seed]) for remark in read_remarks(inputs[stage])),
            *(
                warning
                for stage in dict.fromkeys(stage for arm in of_seed for stage in arm.generators)
                for warning in _warnings(stage, inputs[stage])
            ),
            *_finds_nothing(arms, inputs),
            *still_falls(read_history(inputs[first.segmenter]), first.segmenter),
            *_judges(first, task, inputs),
        ),
        written=first.written,
    )


def _stages_of(arm: Arm) -> Iterator[Stage]:
    yield from in_order((arm.training,))
    yield from arm.generators
    yield from dict.fromkeys((*arm.syntheses, *arm.selected))
    yield arm.segmenter
    yield arm.evaluation


def _without_fold(title: str) -> str:
    """Return the title that a stage has in all folds, which are counted together."""
    return re.sub(r" · fold [0-9]+( of [0-9]+)?", "", title)


def _external(
    name: str, names: Sequence[str], arms: Sequence[Arm], evidence: Sequence[ArmEvidence], inputs: Inputs
) -> External:
    """Return what the segmenters of all arms found in one external set; `evidence` is what they left, arm by arm."""
    pooled = arms[0].external[name].inputs["dataset"]
    test = read_image_set(inputs[pooled] / "test")
    scores, predictions = [], []
    for arm_name, known in zip(names, evidence, strict=True):
        there = [replace(arm, evaluation=arm.external[name]) for arm in arms if arm.name == arm_name]
        found = read_mean_scores(there, test, lambda stage: inputs[stage])
        design = replace(found.design, scored_on=external_images(name))
        scores.append(replace(found, design=design, conditions=known.scores.conditions))
        predictions.append(read_evaluations(there[:1], lambda stage: inputs[stage]).predictions)
    left_out = read_excluded(inputs[pooled]) or ()
    remarks = read_remarks(inputs[pooled.inputs["external"]])
    return External(name, test, tuple(scores), tuple(predictions), left_out, remarks)


def _scored_of(external: External) -> str:
    names = f" ({', '.join(external.left_out)})" if external.left_out else ""
    left_out = f"{len(external.left_out)} left out as copies of training or validation images{names}"
    return f"{len(external.test)} images scored, {left_out}"


_PARTS = {"precision": "precision", "CPU instructions": "instructions", "GPU": "gpu"}
"""Conditions of a training that not every artifact notes -> their names in its manifest."""


def _conditions(arms: Sequence[Arm], inputs: Inputs, manifests: Manifests) -> Mapping[str, tuple[str, ...]]:
    """Return `ArmScores.conditions`: what the trainings of an arm's segmenters say of themselves."""
    found: dict[str, list[str]] = {}
    for stage in dict.fromkeys(arm.segmenter for arm in arms):
        environment = manifests[stage]["environment"]
        facts = {"device": environment["device"].partition(":")[0], "torch": environment["torch"]}
        facts |= {name: environment[key] for name, key in _PARTS.items() if key in environment}
        training = read_training_facts(inputs[stage])  # of what `augkit.training.train` trained
        facts |= {"optimiser steps": str(training["steps"])} if training else {}
        for name, value in facts.items():
            found.setdefault(name, []).append(value)
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items()}


def _finds_nothing(arms: Sequence[Arm], inputs: Inputs) -> Iterator[str]:
    """Yield one sentence where segmenters leave half of the images or more without foreground that have some."""
    seeds = []
    for seed, of_seed in of_seeds(arms).items():
        counts = read_evaluations(of_seed, lambda stage: inputs[stage]).counts
        hits, false_alarms, misses, _ = counts.sum(axis=1).T
        shows, found = hits + misses > 0, hits + false_alarms > 0
        if shows.any() and found[shows].mean() <= 0.5:
            seeds.append(str(seed))
    if seeds:
        yield (
            f"The segmenter finds nothing in half or more of the images that show something, with seed "
            f"{', '.join(seeds)}, and a comparison with it says little. To do: train it longer, or look at the masks "
            "with augkit preview."
        )


def _warnings(stage: Stage, folder: Path) -> list[str]:
    """Return what a generator said against itself, in its ``health.json``."""
    sentences: Sequence[str] = read_health(folder).get("sentences", ())
    return [f"{stage.title}: {sentence}" for sentence in sentences]


def _scored_on(arms: Sequence[Arm], images: int) -> str:
    """Return on what the arms of one seed are scored."""
    task = arms[0].dataset.task
    if isinstance(task, TakeFold):
        some = len(arms) < task.folds
        folds = f"folds {', '.join(str(arm.fold) for arm in arms)} of {task.folds}" if some else f"{task.folds} folds"
        if task.of == DEVELOPMENT:
            return f"{images} development images, each once, in {folds}; the test images were not scored"
        return f"{images} images, each once, in {folds}"
    if not isinstance(task, HoldOutDevelopment):
        return f"{images} test images"
    return f"{images} development images, {task.share:g} of the training groups; the test images were not scored"


def _excluded(datasets: Sequence[Path]) -> Mapping[str, str]:
    """Return what a report says of excluded copies, where the recipe asked for it; of folds, in any of them."""
    found = [excluded for dataset in datasets if (excluded := read_excluded(dataset)) is not None]
    if not found:
        return {}
    names = list(dict.fromkeys(name for of_fold in found for name in of_fold))
    if len(datasets) > 1:
        told = f"{len(names)} images, each in folds that test or validate on a copy of it ({', '.join(names)})"
        return {"excluded copies": told}
    return {"excluded copies": f"{len(names)} images with a copy in a later split ({', '.join(names)})"}


def _kept(arm: Arm, synthesis: Stage) -> str:
    """Return which images of a synthetic set an arm keeps, in words; '' for all."""
    task = arm.selected[arm.syntheses.index(synthesis)].task
    return f"keeps those of adherence {task.min_adherence:g} or more" if isinstance(task, SelectAdherent) else ""


def _quality_sections(task: WriteReport, inputs: Inputs) -> Iterator[Section]:
    for number, stage in enumerate(task.quality, 1):
        quality, synthesis = read_quality(inputs[stage]), stage.inputs["synthesis"]
        arms = {arm.name: _kept(arm, synthesis) for arm in task.arms if synthesis in arm.syntheses}
        yield quality_section(number, quality.record, arms, quality.pictures, task.arms[0].fold is not None)
    if task.unjudged:
        yield unjudged_section(task.unjudged)
