"""The command line.

Imports that cost time stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from augkit.engine import Engine
    from augkit.errors import Problem
    from augkit.export_files import Format, ImageFormat
    from augkit.plan import CheckedRecipe, Plan
    from augkit.registry import Entry, Registry
    from augkit.store import Store

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
generators = typer.Typer(
    help="Generators trained elsewhere.",
    no_args_is_help=True,
    epilog="Example: augkit generator import latest_net_G.pth",
)
app.add_typer(generators, name="generator")
cache = typer.Typer(
    help="What is stored, and removing what no run needs.", no_args_is_help=True, epilog="Example: augkit cache ls"
)
app.add_typer(cache, name="cache")
data = typer.Typer(help="Look a data set over.", no_args_is_help=True, epilog="Example: augkit data check RECIPE")
app.add_typer(data, name="data")

_SEED = re.compile("[0-9]{1,15}")
_MOST_SEEDS = 1000

TABLE_TITLE = "Mean ± standard error over the test images"
_AGE = re.compile("([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

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
Name = Annotated[str, typer.Argument(help="A component's name in recipes, as in augkit plugin list.")]
Kind = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="generator, mask-source, augmentation, segmenter or dataset; default: all."),
]
Options = Annotated[
    list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="Set an option, as in width=4. Repeatable.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[
    str,
    typer.Option(envvar="AUGKIT_PRECISION", help="auto, float32 or bfloat16; auto takes bfloat16 where it is native."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Stages built side by side, in processes.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads of each job; default: its share of the cores. Decides bits."),
]
Observers = Annotated[
    list[str] | None,
    typer.Option("--observer", metavar="NAME", help="Also tell this plugin, as in jsonl or tensorboard."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


@dataclass(frozen=True)
class How:
    """How a run is to be done, as asked for on the command line."""

    out: Path
    device: str
    precision: str
    jobs: int
    threads: int | None
    observers: list[str]
    quiet: bool


def _show_version(wanted: bool) -> None:
    if wanted:
        from augkit import __version__

        print(f"augkit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Mix augmentation sources in a recipe and learn whether they help your segmenter."""


@app.command(epilog="Example: augkit run recipes/*.yaml --seeds 0,1,2 --set segmenter.unet.steps=100")
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
    with _explained():
        checked, registry = _checked(recipes, changes)
        chosen = _parse_seeds(seeds)
        how = How(out, device, precision, jobs, threads, observers or [], quiet)
        _print_result(_run(checked, registry, chosen, how))


@app.command(epilog="Example: augkit compare recipes/*.yaml --seeds 0..5")
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
    with _explained():
        chosen = _parse_seeds(seeds)
        recipes, folders = [s for s in sources if not s.is_dir()], [s for s in sources if s.is_dir()]
        how = How(out, device, precision, jobs, threads, observers or [], quiet)
        _compare(recipes, folders, changes, chosen, margin, how)


@app.command(epilog="Example: augkit plan recipes/*.yaml --seeds 0..2 --estimate")
def plan(
    recipes: Recipes,
    changes: Changes = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Try each training for some seconds; keeps data sets and masks.")
    ] = False,
) -> None:
    """Show the stages of a run: what exists, what will be built, and where. Writes nothing without --estimate."""
    with _explained():
        from augkit.engine import Engine
        from augkit.plan import make_plan
        from augkit.store import Digests, Store

        checked, _ = _checked(recipes, changes)
        planned = make_plan(checked, _parse_seeds(seeds), Digests(out))
        store = Store(out)
        engine = Engine(store, device)
        if estimate:
            _print_estimate(planned, store, engine)
            return
        missing = engine.missing(planned)
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
        engine = Engine(Store(out), device)
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
        checked, _ = _checked(recipes, changes)
        for file in dict.fromkeys(one.recipe.file for one in checked):  # a sweep is several recipes in one file
            print(f"{file}: ok")


@app.command(epilog="Example: augkit schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON schema of a recipe with the options of all installed plugins, for editors."""
    with _explained():
        import json

        from augkit.registry import load_registry
        from augkit.schema import recipe_schema

        print(json.dumps(recipe_schema(load_registry()), indent=1))


@app.command("ls", epilog="Example: augkit ls")
def list_recipes() -> None:
    """List the recipes that come with augkit."""
    with _explained():
        from augkit.shipped import purpose, shipped_recipes

        for name, file in shipped_recipes().items():
            print(f"{name:<28} {purpose(file)}")


@app.command("cp", epilog="Example: augkit cp allaug my_recipes")
def copy_recipe(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A recipe or folder of recipes, as `augkit ls` names it.")
    ],
    target: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put the copies.")] = Path(),
) -> None:
    """Copy a recipe that comes with augkit, to change it."""
    with _explained():
        from augkit.shipped import copy_recipes

        for file in copy_recipes(name, target):
            print(file)


