"""A process that builds stages for an executor.

``python -m augkit.running.worker`` reads units as lines of JSON, as `Site.order` makes them, builds one after another,
and writes events and results as such lines. When its input ends, because the run is interrupted or its process has
died, it saves the state of the stage under way and ends; where a plugin hangs, by force after a while. It is started so
that signals do not reach it: a service that ends a group of processes would signal the run and the worker, and the
second one that the worker hears would cost it the state.

``python -m augkit.running.worker --unit FILE.json`` builds the one unit in a file and appends its lines to FILE.jsonl.
SIGTERM lets it save and end. Its exit code is 0, that of the stage's failure, or 143 for one that is to go on.
"""

from __future__ import annotations

import _thread
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from augkit.contracts import events
from augkit.contracts.registry import Registry, load_registry
from augkit.errors import AugkitError, InterruptedRunError, Problem, StageError, SupersededError
from augkit.planning.components import check_recipes
from augkit.planning.plan import everything_of
from augkit.planning.recipe import recipe_of
from augkit.planning.tasks import Stage
from augkit.running.elsewhere.nodes import check_node
from augkit.running.engine import Engine
from augkit.starting import end_by_exception, exit_code
from augkit.store import Digests, Store, Verified, append_line, read_json

STOP = signal.SIGTERM
"""The signal that the end of the input stands for."""

ENDING_SECONDS = 300.0
"""How long a worker may take to save its state once its input has ended, on the slowest of file systems."""


def main() -> None:
    """Build what the standard input asks for, until it ends, or one unit of a file."""
    try:
        if sys.argv[1:2] == ["--unit"]:
            sys.exit(build_one(Path(sys.argv[2])))
        build_all()
    except KeyboardInterrupt as end:  # between two stages, so that there is nothing to say
        sys.exit(exit_code(end))


def build_all() -> None:
    """Build what the lines of the standard input ask for, and answer each on the standard output."""
    signal.signal(STOP, end_by_exception)
    answers = _own_output()
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    builder = _Builder(lambda facts: _say(answers, facts))
    while line := orders.get():
        builder.build(json.loads(line))
    signal.signal(STOP, signal.SIG_IGN)  # it may still come, and there is nothing left to save


def build_one(file: Path) -> int:
    """Build the unit in a file, say all to the file beside it, and return the exit code of the process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))  # inherited from srun
    signal.signal(STOP, end_by_exception)
    os.dup2(2, 1)
    builder = _Builder(lambda facts: append_line(file.with_suffix(".jsonl"), json.dumps(facts)))
    last = builder.build(read_json(file))
    return int(last.get("exit_code", 0))


def _own_output() -> int:
    """Return the standard output for the answers, and give what anybody else prints to the standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _say(answers: int, facts: Mapping[str, Any]) -> None:
    """Write a line for who started this process; where nobody reads any more, the end of the input is on its way."""
    line = json.dumps(facts).encode() + b"\n"
    with suppress(BrokenPipeError):
        while line:
            line = line[os.write(answers, line) :]


def _listen(orders: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        orders.put(line)
    orders.put("")  # ends an idle worker
    _thread.interrupt_main(STOP)  # ends a busy one, as the signal would
    time.sleep(ENDING_SECONDS)
    os._exit(128 + STOP)  # one that hangs would keep the lock of its stage for ever


class _Builder:
    """Builds what orders ask for, and says what happens."""

    def __init__(self, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._registry = load_registry()
        self._sites: dict[tuple[str, str], tuple[Engine, _Planner]] = {}

    def build(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Build a stage, and say and return the result as `Executor.wait` describes it."""
        result = self._build(order)
        self._say(result)
        return result

    def _build(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            check_node(order)
            engine, planner = self._site(order["root"], order["device"])
            stage = planner.stage(order)
            engine.expect(stage.inputs.values())  # or the order would not have come
            engine.artifact(stage)
        except InterruptedRunError as error:
            return {"problems": _plain(error), "exit_code": error.exit_code, "interrupted": True}
        except SupersededError as error:  # who has taken it over makes it, or the one who begins it again does
            return {"problems": _plain(error), "exit_code": error.exit_code, "lost": True}
        except AugkitError as error:
            return {"problems": _plain(error), "exit_code": error.exit_code}
        except KeyboardInterrupt as end:
            problem = [order["title"], "interrupted; it continues from what it had saved, if anything", ""]
            return {"problems": [problem], "exit_code": exit_code(end), "interrupted": True}
        return {"problems": []}

    def _site(self, root: str, device: str) -> tuple[Engine, _Planner]:
        if (root, device) not in self._sites:
            store = Store(Path(root), Verified())
            # Events are told at once, without an audience: who only passes things on is not slow and does not fail.
            engine = Engine(store, device, lambda event: self._say(events.to_plain(event)))
            self._sites[root, device] = engine, _Planner(store, self._registry)
        return self._sites[root, device]


def _plain(error: AugkitError) -> list[list[str]]:
    return [[problem.where, problem.what, problem.hint] for problem in error.problems]


class _Planner:
    """Plans the arms of orders, each once."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._stages: dict[str, tuple[Stage, ...]] = {}

    def stage(self, order: Mapping[str, Any]) -> Stage:
        """Return the stage of an order; `StageError` where it is planned with another fingerprint."""
        document = order["document"]
        key = json.dumps(document)
        if key not in self._stages:
            recipe = recipe_of(document, f"recipe '{document['name']}'")
            checked = check_recipes([recipe], self._registry)
            self._stages[key] = everything_of(checked[0], Digests(self._store.root))
        for stage in self._stages[key]:
            if stage.address.fingerprint == order["fingerprint"]:
                return replace(stage, title=order["title"])
        what = "code, plugins or data changed since the run began, so it was not built"
        raise StageError(Problem(order["title"], what, "Give the same command again"))


if __name__ == "__main__":
    main()
