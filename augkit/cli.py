"""The command line: run, plan, validate, quality, data check, plugin list and others.

Imports that cost time stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from augkit.engine import Engine
    from augkit.errors import Problem
    from augkit.export_files import Format, ImageFormat
    from augkit.plan import CheckedRecipe
    from augkit.registry import Registry

app = typer.Typer(
    name="augkit",
    help="Mix augmentation sources in a recipe and learn whether they help your segmenter.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: augkit run recipes/allaug.yaml",
)
plugins = typer.Typer(
    help="What the installed plugins provide.", no_args_is_help=True, epilog="Example: augkit plugin list"
)
app.add_typer(plugins, name="plugin")
data = typer.Typer(help="Look a data set over.", no_args_is_help=True, epilog="Example: augkit data check RECIPE")
app.add_typer(data, name="data")

_SEED = re.compile("[0-9]{1,15}")
_MOST_SEEDS = 1000

Recipes = Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="One recipe per arm, as in recipes/*.yaml.")]
Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, as in recipes/*.yaml.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a recipe value, as in segmenter.unet.steps=100. Repeatable."
    ),
]
Seeds = Annotated[
    str | None, typer.Option(metavar="LIST", help="Run every arm with each of these seeds, as in 0,1,2 or 0..5.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for artifacts and reports; shared by all runs.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


@app.command(epilog="Example: augkit run recipes/*.yaml --seeds 0,1,2 --set segmenter.unet.steps=100")
def run(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table only.")] = False,
) -> None:
    """Train, evaluate and compare the arms that the recipes describe.

    What exists already is reused, so a second call does nothing and an interrupted one continues.
    """
    with _explained():
        checked, registry = _checked(recipes, changes)
        chosen = _parse_seeds(seeds)
        signal.signal(signal.SIGTERM, _end_on_sigterm)
        _run(checked, registry, chosen, out, device, quiet)


@app.command(epilog="Example: augkit plan recipes/*.yaml --seeds 0..2")
def plan(recipes: Recipes, changes: Changes = None, seeds: Seeds = None, out: Out = Path("runs")) -> None:
    """Show the stages of a run: what exists, what will be built, and where. Writes nothing."""
    with _explained():
        from augkit.engine import Engine
        from augkit.plan import make_plan
        from augkit.store import Digests, Store

        checked, _ = _checked(recipes, changes)
        planned = make_plan(checked, _parse_seeds(seeds), Digests(out))
        store = Store(out)
        missing = Engine(store, "cpu", ()).missing(planned)
        for stage in planned.stages():
            exists = store.has(stage.address)
            state = "exists" if exists else "will be built" if stage in missing else "not needed"
            print(f"{state:<14} {stage.title:<46} {store.path(stage.address)}")


@app.command(epilog="Example: augkit preview recipes/allaug.yaml")
def preview(recipes: Recipes, changes: Changes = None, out: Out = Path("runs"), device: Device = "auto") -> None:
    """Draw what recipes feed the segmenter: masks, synthetic images of trained generators, classical variants."""
    with _explained():
        checked, registry = _checked(recipes, changes)
        _preview(checked, registry, out, device)


@app.command(epilog="Example: augkit figures recipes/allaug.yaml")
def figures(recipes: Recipes, changes: Changes = None, out: Out = Path("runs"), device: Device = "auto") -> None:
    """Redraw the paper's Figure 3 (a)-(e), panel by panel, with the trained generator of each recipe."""
    with _explained():
        from augkit.engine import Engine
        from augkit.plan import check_recipes, make_plan
        from augkit.preview import figure_3, figure_3_recipe, write_page
        from augkit.store import Digests, Store

        checked, registry = _checked(recipes, changes)
        engine = Engine(Store(out), device, registry.observers)
        for one in checked:
            recipe, panels = figure_3_recipe(one.recipe)
            arm = make_plan(check_recipes([recipe], registry), None, Digests(out)).arms[0]
            folder = out / "figures" / arm.name
            write_page(f"Figure 3 for {arm.name}", figure_3(arm, panels, engine), folder)
            print(folder / "index.html")


@app.command(epilog="Example: augkit quality recipes/allaug.yaml --seeds 0..2")
def quality(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the tables only.")] = False,
) -> None:
    """Judge synthetic images: do they follow their masks, look real, vary, and not repeat the training images?

    Builds what is missing: generator, synthetic images, and a segmenter of real images alone to judge with.
    """
    with _explained():
        checked, registry = _checked(recipes, changes)
        chosen = _parse_seeds(seeds)
        signal.signal(signal.SIGTERM, _end_on_sigterm)
        _quality(checked, registry, chosen, out, device, quiet)


