"""Stages side by side: each begins when what it needs is there, and a failure stops only those that need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from augkit.contracts import events
from augkit.contracts.executor import Executor, Unit
from augkit.errors import AugkitError, InterruptedRunError, Problem, StageError
from augkit.planning.tasks import Stage

Tell = Callable[[events.Event], None]


def build_side_by_side(missing: Sequence[Stage], executor: Executor, tell: Tell) -> None:
    """Build the missing stages, as many at once as the executor takes.

    missing: what has to be built, in an order that would do; a report, which belongs to no single arm, is left out.

    When some fail, everything that does not need them is still built; then one error names all that failed. A signal
    is passed on once; when all have ended its exception goes on, with what the stages said to it.
    """
    crew = _Crew(missing, executor, tell)
    try:
        crew.work()
    except (KeyboardInterrupt, SystemExit) as end:
        raise crew.interrupted(end) from None
    finally:
        executor.close()
    if crew.failures:
        raise crew.failed()


class _Crew:
    """What waits, what is under way, and what failed."""

    def __init__(self, missing: Sequence[Stage], executor: Executor, tell: Tell) -> None:
        self._waiting = [stage for stage in missing if stage.document is not None]
        self._executor = executor
        self._tell = tell
        self._under_way: dict[str, Stage] = {}
        self.failures: dict[Stage, AugkitError] = {}

    def work(self) -> None:
        while self._waiting or self._under_way:
            self._begin_what_can()
            if not self._under_way:
                return  # what is left needs a stage that failed
            self._hear()

    def interrupted(self, end: KeyboardInterrupt | SystemExit) -> BaseException:
        """Let the stages under way save and end; return the end of the run in their words."""
        self._executor.interrupt()
        while self._under_way:
            self._hear()
        if not self.failures:
            return end
        error = InterruptedRunError(*(problem for one in self.failures.values() for problem in one.problems))
        error.exit_code = end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else 130
        return error

    def failed(self) -> AugkitError:
        """Return one error for all failures; with its own exit code where they agree."""
        for stage in self._waiting:
            self._tell(events.StageNoted(stage.title, "was not built, because it needs a stage that failed"))
        codes = {error.exit_code for error in self.failures.values()}
        error = StageError(*(problem for one in self.failures.values() for problem in one.problems))
        error.exit_code = codes.pop() if len(codes) == 1 else 1
        return error

    def _begin_what_can(self) -> None:
        blocked = {*self._waiting, *self._under_way.values(), *self.failures}
        for stage in list(self._waiting):
            if len(self._under_way) == self._executor.capacity:
                return
            if not blocked.intersection(stage.inputs.values()):
                self._waiting.remove(stage)
                self._executor.submit(_unit(stage))
                self._under_way[stage.address.fingerprint] = stage

    def _hear(self) -> None:
        said = self._executor.wait()
        if said is None:  # a signal came just when a last word was heard
            self._under_way.clear()
        elif "problems" not in said.facts:
            self._tell(events.from_plain(said.facts))
        else:
            stage = self._under_way.pop(said.unit.fingerprint, None)
            if stage is not None and said.facts["problems"]:
                self.failures[stage] = _error(said.facts)


def _unit(stage: Stage) -> Unit:
    assert stage.document is not None
    return Unit(stage.document, stage.address.fingerprint, stage.title)


def _error(facts: Mapping[str, Any]) -> AugkitError:
    kind: type[AugkitError] = InterruptedRunError if facts.get("interrupted") else StageError
    error = kind(*(Problem(*problem) for problem in facts["problems"]))
    error.exit_code = facts["exit_code"]
    return error
