"""What a command line may say: the options that commands share, and what their texts mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

_SEED = re.compile("[0-9]{1,15}")
_MOST_SEEDS = 1000
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
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        max=1024,
        help="Stages built side by side, in processes; default: 1, and with --executor as many as it has room for.",
    ),
]
Executor = Annotated[
    str, typer.Option(metavar="NAME", help="Where stages are built: local, ray, slurm, as in augkit plugin list.")
]
ClusterFile = Annotated[
    Path | None,
    typer.Option("--cluster", metavar="FILE", help="Options of executors; default: ~/.config/augkit/cluster.yaml."),
]
MixedNodes = Annotated[
    bool, typer.Option("--mixed-nodes", help="Let nodes differ in what decides bits; the report then says so.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="End as soon as stages are under way elsewhere; the same command follows them.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads of each job; default: its share of the cores. Decides bits."),
]
Contrasts = Annotated[
    list[str] | None,
    typer.Option(
        "--contrast",
        metavar="ARM:ARM",
        help="Also compare these two arms, as in texture:flow; adjusted with the others. Repeatable.",
    ),
]
Observers = Annotated[
    list[str] | None,
    typer.Option("--observer", metavar="NAME", help="Also tell this plugin, as in jsonl or tensorboard."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


def parse_seeds(text: str | None) -> list[int] | None:
    """Return the seeds of a list such as ``0,1,2`` or ``0..5``, or None where the recipes' own are meant."""
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
def computing_with(jobs: int | None, threads: int | None) -> Iterator[None]:
    """Let torch compute in this process with as many threads as a job of a run would."""
    if jobs in (None, 1) and threads is None:
        yield
        return
    import torch

    from augkit.running.local import threads_of

    before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_of(jobs or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def parse_contrasts(texts: list[str] | None, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of arms that ``--contrast`` names; `names` are those of all arms."""
    from augkit.errors import InputError, Problem
    from augkit.report.verdict.contrasts import check_asked

    pairs = []
    for text in texts or ():
        first, colon, second = text.partition(":")
        if not colon:
            what = f"found '{text}'; allowed: two of {', '.join(names)}, with a colon between them"
            raise InputError(Problem(f"--contrast {text}", what))
        pairs.append((first, second))
    check_asked(pairs, names)
    return tuple(pairs)


def parse_age(text: str) -> float:
    """Return the seconds of an age such as ``90m``, ``12h`` or ``30d``."""
    from augkit.errors import InputError, Problem

    found = _AGE.fullmatch(text)
    if found is None:
        what = f"found '{text}'; allowed: a whole number and s, m, h or d, as in 30d"
        raise InputError(Problem(f"--older-than {text}", what))
    return float(int(found[1]) * _SECONDS[found[2]])
