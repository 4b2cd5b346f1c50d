"""Quality: how good a synthetic set is."""

from __future__ import annotations

from augkit.contracts.rules import check_images
from augkit.data.arrays import ImageSet
from augkit.data.stored import read_image_set
from augkit.planning.tasks import JudgeQuality
from augkit.quality.judge import Material, judge
from augkit.running.job import Job
from augkit.running.stages.predictions import segmented
from augkit.store import write_bytes, write_json


def judge_quality(task: JudgeQuality, job: Job) -> None:
    """Write ``quality.json``, ``images.json`` (a list per column) and a PNG per picture."""
    dataset = job.inputs["dataset"]
    predict = task.segmenter.open(job.inputs["segmenter"], job.device)
    paint = task.generator.open(job.inputs["generator"], job.device)
    material = Material(
        train=read_image_set(dataset / "train"),
        held_out=ImageSet.concatenate([read_image_set(dataset / name) for name in ("validation", "test")]),
        synthetic=read_image_set(job.inputs["synthesis"]),
        segment=lambda images: segmented(predict, images),
        paint=lambda masks, draws: check_images(paint(masks, draws), masks.shape),
        seed=task.seed,
    )
    quality = judge(material)
    write_json(job.folder / "quality.json", {"origin": material.synthetic.origins[0], **quality.record})
    write_json(job.folder / "images.json", quality.per_image)
    for name, png in quality.pictures.items():
        write_bytes(job.folder / f"{name}.png", png)
