"""The tiny runs that faults are tried on, and what is right after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import forked
import kills
from augkit.store import Address, Store

RECIPE = """\
name: tiny
seed: 0
dataset: {phantom: {train: 6, test: 3, size: 32}}
synthesize:
  - generator: {texture: {}}
    masks: {training: {}}
    per_real: 1.0
segmenter: {unet: {width: 2, steps: 24, batch_size: 2}}
"""
ALONE_SECONDS = 300.0
"""After which a run is taken to hang, on a machine as busy as may be."""


@dataclass(frozen=True)
class Tiny:
    """A run of one tiny recipe.

    folder: for the recipe, the stores and what runs say.
    """

    folder: Path

    def arguments(self, store: Path, *more: str) -> list[str]:
        """Return the command line."""
        recipe = self.folder / "tiny.yaml"
        if not recipe.exists():
            recipe.write_text(RECIPE)
        return ["run", str(recipe), "--device", "cpu", "--out", str(store), *more]

    def start(self, store: Path, *more: str, log: str = "log", prepare: Callable[[], None] = lambda: None) -> int:
        """Start it in a process."""
        return forked.start(self.arguments(store, *more), self.log(store, log), prepare)

    def log(self, store: Path, name: str = "log") -> Path:
        """Return the file of what it says."""
        return self.folder / f"{store.name}.{name}"

    def finish(self, store: Path, *more: str) -> str:
        """Run it to its end; return what was wrong."""
        code = end_of(self.start(store, *more))
        return "" if code == 0 else f"exit code {code}: {last_line(self.log(store))}"

    def reference(self, *more: str) -> dict[str, str]:
        """Run it undisturbed and return what it gives."""
        store = self.folder / "reference"
        if wrong := self.finish(store, *more):
            raise SystemExit(f"the undisturbed run: {wrong}")
        return kills.results(store)


def end_of(process: int, seconds: float = ALONE_SECONDS) -> int | str:
    """Return the exit code of a process; one that does not end is ended, and the answer says so."""
    code = forked.code_of(process, seconds)
    if code is None:
        forked.end(process)
        return f"none, it did not end in {seconds:.0f} s"
    return code


def last_line(log: Path) -> str:
    """Return the last line that a run said."""
    return (log.read_text().splitlines() or [""])[-1]


def difference(store: Path, reference: dict[str, str], others: bool = False) -> str:
    """Return how a store differs from what an undisturbed run gives, and what lies in it damaged.

    others: whether artifacts of other recipes lie in it too; they, and the report, of which there are several, are not
            compared.
    """
    found = kills.results(store)
    names = reference.keys() - {"metrics"} if others else found | reference
    different = [name for name in names if found.get(name) != reference.get(name)]
    told = [f"{len(different)} files differ, such as {different[0]}"] if different else []
    told += [f"{count} {name}" for name, count in kills.damage(store).items() if count]
    return "; ".join(told)


def noting_publications(file: Path) -> Callable[[], None]:
    """Return what lets a process note each artifact that it publishes as a line of the file."""

    def prepare() -> None:
        publish = Store.publish

        def noted(store: Store, address: Address, *given: object) -> Path:
            with file.open("a") as notes:
                notes.write(f"{address.kind} {address.fingerprint}\n")
            return publish(store, address, *given)  # type: ignore[arg-type]

        Store.publish = noted  # type: ignore[method-assign,assignment]

    return prepare
