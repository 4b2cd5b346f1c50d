"""Commands for looking images over: preview, figures, quality, data check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from augkit.commands.arguments import (
    Changes,
    ClusterFile,
    Detach,
    Device,
    Executor,
    Jobs,
    MixedNodes,
    Out,
    Precision,
    Quiet,
    Recipe,
    Recipes,
    Seeds,
    Threads,
    computing_with,
    parse_seeds,
)
from augkit.commands.terminal import explained, open_console, prepare, print_table, say, shown
from augkit.contracts.executor import LOCAL

if TYPE_CHECKING:
    from augkit.contracts.registry import Registry
    from augkit.planning.components import CheckedRecipe
    from augkit.planning.tasks import Supply


def preview(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
) -> None:
    """Draw what recipes feed the segmenter: masks, synthetic images of trained generators, classical variants."""
    with explained():
        from augkit.contracts.precision import precision_of_run
        from augkit.errors import Problem, StageError
        from augkit.planning.loading import load_checked
        from augkit.running.preview import preview as draw_panels
        from augkit.running.preview import write_page
        from augkit.running.session import How, Session

        checked, _ = load_checked(recipes, changes or ())
        chosen, session = parse_seeds(seeds), Session(How(out, device, precision, jobs, threads))
        failed: list[Problem] = []
        for supply in [session.plan_supply(one, seed) for one in checked for seed in chosen or (None,)]:
            session.build([supply.training])
            name = _named(supply, chosen)
            with precision_of_run(precision), computing_with(jobs, threads):
                panels = draw_panels(supply, session.engine)
            write_page(f"Preview of {name}", panels, out / "preview" / name)
            say(str(out / "preview" / name / "index.html"))
            failed += [Problem(name, panel.sentence) for panel in panels if panel.png is None]
        if failed:
            raise StageError(*failed)


def _named(supply: Supply, seeds: Sequence[int] | None) -> str:
    """Return what pages of a recipe are called: those of seeds that somebody chose, by these."""
    return supply.name if seeds is None else f"{supply.name}-seed-{supply.seed}"


def figures(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
) -> None:
    """Redraw the paper's Figure 3 (a)-(e), panel by panel, with the trained generator of each recipe."""
    with explained():
        from augkit.contracts.precision import precision_of_run
        from augkit.planning.components import check_recipes
        from augkit.planning.loading import load_checked
        from augkit.running.preview import figure_3, figure_3_recipe, write_page
        from augkit.running.session import How, Session

        checked, registry = load_checked(recipes, changes or ())
        chosen, session = parse_seeds(seeds), Session(How(out, device, precision, jobs, threads))
        for one, seed in [(one, seed) for one in checked for seed in chosen or (None,)]:
            recipe, panels, left_out = figure_3_recipe(one, registry)
            (redrawn,) = check_recipes([recipe], registry)
            supply = session.plan_supply(redrawn, seed)
            name = _named(supply, chosen)
            with precision_of_run(precision), computing_with(jobs, threads):
                drawn, refused = figure_3(supply, panels, session.engine)
            for sentence in (*left_out, *refused):
                say(sentence)
            write_page(f"Figure 3 for {name}", drawn, out / "figures" / name)
            say(str(out / "figures" / name / "index.html"))


def quality(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
    executor: Executor = LOCAL,
    cluster: ClusterFile = None,
    mixed_nodes: MixedNodes = False,
    detach: Detach = False,
    quiet: Quiet = False,
) -> None:
    """Judge synthetic images: do they follow their masks, look real, vary, and not repeat the training images?

    Builds what is missing: generator, synthetic images, and a segmenter of real images alone to judge with. A recipe
    without a segmenter is judged by all but whether images follow their masks.
    """
    with explained():
        from augkit.data.stored import read_quality
        from augkit.planning.cluster import find_executor
        from augkit.planning.loading import load_checked
        from augkit.report.quality import HEADER, quality_rows
        from augkit.report.summary.synthetic import sentence
        from augkit.running.session import How, Session

        checked, registry = load_checked(recipes, changes or ())
        chosen = parse_seeds(seeds)
        audience = prepare(registry, quiet)
        elsewhere = find_executor(executor, cluster, mixed_nodes, detach, registry)
        session = Session(How(out, device, precision, jobs, threads, elsewhere), audience.tell)
        stages = session.plan_quality(checked, chosen)
        with audience:
            folders = session.build(stages)
        for stage, folder in zip(stages, folders, strict=True):
            record = read_quality(folder).record
            print_table(stage.title, HEADER, quality_rows(record), open_console())
            say(sentence(record))
            say(f"Pictures and numbers of each image: {shown(folder)}")
            print()


def _pairs(count: int) -> str:
    """Return ``1 pair`` or ``2 pairs``."""
    return f"{count} pair{'' if count == 1 else 's'}"


def check_data(recipe: Recipe, changes: Changes = None, out: Out = Path("runs")) -> None:
    """List copies of one photograph, across and within the splits of a recipe's data set, and draw them for review.

    Finds exact copies, and near ones that were recoloured, cropped, turned or mirrored.
    """
    with explained():
        from augkit.planning.loading import load_checked

        checked, registry = load_checked([recipe], changes or ())
        _check_data(checked[0], registry, out)


def _check_data(checked: CheckedRecipe, registry: Registry, out: Path) -> None:
    from dataclasses import replace

    from augkit.data.stored import read_splits
    from augkit.quality.copies_sheet import check_copies
    from augkit.running.session import How, Session

    recipe = replace(checked.recipe, exclude_copies=False, development_share=0.0, folds=None)
    everything = replace(checked, recipe=recipe)
    audience = prepare(registry, quiet=False)
    session = Session(How(out, "cpu"), audience.tell)
    supply = session.plan_supply(everything)
    with audience:
        (dataset,) = session.build([supply.dataset])
    folder = out / "check" / supply.name
    copies = check_copies(read_splits(dataset), folder)
    rows = [
        (
            copy.first,
            copy.first_split,
            copy.second,
            copy.second_split,
            "equal" if copy.equal_pixels else f"{copy.likeness:.3f}",
        )
        for copy in copies
    ]
    crossing = sum(copy.crosses for copy in copies)
    if rows:
        print_table("Likely copies of one photograph", ("image", "in", "copy", "in", "likeness"), rows, open_console())
    near = sum(not copy.equal_pixels for copy in copies)
    print(f"{_pairs(crossing)} across splits, {len(rows) - crossing} within a split.")
    if near:
        print(
            f"Look at the {_pairs(near)} without equal pixels before you believe them: likeness was measured on "
            "dermoscopy, and other pictures, such as dark ones with a few spots, can be alike by nature."
        )
    if crossing and not checked.recipe.exclude_copies:
        print("'exclude_copies: true' in the recipe leaves out the training image of each pair across splits.")
    if rows:
        say(str(folder / "copies.png"))
