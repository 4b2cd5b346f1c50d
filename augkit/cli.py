"""The command line: which commands there are, in the order in which ``--help`` shows them.

Imports that cost time stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from augkit.commands import added, looking, machine, planning, plugins, power, reports, running, searching, sharing
from augkit.commands.terminal import fill_closed_streams, own_output, written

COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("run", running.run, "recipes/*aug.yaml --seeds 0,1,2 --set segmenter.unet.steps=100"),
    ("compare", running.compare, "recipes/*aug.yaml --seeds 0..5"),
    (
        "power",
        power.power,
        "recipes/classicaug.yaml recipes/allaug.yaml --gain 0.02, or: augkit power runs/report/allaug-0f3a9c2d41be",
    ),
    ("search", searching.search, "my_data --hours 2"),
    ("plan", planning.plan, "recipes/*aug.yaml --seeds 0..2 --estimate"),
    ("validate", planning.validate, "recipes/*aug.yaml"),
    ("controls", planning.controls, "recipes/allaug.yaml --to controls"),
    ("preview", looking.preview, "recipes/allaug.yaml"),
    ("figures", looking.figures, "recipes/allaug.yaml"),
    ("quality", looking.quality, "recipes/allaug.yaml --seeds 0..2"),
    ("reproduce", reports.reproduce, "runs/report/allaug-0f3a9c2d41be"),
    ("share", reports.share, "runs/report/allaug-0f3a9c2d41be allaug.zip"),
    ("export", sharing.export, "recipes/allaug.yaml --format nnunet --to exported"),
    ("data check", looking.check_data, "recipes/isic2017/noaug.yaml"),
    ("generator import", sharing.import_generator, "latest_net_G.pth --to generators/pix2pix"),
    ("plugin list", plugins.list_plugins, ""),
    ("plugin show", plugins.show_plugin, "mask2lesion"),
    ("plugin check", plugins.check_plugin, "mask2lesion --set width=4 --set epochs=2"),
    ("plugin new", plugins.new_plugin, "stripes --kind generator"),
    ("ls", sharing.list_recipes, ""),
    ("cp", sharing.copy_recipe, "allaug my_recipes"),
    ("schema", sharing.schema, "> recipe.schema.json"),
    ("cache ls", machine.list_cache, ""),
    ("cache gc", machine.collect_garbage, "--older-than 30d --dry-run"),
    ("doctor", machine.doctor, ""),
)
"""Every command: its name, what it does, and the arguments of the example in its help."""

GROUPS = {
    "data": ("Look a data set over.", "check RECIPE"),
    "generator": ("Generators trained elsewhere.", "import latest_net_G.pth"),
    "plugin": ("What the installed plugins provide.", "list"),
    "cache": ("What is stored, and removing what no run needs.", "ls"),
}
"""Commands of commands: what they are about, and an example."""

_ORDER = list(dict.fromkeys(name.split()[0] for name, _, _ in COMMANDS))


class _InOrder(TyperGroup):
    """Shows commands and groups in the order above, then those of plugins; by itself, typer puts groups last.

    Plugins are loaded where ``--help`` or a command that is none of ours asks for it.
    """

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [*sorted(self.commands, key=_ORDER.index), *added.names()]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        return self.commands.get(cmd_name) or added.command_named(cmd_name)


app = typer.Typer(
    name="augkit",
    cls=_InOrder,
    help="Mix augmentation sources in a recipe and learn whether they help your segmenter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: augkit run recipes/allaug.yaml. For the tab key: augkit --install-completion",
)


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


def _add_commands() -> None:
    parents = {"": app}
    for group, (purpose, example) in GROUPS.items():
        parents[group] = typer.Typer(help=purpose, no_args_is_help=True, epilog=f"Example: augkit {group} {example}")
        app.add_typer(parents[group], name=group)
    for name, function, example in COMMANDS:
        group, _, command = name.rpartition(" ")
        parents[group].command(command, epilog=f"Example: augkit {name} {example}".rstrip())(function)


_add_commands()


def main() -> None:
    """Run the command line; the entry point of the ``augkit`` script."""
    fill_closed_streams()
    own_output()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may not fit the terminal's encoding
    with written():
        app()
