"""Commands that train the arms of a comparison and tell the result: run, compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import (
    Changes,
    Device,
    How,
    Jobs,
    Observers,
    Out,
    Precision,
    Quiet,
    Recipes,
    Seeds,
    Threads,
    parse_seeds,
)
from augkit.commands.terminal import explained, open_console, prepare, print_table, print_verdict

if TYPE_CHECKING:
    from augkit.contracts.executor import Executor
    from augkit.contracts.registry import Registry
    from augkit.planning.components import CheckedRecipe


def run(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = 1,
    threads: Threads = None,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate and compare the arms that the recipes describe.

    What exists already is reused, so a second call does nothing and an interrupted one continues.
    """
    with explained():
        from augkit.planning.loading import load_checked

        checked, registry = load_checked(recipes, changes or ())
        chosen = parse_seeds(seeds)
        how = How(out, device, precision, quiet, jobs, threads, observers or ())
        _print_result(_run(checked, registry, chosen, how))


def compare(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN|RECIPE...", help="Recipes, or folders of reports, or both.")
    ],
    changes: Changes = None,
    seeds: Seeds = None,
    margin: Annotated[
        float, typer.Option(help="Dice difference below which two arms count as equal.", min=0.0001, max=1)
    ] = 0.01,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = 1,
    threads: Threads = None,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Tell whether synthetic images help: run what is missing, then compare arms over images and seeds.

    Folders are compared as they are, the seeds of one arm put together; --seeds then chooses among their seeds.
    """
    with explained():
        chosen = parse_seeds(seeds)
        recipes, folders = [s for s in sources if not s.is_dir()], [s for s in sources if s.is_dir()]
        how = How(out, device, precision, quiet, jobs, threads, observers or ())
        _compare(recipes, folders, changes, chosen, margin, how)


def _run(checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, how: How) -> Path:
    """Build the report of some recipes and return its folder."""
    from augkit.planning.plan import make_plan
    from augkit.running.engine import Engine
    from augkit.running.local import LocalExecutor, threads_of
    from augkit.store import Digests, Store

    audience = prepare(registry, how)
    digests = Digests(how.out)
    planned = make_plan(checked, seeds, digests)
    if how.is_one_of_several:
        from augkit.running.followers import follow, meet

        if meet() > 0:
            follow(planned, Store(how.out), how.device)
            sys.exit()  # the first process does the rest

    def start(usable: str) -> Executor:
        digests.save()  # so that no worker reads the data again to plan
        return LocalExecutor(how.out, usable, how.jobs, how.threads or threads_of(how.jobs))

    # In this process, numpy's threads cannot be changed any more: a wish for threads needs a worker, too.
    executor = None if how.jobs == 1 and how.threads is None else start
    with audience:
        folder = Engine(Store(how.out), how.device, audience.tell, executor, digests).run(planned)
    digests.save()
    if how.is_one_of_several:
        from augkit.running.followers import dismiss

        dismiss()
    return folder


def _compare(
    recipes: list[Path],
    folders: list[Path],
    changes: list[str] | None,
    seeds: list[int] | None,
    margin: float,
    how: How,
) -> None:
    from augkit.errors import InputError, Problem
    from augkit.planning.loading import load_checked
    from augkit.report.comparison_page import write_comparison
    from augkit.report.recorded import merge, read_report
    from augkit.report.tables import table_rows, table_title
    from augkit.store import read_json

    if changes and not recipes:
        raise InputError(Problem(f"--set {changes[0]}", "changes recipes, and none was given; allowed: with recipes"))
    reports = [read_report(folder) for folder in folders]  # what is wrong with them is told before anything trains
    if recipes:
        reports.insert(0, read_report(_run(*load_checked(recipes, changes or ()), seeds, how)))
    arms = merge(reports, seeds)
    folder = write_comparison(reports, arms, margin, how.out)
    console = open_console()
    header, *rows = table_rows(arms)
    print_table(table_title(arms[0].design), header, rows, console)
    print_verdict(read_json(folder / "comparison.json"), console)
    for warning in dict.fromkeys(line for report in reports for line in report.warnings):
        console.print(f"⚠ {warning}", soft_wrap=True, markup=False)
    for name in ("comparison.html", "per_image.csv"):
        console.print(folder / name, soft_wrap=True, markup=False)


def _print_result(folder: Path) -> None:
    from augkit.report.tables import recorded_rows, recorded_title, recorded_warnings
    from augkit.store import read_json

    record, console = read_json(folder / "report.json"), open_console()
    header, *rows = recorded_rows(record)
    print_table(recorded_title(record), header, rows, console)
    print_verdict(record["comparison"], console)
    for warning in recorded_warnings(record):
        console.print(f"⚠ {warning}", soft_wrap=True)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True)
