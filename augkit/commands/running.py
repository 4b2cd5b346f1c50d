"""Commands that train the arms of a comparison and tell the result: run, compare."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import (
    Changes,
    ClusterFile,
    Contrasts,
    Detach,
    Device,
    Executor,
    Jobs,
    MixedNodes,
    Observers,
    Out,
    Precision,
    Quiet,
    Recipes,
    Seeds,
    Threads,
    parse_contrasts,
    parse_seeds,
)
from augkit.commands.terminal import complain, explained, prepare, print_comparison, say, shown
from augkit.contracts.executor import LOCAL

if TYPE_CHECKING:
    from augkit.contracts.registry import Registry
    from augkit.planning.components import CheckedRecipe
    from augkit.report.verdict.contrasts import Asked
    from augkit.report.verdict.scores import ArmScores
    from augkit.running.audience import Audience
    from augkit.running.session import How


def run(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    contrasts: Contrasts = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
    executor: Executor = LOCAL,
    cluster: ClusterFile = None,
    mixed_nodes: MixedNodes = False,
    detach: Detach = False,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate and compare the arms that the recipes describe.

    What exists already is reused, so a second call does nothing and an interrupted one continues.
    """
    with explained():
        from augkit.planning.cluster import find_executor
        from augkit.planning.loading import load_checked
        from augkit.running.session import How

        checked, registry = load_checked(recipes, changes or ())
        chosen, asked = parse_seeds(seeds), parse_contrasts(contrasts, _names(checked))
        elsewhere = find_executor(executor, cluster, mixed_nodes, detach, registry)
        how = How(out, device, precision, jobs, threads, elsewhere)
        folder = _run(checked, registry, chosen, asked, how, prepare(registry, quiet, observers or ()))
        if not _print_result(folder):
            _print_next(recipes, checked, changes or (), asked, how)


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|RECIPE...", help="Recipes, and folders or zips of reports."),
    ],
    changes: Changes = None,
    seeds: Seeds = None,
    margin: Annotated[
        float, typer.Option(help="Dice difference below which two arms count as equal.", min=0.0001, max=1)
    ] = 0.01,
    contrasts: Contrasts = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
    executor: Executor = LOCAL,
    cluster: ClusterFile = None,
    mixed_nodes: MixedNodes = False,
    detach: Detach = False,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Tell whether synthetic images help: run what is missing, then compare arms over images and seeds.

    Folders are compared as they are, the seeds of one arm put together; --seeds then chooses among their seeds.
    """
    with explained():
        from dataclasses import replace

        from augkit.contracts.registry import load_registry
        from augkit.errors import InputError, Problem
        from augkit.planning.cluster import find_executor
        from augkit.planning.loading import load_checked
        from augkit.report.comparison_page import write_comparison
        from augkit.report.recorded import merge, merge_external, read_report, why_scores_differ
        from augkit.report.verdict.comparison import compare as compare_arms
        from augkit.report.verdict.comparison import compare_external, comparison_record
        from augkit.running.session import How
        from augkit.sharing.zips import opened

        chosen = parse_seeds(seeds)
        folders = [s for s in sources if s.is_dir() or s.suffix == ".zip"]
        recipes = [s for s in sources if s not in folders]
        elsewhere = find_executor(executor, cluster, mixed_nodes, detach, load_registry())
        how = How(out, device, precision, jobs, threads, elsewhere)
        if changes and not recipes:
            what = "changes recipes, and none was given; allowed: with recipes"
            raise InputError(Problem(f"--set {changes[0]}", what))
        reports = []
        for source in folders:  # what is wrong is told before anything trains
            with opened(source) as folder:
                read = read_report(folder)
                reports.append(read if source.is_dir() else replace(read, folder=source))
        checked, registry = load_checked(recipes, changes or ()) if recipes else ((), None)
        known = dict.fromkeys([*_names(checked), *(arm.arm for report in reports for arm in report.arms)])
        asked = parse_contrasts(contrasts, list(known))
        if registry is not None:
            beside: Sequence[ArmScores] = merge(reports, None) if reports else ()
            if chosen is not None:
                beside = [replace(arm, seeds=tuple(set(arm.seeds) & set(chosen))) for arm in beside]
            folder = _run(checked, registry, chosen, asked, how, prepare(registry, quiet, observers or ()), beside)
            reports.insert(0, read_report(folder))
        arms = merge(reports, chosen)
        sets, left_out = merge_external(reports, chosen)
        found, external = compare_arms(arms, margin, asked), compare_external(sets, margin, asked)
        found = replace(found, remarks=(*found.remarks, *left_out))
        folder = write_comparison(reports, arms, found, out, {name: (sets[name], external[name]) for name in sets})
        warnings = dict.fromkeys(line for report in reports for line in report.warnings)
        print_comparison(arms, comparison_record(found), warnings)
        for name, there in sets.items():
            told = dict.fromkeys(line for report in reports for line in report.external[name].warnings)
            print_comparison(there, comparison_record(external[name]), told)
        for line in why_scores_differ(reports):
            say(f"Differs: {line}")
        for name in ("comparison.html", "per_image.csv"):
            say(str(folder / name))


def _run(
    checked: Sequence[CheckedRecipe],
    registry: Registry,
    seeds: Sequence[int] | None,
    asked: Asked,
    how: How,
    audience: Audience,
    beside: Sequence[ArmScores] | None = None,
) -> Path:
    """Build the report of some recipes and return its folder.

    asked:  contrasts that somebody asked for; those with arms of other reports are left to the comparison.
    beside: arms of reports to compare with; None where nobody asked for a comparison.
    """
    from augkit.planning.components import remarks_of
    from augkit.running.forecast import Forecast, asks_for_verdict
    from augkit.running.session import Session

    for remark in remarks_of(checked):
        complain(remark)
    session = Session(how, audience.tell)
    names = _names(checked)
    planned = session.plan(checked, seeds, [pair for pair in asked if set(pair) <= set(names)])
    wanted = beside is not None or asks_for_verdict(planned)
    forecast = Forecast(planned, session.store, beside or (), asked) if wanted else None
    with audience:
        return session.run(planned, forecast)


def _names(checked: Sequence[CheckedRecipe]) -> list[str]:
    """Return the arms' names, in the order in which a report has them."""
    return list(dict.fromkeys(one.recipe.name for one in checked))


