"""Planning a comparison from a pilot: power."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import Changes, Out, parse_seeds
from augkit.commands.terminal import explained, open_console, print_table, say

if TYPE_CHECKING:
    from augkit.errors import Problem
    from augkit.report.recorded import Recorded
    from augkit.report.verdict.contrasts import Contrast

_TRIED = range(16)
"""Seeds that are looked for in the folder of artifacts."""


def power(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|RECIPE...", help="Recipes that were run with a few seeds, or reports of such runs."
        ),
    ],
    gain: Annotated[
        float, typer.Option(help="The Dice difference that the comparison is to find.", min=0.0001, max=1)
    ] = 0.01,
    changes: Changes = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Seeds of the pilot, as in 0..3; default: all that are there.")
    ] = None,
    out: Out = Path("runs"),
) -> None:
    """Tell from a pilot how many seeds, folds and images a verdict needs to find a gain with 80 % power.

    The pilot is an arm and its control with two seeds or more, better four: augkit run ARM CONTROL --seeds 0..3, of
    which augkit power ARM CONTROL, or its report's folder, tells the rest. Nothing is trained. Only how much trainings
    and images scatter counts, not what the pilot found.
    """
    with explained():
        from augkit.errors import InputError, Problem
        from augkit.report.recorded import merge, read_report
        from augkit.report.verdict.contrasts import plan_contrasts
        from augkit.sharing.zips import opened

        chosen = parse_seeds(seeds)
        folders = [source for source in sources if source.is_dir() or source.suffix == ".zip"]
        recipes = [source for source in sources if source not in folders]
        reports = []
        for source in folders:
            with opened(source) as folder:
                reports.append(read_report(folder))
        if recipes:
            reports.insert(0, _pilot(recipes, changes or (), chosen, out))
        planned = plan_contrasts(merge(reports, chosen))
        questions = [question for question in (planned.contrasts, planned.augmentations) if question]
        if not questions:
            what = "no two arms differ in nothing but synthetic images or classical augmentation"
            raise InputError(Problem(", ".join(map(str, sources)), f"{what}; allowed: an arm and its control"))
        problems = [problem for question in questions for one in question for problem in _too_small(one)]
        if problems:
            raise InputError(*problems)
        for question in questions:
            for contrast in question:
                _tell(contrast, gain, len(question))


def _pilot(files: Sequence[Path], changes: Sequence[str], seeds: Sequence[int] | None, out: Path) -> Recorded:
    """Return the report of what is trained already; `InputError` says what to run where that is too little."""
    from augkit.errors import InputError, Problem
    from augkit.planning.loading import load_checked
    from augkit.report.recorded import read_report
    from augkit.running.session import How, Session

    checked, _ = load_checked(files, changes)
    session = Session(How(out))
    trained = [
        seed
        for seed in dict.fromkeys((*_TRIED, *(seeds or ())))
        if all(session.store.has(arm.evaluation.address) for arm in session.plan(checked, [seed]).arms)
    ]
    if len(trained) < 2 or not set(seeds or ()) <= set(trained):
        found = f"seed {', '.join(map(str, trained))}" if trained else "no seed"
        words = ["augkit run", *(shlex.quote(str(file)) for file in files)]
        words.append(f"--seeds {','.join(map(str, seeds)) if seeds and len(seeds) > 1 else '0..3'}")
        words += [f"--set {shlex.quote(change)}" for change in changes]
        words += How(out).options()
        what = f"has {found} of every arm; allowed: a pilot of two seeds or more, better four"
        raise InputError(Problem(str(out), what, f"Train it with: {' '.join(words)}"))
    return read_report(session.run(session.plan(checked, trained)))


def _too_small(contrast: Contrast) -> list[Problem]:
    from augkit.errors import Problem
    from augkit.report.verdict.comparison import LEAST_IMAGES

    seeds, images = len(contrast.seeds), len(contrast.plus[0].image_ids)
    problems: list[Problem] = []
    if seeds < 2:
        what = f"the pilot has {seeds} common seed{'' if seeds == 1 else 's'}; allowed: two or more, better four"
        problems.append(Problem(contrast.name, what, "Luck of training shows between trainings only"))
    if images < LEAST_IMAGES:
        what = f"the pilot has {images} {contrast.plus[0].design.scored}; allowed: {LEAST_IMAGES} or more"
        problems.append(Problem(contrast.name, what))
    return problems


def _tell(contrast: Contrast, gain: float, tests: int) -> None:
    """Print what a pilot says of one contrast."""
    from augkit.report.verdict.comparison import least_seeds, trainings
    from augkit.report.verdict.power import alternatives, luck_of, of_folds, seeds_enough, seen_with, training_range

    luck, scored = luck_of(contrast.table("dice"), contrast.folds), contrast.plus[0].design.scored
    training, image, rest = luck.deviations
    low, high = training_range(luck)
    seen = seen_with(luck, luck.seeds, luck.images, luck.folds, tests)
    say(f"{contrast.name}: a pilot of {trainings(contrast)} and {luck.images} {scored}.")
    say(
        f"The difference in Dice scatters by {training:.4f} from training to training ({low:.4f} to {high:.4f}, as far "
        f"as the pilot tells), by {image:.4f} from image to image, and by {rest:.4f} beside these (SD)."
    )
    if luck.seeds >= least_seeds(luck.folds):
        say(f"The pilot itself finds a true difference of {seen:.4f} with 80 % power.")
    else:
        say("The pilot itself has too few seeds for a verdict.")
    folds = luck.folds if luck.folds > 1 else 5
    header = ["seeds", f"{scored}, one split", f"images in {folds} folds", f"trainings per arm in {folds} folds"]
    rows = alternatives(luck, gain, folds, tests, (least_seeds(1), least_seeds(folds)))
    adjusted = f", Holm's adjustment for {tests} contrasts" if tests > 1 else ""
    print_table(f"To find {gain:g} with 80 % power{adjusted}", header, rows, open_console())
    enough = seeds_enough(luck, gain, luck.images, luck.folds, tests, least_seeds(luck.folds))
    number = "no number of seeds up to 100" if enough is None else f"{enough} seeds{of_folds(luck.folds)}"
    say(f"On as many {scored} as the pilot has ({luck.images}): {number}.")
