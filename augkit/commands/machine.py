"""Commands about this machine and what is stored on it: cache ls, cache gc, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from augkit.commands.arguments import Device, Out, parse_age
from augkit.commands.terminal import explained


def list_cache(out: Out = Path("runs")) -> None:
    """Show everything that is stored: kind, name, size, age, and which runs need it."""
    with explained():
        from augkit.amounts import bytes_text, duration
        from augkit.running.cache import contents
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


def collect_garbage(
    out: Out = Path("runs"),
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Leave what was written to since, as in 90m, 12h or 30d.")
    ] = "0s",
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also give up runs that never wrote a report.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take other hosts that have begun to build something for dead.")
    ] = False,
) -> None:
    """Remove what no run on disk needs: a run with a report, or one that can be continued."""
    with explained():
        from augkit.amounts import bytes_text
        from augkit.running.cache import collect
        from augkit.store import Store

        items = collect(Store(out), parse_age(older_than), unfinished, dry_run, force)
        for item in items:
            print(f"{item.kind:<11} {item.path.name:<44} {bytes_text(item.size):>9}")
        size, does = bytes_text(sum(item.size for item in items)), "would free" if dry_run else "freed"
        print(f"{does} {size}: {len(items)} {'thing' if len(items) == 1 else 'things'} that no run on disk needs")


def doctor(
    out: Out = Path("runs"),
    device: Device = "auto",
    shared: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Only probe a folder that several hosts share: locks, renames, delays."),
    ] = None,
    join: Annotated[
        str | None, typer.Option(metavar="CODE", help="Be the other host of a probe; it prints the command.")
    ] = None,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=86400, help="How long a second host may take to join.")
    ] = 120,
) -> None:
    """Tell what this machine is: versions, device, speed of each precision, disk, plugins and their faults."""
    with explained():
        if shared is not None or join is not None:
            from augkit.commands.shared import probe

            sys.exit(probe(shared, join, wait))

        from augkit.commands import doctor as examine
        from augkit.contracts.registry import load_registry
        from augkit.training.precision import choose_device

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
