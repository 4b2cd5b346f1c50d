"""What ``augkit paint`` understands, and what it says."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from augkit_paint.studio import Studio

What = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RECIPE|FOLDER",
        help="Recipes, or folders of trained generators; without any, drawn phantoms and `texture`.",
    ),
]


def paint(
    what: What = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a recipe value, as in dataset.phantom.size=128."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipes' seeds.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of artifacts, as of `augkit run`.")] = Path("runs"),
    drawings: Annotated[Path, typer.Option(help="Folder to which the page appends drawings.")] = Path("drawings"),
    size: Annotated[
        int | None, typer.Option(min=8, max=1024, help="Side in pixels, for folders whose training images are gone.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(envvar="AUGKIT_PRECISION", help="auto, float32 or bfloat16, as of `augkit run`.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads that paint. Decides bits.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of this machine; default: a free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Draw a mask in the browser and see what trained generators make of it.

    The page is for this machine alone: it listens on 127.0.0.1, and its address holds a secret. Ctrl-C ends it.

    Example: augkit paint recipes/allaug.yaml
    """
    from tempfile import TemporaryDirectory

    from augkit_paint.listening import listen, require_extra, serve
    from augkit_paint.opening import open_studio, read_recipes

    require_extra()
    os.environ["AUGKIT_PRECISION"] = precision  # also for the processes that may be started
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    with TemporaryDirectory(prefix="augkit-paint-") as scratch, listen(port) as listening:
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
            wanted = read_recipes(what or [], changes or [], size)
            print(f"augkit paint: {listening.address}", flush=True)
            if browser and not listening.open_browser():
                print("No browser could be started here; open this address in one.", flush=True)

            def opening() -> Studio:
                studio = open_studio(wanted, seed, out, drawings, device, Path(scratch))
                for line in studio.untrained():
                    print(line, flush=True)
                print("Ready. Ctrl-C ends it.", flush=True)
                return studio

            serve(opening, listening)
        except KeyboardInterrupt:  # the way to end it, so that it is no failure
            print("Ended.", flush=True)
    os._exit(0)  # whoever paints in compiled code just now is not waited for
