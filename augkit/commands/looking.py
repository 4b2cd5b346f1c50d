"""Commands for looking images over: preview, figures, quality, data check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from augkit.commands.arguments import (
    Changes,
    Device,
    How,
    Out,
    Precision,
    Quiet,
    Recipe,
    Recipes,
    Seeds,
    parse_seeds,
)
from augkit.commands.terminal import explained, open_console, prepare, print_table

if TYPE_CHECKING:
    from augkit.contracts.registry import Registry
    from augkit.planning.components import CheckedRecipe


def preview(recipes: Recipes, changes: Changes = None, out: Out = Path("runs"), device: Device = "auto") -> None:
    """Draw what recipes feed the segmenter: masks, synthetic images of trained generators, classical variants."""
    with explained():
        from augkit.planning.loading import load_checked

        checked, registry = load_checked(recipes, changes or ())
        _preview(checked, registry, out, device)


def _preview(checked: tuple[CheckedRecipe, ...], registry: Registry, out: Path, device: str) -> None:
    from augkit.planning.plan import make_plan
    from augkit.running.engine import Engine
    from augkit.running.preview import preview as draw_panels
    from augkit.running.preview import write_page
    from augkit.store import Digests, Store

    digests = Digests(out)
    planned = make_plan(checked, None, digests)
    engine = Engine(Store(out), device)
    for arm in planned.arms:
        folder = out / "preview" / arm.name
        write_page(f"Preview of {arm.name}", draw_panels(arm, engine), folder)
        print(folder / "index.html")
    digests.save()


def figures(recipes: Recipes, changes: Changes = None, out: Out = Path("runs"), device: Device = "auto") -> None:
    """Redraw the paper's Figure 3 (a)-(e), panel by panel, with the trained generator of each recipe."""
    with explained():
        from augkit.planning.components import check_recipes
        from augkit.planning.loading import load_checked
        from augkit.planning.plan import make_plan
        from augkit.running.engine import Engine
        from augkit.running.preview import figure_3, figure_3_recipe, write_page
        from augkit.store import Digests, Store

        checked, registry = load_checked(recipes, changes or ())
        engine = Engine(Store(out), device)
        for one in checked:
            recipe, panels = figure_3_recipe(one.recipe)
            arm = make_plan(check_recipes([recipe], registry), None, Digests(out)).arms[0]
            folder = out / "figures" / arm.name
            write_page(f"Figure 3 for {arm.name}", figure_3(arm, panels, engine), folder)
            print(folder / "index.html")


def quality(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Judge synthetic images: do they follow their masks, look real, vary, and not repeat the training images?

    Builds what is missing: generator, synthetic images, and a segmenter of real images alone to judge with.
    """
    with explained():
        from augkit.planning.loading import load_checked

        checked, registry = load_checked(recipes, changes or ())
        chosen = parse_seeds(seeds)
        _quality(checked, registry, chosen, How(out, device, precision, quiet))


def _quality(checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, how: How) -> None:
    from augkit.data.stored import read_quality
    from augkit.planning.plan import make_quality
    from augkit.report.quality import HEADER, quality_rows
    from augkit.running.engine import Engine
    from augkit.store import Digests, Store

    digests = Digests(how.out)
    stages = make_quality(checked, seeds, digests)
    with prepare(registry, how) as audience:
        folders = Engine(Store(how.out), how.device, audience.tell, digests=digests).build(stages)
    digests.save()
    for stage, folder in zip(stages, folders, strict=True):
        print_table(stage.title, HEADER, quality_rows(read_quality(folder).record), open_console())
        print(f"Pictures and numbers of each image: {folder}\n")


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
    from augkit.planning.plan import make_plan
    from augkit.quality.copies_sheet import check_copies
    from augkit.running.engine import Engine
    from augkit.store import Digests, Store

    digests = Digests(out)
    everything = replace(checked, recipe=replace(checked.recipe, exclude_copies=False, development_share=0.0))
    (arm,) = make_plan([everything], None, digests).arms
    with prepare(registry, How(out, "cpu", "auto", quiet=False)) as audience:
        (dataset,) = Engine(Store(out), "cpu", audience.tell, digests=digests).build([arm.dataset])
    digests.save()
    folder = out / "check" / arm.name
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
        print(folder / "copies.png")
