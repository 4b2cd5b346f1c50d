"""The arms of a report: what each is, and its scores, out of the artifacts of its stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import PER_GROUP
from augkit.data.arrays import ImageSet
from augkit.data.folds import DEVELOPMENT
from augkit.data.formats import class_masks
from augkit.data.stored import Evaluation, read_evaluation
from augkit.metrics import class_scores, mean_over_classes
from augkit.planning.tasks import (
    Arm,
    DrawMasks,
    HoldOutDevelopment,
    SelectAdherent,
    Stage,
    Synthesise,
    TakeFold,
    TakeShare,
)
from augkit.report.verdict.scores import CLASS_DICE, DEVELOPMENT_IMAGES, TEST_IMAGES, ArmScores, Design


def read_scores(arms: Sequence[Arm], test: ImageSet, folder_of: Callable[[Stage], Path]) -> ArmScores:
    """Return the scores of one arm on the images of `test`, or on its groups, from the evaluations of its seeds.

    test: of folds those that are tested, one fold after the other.
    """
    design, classes = design_of(arms[0]), test.format.classes
    ids, seeds = scored_ids(test, design), of_seeds(arms)
    shown, folds = _shown_classes(test), _folds(seeds[arms[0].seed], len(test), folder_of)
    places = np.array([ids.index(group) for group in test.groups]) if design.score_per == PER_GROUP else None
    if places is not None:
        shown = np.stack([shown[places == place].any(axis=0) for place in range(len(ids))])
        folds = np.array([folds[places == place][0] for place in range(len(ids))])
    found = []
    for of_seed in seeds.values():
        evaluation = read_evaluations(of_seed, folder_of)
        found.append(_values(evaluation if places is None else _pooled(evaluation, places, len(ids)), classes))
    values = {name: np.stack([one[name] for one in found]) for name in found[0]}
    empty = int((~shown.any(axis=1)).sum())
    counts = dict(zip(classes, shown.sum(axis=0).tolist(), strict=True)) if len(classes) > 1 else {}
    return ArmScores(arms[0].name, ids, tuple(seeds), values, design, empty=empty, classes=counts, folds=folds)


def read_mean_scores(arms: Sequence[Arm], test: ImageSet, folder_of: Callable[[Stage], Path]) -> ArmScores:
    """Return the scores of one arm on images that every fold's segmenter is scored on: with each seed, their mean."""
    folds = dict.fromkeys(arm.fold for arm in arms)
    each = [
        read_scores([replace(arm, fold=None) for arm in arms if arm.fold == fold], test, folder_of) for fold in folds
    ]
    values = {name: np.mean([one.values[name] for one in each], axis=0) for name in each[0].values}
    return replace(each[0], values=values, design=replace(each[0].design, folds=0))


def of_seeds(arms: Sequence[Arm]) -> Mapping[int, Sequence[Arm]]:
    """Return seed -> what was trained with it: of each fold one, and one where there are none."""
    seeds: dict[int, list[Arm]] = {}
    for arm in arms:
        seeds.setdefault(arm.seed, []).append(arm)
    return seeds


def read_evaluations(arms: Sequence[Arm], folder_of: Callable[[Stage], Path]) -> Evaluation:
    """Return the evaluation of the arms of one seed, those of folds one after the other."""
    found = [read_evaluation(folder_of(arm.evaluation)) for arm in arms]
    if len(found) == 1:
        return found[0]
    predictions, counts, nsd = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("predictions", "counts", "nsd")
    )
    return Evaluation(predictions, counts, nsd)


def _folds(arms: Sequence[Arm], images: int, folder_of: Callable[[Stage], Path]) -> NDArray[np.int64]:
    """Return the fold of each image, int64 (N,), all 0 where there are none; `arms` are those of one seed."""
    if len(arms) == 1:
        return np.full(images, arms[0].fold or 0, np.int64)
    sizes = [len(read_evaluation(folder_of(arm.evaluation)).counts) for arm in arms]
    return np.repeat(np.array([arm.fold or 0 for arm in arms], np.int64), sizes)


def scored_ids(test: ImageSet, design: Design) -> tuple[str, ...]:
    """Return the name of each score: ids of images, or groups in the order of their first images."""
    return tuple(dict.fromkeys(test.groups)) if design.score_per == PER_GROUP else test.ids


def _shown_classes(test: ImageSet) -> NDArray[np.bool_]:
    """Return bool (N, K): which classes each image shows."""
    classes = len(test.format.classes)
    return np.stack([class_masks(mask[None], classes)[0].any(axis=(1, 2)) for mask in np.asarray(test.masks)])


