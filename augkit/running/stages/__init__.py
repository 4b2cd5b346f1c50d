"""One function per stage, in one module per kind of artifact: artifacts in, one artifact out.

What a plugin returns is checked there, where it enters the house, by `augkit.contracts.rules`, and a breach is told to
the plugin's author. What a module does, with all that it imports, is part of its artifacts' names
(`augkit.contracts.code`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from augkit.planning.tasks import (
    DrawMasks,
    Evaluate,
    Gather,
    HoldOutDevelopment,
    JudgeQuality,
    LoadDataset,
    PoolExternal,
    SelectAdherent,
    Synthesise,
    TakeFold,
    TakeShare,
    Task,
    TrainGenerator,
    TrainSegmenter,
    WriteReport,
)
from augkit.running.job import Job
from augkit.running.stages import (
    dataset,
    evaluation,
    external,
    generator,
    masks,
    quality,
    report,
    segmenter,
    selection,
    shards,
    synthesis,
)

STAGES: Mapping[type[Task], Callable[[Any, Job], None]] = {
    LoadDataset: dataset.load_dataset,
    HoldOutDevelopment: dataset.hold_out_development,
    TakeFold: dataset.take_fold,
    TakeShare: dataset.take_share,
    PoolExternal: external.pool_external,
    TrainGenerator: generator.train_generator,
    DrawMasks: masks.draw_masks,
    Synthesise: synthesis.synthesise,
    Gather: shards.gather,
    SelectAdherent: selection.select_adherent,
    TrainSegmenter: segmenter.train_segmenter,
    Evaluate: evaluation.evaluate,
    JudgeQuality: quality.judge_quality,
    WriteReport: report.write,
}


def run_stage(job: Job) -> None:
    """Do a stage's task: fill ``job.folder``."""
    STAGES[type(job.stage.task)](job.stage.task, job)
