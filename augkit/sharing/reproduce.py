"""A report computed again: its recorded recipes, seeds and circumstances, in a folder that holds nothing yet.

What differs from what the report recorded is known before anything is computed; scores are compared bit by bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augkit.contracts.precision import precision_of_run
from augkit.errors import AugkitError, InputError, Problem
from augkit.planning.loading import load_checked
from augkit.planning.plan import Plan
from augkit.planning.tasks import LoadDataset, Stage, WriteReport
from augkit.report.origin import ORIGIN, Difference, Origin, differences, first_divergence, origin_of, read_origin
from augkit.report.recorded import Recorded, read_report
from augkit.report.verdict.scores import ArmScores
from augkit.running.engine import environment
from augkit.running.session import How, Session
from augkit.store import read_json, temporary_folder, write_json

RECORD = "reproduction.json"
"""In the folder of a reproduction: of what it is, and in the end what came out."""


@dataclass(frozen=True)
class Reproduction:
    """What is to be computed again, and what differs already.

    differences: between the report and what would be computed here; of kind ``data`` and ``recipe`` are serious.
    identity:    what makes it this reproduction and no other: an interrupted one of the same identity is continued.
    """

    report: Recorded
    origin: Origin
    plan: Plan
    how: How
    differences: tuple[Difference, ...]
    identity: Mapping[str, Any]


def circumstances(origin: Origin, device: str | None, precision: str | None, threads: int | None, jobs: int = 1) -> How:
    """Return how to compute: as recorded, but for what somebody asks for."""
    recorded = origin.environment
    device = device or str(recorded.get("device", "auto"))
    found = precision or str(recorded.get("precision", "auto"))
    wanted = threads or int(recorded.get("threads", 0)) or None
    return How(device=device, precision=found, jobs=jobs, threads=wanted)


def prepare_reproduction(folder: Path, changes: Sequence[str], how: How) -> Reproduction:
    """Return what computing a report again here means; nothing is computed.

    folder:  of the report; its recorded recipes count, whatever became of the files they were read from.
    changes: as given to ``--set``, to say where files lie here.

    Raises `InputError` where recipes or data cannot be read.
    """
    report, origin = read_report(folder), read_origin(folder)
    recipes = {Path(one.file).name: (folder / one.file).read_bytes() for one in origin.recipes}
    with temporary_folder(recipes) as place:
        try:
            checked, _ = load_checked([place / name for name in recipes], changes)
        except AugkitError as error:
            shown = str(folder / "recipes")
            problems = [replace(one, where=one.where.replace(str(place), shown)) for one in error.problems]
            hint = "Where files lie elsewhere here: --set PATH=VALUE, as in --set dataset.folder.root=my_data"
            raise InputError(*problems, Problem(str(folder), "its recipes cannot be run here", hint)) from error
    plan = Session(how).plan(checked, origin.seeds, origin.contrasts)
    here = _origin_here(plan, how)
    digest = hashlib.sha256((folder / ORIGIN).read_bytes() + (folder / "per_image.csv").read_bytes()).hexdigest()
    asked = {"device": how.device, "precision": how.precision, "threads": how.threads}
    identity = {
        "report": report.folder.name,
        "digest": digest,
        **asked,
        "stages": [stage.address.fingerprint for stage in plan.stages()],
        "environment": dict(here.environment),
    }
    return Reproduction(report, origin, plan, how, differences(origin, here), identity)


def _origin_here(plan: Plan, how: How) -> Origin:
    """Return the origin that the report to come will have, but for what its stages contain."""
    from augkit.training.precision import choose_device

    try:
        device = choose_device(how.device)
    except InputError as error:
        hint = "The report was made on it; with --device cpu it is computed elsewhere, and not to the same digits"
        raise InputError(*(replace(one, hint=hint) for one in error.problems)) from error
    with precision_of_run(how.precision):
        facts = {**environment(device), "processes": 1}
    facts |= {"threads": how.threads} if how.threads else {}
    task = plan.report.task
    assert isinstance(task, WriteReport)

    def known(stage: Stage) -> tuple[Mapping[str, Any], str]:
        return ({**facts, "device": "cpu"} if isinstance(stage.task, LoadDataset) else facts), ""

    return origin_of(plan.arms, task.files, known)


HINTS = {
    "data": "Give --anyway to compute it on these",
    "recipe": "--set is for where files lie here; of another version defaults may differ: --anyway computes it so",
    "seeds": "Give --anyway to compute it with these",
}
"""What differs seriously -> what to do about it."""


def refuse_serious(found: Sequence[Difference]) -> None:
    """Refuse other data, recipes and seeds: then other scores say nothing."""
    problems = [
        Problem(one.kind, f"differs from what was recorded: {str(one).partition(': ')[2]}", HINTS[one.kind])
        for one in found
        if one.kind in HINTS
    ]
    if problems:
        raise InputError(*problems)


def choose_out(out: Path | None, wanted: Reproduction) -> tuple[Path, bool]:
    """Return the folder to compute in, and whether an interrupted reproduction is continued there.

    out: a new or empty folder, or one where the same was interrupted; None for the first of ``reproduced-NAME``,
         ``reproduced-NAME-2`` and so on that is.
    """
    if out is not None:
        state = _state(out, wanted.identity)
        if state == "used":
            what = "holds something else, or a reproduction that has ended; allowed: a new or empty folder"
            raise InputError(Problem(f"--out {out}", what, "What is there already would not be computed again"))
        return out, state == "begun"
    number = 1
    while True:
        place = Path(f"reproduced-{wanted.report.folder.name}{'' if number == 1 else f'-{number}'}")
        state = _state(place, wanted.identity)
        if state != "used":
            return place, state == "begun"
        number += 1


def _state(out: Path, identity: Mapping[str, Any]) -> str:
    """Return ``free``, ``begun`` where this very reproduction was interrupted, or ``used``."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return "free"
    with suppress(OSError, ValueError, AttributeError):
        record = read_json(out / RECORD)
        if record.get("of") == _plain(identity) and record.get("result") is None:
            return "begun"
    return "used"


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in identity.items()}


