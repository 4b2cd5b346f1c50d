"""Quality: how good a synthetic set is."""

from __future__ import annotations

from augkit.contracts.rules import check_images
from augkit.data.arrays import ImageSet
from augkit.data.stored import read_image_set, write_quality
from augkit.planning.tasks import JudgeQuality
from augkit.quality.judge import Material, judge, some_of
from augkit.running.job import Job
from augkit.running.stages.predictions import segmented


def judge_quality(task: JudgeQuality, job: Job) -> None:
    """Write ``quality.json``, ``images.json`` (a list per column) and a PNG per picture."""
    dataset = job.inputs["dataset"]
    predict = None if task.segmenter is None else task.segmenter.open(job.inputs["segmenter"], job.device)
    paint = task.generator.open(job.inputs["generator"], job.device)
    train = read_image_set(dataset / "train")
    synthetic = read_image_set(job.inputs["synthesis"])
    material = Material(
        train=train,
        held_out=ImageSet.concatenate([read_image_set(dataset / name) for name in ("validation", "test")]),
        synthetic=some_of(synthetic),
        segment=None if predict is None else lambda images: segmented(predict, images, train.format),
        paint=lambda masks, draws: check_images(paint(masks, draws), masks.shape, train.format),
        seed=task.seed,
        painted=len(synthetic),
    )
    write_quality(job.folder, judge(material))