@app.command(epilog="Example: augkit export recipes/allaug.yaml --format nnunet --to exported")
def export(
    recipe: Recipe,
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    layout: Annotated[str, typer.Option("--format", metavar="NAME", help="folder, nnunet or coco.")] = "folder",
    image_format: Annotated[str, typer.Option(metavar="NAME", help="png, or webp (lossless).")] = "png",
    changes: Changes = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's seed.")] = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the folder only.")] = False,
) -> None:
    """Write a recipe's synthetic images and masks for other programs, with a manifest and a data card.

    What is missing is built first. The folder gets everything or, when interrupted, nothing.
    """
    with _explained():
        _check_choice("--format", layout, ("folder", "nnunet", "coco"))
        _check_choice("--image-format", image_format, ("png", "webp"))
        checked, registry = _checked([recipe], changes)
        signal.signal(signal.SIGTERM, _end_on_sigterm)
        _export(checked[0], registry, seed, to, (layout, image_format), out, device, quiet)


@data.command("check", epilog="Example: augkit data check recipes/isic2017/noaug.yaml")
def check_data(recipe: Recipe, changes: Changes = None, out: Out = Path("runs")) -> None:
    """List copies of one photograph, across and within the splits of a recipe's data set, and draw them for review.

    Finds exact copies, and near ones that were recoloured, cropped, turned or mirrored.
    """
    with _explained():
        checked, registry = _checked([recipe], changes)
        _check_data(checked[0], registry, out)


@app.command(epilog="Example: augkit validate recipes/*.yaml")
def validate(recipes: Recipes, changes: Changes = None) -> None:
    """Check recipes, their components and that their data is there. Writes nothing."""
    with _explained():
        for checked in _checked(recipes, changes)[0]:
            print(f"{checked.recipe.file}: ok")


@plugins.command("list", epilog="Example: augkit plugin list")
def list_plugins() -> None:
    """Show every component with its options, their defaults, and who provides it."""
    with _explained():
        from augkit.hookspecs import HOOK_OF_KIND
        from augkit.options import describe_options
        from augkit.registry import load_registry

        registry = load_registry()
        faults = [str(fault) for fault in registry.faults]
        for kind in HOOK_OF_KIND:
            print(f"{kind}s")
            for name in registry.names(kind):
                entry = registry.entries[kind, name]
                try:
                    options = describe_options(entry.cls)
                except Exception as error:  # the annotations are the plugin's, and anything may be wrong with them
                    faults.append(f"{entry.provider}: {kind} '{name}': {type(error).__name__}: {error}")
                    continue
                summary = (entry.cls.__doc__ or "").strip().split("\n")[0]
                print(f"  {name:<14} {summary}\n{'':<17}from {entry.provider}")
                for option, type_name, default in options:
                    print(f"{'':<17}{option}: {default or 'required'}{'':<3}({type_name})")
        for fault in faults:
            print(f"not usable: {fault}")


def main() -> None:
    """Run the command line; the entry point of the ``augkit`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may not fit the terminal's encoding
    app()


def _checked(files: list[Path], changes: list[str] | None) -> tuple[tuple[CheckedRecipe, ...], Registry]:
    """Return checked recipes, or raise every problem of every file at once, of structure and of options alike."""
    from augkit.errors import InputError
    from augkit.plan import check_parts, check_recipes
    from augkit.recipe import read_recipes
    from augkit.registry import load_registry

    reading = read_recipes(files, changes or [])
    registry = load_registry()
    problems = [*reading.problems, *check_parts(reading.parts, registry)]
    try:
        checked = check_recipes(reading.recipes, registry)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*_in_reading_order(dict.fromkeys(problems)))
    return checked, registry


def _in_reading_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems file by file and from top to bottom, whichever check found them."""
    files: dict[str, int] = {}

    def place(problem: Problem) -> tuple[int, int]:
        found = re.match(r"(.+?):([0-9]+)(?=:|$)", problem.where)
        file, line = found.groups() if found else (problem.where, "0")
        return files.setdefault(file, len(files)), int(line)

    return sorted(problems, key=place)


def _run(
    checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, out: Path, device: str, quiet: bool
) -> None:
    from rich.console import Console

    from augkit.plan import make_plan
    from augkit.store import Digests

    digests = Digests(out)
    planned = make_plan(checked, seeds, digests)
    folder = _engine(registry, out, device, quiet).run(planned)
    digests.save()
    _print_result(folder, Console(highlight=False, width=None if sys.stdout.isatty() else 120))


def _engine(registry: Registry, out: Path, device: str, quiet: bool) -> Engine:
    """Return an engine that shows its progress on the terminal."""
    from rich.console import Console

    from augkit.engine import Engine
    from augkit.progress import ProgressDisplay
    from augkit.store import Store

    console = Console(stderr=True, quiet=quiet)
    for fault in registry.faults:
        console.print(f"skipped plugin: {fault}", highlight=False, markup=False, soft_wrap=True)
    return Engine(Store(out), device, [("progress", ProgressDisplay(console).augkit_event), *registry.observers])


