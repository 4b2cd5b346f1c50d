"""The command that looks for the recipe to use: search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import (
    Changes,
    ClusterFile,
    Device,
    Executor,
    Jobs,
    MixedNodes,
    Observers,
    Out,
    Precision,
    Quiet,
    Threads,
    parse_seeds,
)
from augkit.commands.terminal import complain, explained, open_console, prepare, print_table, say, shown
from augkit.contracts.executor import LOCAL

if TYPE_CHECKING:
    from augkit.searching.search import Outcome


def search(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA|RECIPE...",
            help="A folder of images and masks, one recipe whose data set is taken, or recipes as candidates.",
        ),
    ],
    hours: Annotated[float | None, typer.Option(help="Time for race and confirmation.", min=0.01, max=10_000)] = None,
    minutes: Annotated[float | None, typer.Option(help="The same in minutes.", min=0.1, max=600_000)] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="Leave a candidate out. Repeatable.")
    ] = None,
    changes: Changes = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Of the confirmation, as in 0..5; default: as time allows.")
    ] = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
    executor: Executor = LOCAL,
    cluster: ClusterFile = None,
    mixed_nodes: MixedNodes = False,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Find the augmentation to use: a race of candidates on development images, then one honest confirmation.

    The same command goes on where it was stopped. It leaves best.yaml, search.html and search.json.
    """
    with explained():
        from augkit.contracts.events import StageNoted
        from augkit.contracts.registry import load_registry
        from augkit.errors import InputError, Problem
        from augkit.planning.cluster import find_executor
        from augkit.planning.components import remarks_of
        from augkit.running.session import How, Session
        from augkit.searching.field import read_field
        from augkit.searching.leave import folder_of, leave
        from augkit.searching.search import Search
        from augkit.training.precision import choose_device

        budget = _seconds(hours, minutes)
        chosen = _seeds_of(seeds)
        elsewhere = find_executor(executor, cluster, mixed_nodes, False, load_registry())
        how = How(out, device, precision, jobs, threads, elsewhere)
        if how.is_one_of_several:
            raise InputError(Problem("augkit search", "is for one process; allowed: --jobs, and no torchrun"))
        field = read_field(sources, changes or (), without or (), choose_device(device).partition(":")[0])
        for line in (*remarks_of(field.entries), *(f"{name}: left out: {why}" for name, why in field.left_out.items())):
            complain(line)
        audience = prepare(field.registry, quiet, observers or ())
        session = Session(how, audience.tell)
        title = sources[0].resolve().name if len(sources) == 1 else field.entries[0].dataset.name
        searching = Search(
            field,
            session,
            jobs or 1,
            budget,
            chosen,
            str(sources[0]),
            lambda text: audience.tell(StageNoted("search", text)),
        )
        with audience:
            scheme = searching.choose_scheme()
            folder = folder_of(session.store, field, scheme, title)
            with session.store.hold(folder):
                outcome = searching.run(scheme)
                leave(outcome, folder, title)
        _print(outcome, folder)


def _seconds(hours: float | None, minutes: float | None) -> float:
    from augkit.errors import InputError, Problem

    if (hours is None) == (minutes is None):
        found = "both" if hours is not None else "neither"
        what = f"found {found} of --hours and --minutes; allowed: one of them, as in --hours 2"
        raise InputError(Problem("augkit search", what, "It is the time for race and confirmation together"))
    return hours * 3600 if hours is not None else (minutes or 0.0) * 60


def _seeds_of(text: str | None) -> list[int] | None:
    """Return the seeds of the confirmation, which must be none of the race."""
    from augkit.errors import InputError, Problem
    from augkit.searching.race import LAST
    from augkit.searching.scheme import FIRST_RACING_SEED

    seeds = parse_seeds(text)
    if seeds is None:
        return None
    racing = range(FIRST_RACING_SEED, FIRST_RACING_SEED + LAST)
    if any(seed in racing for seed in seeds):
        what = f"found seeds of the race, {racing[0]}..{racing[-1]}; allowed: others, so that the trainings are new"
        raise InputError(Problem(f"--seeds {text}", what))
    return seeds


def _print(outcome: Outcome, folder: Path) -> None:
    """Tell in words what the page shows."""
    from augkit.searching.leave import table_of
    from augkit.searching.words import (
        NOT_TRIED,
        advice,
        could_see,
        data_sentence,
        race_sentence,
        settle,
        verdict,
        warnings,
    )

    console = open_console()
    console.print(advice(outcome), soft_wrap=True, markup=False, style="bold")
    header, *rows = table_of(outcome)
    print_table("The race: each candidate when it left.", header, rows, console)
    told = [*(f"⚠ {warning}" for warning in warnings(outcome)), verdict(outcome)[1], *settle(outcome)]
    for line in (*told, *could_see(outcome), race_sentence(outcome), data_sentence(outcome.scheme), NOT_TRIED):
        say(line)
    if outcome.report is not None:
        say(f"Report of the confirmation: {shown(outcome.report.folder / 'report.html')}")
    for name in ("best.yaml", "search.html"):
        say(shown(folder / name))
