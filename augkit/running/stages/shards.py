"""Sets in shards: what stands for a set that was made in parts."""

from __future__ import annotations

from augkit.data.stored import write_shards
from augkit.planning.tasks import DrawMasks, Gather, Stage, Synthesise
from augkit.running.job import Job


def gather(task: Gather, job: Job) -> None:
    """Write which artifacts hold the samples of a set, in order, and what is in them; none is copied."""
    listed = set(job.stage.shards)
    shards = {name: stage for name, stage in job.stage.inputs.items() if stage in listed}
    contents = [
        {
            "samples": _samples(stage),
            "files": {file: facts["sha256"] for file, facts in job.manifests[name]["files"].items()},
        }
        for name, stage in shards.items()
    ]
    write_shards(job.folder, contents, [stage.address for stage in shards.values()], None)


def _samples(stage: Stage) -> int:
    task = stage.task
    assert isinstance(task, (DrawMasks, Synthesise))
    assert task.cut is not None
    return task.cut.stop - task.cut.start