def _quality(
    checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, out: Path, device: str, quiet: bool
) -> None:
    from augkit.plan import make_quality
    from augkit.quality_table import HEADER, quality_rows
    from augkit.store import Digests, read_json

    digests = Digests(out)
    stages = make_quality(checked, seeds, digests)
    folders = _engine(registry, out, device, quiet).build(stages)
    digests.save()
    for stage, folder in zip(stages, folders, strict=True):
        record = read_json(folder / "quality.json")
        _print_table(stage.title, HEADER, quality_rows(record))
        print(f"Pictures and numbers of each image: {folder}\n")


def _check_choice(option: str, value: str, allowed: Sequence[str]) -> None:
    from augkit.errors import InputError, Problem, did_you_mean

    if value not in allowed:
        what = f"found '{value}'; allowed: {', '.join(allowed)}"
        raise InputError(Problem(option, what, did_you_mean(value, allowed)))


def _export(
    checked: CheckedRecipe,
    registry: Registry,
    seed: int | None,
    to: Path,
    forms: tuple[str, str],
    out: Path,
    device: str,
    quiet: bool,
) -> None:
    from augkit.export import check_target, gather_export, write_export
    from augkit.plan import make_quality
    from augkit.store import Digests

    check_target(to, *forms)
    digests = Digests(out)
    qualities = make_quality((checked,), None if seed is None else [seed], digests)
    engine = _engine(registry, out, device, quiet)
    exported = gather_export(checked, checked.recipe.seed if seed is None else seed, qualities, engine)
    digests.save()
    written = write_export(exported, to, cast("Format", forms[0]), cast("ImageFormat", forms[1]))
    print(to if written else f"{to} holds this export already")


def _check_data(checked: CheckedRecipe, registry: Registry, out: Path) -> None:
    from dataclasses import replace

    from augkit.check import check_copies
    from augkit.plan import make_plan
    from augkit.stages import read_splits
    from augkit.store import Digests

    digests = Digests(out)
    everything = replace(checked, recipe=replace(checked.recipe, exclude_copies=False))
    (arm,) = make_plan([everything], None, digests).arms
    (dataset,) = _engine(registry, out, "cpu", quiet=False).build([arm.dataset])
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
        _print_table("Copies of one photograph", ("image", "in", "copy", "in", "likeness"), rows)
    print(f"{crossing} pairs across splits, {len(rows) - crossing} within a split.")
    if crossing and not checked.recipe.exclude_copies:
        print("Add 'exclude_copies: true' to the recipe to leave out the training image of each pair across splits.")
    if rows:
        print(folder / "copies.png")


def _preview(checked: tuple[CheckedRecipe, ...], registry: Registry, out: Path, device: str) -> None:
    from augkit.engine import Engine
    from augkit.plan import make_plan
    from augkit.preview import preview as draw_panels
    from augkit.preview import write_page
    from augkit.store import Digests, Store

    digests = Digests(out)
    planned = make_plan(checked, None, digests)
    engine = Engine(Store(out), device, registry.observers)
    for arm in planned.arms:
        folder = out / "preview" / arm.name
        write_page(f"Preview of {arm.name}", draw_panels(arm, engine), folder)
        print(folder / "index.html")
    digests.save()


def _print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="")
    for name in header:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 140).print(table)


def _print_result(folder: Path, console: Console) -> None:
    from rich import box
    from rich.table import Table

    from augkit.store import read_json
    from augkit.tables import recorded_rows, recorded_warnings

    record = read_json(folder / "report.json")
    header, *rows = recorded_rows(record)
    title = "Mean ± standard error over the test images"
    table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="")
    for name in header:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for warning in recorded_warnings(record):
        console.print(f"⚠ {warning}", soft_wrap=True)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def _parse_seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    from augkit.errors import InputError, Problem

    seeds: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        last = last if dots else first
        if not (_SEED.fullmatch(first) and _SEED.fullmatch(last)) or int(last) < int(first):
            what = f"found '{part.strip()}'; allowed: whole numbers such as 0,1,2 or a range such as 0..5"
            raise InputError(Problem(f"--seeds {text}", what))
        seeds += range(int(first), min(int(last), int(first) + _MOST_SEEDS) + 1)
    if len(seeds) > _MOST_SEEDS:
        raise InputError(Problem(f"--seeds {text}", f"found more than {_MOST_SEEDS} seeds; allowed: up to that many"))
    return seeds


@contextmanager
def _explained() -> Iterator[None]:
    """Turn failures into sentences and exit codes: 2 bad input, 130 interrupted, 1 or 4 a run that failed."""
    from augkit.errors import AugkitError, InterruptedRunError

    try:
        yield
    except InterruptedRunError as error:
        _complain(str(error), "The same command continues from here.")
        sys.exit(error.exit_code)
    except AugkitError as error:
        _complain(*(str(problem) for problem in error.problems))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("Interrupted; finished stages are kept. The same command continues.")
        sys.exit(130)


def _complain(*lines: str) -> None:
    for line in lines:
        # A recipe's text is quoted in messages, and must not steer the terminal.
        print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), file=sys.stderr)


def _end_on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
