"""Recipes read from files: to plan, to run, to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augkit.contracts.registry import Registry
from augkit.errors import InputError, Problem
from augkit.face.result import Result
from augkit.planning.components import CheckedRecipe
from augkit.planning.loading import load_checked
from augkit.running.session import How, Session

if TYPE_CHECKING:
    from augkit.face.parts import Parts
    from augkit.planning.plan import Plan
    from augkit.training.replay import Replay

File = str | Path


@dataclass(frozen=True)
class Study:
    """One arm or several: recipes whose components are checked."""

    recipes: tuple[CheckedRecipe, ...]
    registry: Registry

    def plan(self, seeds: Iterable[int] | None = None, out: File = "runs") -> Plan:
        """Return what a run would do; nothing is computed, and torch is not imported."""
        return Session(How(Path(out))).plan(self.recipes, _checked_seeds(seeds))

    def run(
        self,
        seeds: Iterable[int] | None = None,
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
        from augkit.running.forecast import Forecast, asks_for_verdict

        chosen = _checked_seeds(seeds)
        audience = Audience(self.registry.choose_observers(_listed(observers, "observers"), "observer"))
        session = Session(How(Path(out), device, precision, jobs, threads), audience.tell)
        planned = session.plan(self.recipes, chosen)
        forecast = Forecast(planned, session.store) if asks_for_verdict(planned) else None
        with audience:
            return Result(session.run(planned, forecast))

    def parts(
        self, seed: int | None = None, *, out: File = "runs", device: str = "auto", train: bool = False
    ) -> tuple[Parts, ...]:
        """Return the parts of each recipe: training images, generators, mask sources, segmenter.

        seed:  instead of the recipes' own.
        train: fit generators that are not there yet; otherwise only data sets are read and kept in `out`.
        """
        from augkit.face.parts import parts_of

        session = Session(How(Path(out), device))
        return tuple(parts_of(recipe, session, seed, train, self.registry) for recipe in self.recipes)

    def __repr__(self) -> str:
        return f"Study({', '.join(recipe.recipe.name for recipe in self.recipes)})"


def load_recipe(*files: File, changes: Mapping[str, object] | Sequence[str] | None = None) -> Study:
    """Return the recipes of some files, checked.

    files:   paths, or names of shipped recipes as ``augkit ls`` lists them.
    changes: values to change, as ``--set`` does: ``{"segmenter.unet.steps": 100}``, or texts as it takes them.

    Raises `InputError` with every problem of every file.
    """
    if not files:
        raise InputError(Problem("recipes", "found none; allowed: at least one file", "'augkit ls' lists shipped ones"))
    if isinstance(changes, Mapping):
        changes = [f"{path}={json.dumps(value, default=_plain)}" for path, value in changes.items()]
    settings = _listed(changes or (), "changes")
    return Study(*load_checked([Path(file) for file in files], settings))


def _plain(value: Any) -> Any:
    """Return what JSON knows of a number of NumPy's, a path, and the like."""
    return value.item() if hasattr(value, "item") else str(value)


def _listed(values: Sequence[str], what: str) -> Sequence[str]:
    if isinstance(values, str):
        raise InputError(Problem(what, f"found the text '{values}'; allowed: a list of names", f"As in ['{values}']"))
    return values


def _checked_seeds(seeds: Iterable[int] | None) -> list[int] | None:
    """Return the seeds as plain numbers; refuse what a recipe may not say either."""
    if seeds is None:
        return None
    hint = "As in range(6) or [0, 1, 2]"
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise InputError(Problem("seeds", f"found {seeds!r}; allowed: several whole numbers", hint))
    found = list(seeds)
    wrong = [seed for seed in found if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0]
    if wrong or not found:
        what = f"found {wrong[0]!r}" if wrong else "found none"
        raise InputError(Problem("seeds", f"{what}; allowed: whole numbers from 0", hint))
    return [int(seed) for seed in found]


def run(
    *files: File,
    seeds: Iterable[int] | None = None,
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
    recipe: File | Study,
    sample: int | str | Sequence[int | str] = 0,
    epoch: int = 0,
    *,
    changes: Mapping[str, object] | None = None,
    out: File = "runs",
) -> Replay:
    """Return real training samples as the segmenter sees them in an epoch, and what was drawn for each.

    recipe:  with one arm; its data set is read and kept in `out` if it is not there.
    changes: to a recipe that is read from a file, as for `load_recipe`.
    sample:  ids of training samples, or their places in the training split.
    """
    from augkit.data.stored import read_image_set
    from augkit.training.replay import replay as replay_samples

    study = recipe if isinstance(recipe, Study) else load_recipe(recipe, changes=changes)
    session = Session(How(Path(out), "cpu"))
    supply = session.plan_supply(_only(study.recipes))
    (folder,) = session.build([supply.training])
    train = read_image_set(folder / "train")
    wanted = [sample] if isinstance(sample, int | str) else sample
    some = train.take([_place(one, train.ids) for one in wanted])
    return replay_samples(supply.augment, some, supply.augment_seed, epoch)


def _only(recipes: Sequence[CheckedRecipe]) -> CheckedRecipe:
    if len(recipes) != 1:
        names = ", ".join(checked.recipe.name for checked in recipes)
        raise InputError(Problem("recipe", f"found the arms {names}; allowed: one", "Replay one recipe at a time"))
    return recipes[0]


def _place(sample: int | str, ids: Sequence[str]) -> int:
    if isinstance(sample, str):
        if sample not in ids:
            raise InputError(Problem("sample", f"no training sample is called '{sample}'", f"As in {ids[0]}"))
        return ids.index(sample)
    if not -len(ids) <= sample < len(ids):
        raise InputError(Problem("sample", f"found {sample}; allowed: 0 .. {len(ids) - 1}"))
    return sample
