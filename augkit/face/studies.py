"""Recipes read from files: to plan, to run, to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from augkit.contracts.registry import Registry
from augkit.errors import InputError, Problem
from augkit.face.result import Result
from augkit.planning.components import CheckedRecipe
from augkit.planning.loading import load_checked
from augkit.running.session import How, Session

if TYPE_CHECKING:
    from augkit.planning.plan import Plan
    from augkit.planning.tasks import Arm
    from augkit.training.replay import Replay

File = str | Path


@dataclass(frozen=True)
class Study:
    """One arm or several: recipes whose components are checked."""

    recipes: tuple[CheckedRecipe, ...]
    registry: Registry

    def plan(self, seeds: Sequence[int] | None = None, out: File = "runs") -> Plan:
        """Return what a run would do; nothing is computed, and torch is not imported."""
        return Session(How(Path(out))).plan(self.recipes, seeds)

    def run(
        self,
        seeds: Sequence[int] | None = None,
        *,
        out: File = "runs",
        device: str = "auto",
        precision: str | None = None,
        jobs: int = 1,
        threads: int | None = None,
        observers: Sequence[str] = ("progress",),
    ) -> Result:
        """Train, evaluate and compare; see `run`."""
        from augkit.running.audience import Audience

        audience = Audience(self.registry.choose_observers(observers, "observer"))
        session = Session(How(Path(out), device, precision, jobs, threads), audience.tell)
        planned = session.plan(self.recipes, None if seeds is None else list(seeds))
        with audience:
            return Result(session.run(planned))

    def __repr__(self) -> str:
        return f"Study({', '.join(recipe.recipe.name for recipe in self.recipes)})"


def load_recipe(*files: File, changes: Mapping[str, object] | None = None) -> Study:
    """Return the recipes of some files, checked.

    files:   paths, or names of shipped recipes as ``augkit ls`` lists them.
    changes: values to change, as ``--set`` does: ``{"segmenter.unet.steps": 100}``.

    Raises `InputError` with every problem of every file.
    """
    settings = [f"{path}={json.dumps(value)}" for path, value in (changes or {}).items()]
    return Study(*load_checked([Path(file) for file in files], settings))


def run(
    *files: File,
    seeds: Sequence[int] | None = None,
    changes: Mapping[str, object] | None = None,
    out: File = "runs",
    device: str = "auto",
    precision: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    observers: Sequence[str] = ("progress",),
) -> Result:
    """Train, evaluate and compare the arms that recipes describe; what exists already is reused.

    files, changes: as for `load_recipe`.
    seeds:          train every arm with each of these; the recipes' own if not given. A verdict takes four or more.
    out:            the folder of artifacts and reports, shared by all runs.
    device:         ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    precision:      ``auto``, ``float32`` or ``bfloat16``; what AUGKIT_PRECISION says if not given.
    jobs, threads:  stages built side by side, in processes, and the CPU threads of each.
    observers:      who hears of the progress, by the names of plugins; empty for silence.
    """
    return load_recipe(*files, changes=changes).run(
        seeds, out=out, device=device, precision=precision, jobs=jobs, threads=threads, observers=observers
    )


def replay(
    recipe: File | Study, sample: int | str | Sequence[int | str] = 0, epoch: int = 0, out: File = "runs"
) -> Replay:
    """Return real training samples as the segmenter sees them in an epoch, and what was drawn for each.

    recipe: with one arm; its data set is read and kept in `out` if it is not there.
    sample: ids of training samples, or their places in the training split.
    """
    from augkit.data.stored import read_image_set
    from augkit.planning.tasks import TrainSegmenter
    from augkit.training.replay import replay as replay_samples

    study = recipe if isinstance(recipe, Study) else load_recipe(recipe)
    session = Session(How(Path(out), "cpu"))
    arm = _only(session.plan(study.recipes).arms)
    (folder,) = session.build([arm.training])
    train = read_image_set(folder / "train")
    wanted = [sample] if isinstance(sample, int | str) else sample
    task = arm.segmenter.task
    assert isinstance(task, TrainSegmenter)
    return replay_samples(task.augment, train.take([_place(one, train.ids) for one in wanted]), task.seed, epoch)


def _only(arms: Sequence[Arm]) -> Arm:
    if len(arms) != 1:
        names = ", ".join(arm.name for arm in arms)
        raise InputError(Problem("recipe", f"found the arms {names}; allowed: one", "Replay one recipe at a time"))
    return arms[0]


def _place(sample: int | str, ids: Sequence[str]) -> int:
    if isinstance(sample, str):
        if sample not in ids:
            raise InputError(Problem("sample", f"no training sample is called '{sample}'", f"As in {ids[0]}"))
        return ids.index(sample)
    if not -len(ids) <= sample < len(ids):
        raise InputError(Problem("sample", f"found {sample}; allowed: 0 .. {len(ids) - 1}"))
    return sample
