"""Commands that tell beforehand what a run would do and whether it can: plan, validate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.arguments import Changes, Device, Out, Recipes, Seeds, checked_recipes, parse_seeds
from augkit.commands.terminal import explained

if TYPE_CHECKING:
    from augkit.engine import Engine
    from augkit.plan import Plan
    from augkit.store import Store


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
    with explained():
        from augkit.engine import Engine
        from augkit.plan import make_plan
        from augkit.store import Digests, Store

        checked, _ = checked_recipes(recipes, changes)
        planned = make_plan(checked, parse_seeds(seeds), Digests(out))
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


def validate(recipes: Recipes, changes: Changes = None) -> None:
    """Check recipes, their components and that their data is there. Writes nothing."""
    with explained():
        checked, _ = checked_recipes(recipes, changes)
        for file in dict.fromkeys(one.recipe.file for one in checked):  # a sweep is several recipes in one file
            print(f"{file}: ok")
