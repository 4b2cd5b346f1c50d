"""Reports: the arms compared."""

from __future__ import annotations

from datetime import date

from augkit.planning.tasks import WriteReport
from augkit.report.costs import cost_record
from augkit.running.job import Job
from augkit.store import write_json


def write(task: WriteReport, job: Job) -> None:
    """Write the report of all arms, and ``costs.json``."""
    from augkit.report.gather import gather_evidence
    from augkit.report.page import write_report

    inputs = {stage: job.inputs[name] for name, stage in job.stage.inputs.items()}
    manifests = {stage: job.manifests[name] for name, stage in job.stage.inputs.items()}
    costs = cost_record((stage.title, manifest) for stage, manifest in manifests.items())
    write_report(gather_evidence(task, inputs, manifests, costs, date.today().isoformat()), job.folder)
    write_json(job.folder / "costs.json", costs)