def _pooled(found: Evaluation, places: NDArray[np.int64], groups: int) -> Evaluation:
    """Return an evaluation of groups in place of images; `places` is the group of each image, int64 (N,).

    Counts are summed, so that every pixel of a group counts alike. The surface distance of a class is the mean over the
    group's images that have the class or in which it is found, 1 where there is none.
    """
    counts = np.zeros((groups, *found.counts.shape[1:]), np.int64)
    np.add.at(counts, places, found.counts)
    present = found.counts[..., :3].sum(axis=-1) > 0
    total, images = np.zeros(counts.shape[:2]), np.zeros(counts.shape[:2])
    np.add.at(total, places, np.where(present, found.nsd, 0.0))
    np.add.at(images, places, present)
    return Evaluation(found.predictions, counts, np.divide(total, images, out=np.ones_like(total), where=images > 0))


def _values(found: Evaluation, classes: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
    """Return metric -> float64 (N,): the mean over classes, and where there are several, of each: ``dice of liver``."""
    each = class_scores(found.counts, found.nsd)
    means = {name: mean_over_classes(values, found.counts) for name, values in each.items()}
    if len(classes) == 1:
        return means
    return means | {f"{CLASS_DICE}{name}": each["dice"][:, k] for k, name in enumerate(classes)}


def expected(arms: Sequence[Arm], ids_of: Mapping[int | None, tuple[str, ...]]) -> tuple[ArmScores, ...]:
    """Return what is known of some arms before they are trained: their scores without the values.

    ids_of: fold -> the images that it will be scored on, () where nobody has counted them; None for no folds.
    """
    ids = tuple(name for names in ids_of.values() for name in names)
    sizes = [len(names) if ids else 1 for names in ids_of.values()]
    folds = np.repeat(np.array([fold or 0 for fold in ids_of], np.int64), sizes)
    seeds: dict[str, list[Arm]] = {}
    for arm in arms:
        seeds.setdefault(arm.name, []).append(arm)
    return tuple(
        ArmScores(name, ids, tuple(of_seeds(found)), {}, design_of(found[0]), folds=folds)
        for name, found in seeds.items()
    )


def design_of(arm: Arm) -> Design:
    """Return what an arm is, from the components of its stages; seeds do not count."""
    segmenter, *augment = arm.segmenter.components
    sources: list[tuple[str, object]] = []
    for synthesis, selected in zip(arm.syntheses, arm.selected, strict=True):
        (made,), (drawn,) = synthesis.components, synthesis.inputs["masks"].components
        painting, drawing = synthesis.makes, synthesis.inputs["masks"].makes
        assert isinstance(painting, Synthesise)
        assert isinstance(drawing, DrawMasks)
        amount: dict[str, float | None] = {"per_real": drawing.per_real, "count": drawing.count}
        share = f"× {drawing.per_real:g}" if drawing.count is None else f"· {drawing.count}"
        shuffled = [("shuffled", True)] if painting.shuffled else []
        if isinstance(selected.task, SelectAdherent):
            share += f" of {selected.task.min_adherence:g} adherence"
            amount["min_adherence"] = selected.task.min_adherence
        sources += [(f"{made.name}/{drawn.name} {share}", [made.facts(), drawn.facts(), amount]), *shuffled]
    if not arm.real_images:
        sources.append(("no real images", False))
    taking = arm.training.task
    share_of_data = (
        [(f"{taking.share:g} of the training groups", taking.share)] if isinstance(taking, TakeShare) else []
    )
    holding = arm.dataset.task
    held_out = (
        [(f"without {holding.share:g} of the training groups", holding.share)]
        if isinstance(holding, HoldOutDevelopment)
        else []
    )
    folds = [(f"{holding.folds} folds", [holding.folds, holding.of])] if isinstance(holding, TakeFold) else []
    development = bool(held_out) or (isinstance(holding, TakeFold) and holding.of == DEVELOPMENT)
    loaded = [(one.name, one.facts()) for one in arm.dataset.components]
    without_copies = [("without copies of test images", True)] if "exclude_copies" in arm.dataset.identity else []
    return Design(
        data=_part([*loaded, *without_copies, *held_out, *folds, *share_of_data]),
        segmenter=_part([(segmenter.name, segmenter.facts())]),
        augment=_part([(one.name, one.facts()) for one in augment]),
        synthesis=_part(sources),
        scored_on=DEVELOPMENT_IMAGES if development else TEST_IMAGES,
        score_at=arm.score_at,
        score_per=arm.score_per,
        folds=holding.folds if isinstance(holding, TakeFold) else 0,
    )


def _part(parts: Sequence[tuple[str, object]]) -> str:
    """Return the words of a part of a design with a digest of all that they stand for; '' for no part."""
    if not parts:
        return ""
    text = json.dumps([content for _, content in parts], sort_keys=True)
    return f"{', '.join(words for words, _ in parts)} #{hashlib.sha256(text.encode()).hexdigest()[:8]}"
