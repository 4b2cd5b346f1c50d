"""Commands that tell beforehand what a run would do and whether it can: plan, validate."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augkit.commands.arguments import (
    Changes,
    Contrasts,
    Device,
    Jobs,
    Out,
    Precision,
    Recipe,
    Recipes,
    Seeds,
    Threads,
    computing_with,
    parse_contrasts,
    parse_seeds,
)
from augkit.commands.terminal import complain, explained, say, shown

if TYPE_CHECKING:
    from augkit.planning.components import CheckedRecipe
    from augkit.planning.plan import Plan
    from augkit.planning.tasks import Stage
    from augkit.report.verdict.contrasts import Asked
    from augkit.running.engine import Engine
    from augkit.store import Store


def plan(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    contrasts: Contrasts = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Try each training for some seconds; keeps data sets and masks.")
    ] = False,
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
) -> None:
    """Show the stages of a run: what exists, what will be built, and where. Writes nothing without --estimate.

    An estimate takes --precision, --jobs and --threads as the run will be given them.
    """
    with explained():
        from augkit.contracts.events import COMPARISON
        from augkit.contracts.precision import precision_of_run
        from augkit.planning.loading import load_checked
        from augkit.running.forecast import Forecast, asks_for_verdict
        from augkit.running.session import How, Session

        checked, _ = load_checked(recipes, changes or ())
        session = Session(How(out, device, precision))
        asked = parse_contrasts(contrasts, list(dict.fromkeys(one.recipe.name for one in checked)))
        planned = session.plan(checked, parse_seeds(seeds), asked)
        store, engine = session.store, session.engine
        for line in (*_formats(checked), *_folds(planned), *_outlook(planned, store, asked)):
            print(line)
        if asks_for_verdict(planned):
            complain(*(f"{COMPARISON}: {line}" for line in Forecast(planned, store, (), asked).lines()))
        if estimate:
            with precision_of_run(precision), computing_with(jobs, threads):
                _print_estimate(planned, store, engine, jobs or 1)
            return
        missing, stages = engine.missing(planned), planned.stages()
        shards = {shard for stage in stages for shard in stage.shards}
        for stage in stages:
            exists = store.has(stage.address)
            state = "exists" if exists else "will be built" if stage in missing else "not needed"
            if stage not in shards:
                title = stage.title + _in_shards(stage, store)
                print(f"{state:<14} {title:<46} {shown(store.path(stage.address))}")


def _in_shards(stage: Stage, store: Store) -> str:
    """Return in how many shards a set is made, in words; '' for one that is made in one piece."""
    if not stage.shards:
        return ""
    there = sum(store.has(shard.address) for shard in stage.shards)
    return f" in {len(stage.shards)} shards" + (f", {there} of which exist" if there else "")


def _formats(checked: Sequence[CheckedRecipe]) -> list[str]:
    """Return what the data sets hold that is not 8-bit RGB with one class."""
    from augkit.contracts.components import HasFormat
    from augkit.data.formats import Format

    sets = [(data.name, data.instance) for one in checked for data, _ in one.data]
    told = [(name, found.format()) for name, found in sets if isinstance(found, HasFormat)]
    return [f"data set {name}: {format}" for name, format in dict.fromkeys(told) if format != Format()]


def _outlook(planned: Plan, store: Store, asked: Asked) -> Iterator[str]:
    """Yield how large the splits are, and how small an effect the comparison can show."""
    from augkit.planning.tasks import LoadDataset
    from augkit.report.verdict.outlook import smallest_effect
    from augkit.running.forecast import expected_arms, split_sizes, trained_arms

    sizes, counted = split_sizes(planned, store)
    if not sizes:
        yield "split sizes: known once the data is read, as by augkit validate --data"
        return
    fold = " (of the first fold)" if planned.arms[0].fold is not None else ""
    about = "" if counted or isinstance(planned.arms[0].training.task, LoadDataset) else "about "
    listed = ", ".join(f"{count} {split}" for split, count in sizes.items())
    yield f"split sizes{fold}: {about}{listed}"
    yield from smallest_effect(expected_arms(planned, store), trained_arms(planned, store), asked)


def _folds(planned: Plan) -> list[str]:
    """Return how many trainings folds make of some arms and seeds; nothing where there are none."""
    names, seeds, folds = ({getattr(arm, what) for arm in planned.arms} for what in ("name", "seed", "fold"))
    if None in folds:
        return []
    each = {stage for arm in planned.arms for stage in (arm.segmenter, *arm.generators)}
    kinds = {kind: sum(stage.address.kind == kind for stage in each) for kind in ("segmenter", "generator")}
    counts = ((len(names), "arm"), (len(seeds), "seed"), (len(folds), "fold"))
    product = " x ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    trained = " and ".join(f"{count} {kind}s" for kind, count in kinds.items() if count)
    return [f"{product}: {trained} to train"]


def _print_estimate(planned: Plan, store: Store, engine: Engine, jobs: int) -> None:
    from augkit.amounts import bytes_text, duration
    from augkit.errors import InterruptedRunError
    from augkit.running.estimate import estimate_plan, is_busy, total_seconds

    try:
        found = estimate_plan(planned, store, engine)
    except InterruptedRunError as end:  # a training that was tried out says that it saved its state, which goes
        complain("Interrupted.")
        sys.exit(end.exit_code)
    print(f"{'':<14} {'stage':<46} {'time':>12} {'memory':>10} {'disk':>10}  basis")
    for stage in planned.stages():
        if stage not in found:
            print(f"{'exists' if store.has(stage.address) else 'not needed':<14} {stage.title}")
            continue
        one = found[stage]
        time = "unknown" if one.seconds is None else duration(one.seconds)
        cells = f"{time:>12} {bytes_text(one.memory):>10} {bytes_text(one.disk):>10}  {one.basis}"
        print(f"{'will be built':<14} {stage.title:<46} {cells}")
    unknown = sum(one.seconds is None for one in found.values())
    memory = max((one.memory for one in found.values() if one.memory is not None), default=None)
    disk = sum(one.disk for one in found.values() if one.disk is not None)
    least = f", and {unknown} stages of unknown time" if unknown else ""
    together = f" with {jobs} jobs" if jobs > 1 else ""
    each = " for each job" if jobs > 1 else ""
    time = duration(total_seconds(found, jobs))
    if found and is_busy():
        print("⚠ Other programs are using this machine's processor: the times are those of a run beside them.")
    print(f"in all: {time}{together}{least}; memory {bytes_text(memory)}{each}; disk {bytes_text(disk)}")


def validate(
    recipes: Recipes,
    changes: Changes = None,
    data: Annotated[
        bool, typer.Option("--data", help="Also read every image and mask, as a run would; takes as long as that.")
    ] = False,
) -> None:
    """Check recipes, their components and that their data is there. Writes nothing."""
    with explained():
        from augkit.planning.components import remarks_of
        from augkit.planning.loading import load_checked

        checked, _ = load_checked(recipes, changes or ())
        for remark in remarks_of(checked):
            say(remark)
        if data:
            for line in _read_data(checked):
                say(line)
        for one in {one.recipe.file: one for one in checked}.values():  # a sweep is several recipes in one file
            only = "" if one.segmenter else " for making images; it names no segmenter, which run and compare need"
            print(f"{one.recipe.file}: ok{only}")


def controls(
    recipe: Recipe,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; beside the recipe, in controls/, if not given.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Write the controls of a recipe: the same without synthetic images, with repeated, noise, shuffled and only them.

    A synthetic source can help for the wrong reason; each control takes one reason away.
    """
    with explained():
        from augkit.planning.controls import write_controls
        from augkit.planning.loading import load_checked

        checked, _ = load_checked([recipe], changes or ())
        for file in write_controls(checked[0].recipe, to or recipe.parent / "controls"):
            print(file)


def _read_data(checked: Sequence[CheckedRecipe]) -> list[str]:
    """Return what the images and masks of some recipes are, reading each data set once. `InputError` tells of all."""
    from dataclasses import replace

    from augkit.errors import AugkitError, InputError
    from augkit.running.stages.dataset import check_folds, read_dataset

    datasets: list[tuple[Any, str]] = []
    for data, reference in (part for one in checked for part in one.data):
        if all(data.instance != known for known, _ in datasets):  # compared, not hashed: an option may be a mapping
            datasets.append((data.instance, reference.where))
    lines, problems = [], []
    for dataset, where in datasets:
        try:
            splits, remarks = read_dataset(dataset)
            for folds in {one.recipe.folds for one in checked if one.dataset.instance == dataset}:
                if folds is not None:
                    check_folds(splits, folds.count, folds.of)
        except AugkitError as error:
            problems += [replace(problem, where=f"{where}: {problem.where}") for problem in error.problems]
            continue
        counts = f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
        lines += [f"{where}: {counts} images read", *(f"{where}: {remark}" for remark in remarks)]
    if problems:
        raise InputError(*problems)
    return lines
