"""Commands that hand things to and from others: export, ls, cp, schema, generator import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from augkit.commands.arguments import Changes, Device, Jobs, Out, Precision, Quiet, Recipe, Threads
from augkit.commands.terminal import complain, explained, prepare, say

if TYPE_CHECKING:
    from augkit.sharing.files import Format, ImageFormat


def export(
    recipe: Recipe,
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    layout: Annotated[str, typer.Option("--format", metavar="NAME", help="folder, nnunet or coco.")] = "folder",
    image_format: Annotated[str, typer.Option(metavar="NAME", help="png, or webp (lossless).")] = "png",
    size: Annotated[
        str, typer.Option(metavar="NAME", help="Of real images: training, or native, as in their files (nnunet).")
    ] = "training",
    changes: Changes = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's seed.")] = None,
    out: Out = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    jobs: Jobs = 1,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write a recipe's synthetic images and masks for other programs, with a manifest and a data card.

    The format nnunet needs whole data sets, so its folder holds the REAL images as well: mind who may have them.

    What is missing is built first. The folder gets everything or, when interrupted, nothing.
    """
    with explained():
        from augkit.errors import check_choice
        from augkit.planning.loading import load_checked
        from augkit.running.session import How, Session
        from augkit.sharing.card import what_pixels_are
        from augkit.sharing.export import check_pixels, check_size, check_target, gather_export, write_export

        check_choice("--format", layout, ("folder", "nnunet", "coco"))
        check_choice("--image-format", image_format, ("png", "webp"))
        check_choice("--size", size, ("training", "native"))
        (checked, *_), registry = load_checked([recipe], changes or ())
        check_size(size, layout, checked)
        check_pixels(layout, checked)
        check_target(to, layout, image_format)
        audience = prepare(registry, quiet)
        session = Session(How(out, device, precision, jobs, threads), audience.tell)
        with audience:
            exported = gather_export(checked, seed, session, size)
        written = write_export(exported, to, cast("Format", layout), cast("ImageFormat", image_format))
        say(str(to) if written else f"{to} holds this export already")
        if any(source.real_pixels for source in exported.sources):
            complain(what_pixels_are(exported))
        if layout == "nnunet":
            real = exported.real
            complain(f"{to} holds {sum(map(len, (real.train, real.validation, real.test)))} real images, too.")


def list_recipes() -> None:
    """List the recipes that come with augkit."""
    with explained():
        from augkit.planning.shipped import purpose, shipped_recipes

        for name, file in shipped_recipes().items():
            print(f"{name:<28} {purpose(file)}")


def copy_recipe(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A recipe or folder of recipes, as `augkit ls` names it.")
    ],
    target: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put the copies.")] = Path(),
) -> None:
    """Copy a recipe that comes with augkit, to change it."""
    with explained():
        from augkit.planning.shipped import copy_recipes

        for file in copy_recipes(name, target):
            print(file)


def schema() -> None:
    """Print the JSON schema of a recipe with the options of all installed plugins, for editors."""
    with explained():
        import json

        from augkit.contracts.registry import load_registry
        from augkit.planning.schema import recipe_schema

        print(json.dumps(recipe_schema(load_registry()), indent=1))


def import_generator(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights, such as pix2pix's latest_net_G.pth.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to write; the file's name without its ending if not given.")
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Which generator reads the file, if several could.")] = None,
) -> None:
    """Turn weights trained elsewhere into a folder that recipes can use. Names and shapes are checked."""
    with explained():
        from augkit.contracts.registry import load_registry
        from augkit.sharing.weights import import_weights

        folder = to or Path(file.stem)
        for sentence in import_weights(file, folder, generator, load_registry()):
            print(sentence)
