"""One function per stage: artifacts in, one artifact out.

What a plugin returns is checked here, where it enters the house, by the rules of `augkit.checks`, and a breach is told
to the plugin's author.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.checks import (
    SAMPLES,
    STATELESS,
    check_images,
    check_masks,
    check_native_count,
    check_native_mask,
    check_same,
    check_scores,
    check_splits,
    contract,
    harmless,
)
from augkit.contracts import (
    ArrayDraws,
    HasNativeMasks,
    Images,
    ImageSet,
    Log,
    Masks,
    Predictor,
    Record,
    Splits,
    Workspace,
)
from augkit.costs import cost_record
from augkit.draws import Draws, sample_keys
from augkit.errors import Problem, StageError
from augkit.image_sets import read_image_set, read_splits, write_image_set, write_splits
from augkit.images import upsample_scores
from augkit.metrics import confusion, scores, surface_distance
from augkit.rehearsal import current
from augkit.store import read_array, read_json, write_array, write_bytes, write_json
from augkit.tasks import (
    DrawMasks,
    Evaluate,
    HoldOutDevelopment,
    JudgeQuality,
    LoadDataset,
    SelectAdherent,
    Stage,
    Synthesise,
    TakeShare,
    Task,
    TrainGenerator,
    TrainSegmenter,
    WriteReport,
)

CHUNK = 256
"""Images handed to a synthesizer or predictor at a time."""

FOREGROUND = 0.5
"""A pixel is foreground where its score is above this."""

RESUMABLE = (TrainGenerator, DrawMasks, TrainSegmenter)
"""Tasks that find what an interrupted run left in their work folder."""


@dataclass(frozen=True)
class Job:
    """What a stage function is given: a folder to fill, a device, a log, and its inputs' folders and manifests."""

    folder: Path
    device: str
    log: Log
    inputs: Mapping[Stage, Path]
    manifests: Mapping[Stage, Mapping[str, Any]]

    def of_kind(self, kind: str) -> list[Path]:
        """Return the folders of the inputs of one kind, in order."""
        return [folder for stage, folder in self.inputs.items() if stage.address.kind == kind]


@singledispatch
def run_stage(task: Task, job: Job) -> None:
    """Do a task: fill ``job.folder``."""
    raise TypeError(f"no stage function for {type(task).__name__}")


@run_stage.register
def load_dataset(task: LoadDataset, job: Job) -> None:
    """Write ``train``, ``validation`` and ``test``; refuse splits that share a group or lack samples.

    Where copies are excluded, ``excluded.json`` lists the ids of the images that were left out.
    """
    with contract("the data set"), harmless():
        splits = task.dataset.load()
        check_splits(splits)
    if task.exclude_copies:
        splits = _without_copies(splits, (), job)
    write_splits(job.folder, splits)


@run_stage.register
def hold_out_development(task: HoldOutDevelopment, job: Job) -> None:
    """Write the splits with some training groups as the test split, and without the test images.

    The groups are chosen by their names alone. ``excluded.json`` also lists what was left out before.
    """
    whole = job.of_kind("dataset")[0]
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
        splits = _without_copies(splits, read_json(whole / "excluded.json"), job)
    write_splits(job.folder, splits)


@run_stage.register
def take_share(task: TakeShare, job: Job) -> None:
    """Write the splits with fewer training groups."""
    splits = read_splits(job.of_kind("dataset")[0])
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
    from augkit.copies import without_copies

    splits, copies = without_copies(splits)
    excluded = list(dict.fromkeys(copy.first for copy in copies))
    job.log.note(f"{len(excluded)} images excluded, copies of images in a later split: {', '.join(excluded)}")
    write_json(job.folder / "excluded.json", [*earlier, *excluded])
    with contract("the data set"):
        check_splits(splits)  # everything may have been a copy
    return splits


@run_stage.register
def train_generator(task: TrainGenerator, job: Job) -> None:
    """Let the generator fit the training split."""
    _begin_training(job)
    train = read_image_set(job.of_kind("dataset")[0] / "train")
    task.generator.fit(train, Workspace(job.folder, task.seed, job.device, job.log))
    _end_training(job)


@run_stage.register
def draw_masks(task: DrawMasks, job: Job) -> None:
    """Write ``masks.npy`` bool (count, H, W) and ``records.json``."""
    _begin_training(job)
    real = read_array(job.of_kind("dataset")[0] / "train" / "masks.npy")
    count = task.amount(len(real))
    draws = Draws.of(task.seed, "masks", np.arange(count, dtype=np.int64))
    with contract("the mask source"), harmless():
        drawn = task.masks.draw(real, count, draws, Workspace(job.folder, task.seed, job.device, job.log))
        check_masks(drawn, count, real.shape)
    write_array(job.folder / "masks.npy", drawn.masks)
    write_json(job.folder / "records.json", list(drawn.records))
    _end_training(job)


