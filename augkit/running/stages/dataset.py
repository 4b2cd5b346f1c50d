"""Data sets: read, held to their contract, without copies, cut for development, to a fold, or to a share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from augkit.contracts.components import Dataset, HasFormat, HasRemarks
from augkit.contracts.manners import contained
from augkit.contracts.rules import check_format, check_splits, contract, harmless
from augkit.data.arrays import ImageSet, Splits
from augkit.data.draws import Draws, sample_keys
from augkit.data.folds import DEVELOPMENT, choose_validation, deal_folds
from augkit.data.formats import shows
from augkit.data.remarks import remarks_on
from augkit.data.stored import (
    SPLITS,
    read_excluded,
    read_image_set,
    read_splits,
    write_excluded,
    write_remarks,
    write_splits,
)
from augkit.errors import InputError, Problem, StageError
from augkit.planning.tasks import HoldOutDevelopment, LoadDataset, TakeFold, TakeShare
from augkit.running.job import Job


def load_dataset(task: LoadDataset, job: Job) -> None:
    """Write ``train``, ``validation`` and ``test``; refuse splits that share a group or lack samples.

    Where copies are excluded, ``excluded.json`` lists the ids of the images that were left out.
    """
    splits = _load(task.dataset)
    with contract("the data set"), harmless():
        told = tuple(task.dataset.remarks()) if isinstance(task.dataset, HasRemarks) else ()
    if task.exclude_copies:
        splits = _without_copies(splits, (), job)
    _refuse_empty(splits)
    found = remarks_on(splits)
    for remark in found:  # what the data set tells of its files was said before the run
        job.log.note(remark)
    write_remarks(job.folder, (*told, *found))
    write_splits(job.folder, splits)


def read_dataset(dataset: Dataset) -> tuple[Splits, tuple[str, ...]]:
    """Return the splits as a run would read them, and what is remarkable about them; raises what a run would raise."""
    with contained():
        splits = _load(dataset)
    _refuse_empty(splits)
    return splits, remarks_on(splits)


def _load(dataset: Dataset) -> Splits:
    with contract("the data set"), harmless():
        splits = dataset.load()
        check_splits(splits)
        if isinstance(dataset, HasFormat):
            check_format(dataset.format(), splits.train.format)
    return splits


def hold_out_development(task: HoldOutDevelopment, job: Job) -> None:
    """Write the splits with some training groups as the test split, and without the test images.

    The groups are chosen by their names alone. ``excluded.json`` also lists what was left out before.
    """
    whole = job.inputs["dataset"]
    train = read_image_set(whole / "train")
    groups = len(set(train.groups))
    if groups < 2:
        what = f"found {groups} training group; allowed: at least 2, one to train on and one to score on"
        raise StageError(Problem("development_share", what))
    held_out = _some_groups(train, 0, "development", min(max(1, round(task.share * groups)), groups - 1))
    splits = Splits(
        train.take([i for i, group in enumerate(train.groups) if group not in held_out]),
        read_image_set(whole / "validation"),
        train.take([i for i, group in enumerate(train.groups) if group in held_out]),
    )
    if task.exclude_copies:
        splits = _without_copies(splits, read_excluded(whole) or (), job)
    _refuse_empty(splits)
    write_splits(job.folder, splits)


def take_fold(task: TakeFold, job: Job) -> None:
    """Write the splits with a fold as the test split, and as much of the rest to validate on as the data set has.

    A fold may test masks that show nothing, which is noted: its scores are part of those of all folds.
    """
    folder = job.inputs["dataset"]
    parts = _folded(read_splits(folder), task.of)
    dealt = deal_folds([group for part in parts for group in part.groups], task.folds)
    train, validation = (len(set(part.groups)) for part in parts[:2])
    rest = [group for group, fold in dealt.items() if fold != task.fold]
    validated = choose_validation(rest, validation / (train + validation), task.fold)
    names = {group: "test" if fold == task.fold else "train" for group, fold in dealt.items()}
    names |= dict.fromkeys(validated, "validation")
    splits = Splits(*(
        ImageSet.concatenate([
            part.take([i for i, group in enumerate(part.groups) if names[group] == name]) for part in parts
        ])
        for name in SPLITS
    ))  # fmt: skip
    if task.exclude_copies:
        splits = _without_copies(splits, read_excluded(folder) or (), job)
    _refuse_empty(splits, f" of fold {task.fold} of {task.folds}", ("training",))
    if not shows(splits.test.masks).any():
        remark = (
            f"fold {task.fold} of {task.folds}: none of its {len(splits.test)} test masks shows anything, so finding "
            "nothing there scores 1; fewer folds are larger"
        )
        job.log.note(remark)
        write_remarks(job.folder, [remark])
    write_splits(job.folder, splits)


def check_folds(splits: Splits, count: int, of: str) -> None:
    """Raise what `take_fold` would raise where there are too few groups."""
    deal_folds([group for part in _folded(splits, of) for group in part.groups], count)


def _folded(splits: Splits, of: str) -> list[ImageSet]:
    return [splits.train, splits.validation, *([] if of == DEVELOPMENT else [splits.test])]


def _refuse_empty(splits: Splits, of: str = "", needed: Sequence[str] = ("training", "test")) -> None:
    """Refuse masks of which none shows anything: there is nothing to learn, or finding nothing scores 1 everywhere."""
    problems = [
        Problem(
            f"{name} masks{of}",
            f"none of the {len(samples)} shows anything; allowed: at least one with foreground",
            "Look at the mask files: they may be the wrong ones, or hold the structure as 0",
        )
        for name, samples in (("training", splits.train), ("test", splits.test))
        if name in needed and not shows(samples.masks).any()
    ]
    if problems:
        raise InputError(*problems)


def take_share(task: TakeShare, job: Job) -> None:
    """Write the splits with fewer training groups."""
    splits = read_splits(job.inputs["dataset"])
    train = splits.train
    kept = _some_groups(train, task.seed, "share", max(1, round(task.share * len(set(train.groups)))))
    fewer = train.take([i for i, group in enumerate(train.groups) if group in kept])
    write_splits(job.folder, Splits(fewer, splits.validation, splits.test))


def _some_groups(samples: ImageSet, seed: int, stream: str, count: int) -> set[str]:
    """Return `count` groups: those with the smallest numbers, so that a smaller share is part of a larger one."""
    groups = sorted(set(samples.groups))
    numbers = Draws.of(seed, stream, sample_keys(groups)).uniform("place")
    return {groups[i] for i in np.argsort(numbers, kind="stable")[:count]}


def _without_copies(splits: Splits, earlier: Sequence[str], job: Job) -> Splits:
    """Return the splits without copies of images in a later split, and write the names of all left out so far."""
    from augkit.quality.copies import without_copies

    splits, copies = without_copies(splits)
    excluded = list(dict.fromkeys(copy.first for copy in copies))
    job.log.note(f"{len(excluded)} images excluded, copies of images in a later split: {', '.join(excluded)}")
    write_excluded(job.folder, [*earlier, *excluded])
    with contract("the data set"):
        check_splits(splits)  # everything may have been a copy
    return splits