@app.command(epilog="Example: augkit doctor")
def doctor(out: Out = Path("runs"), device: Device = "auto") -> None:
    """Tell what this machine is: versions, device, speed of each precision, disk, plugins and their faults."""
    with _explained():
        from augkit import doctor as examine
        from augkit.registry import load_registry
        from augkit.training import choose_device

        chosen = choose_device(device)
        sections = {
            "versions": examine.versions(),
            "device": examine.hardware(chosen),
            "speed of a matrix product": examine.precision_speeds(chosen),
            "disk": examine.disk(out),
            "plugins": examine.plugins(load_registry()),
        }
        for title, facts in sections.items():
            print(title)
            for name, fact in facts.items():
                print(f"  {name:<28} {fact}")


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


@generators.command("import", epilog="Example: augkit generator import latest_net_G.pth --to generators/pix2pix")
def import_generator(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights, such as pix2pix's latest_net_G.pth.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to write; the file's name without its ending if not given.")
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Which generator reads the file, if several could.")] = None,
) -> None:
    """Turn weights trained elsewhere into a folder that recipes can use. Names and shapes are checked."""
    with _explained():
        from augkit.registry import load_registry
        from augkit.weights import import_weights

        folder = to or Path(file.stem)
        for sentence in import_weights(file, folder, generator, load_registry()):
            print(sentence)


@cache.command("ls", epilog="Example: augkit cache ls")
def list_cache(out: Out = Path("runs")) -> None:
    """Show everything that is stored: kind, name, size, age, and which runs need it."""
    with _explained():
        from augkit.amounts import bytes_text, duration
        from augkit.cache import contents
        from augkit.store import Store

        items = contents(Store(out))
        for item in items:
            users = ", ".join(item.used_by[:2]) + (f" and {len(item.used_by) - 2} more" if item.used_by[2:] else "")
            size = bytes_text(item.size)
            age = f"{item.age / 86400:.0f} days" if item.age >= 2 * 86400 else duration(item.age)
            print(f"{item.kind:<11} {item.path.name:<44} {size:>9} {age:>12}   {users or 'no run'}")
        free = sum(item.size for item in items if not item.used_by)
        total = bytes_text(sum(item.size for item in items))
        print(f"{total} in {out}; no run on disk needs {bytes_text(free)} of it")


@cache.command("gc", epilog="Example: augkit cache gc --older-than 30d --dry-run")
def collect_garbage(
    out: Out = Path("runs"),
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Leave what was written to since, as in 90m, 12h or 30d.")
    ] = "0s",
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also give up runs that never wrote a report.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove what no run on disk needs: a run with a report, or one that can be continued."""
    with _explained():
        from augkit.amounts import bytes_text
        from augkit.cache import collect
        from augkit.store import Store

        items = collect(Store(out), _parse_age(older_than), unfinished, dry_run)
        for item in items:
            print(f"{item.kind:<11} {item.path.name:<44} {bytes_text(item.size):>9}")
        size, does = bytes_text(sum(item.size for item in items)), "would free" if dry_run else "freed"
        print(f"{does} {size}: {len(items)} {'thing' if len(items) == 1 else 'things'} that no run on disk needs")


@plugins.command("show", epilog="Example: augkit plugin show mask2lesion")
def show_plugin(name: Name, kind: Kind = None) -> None:
    """Show a component: what it does, its options with types, bounds and defaults, provider, version and licence."""
    with _explained():
        from augkit.reference import describe_component

        for i, entry in enumerate(_entries(name, kind)):
            print(*([""] if i else []), *describe_component(entry), sep="\n")


@plugins.command("check", epilog="Example: augkit plugin check mask2lesion --set width=4 --set epochs=2")
def check_plugin(name: Name, kind: Kind = None, changes: Options = None) -> None:
    """Hold a component to the contract of its kind, on toy data; exit code 1 if it breaks it."""
    with _explained():
        from tempfile import TemporaryDirectory

        from augkit.conformance import try_component
        from augkit.conformance.build import build_alone

        broken = 0
        for entry in _entries(name, kind):
            component = build_alone(entry, changes or [])
            print(f"{entry.kind} {entry.name}, {entry.provider}")
            with TemporaryDirectory(prefix="augkit-check-") as folder:
                for finding in try_component(entry.kind, component, Path(folder)):
                    broken += finding.state == "failed"
                    print(f"  {finding.state:<8} {finding.check}{finding.text and ': ' + finding.text}", flush=True)
        if broken:
            _complain(f"{broken} of the checks failed")
            sys.exit(1)


@plugins.command("new", epilog="Example: augkit plugin new stripes --kind generator")
def new_plugin(
    name: Annotated[str, typer.Argument(help="The component's name in recipes; the package is called augkit-NAME.")],
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="generator, mask-source, augmentation, segmenter or dataset.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a package with a component that works, its contract test and a recipe."""
    with _explained():
        from augkit.registry import load_registry
        from augkit.scaffold import kind_named, write_package

        folder = write_package(name, kind_named(kind), out, load_registry())
        print(f"{folder}\nNext: pip install -e '{folder}' && augkit plugin check {name}")