@run_stage.register
def synthesise(task: Synthesise, job: Job) -> None:
    """Write the synthetic image set; a sample drawn from a real mask joins that mask's group."""
    masks = read_array(job.of_kind("masks")[0] / "masks.npy")
    records: list[Record] = read_json(job.of_kind("masks")[0] / "records.json")
    groups = read_json(job.of_kind("dataset")[0] / "train" / "samples.json")["groups"]
    ids = tuple(f"{task.prefix}-{i:06d}" for i in range(len(masks)))
    paint = task.generator.open(job.of_kind("generator")[0], job.device)
    draws = Draws.of(task.seed, "synthesis", np.arange(len(masks), dtype=np.int64))
    images = np.empty((*masks.shape, 3), np.uint8)
    for begin in range(0, len(masks), CHUNK):
        part = slice(begin, begin + CHUNK)
        with contract("the generator", ids[part]):
            images[part] = check_images(paint(masks[part], draws[part]), masks[part].shape)
            if begin == 0:
                few = slice(min(SAMPLES, CHUNK))
                with harmless():
                    check_same(images[few], paint(masks[few], draws[few]), "in another batch", STATELESS, 1.0)
        job.log.progress(min(begin + CHUNK, len(masks)), len(masks), {})
    parents = tuple(_group(record, groups, name) for record, name in zip(records, ids, strict=True))
    if task.shuffled:
        masks = masks[other_masks(masks, draws)]
    write_image_set(job.folder, ImageSet(ids, images, masks, parents, (task.origin,) * len(masks)))


@run_stage.register
def select_adherent(task: SelectAdherent, job: Job) -> None:
    """Write the samples of a synthetic set whose mask the segmenter finds, and ``adherence.json`` about all of them."""
    samples = read_image_set(job.of_kind("synthesis")[0])
    predict = task.segmenter.open(job.of_kind("segmenter")[0], job.device)
    found = _segmented(predict, samples.images, samples.ids)
    adherence = scores(confusion(found, np.asarray(samples.masks)))["dice"]
    kept = np.flatnonzero(adherence >= task.min_adherence)
    if current() is not None:  # what a rehearsal trains judges nothing
        kept = np.arange(len(samples))
    if not len(kept):
        what = f"no image of {len(samples)} reaches {task.min_adherence:g}; the best has {adherence.max():.3f}"
        raise StageError(Problem("min_adherence", what, "Allow less, or look at the generator with 'augkit preview'"))
    job.log.note(f"{len(kept)} of {len(samples)} images follow their masks (Dice {task.min_adherence:g} or more)")
    write_json(job.folder / "adherence.json", dict(zip(samples.ids, adherence.tolist(), strict=True)))
    write_image_set(job.folder, samples.take(kept))


@run_stage.register
def train_segmenter(task: TrainSegmenter, job: Job) -> None:
    """Let the segmenter fit real and synthetic samples together, augmented as the recipe says."""
    from augkit.pipeline import FirstChecked, Pipeline

    _begin_training(job)
    dataset = job.of_kind("dataset")[0]
    real = read_image_set(dataset / "train")
    synthetic = [read_image_set(folder) for folder in job.of_kind("synthesis")]
    train = ImageSet.concatenate([real, *synthetic] if task.real else synthetic)
    for pixels in (train.images, train.masks):
        pixels.flags.writeable = False  # as they are when nothing is concatenated
    space = Workspace(job.folder, task.seed, job.device, job.log)
    augment = [(name, FirstChecked(name, augmentation)) for name, augmentation in task.augment]
    task.segmenter.fit(train, read_image_set(dataset / "validation"), Pipeline(augment), space)
    _end_training(job)


@run_stage.register
def evaluate(task: Evaluate, job: Job) -> None:
    """Score the test split.

    Writes ``predictions.npy`` bool (N, H, W), ``counts.npy`` int64 (N, 4) of `confusion`, and ``nsd.npy`` float64 (N,)
    of `surface_distance`, which counts do not decide. Predictions have the images' size; at native size, scores are
    interpolated to the size of each mask file before they are cut, and counts and distances are of that size.
    """
    test = read_image_set(job.of_kind("dataset")[0] / "test")
    predict = task.segmenter.open(job.of_kind("segmenter")[0], job.device)
    predictions = np.empty(test.masks.shape, np.bool_)
    counts, distances = np.empty((len(test), 4), np.int64), np.empty(len(test), np.float64)
    truth = (test.masks[i] for i in range(len(test))) if task.native is None else _native_masks(*task.native, test)
    for i, (score, mask) in enumerate(zip(_scores(predict, test.images, test.ids), truth, strict=True)):
        predictions[i] = score > FOREGROUND
        found = predictions[i] if task.native is None else upsample_scores(score, *mask.shape) > FOREGROUND
        counts[i], distances[i] = confusion(found[None], mask[None])[0], surface_distance(found[None], mask[None])[0]
    write_array(job.folder / "predictions.npy", predictions)
    write_array(job.folder / "counts.npy", counts)
    write_array(job.folder / "nsd.npy", distances)


