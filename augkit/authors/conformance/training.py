"""Checks of components that train: equal fits give equal files, and an interrupted one continues to them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from augkit.authors.conformance.bench import Bench, InterruptingLog, UnansweredError
from augkit.contracts.components import Workspace
from augkit.contracts.rules import BreachError
from augkit.errors import InterruptedRunError
from augkit.store import remove_folder

CHECKPOINTS = "checkpoints"
"""What a training keeps for continuing is no part of its result."""

_SEEDED = "let everything random come from space.seed, or train with augkit.training.loop.train"


class TrainingBench(Bench):
    """A bench of a component that trains."""

    def fit(self, space: Workspace) -> None:
        """Fit once in a workspace."""
        raise NotImplementedError

    def fitted(self) -> Path:
        """Return the folder of a complete fit."""
        raise NotImplementedError


def fits_again(bench: TrainingBench) -> None:
    """The same data and seed give the same files."""
    space = bench.space("fit again")
    bench.once("a second fit()", lambda: bench.fit(space), space.folder)
    compare_fits(bench.fitted(), space.folder, "a second fit() with the same seed")


def resumes(bench: TrainingBench) -> None:
    """A fit that was interrupted and is called again ends in the same files."""
    if threading.current_thread() is not threading.main_thread():
        raise UnansweredError("only in the main thread can a fit be interrupted")
    log = InterruptingLog()
    space = bench.space("interrupted", log)

    def interrupt() -> None:
        try:
            bench.fit(space)
        except (InterruptedRunError, KeyboardInterrupt):
            return

    bench.fitted()
    bench.once("a fit() that Ctrl-C interrupts", interrupt, space.folder)
    if not log.interrupted:
        raise UnansweredError("it reports no progress before its end, so that there is nothing to interrupt")
    bench.once("fit() after an interruption", lambda: bench.fit(space), space.folder)
    compare_fits(bench.fitted(), space.folder, "fit() after an interruption")


def compare_fits(one: Path, other: Path, when: str, wanted: str = _SEEDED) -> None:
    """Raise `BreachError` where the files of a fit are not those of another, checkpoints left out."""
    remove_folder(one / CHECKPOINTS)
    remove_folder(other / CHECKPOINTS)
    first, second = _contents(one), _contents(other)
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if different:
        raise BreachError(f"left other files after {when}: {', '.join(different[:3])}", wanted)


def _contents(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