def _print_result(folder: Path) -> bool:
    """Print the result of a run and return whether it came to a verdict."""
    from augkit.report.recorded import read_report
    from augkit.report.verdict.finding import NO_VERDICT

    report = read_report(folder)
    for one in (report, *report.external.values()):
        print_comparison(one.arms, one.comparison, one.warnings)
    say(f"Report: {shown(folder / 'report.html')}")
    return any(contrast["verdict"] != NO_VERDICT for contrast in report.comparison["contrasts"])


def _print_next(
    files: Sequence[Path], checked: Sequence[CheckedRecipe], changes: Sequence[str], asked: Asked, how: How
) -> None:
    """Say which command ends in a verdict, and how long it takes; nothing where no recipe for a control is at hand."""
    from augkit.amounts import duration
    from augkit.errors import InputError
    from augkit.planning.controls import missing_controls
    from augkit.planning.loading import load_checked
    from augkit.planning.shipped import name_of_shipped
    from augkit.report.verdict.comparison import planned_seeds
    from augkit.running.estimate import seconds_after_earlier
    from augkit.running.session import Session

    recipes = [one.recipe for one in checked]
    controls = missing_controls(recipes, changes)
    if controls is None or not any(recipe.synthesize for recipe in recipes):
        return
    everything = [*files, *(file if files[0].exists() else name_of_shipped(file) for file in controls)]
    session, folds = Session(how), recipes[0].folds
    seeds = planned_seeds(1 if folds is None else len(folds.only))
    try:
        plan = session.plan(load_checked(everything, changes)[0], range(seeds))
    except InputError:  # of a control that this run did not need
        return
    if not session.engine.missing(plan):
        return
    seconds = seconds_after_earlier(plan, session.store, session.engine, how.jobs or 1)
    words = ["augkit compare", *(shlex.quote(str(file)) for file in everything), f"--seeds 0..{seeds - 1}"]
    words += [f"--set {shlex.quote(change)}" for change in changes]
    words += [f"--contrast {':'.join(pair)}" for pair in asked]
    words += how.options()
    time = "" if seconds is None else f" (about {duration(seconds)} here)"
    say(f"For a verdict: {' '.join(words)}{time}")