def _entries(name: str, kind: str | None) -> list[Entry]:
    """Return the components of this name, of one kind or of all."""
    from augkit.errors import InputError
    from augkit.hookspecs import HOOK_OF_KIND
    from augkit.registry import Entry, load_registry
    from augkit.scaffold import kind_named

    registry = load_registry()
    kinds = [kind_named(kind)] if kind else [one for one in HOOK_OF_KIND if name in registry.names(one)]
    if not kinds:
        kinds = ["generator"]  # any kind: the problem says what is wrong with the plugin, or that nobody provides it
    found = [registry.find(one, name, f"component '{name}'") for one in kinds]
    problems = [one for one in found if not isinstance(one, Entry)]
    if problems:
        known = sorted({other for _, other in registry.entries})
        if kind is None and "no generator" in problems[0].what:
            from augkit.errors import Problem, did_you_mean

            raise InputError(Problem(f"component '{name}'", "no plugin provides it", did_you_mean(name, known)))
        raise InputError(*problems)
    return [one for one in found if isinstance(one, Entry)]


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


def _run(checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, how: How) -> Path:
    """Build the report of some recipes and return its folder."""
    from augkit.audience import Audience
    from augkit.engine import Engine
    from augkit.executors import Executor, LocalExecutor, threads_of
    from augkit.plan import make_plan
    from augkit.store import Digests, Store

    _set_precision(how.precision)
    watching = registry.choose_observers([*([] if how.quiet else ["progress"]), *how.observers], "--observer")
    _end_on_signals()
    for fault in registry.faults if not how.quiet else ():
        _complain(f"skipped plugin: {fault}")
    digests = Digests(how.out)
    planned = make_plan(checked, seeds, digests)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun started several of us
    if several:
        _refuse_jobs_under_torchrun(how)
        from augkit.followers import follow, meet

        if meet() > 0:
            follow(planned, Store(how.out), how.device)
            sys.exit()  # the first process does the rest

    def start(usable: str) -> Executor:
        digests.save()  # so that no worker reads the data again to plan
        return LocalExecutor(how.out, usable, how.jobs, how.threads or threads_of(how.jobs))

    # In this process, numpy's threads cannot be changed any more: a wish for threads needs a worker, too.
    executor = None if how.jobs == 1 and how.threads is None else start
    with Audience(watching) as audience:
        folder = Engine(Store(how.out), how.device, audience.tell, executor).run(planned)
    digests.save()
    if several:
        from augkit.followers import dismiss

        dismiss()
    return folder


def _refuse_jobs_under_torchrun(how: How) -> None:
    from augkit.errors import InputError, Problem

    if how.jobs > 1 or how.threads is not None:
        what = "is for one process; allowed under torchrun: neither --jobs nor --threads"
        raise InputError(Problem("--jobs", what, "Set OMP_NUM_THREADS for the threads of each process"))


def _compare(
    recipes: list[Path],
    folders: list[Path],
    changes: list[str] | None,
    seeds: list[int] | None,
    margin: float,
    how: How,
) -> None:
    from augkit.errors import InputError, Problem
    from augkit.recorded import merge, read_report, write_comparison
    from augkit.store import read_json
    from augkit.tables import table_rows

    if changes and not recipes:
        raise InputError(Problem(f"--set {changes[0]}", "changes recipes, and none was given; allowed: with recipes"))
    reports = [read_report(folder) for folder in folders]  # what is wrong with them is told before anything trains
    if recipes:
        reports.insert(0, read_report(_run(*_checked(recipes, changes), seeds, how)))
    arms = merge(reports, seeds)
    folder = write_comparison(reports, arms, margin, how.out)
    console = _console()
    header, *rows = table_rows(arms)
    _print_table(TABLE_TITLE, header, rows, console)
    _print_verdict(read_json(folder / "comparison.json"), console)
    for warning in dict.fromkeys(line for report in reports for line in report.warnings):
        console.print(f"⚠ {warning}", soft_wrap=True, markup=False)
    for name in ("comparison.html", "per_image.csv"):
        console.print(folder / name, soft_wrap=True, markup=False)


