"""Recipes -> plan -> artifacts, in one place: what the commands and the face in Python build with."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from augkit.contracts.precision import PRECISIONS, precision_of_run
from augkit.errors import InputError, Problem, check_choice
from augkit.planning.components import CheckedRecipe
from augkit.planning.plan import Plan, make_plan, make_quality, make_supply
from augkit.running.elsewhere.workers import Workers
from augkit.running.engine import Engine
from augkit.running.scheduler import Tell
from augkit.store import Digests, Store

if TYPE_CHECKING:
    from augkit.contracts.events import Event
    from augkit.planning.cluster import Elsewhere
    from augkit.planning.tasks import Stage, Supply
    from augkit.running.forecast import Forecast


@dataclass(frozen=True)
class How:
    """How stages are to be built; raises `InputError` if it cannot be so.

    out:       the folder of artifacts and reports.
    device:    ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    precision: ``auto``, ``float32`` or ``bfloat16``, for what is built here and in processes started for that; None for
               what AUGKIT_PRECISION says.
    jobs:      stages built side by side, in processes; None for one, or as many as there is room for elsewhere.
    threads:   CPU threads of each job; None for its share of the cores. Decides bits.
    elsewhere: where the processes are; None for this machine.
    """

    out: Path = Path("runs")
    device: str = "auto"
    precision: str | None = None
    jobs: int | None = None
    threads: int | None = None
    elsewhere: Elsewhere | None = None

    def __post_init__(self) -> None:
        if self.precision is not None:
            check_choice("--precision", self.precision, PRECISIONS)
        if self.is_one_of_several and self.has_workers:
            what = "is for one process; allowed under torchrun: neither --jobs nor --threads nor --executor"
            raise InputError(Problem("--jobs", what, "Set OMP_NUM_THREADS for the threads of each process"))

    def options(self) -> list[str]:
        """Return the options of a command that builds in this way, without those that have their defaults."""
        default = How()
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "elsewhere"}
        words = [
            f"--{name} {shlex.quote(str(value))}"
            for name, value in values.items()
            if value not in ("auto", getattr(default, name))
        ]
        return [*words, *(self.elsewhere.options() if self.elsewhere else ())]

    @property
    def has_workers(self) -> bool:
        """Whether stages are built in other processes.

        In this one, numpy's threads cannot be changed any more: a wish for threads needs a worker, too.
        """
        return (self.jobs or 1) > 1 or self.threads is not None or self.elsewhere is not None

    @property
    def is_one_of_several(self) -> bool:
        """Whether torchrun started several of us."""
        found = os.environ.get("WORLD_SIZE", "1")
        if not found.isdecimal():
            what = f"found '{found}' in the environment; allowed: a number of processes, as torchrun sets it"
            raise InputError(Problem("WORLD_SIZE", what))
        return int(found) > 1


class Session:
    """One folder of artifacts, one device, and who hears of the progress. Writes nothing before it builds."""

    def __init__(self, how: How, tell: Tell = lambda event: None) -> None:
        self._how = how
        self._tell = tell
        self._forecast: Forecast | None = None
        self._out = how.out.absolute()  # whatever folder a plugin may work in
        self._digests = Digests(self._out)
        self.store = Store(self._out)
        # Digests are saved so that no worker reads the data again to plan.
        workers = Workers(self._out, how.jobs, how.threads, how.elsewhere, self._digests.save)
        self.engine = Engine(self.store, how.device, self._hear, workers if how.has_workers else None, self._digests)

    def plan(
        self,
        recipes: Sequence[CheckedRecipe],
        seeds: Sequence[int] | None = None,
        contrasts: Sequence[tuple[str, str]] = (),
    ) -> Plan:
        """Return the plan of these arms; `seeds` replaces the recipes' own, `contrasts` are asked for besides."""
        return make_plan(recipes, seeds, self._digests, contrasts)

    def plan_quality(self, recipes: Sequence[CheckedRecipe], seeds: Sequence[int] | None = None) -> tuple[Stage, ...]:
        """Return one stage per synthetic source and seed that judges its images."""
        return make_quality(recipes, seeds, self._digests)

    def plan_supply(self, recipe: CheckedRecipe, seed: int | None = None) -> Supply:
        """Return what a recipe has a segmenter learn from, for commands that train none."""
        return make_supply(recipe, seed, self._digests)

    def build(self, stages: Sequence[Stage]) -> tuple[Path, ...]:
        """Build these stages and everything they need, and return the stages' folders."""
        with precision_of_run(self._how.precision):
            folders = self.engine.build(stages)
        self._digests.save()
        return folders

    def run(self, plan: Plan, forecast: Forecast | None = None) -> Path:
        """Build everything the plan's report needs and return the report's folder; a forecast tells what it foresees.

        Where torchrun started several processes, the first one comes back; the others train with it and end.
        """
        self._forecast = forecast
        if not self._how.is_one_of_several:
            return self.build((plan.report,))[0]
        from augkit.running.followers import dismiss, follow, meet

        if meet() > 0:
            with precision_of_run(self._how.precision):
                follow(plan, self.store, self._how.device)
            sys.exit()  # the first process does the rest
        (folder,) = self.build((plan.report,))
        dismiss()
        return folder

    def _hear(self, event: Event) -> None:
        """Hand an event on, and after it what the forecast says to it."""
        self._tell(event)
        for note in self._forecast.hear(event) if self._forecast else ():
            self._tell(note)
