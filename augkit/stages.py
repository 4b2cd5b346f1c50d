"""One function per stage: artifacts in, one artifact out.

What a plugin returns is checked here, where it enters the house, and a breach is told to the plugin's author.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from augkit.contracts import (
    Augment,
    DrawnMasks,
    Images,
    ImageSet,
    Log,
    Masks,
    Predictor,
    Record,
    Scores,
    Splits,
    TensorDraws,
    Workspace,
)
from augkit.draws import Draws
from augkit.errors import Problem, StageError
from augkit.evidence import ArmEvidence, Evidence
from augkit.metrics import confusion, scores
from augkit.plan import (
    Arm,
    DrawMasks,
    Evaluate,
    JudgeQuality,
    LoadDataset,
    Stage,
    Synthesise,
    Task,
    TrainGenerator,
    TrainSegmenter,
    WriteReport,
)
from augkit.statistics import ArmScores
from augkit.store import read_array, read_json, write_array, write_bytes, write_json

if TYPE_CHECKING:
    from torch import Tensor


CHUNK = 256
"""Images handed to a synthesizer or predictor at a time."""

SHOWN = 64
"""Samples of a set that the report may show."""

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
    splits = task.dataset.load()
    _check_splits(splits)
    if task.exclude_copies:
        from augkit.copies import without_copies

        splits, copies = without_copies(splits)
        excluded = list(dict.fromkeys(copy.first for copy in copies))
        job.log.note(f"{len(excluded)} images excluded, copies of images in a later split: {', '.join(excluded)}")
        write_json(job.folder / "excluded.json", excluded)
        _check_splits(splits)  # everything may have been a copy
    for name in ("train", "validation", "test"):
        write_image_set(job.folder / name, getattr(splits, name))


@run_stage.register
def train_generator(task: TrainGenerator, job: Job) -> None:
    """Let the generator fit the training split."""
    train = read_image_set(job.of_kind("dataset")[0] / "train")
    task.generator.fit(train, Workspace(job.folder, task.seed, job.device, job.log))
    _end_training(job)


@run_stage.register
def draw_masks(task: DrawMasks, job: Job) -> None:
    """Write ``masks.npy`` bool (count, H, W) and ``records.json``."""
    real = read_array(job.of_kind("dataset")[0] / "train" / "masks.npy")
    count = task.amount(len(real))
    draws = Draws.of(task.seed, "masks", np.arange(count, dtype=np.int64))
    drawn = task.masks.draw(real, count, draws, Workspace(job.folder, task.seed, job.device, job.log))
    _check_masks(drawn, count, real.shape)
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
        images[part] = _checked_images(paint(masks[part], draws[part]), masks[part].shape)
        job.log.progress(min(begin + CHUNK, len(masks)), len(masks), {})
    parents = tuple(_group(record, groups, name) for record, name in zip(records, ids, strict=True))
    write_image_set(job.folder, ImageSet(ids, images, masks, parents, (task.origin,) * len(masks)))


@run_stage.register
def train_segmenter(task: TrainSegmenter, job: Job) -> None:
    """Let the segmenter fit real and synthetic samples together, augmented as the recipe says."""
    dataset = job.of_kind("dataset")[0]
    real = read_image_set(dataset / "train")
    train = ImageSet.concatenate([real, *(read_image_set(folder) for folder in job.of_kind("synthesis"))])
    for pixels in (train.images, train.masks):
        pixels.flags.writeable = False  # as they are when nothing is concatenated
    space = Workspace(job.folder, task.seed, job.device, job.log)
    task.segmenter.fit(train, read_image_set(dataset / "validation"), compose(task.augment), space)
    _end_training(job)


@run_stage.register
def evaluate(task: Evaluate, job: Job) -> None:
    """Write ``predictions.npy`` bool (N, H, W) and ``counts.npy`` int64 (N, 4) for the test split."""
    test = read_image_set(job.of_kind("dataset")[0] / "test")
    predict = task.segmenter.open(job.of_kind("segmenter")[0], job.device)
    predictions = _segmented(predict, test.images)
    write_array(job.folder / "predictions.npy", predictions)
    write_array(job.folder / "counts.npy", confusion(predictions, np.asarray(test.masks)))


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
        paint=lambda masks, draws: _checked_images(paint(masks, draws), masks.shape),
        seed=task.seed,
    )
    quality = judge(material)
    write_json(job.folder / "quality.json", {"origin": material.synthetic.origins[0], **quality.record})
    write_json(job.folder / "images.json", quality.per_image)
    for name, png in quality.pictures.items():
        write_bytes(job.folder / f"{name}.png", png)


@run_stage.register
def report(task: WriteReport, job: Job) -> None:
    """Write the report of all arms."""
    from augkit.report import write_report

    dataset = job.inputs[task.arms[0].dataset]
    train, test = read_image_set(dataset / "train"), read_image_set(dataset / "test")
    names = list(dict.fromkeys(arm.name for arm in task.arms))
    evidence = tuple(_arm_evidence([arm for arm in task.arms if arm.name == name], test, job) for name in names)
    shown = train.take(range(min(SHOWN, len(train))))
    environment: Mapping[str, object] = job.manifests[task.arms[0].segmenter]["environment"]
    provenance = {key: str(value) for key, value in environment.items()} | dict(_excluded(dataset))
    write_report(Evidence(task.title, evidence, shown, test, provenance), job.folder)


def _segmented(predict: Predictor, images: Images) -> Masks:
    """Return bool (N, H, W): what a predictor finds in uint8 images (N, H, W, 3)."""
    found = np.empty(images.shape[:3], np.bool_)
    for begin in range(0, len(images), CHUNK):
        part = images[begin : begin + CHUNK]
        found[begin : begin + CHUNK] = _checked_scores(predict(part), part.shape)[:, 0] > 0.5
    return found


def compose(augment: Sequence[tuple[str, Augment]]) -> Augment:
    """Return the recipe's augmentations as one call; each has its own draws, by its name and place in the list."""

    def apply(images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        for i, (name, augmentation) in enumerate(augment):
            images, masks = augmentation(images, masks, draws.fork(f"{i}.{name}"))
        return images, masks

    return apply


def write_image_set(folder: Path, samples: ImageSet) -> None:
    """Write an image set as ``images.npy``, ``masks.npy`` and ``samples.json``."""
    write_array(folder / "images.npy", samples.images)
    write_array(folder / "masks.npy", samples.masks)
    names = {"ids": samples.ids, "groups": samples.groups, "origins": samples.origins}
    write_json(folder / "samples.json", names)


def read_image_set(folder: Path) -> ImageSet:
    """Return an image set whose pixels are mapped from disk, read-only."""
    names = read_json(folder / "samples.json")
    images, masks = read_array(folder / "images.npy"), read_array(folder / "masks.npy")
    return ImageSet(tuple(names["ids"]), images, masks, tuple(names["groups"]), tuple(names["origins"]))


def read_splits(folder: Path) -> Splits:
    """Return the splits of a dataset artifact."""
    return Splits(*(read_image_set(folder / name) for name in ("train", "validation", "test")))


def read_scores(arms: Sequence[Arm], image_ids: Sequence[str], folder_of: Callable[[Stage], Path]) -> ArmScores:
    """Return the scores of one arm from the evaluations of its seeds."""
    counts = [scores(np.asarray(read_array(folder_of(arm.evaluation) / "counts.npy"))) for arm in arms]
    values = {name: np.stack([one[name] for one in counts]) for name in counts[0]}
    return ArmScores(arms[0].name, tuple(image_ids), tuple(arm.seed for arm in arms), values)


def _arm_evidence(arms: Sequence[Arm], test: ImageSet, job: Job) -> ArmEvidence:
    first = arms[0]
    synthetic = []
    composition = {"real": len(read_json(job.inputs[first.dataset] / "train" / "samples.json")["ids"])}
    for stage in first.syntheses:
        samples = read_image_set(job.inputs[stage])
        origin = samples.origins[0]
        composition[origin] = composition.get(origin, 0) + len(samples)
        synthetic.append((origin, samples.take(range(min(SHOWN, len(samples))))))
    stages = [first.dataset, *first.generators, *first.syntheses, first.segmenter, first.evaluation]
    history = {stage.title: _history(job.inputs[stage]) for stage in (*first.generators, first.segmenter)}
    return ArmEvidence(
        scores=read_scores(arms, test.ids, lambda stage: job.inputs[stage]),
        predictions=read_array(job.inputs[first.evaluation] / "predictions.npy"),
        synthetic=tuple(synthetic),
        history={title: rows for title, rows in history.items() if rows},
        training_images=composition,
        recipe=yaml.safe_dump({**first.document, "seed": first.seed}, sort_keys=False, allow_unicode=True),
        seconds={stage.title: float(job.manifests[stage]["seconds"]) for stage in stages},
        warnings=tuple(warning for stage in first.generators for warning in _warnings(stage, job.inputs[stage])),
    )


def _warnings(stage: Stage, folder: Path) -> list[str]:
    """Return what a generator said against itself, in its ``health.json``."""
    file = folder / "health.json"
    sentences: Sequence[str] = read_json(file)["sentences"] if file.is_file() else []
    return [f"{stage.title}: {sentence}" for sentence in sentences]


def _excluded(dataset: Path) -> Mapping[str, str]:
    """Return what a report says of excluded copies, where the recipe asked for it."""
    file = dataset / "excluded.json"
    if not file.is_file():
        return {}
    names: Sequence[str] = read_json(file)
    return {"excluded copies": f"{len(names)} images with a copy in a later split ({', '.join(names)})"}


def _history(folder: Path) -> Sequence[Mapping[str, float]]:
    file = folder / "history.json"
    rows: Sequence[Mapping[str, float]] = read_json(file) if file.is_file() else []
    return rows


def _end_training(job: Job) -> None:
    from augkit.training import remove_checkpoints

    remove_checkpoints(job.folder)


def _group(record: Record, groups: Sequence[str], name: str) -> str:
    parent = record.get("parent")
    return groups[parent] if type(parent) is int else name


# What plugins return


def _check_splits(splits: Splits) -> None:
    if not isinstance(splits, Splits):
        raise _breach(f"load() returned {_describe(splits)}", "return augkit.Splits")
    if len(splits.train) == 0 or len(splits.test) == 0:
        raise _breach(
            f"the data set has {len(splits.train)} training and {len(splits.test)} test samples", "at least one of each"
        )
    if len({splits.train.size, splits.validation.size, splits.test.size}) > 1:
        raise _breach("the splits have different image sizes", "one size for all")
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for what in ("group", "id"):
        owners: dict[str, str] = {}
        for part, samples in parts.items():
            for name in getattr(samples, f"{what}s"):
                if not isinstance(name, str):
                    raise _breach(f"{what} {name!r} in {part} is {_describe(name)}", "return text")
                if owners.setdefault(name, part) != part:
                    raise _breach(f"{what} '{name}' is in {owners[name]} and {part}", f"each {what} in one split only")


def _check_masks(drawn: DrawnMasks, count: int, real: tuple[int, ...]) -> None:
    """Refuse what a mask source must not return; `real` is the shape of the training masks."""
    if not isinstance(drawn, DrawnMasks):
        raise _breach(f"draw() returned {_describe(drawn)}", "return augkit.DrawnMasks")
    shape = (count, *real[1:])
    if not isinstance(drawn.masks, np.ndarray) or drawn.masks.dtype != np.bool_ or drawn.masks.shape != shape:
        raise _breach(f"draw() returned masks {_describe(drawn.masks)}", f"return bool {shape}")
    empty = int((~drawn.masks.any(axis=(1, 2))).sum())
    if empty:
        raise _breach(f"draw() returned {empty} empty masks of {count}", "return masks with foreground")
    if len(drawn.records) != count:
        raise _breach(f"draw() returned {len(drawn.records)} records", f"return one per mask, {count}")
    for i, record in enumerate(drawn.records):
        _check_record(record, i, real[0])


def _check_record(record: Record, index: int, parents: int) -> None:
    try:
        json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _breach(f"record {index} cannot be written ({error})", "return text and finite plain numbers") from None
    parent = record.get("parent", 0)
    if type(parent) is not int or not 0 <= parent < parents:
        raise _breach(f"record {index} has parent {parent!r}", f"an int in 0 .. {parents - 1}, or no parent")


def _checked_images(images: Images, shape: tuple[int, ...]) -> Images:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (*shape, 3):
        raise _breach(f"the synthesizer returned {_describe(images)}", f"return uint8 0..255 {(*shape, 3)}")
    return images


def _checked_scores(values: Scores, shape: tuple[int, ...]) -> Scores:
    expected = (shape[0], 1, *shape[1:3])
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != expected:
        raise _breach(f"the predictor returned {_describe(values)}", f"return float32 0..1 {expected}")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise _breach(f"the predictor returned scores in {values.min()} .. {values.max()}", "return 0..1, finite")
    return values


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"a {type(value).__name__}"


def _breach(found: str, wanted: str) -> StageError:
    return StageError(Problem("contract", f"{found}; {wanted}"))