def _print_estimate(planned: Plan, store: Store, engine: Engine) -> None:
    from augkit.amounts import bytes_text, duration
    from augkit.estimate import estimate_plan

    found = estimate_plan(planned, store, engine)
    print(f"{'':<14} {'stage':<46} {'time':>12} {'memory':>10} {'disk':>10}  basis")
    for stage in planned.stages():
        if stage not in found:
            print(f"{'exists' if store.has(stage.address) else 'not needed':<14} {stage.title}")
            continue
        one = found[stage]
        time = "unknown" if one.seconds is None else duration(one.seconds)
        cells = f"{time:>12} {bytes_text(one.memory):>10} {bytes_text(one.disk):>10}  {one.basis}"
        print(f"{'will be built':<14} {stage.title:<46} {cells}")
    times = [one.seconds for one in found.values() if one.seconds is not None]
    memory = max((one.memory for one in found.values() if one.memory is not None), default=None)
    disk = sum(one.disk for one in found.values() if one.disk is not None)
    least = "" if len(times) == len(found) else f", and {len(found) - len(times)} stages of unknown time"
    print(f"in all: {duration(sum(times))}{least}; memory {bytes_text(memory)}; disk {bytes_text(disk)}")


@contextmanager
def _watched_engine(registry: Registry, out: Path, device: str, quiet: bool) -> Iterator[Engine]:
    """Give an engine that builds one stage after another and shows its progress on the terminal."""
    from augkit.audience import Audience
    from augkit.engine import Engine
    from augkit.store import Store

    _end_on_signals()
    with Audience(registry.choose_observers([] if quiet else ["progress"], "--observer")) as audience:
        yield Engine(Store(out), device, audience.tell)


def _quality(
    checked: tuple[CheckedRecipe, ...], registry: Registry, seeds: list[int] | None, out: Path, device: str, quiet: bool
) -> None:
    from augkit.plan import make_quality
    from augkit.quality_table import HEADER, quality_rows
    from augkit.store import Digests, read_json

    digests = Digests(out)
    stages = make_quality(checked, seeds, digests)
    with _watched_engine(registry, out, device, quiet) as engine:
        folders = engine.build(stages)
    digests.save()
    for stage, folder in zip(stages, folders, strict=True):
        record = read_json(folder / "quality.json")
        _print_table(stage.title, HEADER, quality_rows(record), _console(140))
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
    with _watched_engine(registry, out, device, quiet) as engine:
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
    with _watched_engine(registry, out, "cpu", quiet=False) as engine:
        (dataset,) = engine.build([arm.dataset])
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
        _print_table("Copies of one photograph", ("image", "in", "copy", "in", "likeness"), rows, _console(140))
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
    engine = Engine(Store(out), device)
    for arm in planned.arms:
        folder = out / "preview" / arm.name
        write_page(f"Preview of {arm.name}", draw_panels(arm, engine), folder)
        print(folder / "index.html")
    digests.save()


def _print_result(folder: Path) -> None:
    from augkit.store import read_json
    from augkit.tables import recorded_rows, recorded_warnings

    record, console = read_json(folder / "report.json"), _console()
    header, *rows = recorded_rows(record)
    _print_table(TABLE_TITLE, header, rows, console)
    _print_verdict(record["comparison"], console)
    for warning in recorded_warnings(record):
        console.print(f"⚠ {warning}", soft_wrap=True)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def _console(width: int = 120) -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def _print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], console: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="")
    for name in header:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_verdict(record: Mapping[str, Any], console: Console) -> None:
    for contrast in record["contrasts"]:
        console.print(contrast["sentence"], soft_wrap=True, markup=False)
    for remark in record["remarks"]:
        console.print(remark, soft_wrap=True, markup=False)


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


def _parse_age(text: str) -> float:
    from augkit.errors import InputError, Problem

    found = _AGE.fullmatch(text)
    if found is None:
        what = f"found '{text}'; allowed: a whole number and s, m, h or d, as in 30d"
        raise InputError(Problem(f"--older-than {text}", what))
    return float(int(found[1]) * _SECONDS[found[2]])


def _set_precision(name: str) -> None:
    """Set the precision of this process and of those it starts."""
    from augkit.errors import InputError, Problem

    if name not in ("auto", "float32", "bfloat16"):
        raise InputError(Problem(f"--precision {name}", "allowed: auto, float32, bfloat16"))
    os.environ["AUGKIT_PRECISION"] = name


@contextmanager
def _explained() -> Iterator[None]:
    """Turn failures into sentences and exit codes: 2 bad input, 130 interrupted, 1 or 4 a run that failed."""
    from augkit.errors import AugkitError, InterruptedRunError

    try:
        yield
    except InterruptedRunError as error:
        _complain(*(str(problem) for problem in error.problems), "The same command continues from here.")
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


def _end_on_signals() -> None:
    """End by exception on SIGTERM, and treat a closed terminal as that, unless it is ignored as by nohup."""
    signal.signal(signal.SIGTERM, _end_on_sigterm)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        signal.signal(hang_up, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def _end_on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
