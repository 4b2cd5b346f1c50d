"""Commands on reports that exist: compute them again, share them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import Jobs, Observers, Quiet
from augkit.commands.terminal import complain, explained, open_console, prepare, print_table, say, shown

if TYPE_CHECKING:
    from augkit.sharing.reproduce import Reproduction, Result

DIFFERENT = 3
"""The exit code where other scores came out."""


def reproduce(
    report: Annotated[
        Path, typer.Argument(metavar="FOLDER|ZIP", help="A report's folder, or a zip that augkit share wrote.")
    ],
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Where files lie here, as in dataset.folder.root=my_data. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new or empty folder; default: reproduced-NAME, here.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compute it also where data or recipes differ from the recorded ones.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only tell what differs; compute nothing.")] = False,
    device: Annotated[str | None, typer.Option(help="Another device than the recorded one.")] = None,
    precision: Annotated[str | None, typer.Option(help="Another precision than the recorded one.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Other threads than the recorded ones.")] = None,
    jobs: Jobs = None,
    observers: Observers = None,
    quiet: Quiet = False,
) -> None:
    """Compute a report again from what it recorded, and tell whether every score is equal to the last digit.

    Data and versions are checked first. Ends with 0 where all scores are equal, with 3 where some are not.
    """
    with explained():
        from augkit.contracts.registry import load_registry
        from augkit.report.origin import read_origin
        from augkit.sharing import reproduce as again
        from augkit.sharing.zips import opened

        with opened(report) as folder:
            how = again.circumstances(read_origin(folder), device, precision, threads, jobs or 1)
            wanted = again.prepare_reproduction(folder, places or (), how)
        if not anyway:
            again.refuse_serious(wanted.differences)
        _tell(wanted, quiet)
        place, begun = again.choose_out(out, wanted)
        if check:
            return
        from dataclasses import replace

        from augkit.running.session import Session

        audience = prepare(load_registry(), quiet, observers or ())
        again.begin(wanted, place)
        if not quiet:
            complain(f"{'Continues' if begun else 'Computes'} in {place}")
        session = Session(replace(how, out=place), audience.tell)
        with audience:
            built = session.run(wanted.plan)
        result = again.conclude(wanted, built, place)
        _print_outcome(result, wanted.report.arms[0].in_folds)
    raise typer.Exit(0 if result.equal else DIFFERENT)


def _tell(wanted: Reproduction, quiet: bool) -> None:
    """Say what differs from what was recorded, before anything is computed."""
    for one in wanted.differences:
        complain(f"⚠ differs (recorded → here): {one}")
    if not wanted.differences and not quiet:
        complain("Data, recipes, code, versions and circumstances are those that the report recorded.")


def _print_outcome(result: Result, in_folds: str) -> None:
    counts = {one.external: one.images for one in result.outcomes}
    if result.equal:
        runs = sum(one.external == "" for one in result.outcomes)
        sets = "".join(f" and {images} of the external set {name}" for name, images in counts.items() if name)
        trainings = f"{runs} training{'' if runs == 1 else 's'}{in_folds}"
        say(f"Equal to the last digit: every score of {trainings} on {counts.get('', 0)} images{sets}.")
    else:
        rows = [
            (
                f"{one.arm} on {one.external}" if one.external else one.arm,
                str(one.seed),
                f"{one.dice[0]:.6f}",
                f"{one.dice[1]:.6f}",
                "equal" if one.equal else f"{one.dice[1] - one.dice[0]:+.2g}",
                f"{one.other} of {one.images}",
                "" if one.equal else f"{one.largest[0]} {one.largest[1]:+.2g}",
            )
            for one in result.outcomes
        ]
        header = ("arm", "seed", "Dice recorded", "Dice here", "difference", "images that differ", "most")
        print_table("Other scores than recorded", header, rows, open_console())
        if result.divergence:
            say(f"The first results that differ are of: {result.divergence}")
        for difference in result.differences:
            say(f"Differs (recorded → here): {difference}")
        if not result.differences:
            say("Nothing that was recorded differs: a component may not be deterministic, or the processor is another.")
    say(f"Report: {shown(result.folder / 'report.html')}")


def share(
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A report's folder, or a folder of runs that holds one.")
    ],
    target: Annotated[
        Path | None, typer.Argument(metavar="[ZIP]", help="The file to write; default: the report's name, here.")
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Also the pictures that show images, real ones of patients among them."),
    ] = False,
) -> None:
    """Pack a report for a co-author: recipes, command, hashes of the data, every score, versions; reproduce reads it.

    Pictures of images, real or synthetic, are left out of the zip and of its report.html unless --pictures is given;
    plots of numbers stay. Ids of images and names of files are in it, and your home folder is written as ~.
    """
    with explained():
        from augkit.amounts import bytes_text
        from augkit.report.recorded import find_report
        from augkit.sharing.share import pack, write_shared

        shared = pack(find_report(report), pictures)
        file = target or Path(f"{shared.name}.zip")
        written = write_shared(shared, file)
        if not written:
            complain(f"{file} holds this already")
        say(f"{file}: {bytes_text(file.stat().st_size)}, {len(shared.files)} files")
        for name, content in shared.contents():
            say(f"  {name:<14} {content}")
        kept = "It shows pictures of images, patients' among them: mind who may have them."
        left = "No pictures of images are in it; --pictures adds them."
        say(f"{kept if pictures else left} Ids of images and names of data files are in it.")
        for path in shared.paths:
            complain(f"A recipe names a place of this machine: {path}")