def _native_masks(name: str, dataset: HasNativeMasks, samples: ImageSet) -> Iterator[Masks]:
    """Yield the native mask of each sample, held to its contract."""
    given = 0
    with contract("the data set", samples.ids, name):
        for native in dataset.native_masks(samples.ids):
            if given < len(samples):
                yield check_native_mask(native, samples.masks[given], given)
            given += 1
        check_native_count(given, len(samples))


@run_stage.register
def judge_quality(task: JudgeQuality, job: Job) -> None:
    """Write ``quality.json``, ``images.json`` (a list per column) and a PNG per picture."""
    from augkit.quality import Material, judge

    dataset = job.of_kind("dataset")[0]
    predict = task.segmenter.open(job.of_kind("segmenter")[0], job.device)
    paint = task.generator.open(job.of_kind("generator")[0], job.device)
    material = Material(
        train=read_image_set(dataset / "train"),
        held_out=ImageSet.concatenate([read_image_set(dataset / name) for name in ("validation", "test")]),
        synthetic=read_image_set(job.of_kind("synthesis")[0]),
        segment=lambda images: _segmented(predict, images),
        paint=lambda masks, draws: check_images(paint(masks, draws), masks.shape),
        seed=task.seed,
    )
    quality = judge(material)
    write_json(job.folder / "quality.json", {"origin": material.synthetic.origins[0], **quality.record})
    write_json(job.folder / "images.json", quality.per_image)
    for name, png in quality.pictures.items():
        write_bytes(job.folder / f"{name}.png", png)


@run_stage.register
def report(task: WriteReport, job: Job) -> None:
    """Write the report of all arms, and ``costs.json``."""
    from augkit.gather import gather_evidence
    from augkit.report import write_report

    costs = cost_record((stage.title, job.manifests[stage]) for stage in job.inputs)
    write_report(gather_evidence(task, job.inputs, job.manifests, costs), job.folder)
    write_json(job.folder / "costs.json", costs)


def other_masks(masks: Masks, draws: ArrayDraws) -> NDArray[np.int64]:
    """Return int64 (N,): for each sample another one whose mask differs; every sample is chosen once.

    Equal masks stand side by side in a keyed order, and everybody takes the mask as many places on as the commonest
    mask is frequent, which is a different one. Raises `StageError` where one mask is more than half of all.
    """
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    _, kinds, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    kinds = kinds.reshape(-1)  # NumPy 2.0 gives it another shape
    step = int(counts.max())
    if 2 * step > len(masks):
        what = f"masks cannot be shuffled: {step} of {len(masks)} are equal; allowed: up to half"
        raise StageError(Problem("pair", what, "Draw more masks, or from another source"))
    places = draws.fork("shuffle").uniform("place")
    first = np.full(len(counts), 2.0, np.float32)
    np.minimum.at(first, kinds, places)  # a kind stands where the first of its samples does
    order = np.lexsort((places, kinds, first[kinds]))
    partners = np.empty(len(masks), np.int64)
    partners[order] = np.roll(order, -step)
    return partners


def _segmented(predict: Predictor, images: Images, ids: Sequence[str] = ()) -> Masks:
    """Return bool (N, H, W): what a predictor finds in uint8 images (N, H, W, 3); `ids` are for messages."""
    found = np.empty(images.shape[:3], np.bool_)
    for i, score in enumerate(_scores(predict, images, ids)):
        found[i] = score > FOREGROUND
    return found


def _scores(predict: Predictor, images: Images, ids: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the scores of each image, float32 (H, W) in 0..1."""
    for begin in range(0, len(images), CHUNK):
        part = images[begin : begin + CHUNK]
        with contract("the segmenter", ids[begin : begin + CHUNK]):
            values = check_scores(predict(part), part.shape)
            if begin == 0:
                few = slice(min(SAMPLES, CHUNK))
                with harmless():
                    check_same(values[few], predict(part[few]), "in another batch", STATELESS, 0.01)
        yield from values[:, 0]


def _begin_training(job: Job) -> None:
    """Call the other processes of torchrun, if there are any, to this stage."""
    from augkit import ranks

    if ranks.rank() == 0:
        ranks.announce(job.folder.name)


def _end_training(job: Job) -> None:
    from augkit.training import remove_checkpoints

    remove_checkpoints(job.folder)


def _group(record: Record, groups: Sequence[str], name: str) -> str:
    parent = record.get("parent")
    return groups[parent] if type(parent) is int else name