def begin(wanted: Reproduction, out: Path) -> None:
    """Mark a folder as the place of this reproduction."""
    write_json(out / RECORD, {"of": _plain(wanted.identity), "result": None})


# Scores, recorded and here


@dataclass(frozen=True)
class Outcome:
    """The scores of one arm with one seed, recorded and here.

    dice:    the two means over the images.
    images:  how many there are; `other` of them have another score in some metric.
    largest: the image whose Dice differs most, and by how much.
    external: the name of the external set that the images are of; '' for the test images.
    """

    arm: str
    seed: int
    dice: tuple[float, float]
    images: int
    other: int
    largest: tuple[str, float]
    external: str = ""

    @property
    def equal(self) -> bool:
        """Whether every score of every image is the same to the last digit."""
        return self.other == 0


@dataclass(frozen=True)
class Result:
    """What a reproduction found: each arm and seed, what differs, and which stages came out differently first."""

    folder: Path
    outcomes: tuple[Outcome, ...]
    differences: tuple[Difference, ...]
    divergence: str

    @property
    def equal(self) -> bool:
        """Whether all scores are."""
        return all(one.equal for one in self.outcomes)


def conclude(wanted: Reproduction, folder: Path, out: Path) -> Result:
    """Compare the report in `folder` with the one that it reproduces, and write what was found beside it."""
    again, origin = read_report(folder), read_origin(folder)
    outcomes = compare_scores(wanted.report.arms, again.arms) + tuple(
        replace(one, external=name)
        for name, found in wanted.report.external.items()
        if name in again.external
        for one in compare_scores(found.arms, again.external[name].arms)
    )
    result = Result(folder, outcomes, differences(wanted.origin, origin), first_divergence(wanted.origin, origin))
    found = {
        "equal": result.equal,
        "outcomes": [asdict(one) for one in outcomes],
        "differences": [asdict(one) for one in result.differences],
        "first_divergence": result.divergence,
    }
    write_json(out / RECORD, {"of": _plain(wanted.identity), "result": found})
    return result


def compare_scores(recorded: Sequence[ArmScores], again: Sequence[ArmScores]) -> tuple[Outcome, ...]:
    """Return the outcome of every arm and seed that both have."""
    here = {arm.arm: arm for arm in again}
    pairs = [(arm, here[arm.arm]) for arm in recorded if arm.arm in here]
    return tuple(_outcome(a, b, seed) for a, b in pairs for seed in a.seeds if seed in b.seeds)


def _outcome(first: ArmScores, second: ArmScores, seed: int) -> Outcome:
    i, j, metrics = first.seeds.index(seed), second.seeds.index(seed), first.metrics
    dice = float(first.values["dice"][i].mean()), float(second.values["dice"][j].mean())
    common = [name for name in first.image_ids if name in set(second.image_ids)]
    a, b = (
        np.array([[arm.values[metric][place][arm.image_ids.index(name)] for name in common] for metric in metrics])
        for arm, place in ((first, i), (second, j))
    )
    unequal = ~((a == b) | (np.isnan(a) & np.isnan(b))) if common else np.zeros((len(metrics), 0), bool)
    apart = np.abs(a - b)[metrics.index("dice")] if common else np.zeros(0)
    alone = len({*first.image_ids, *second.image_ids}) - len(common)
    worst = int(np.nanargmax(apart)) if common else 0
    largest = (
        (common[worst], float(b[metrics.index("dice")][worst] - a[metrics.index("dice")][worst]))
        if common
        else ("", 0.0)
    )
    return Outcome(first.arm, seed, dice, len(first.image_ids), int(unequal.any(axis=0).sum()) + alone, largest)
