"""Stages side by side: each begins when what it needs is there, and a failure stops only those that need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augkit.contracts import events
from augkit.contracts.executor import Detachable, Executor, Resources, Unit
from augkit.errors import AugkitError, DetachedRunError, InterruptedRunError, Problem, StageError
from augkit.planning.tasks import Stage, longest_chain_first
from augkit.starting import exit_code

Tell = Callable[[events.Event], None]

MOST_LOSSES = 2
"""How often a stage is begun again whose worker was lost, until it has got further than before."""


def build_side_by_side(
    missing: Sequence[Stage],
    executor: Executor,
    tell: Tell,
    resources: Callable[[Stage], Resources] = lambda stage: Resources(stage.address.kind),
    detach: bool = False,
) -> None:
    """Build the missing stages, as many at once as the executor takes.

    missing:   what has to be built, in an order that would do; a report, which belongs to no single arm, is left out.
    resources: what a stage takes.
    detach:    begin what can begin, leave it to itself and raise `DetachedRunError`; the executor is `Detachable`.

    A stage whose worker was lost is begun again, twice at most: not counting what the machine was taken away from, and
    anew each time that it began further on than the time before, from a checkpoint.

    When some fail, everything that does not need them is still built; then one error names all that failed. A signal
    is passed on once; when all have ended its exception goes on, with what the stages said to it.
    """
    crew = _Crew(missing, executor, tell, resources)
    try:
        if detach:
            crew.leave()
        crew.work()
    except KeyboardInterrupt as end:
        raise crew.interrupted(end) from None
    finally:
        executor.close()
    if crew.failures:
        raise crew.failed()


class _Crew:
    """What waits, what is under way, and what failed."""

    def __init__(
        self, missing: Sequence[Stage], executor: Executor, tell: Tell, resources: Callable[[Stage], Resources]
    ) -> None:
        self._waiting = longest_chain_first([stage for stage in missing if stage.document is not None])
        self._executor = executor
        self._tell = tell
        self._resources = resources
        self._under_way: dict[str, Stage] = {}
        self._attempts: dict[str, _Attempts] = {}
        self._ends = False
        self.failures: dict[Stage, AugkitError] = {}

    def leave(self) -> None:
        """Begin what can begin and leave it to itself."""
        if self._waiting:
            self._begin_what_can()
            assert isinstance(self._executor, Detachable)
            self._executor.detach()
            raise DetachedRunError(len(self._under_way), len(self._waiting))

    def work(self) -> None:
        while self._waiting or self._under_way:
            self._begin_what_can()
            if not self._under_way:
                return  # what is left needs a stage that failed
            self._hear()

    def interrupted(self, end: KeyboardInterrupt) -> BaseException:
        """Let the stages under way save and end; return the end of the run in their words."""
        self._ends = True
        self._executor.interrupt()
        while self._under_way:
            self._hear()
        if not self.failures:
            return end
        error = InterruptedRunError(*(problem for one in self.failures.values() for problem in one.problems))
        error.exit_code = exit_code(end)
        return error

    def failed(self) -> AugkitError:
        """Return one error for all failures; with its own exit code where they agree."""
        for stage in self._waiting:
            self._tell(events.StageNoted(stage.title, "was not built, because it needs a stage that failed"))
        codes = {error.exit_code for error in self.failures.values()}
        problems = dict.fromkeys(problem for one in self.failures.values() for problem in one.problems)
        error = StageError(*problems)
        error.exit_code = codes.pop() if len(codes) == 1 else 1
        return error

    def _begin_what_can(self) -> None:
        blocked = {*self._waiting, *self._under_way.values(), *self.failures}
        for stage in list(self._waiting):
            if len(self._under_way) >= self._executor.capacity:
                return
            if not blocked.intersection(stage.inputs.values()):
                self._waiting.remove(stage)
                self._executor.submit(self._unit(stage))
                self._under_way[stage.address.fingerprint] = stage

    def _hear(self) -> None:
        said = self._executor.wait()
        if said is None:  # a signal came just when a last word was heard
            self._under_way.clear()
        elif "problems" in said.facts:
            self._end(said.unit.fingerprint, said.facts)
        elif said.facts:
            event = events.from_plain(said.facts)
            if isinstance(event, events.StageAdvanced):
                self._attempts_of(said.unit.fingerprint).hear(event.step)
            self._tell(event)

    def _end(self, fingerprint: str, facts: Mapping[str, Any]) -> None:
        """Take the last word of a unit: its stage is built, has failed, or is begun again."""
        stage = self._under_way.pop(fingerprint, None)
        if stage is None or not facts["problems"]:
            return
        if facts.get("lost") and not self._ends and self._attempts_of(fingerprint).lose(facts.get("preempted", False)):
            what = "; ".join(problem[1] for problem in facts["problems"])
            self._tell(events.StageNoted(stage.title, f"{what}; it is begun again, from what it saved"))
            self._waiting.insert(0, stage)
        else:
            self.failures[stage] = _error(facts)

    def _attempts_of(self, fingerprint: str) -> _Attempts:
        return self._attempts.setdefault(fingerprint, _Attempts())

    def _unit(self, stage: Stage) -> Unit:
        assert stage.document is not None
        return Unit(stage.document, stage.address.fingerprint, stage.title, self._resources(stage))


@dataclass
class _Attempts:
    """How often a stage was lost since it last got further, and the first step that attempts told of."""

    losses: int = 0
    began_at: int | None = None
    before: int | None = None

    def hear(self, step: int) -> None:
        if self.began_at is None:
            self.began_at = step

    def lose(self, preempted: bool) -> bool:
        """Note that the worker was lost; tell whether to begin again."""
        if self.began_at is not None:
            if self.before is not None and self.began_at > self.before:
                self.losses = 0
            self.before, self.began_at = self.began_at, None
        self.losses += not preempted
        return self.losses <= MOST_LOSSES


def _error(facts: Mapping[str, Any]) -> AugkitError:
    kind: type[AugkitError] = InterruptedRunError if facts.get("interrupted") else StageError
    error = kind(*(Problem(*problem) for problem in facts["problems"]))
    error.exit_code = facts["exit_code"]
    return error
