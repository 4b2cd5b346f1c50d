"""A process that builds one stage after another for an executor: ``python -m augkit.running.worker ROOT DEVICE``.

It reads units as lines of JSON and writes events and results as such. When its input ends, because the run is
interrupted or its process has died, it saves the state of the stage under way and ends. It is started so that signals
do not reach it: a service that ends a group of processes would signal the run and the worker, and the second one that
the worker hears would cost it the state.
"""

from __future__ import annotations

import _thread
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from augkit.contracts import events
from augkit.contracts.registry import Registry, load_registry
from augkit.errors import AugkitError, InterruptedRunError, Problem, StageError
from augkit.planning.components import check_recipes
from augkit.planning.plan import everything_of
from augkit.planning.recipe import recipe_of
from augkit.planning.tasks import Stage
from augkit.running.engine import Engine
from augkit.store import Digests, Store, Verified

STOP = signal.SIGTERM
"""The signal that the end of the input stands for."""


def main() -> None:
    """Build what the standard input asks for, until it ends."""
    store, device = Store(Path(sys.argv[1]), Verified()), sys.argv[2]
    signal.signal(STOP, lambda number, frame: sys.exit(128 + number))
    answers = _own_output()
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    # Events are told at once, without an audience: who only passes things on is not slow and does not fail.
    engine = Engine(store, device, lambda event: _say(answers, events.to_plain(event)))
    planner = _Planner(store, load_registry())
    while line := orders.get():
        _say(answers, _build(json.loads(line), engine, planner))


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


def _build(order: Mapping[str, Any], engine: Engine, planner: _Planner) -> Mapping[str, Any]:
    """Build a stage and return the result as `Executor.wait` describes it."""
    try:
        stage = planner.stage(order)
        engine.expect(stage.inputs.values())  # or the order would not have come
        engine.artifact(stage)
    except InterruptedRunError as error:
        return {"problems": _plain(error), "exit_code": error.exit_code, "interrupted": True}
    except AugkitError as error:
        return {"problems": _plain(error), "exit_code": error.exit_code}
    except SystemExit:
        problem = [order["title"], "interrupted; it continues from what it had saved, if anything", ""]
        return {"problems": [problem], "exit_code": 128 + STOP, "interrupted": True}
    return {"problems": []}


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
