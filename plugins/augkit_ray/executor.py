"""The executor: a slot for each worker, and what they say in the order in which it arrives."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, OutOfMemoryError, RayActorError, RayError

from augkit import InputError, Problem
from augkit.executors import Said, Site, Unit
from augkit_ray.head import Head
from augkit_ray.slot import Slot

LOOKING_SECONDS = 5.0
"""How often the nodes are counted."""

ENDING_SECONDS = 5.0
"""How long idle workers may take to end."""

PATIENCE = 12
"""How often in a row a worker may be out of reach, with `_BREAK_SECONDS` between, before it counts as lost."""

_BREAK_SECONDS = 5.0

STARTING_SECONDS = 10.0
"""How long a worker may take to start before its unit is given to an idle one: other runs may have the CPUs."""

_THREADS_OF_SLOT = 4
"""A slot is listened to while it is given a unit or hung up on."""


@dataclass(eq=False)
class _Held:
    """A slot that this run holds: its actor, the call that listens to it, and its unit."""

    actor: Any
    memory: int
    unit: Unit | None = None
    heard: int = 0
    patience: int = PATIENCE
    made: float = field(default_factory=time.monotonic, init=False)
    listening: Any = field(default=None, init=False)
    beginning: Any = field(default=None, init=False)

    @property
    def has_started(self) -> bool:
        """Whether its actor was heard of; until then it may wait for CPUs."""
        return self.beginning is None or self.heard > 0

    def begin(self, unit: Unit, order: Mapping[str, Any]) -> None:
        self.unit = unit
        self.beginning = self.actor.begin.remote(order)

    def listen(self) -> None:
        self.listening = self.actor.listen.remote(self.heard)

    def calls(self) -> list[Any]:
        return [call for call in (self.beginning, self.listening) if call is not None]


class RayExecutor:
    """Builds units in actors; `capacity` follows the nodes that come and go."""

    def __init__(self, site: Site, head: Head, gpus: float, slots: int | None) -> None:
        self._site = site
        self._head = head
        self._gpus = gpus
        self._most = [limit for limit in (site.jobs, slots) if limit is not None]
        self._slots = slots
        self._held: list[_Held] = []
        self._said: deque[Said] = deque()
        self._looked = 0.0
        self.capacity = 1
        self._look()

    def submit(self, unit: Unit) -> None:
        """Give the unit to an idle worker with room for it, or to a new one."""
        memory = unit.resources.memory or 0 if not self._gpus else 0  # of a GPU, Ray counts no memory
        idle = [one for one in self._held if one.unit is None]
        held = next((one for one in idle if one.memory >= memory), None)
        if held is None:
            for one in idle[:1]:  # too small, and its CPUs are wanted
                self._end(one)
            held = self._start(memory)
        held.begin(unit, self._site.order(unit))

    def wait(self) -> Said | None:
        """Return the next thing said."""
        while not self._said:
            self._spare_waiting()
            busy = self._busy()
            if not busy:
                return None
            if time.monotonic() - self._looked > LOOKING_SECONDS and self._look():
                return Said(busy[0][1], {})
            self._hear([held for held, _ in busy])
        return self._said.popleft()

    def interrupt(self) -> None:
        """Hang up on every worker that builds, and give up those that wait for CPUs: they would not answer."""
        for held, unit in self._busy():
            if held.has_started:
                held.actor.hang_up.remote()
            else:
                self._give_up(held)
                facts = {"problems": [[unit.title, "had not begun", ""]], "exit_code": 130, "interrupted": True}
                self._said.append(Said(unit, facts))

    def close(self) -> None:
        """End idle workers by hanging up and the others by force, leave the cluster, and end a head of one's own."""
        if self._head.is_gone():  # the workers save and end when their nodes notice it, too
            self._held = []
        with suppress(RayError):
            ending = [one.actor.end.remote() for one in self._held if one.unit is None]
            for one in self._held:
                if one.unit is not None:  # what it can still save it saves by itself
                    one.actor.hang_up.remote()
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=ENDING_SECONDS)
        for one in self._held:
            self._kill(one)
        self._held = []
        self._head.leave()

    def _start(self, memory: int) -> _Held:
        options: dict[str, Any] = {"memory": memory} if memory else {}
        if self._head.environment:
            options["runtime_env"] = {"env_vars": dict(self._head.environment)}
        actor = (
            ray.remote(Slot)
            .options(
                num_cpus=self._site.threads,
                num_gpus=self._gpus,
                max_restarts=0,  # what is lost is begun again by whoever called, who counts
                max_task_retries=0,
                max_concurrency=_THREADS_OF_SLOT,
                **options,
            )
            .remote(self._site.environment())
        )
        held = _Held(actor, memory)
        held.listen()
        self._held.append(held)
        return held

    def _spare_waiting(self) -> None:
        """Give units that wait for CPUs to idle workers: two runs that waited for each other's would wait for ever."""
        for held, unit in self._busy():
            late = not held.has_started and time.monotonic() - held.made > STARTING_SECONDS
            if late and any(other.unit is None for other in self._held):
                self._give_up(held)
                self.submit(unit)

    def _busy(self) -> list[tuple[_Held, Unit]]:
        return [(held, held.unit) for held in self._held if held.unit is not None]

    def _give_up(self, held: _Held) -> None:
        self._held.remove(held)
        self._kill(held)

    def _hear(self, busy: list[_Held]) -> None:
        """Wait a moment for a word of any slot."""
        ready, _ = ray.wait([call for one in busy for call in one.calls()], num_returns=1, timeout=0.5)
        for held in busy:
            try:
                if held.beginning in ready:
                    ray.get(held.beginning)
                    held.beginning = None
                if held.listening in ready:
                    words: list[Mapping[str, Any]] = ray.get(held.listening)
                    held.heard += len(words)
                    held.patience = PATIENCE
                    for facts in words:
                        self._take(held, facts)
                    held.listen()
            except RayError as error:
                self._check_head()
                self._lose(held, error)

    def _take(self, held: _Held, facts: Mapping[str, Any]) -> None:
        if held.unit is not None:
            self._said.append(Said(held.unit, facts))
            if "problems" in facts:
                held.unit = None

    def _lose(self, held: _Held, error: RayError) -> None:
        """Listen again to an actor that is out of reach, and say the last word of a unit whose actor is gone."""
        if isinstance(error, ActorUnavailableError) and held.beginning is None and held.patience:
            held.patience -= 1
            time.sleep(_BREAK_SECONDS)
            held.listen()
            return
        self._give_up(held)
        if held.unit is None:
            return
        if isinstance(error, RayActorError) and error.actor_init_failed:
            what = f"no worker can be started on a node: {_said_of(error)}"
            raise InputError(Problem("--executor ray", what, "Install the same augkit[ray] on every machine"))
        if held.beginning is not None and held.heard:  # it died while it was idle, so nothing was lost
            self.submit(held.unit)
            return
        preempted = isinstance(error, RayActorError) and error.preempted
        what, hint = f"its worker is gone: {_said_of(error)}", "The same command continues from what it saved"
        if isinstance(error, OutOfMemoryError):
            what = f"the memory of its node was nearly full, so Ray ended it: {_said_of(error)}"
            hint = "Use fewer --jobs, smaller batches or smaller images; the same command continues from what it saved"
        facts = {"problems": [[held.unit.title, what, hint]], "exit_code": 1, "lost": True, "preempted": preempted}
        self._said.append(Said(held.unit, facts))

    def _end(self, held: _Held) -> None:
        with suppress(RayError, GetTimeoutError):
            ray.get(held.actor.end.remote(), timeout=ENDING_SECONDS)
        self._give_up(held)

    def _kill(self, held: _Held) -> None:
        with suppress(RayError, ValueError):
            ray.kill(held.actor, no_restart=True)

    def _look(self) -> bool:
        """Count the nodes' room; tell whether `capacity` changed."""
        self._looked = time.monotonic()
        self._check_head()
        room = self._slots or self._head.room(self._site.threads, self._gpus)
        before, self.capacity = self.capacity, max(1, min([room, *self._most]))
        return self.capacity != before

    def _check_head(self) -> None:
        """Raise `InputError` where the head is gone; what Ray is asked for then never comes, and ends this process."""
        if self._head.is_gone():
            what = f"the head of the cluster at {self._head.address} does not answer any more"
            raise InputError(Problem("--executor ray", what, "Start the cluster anew; the same command continues"))


def _said_of(error: RayError) -> str:
    """Return in a line why an actor is gone."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "cause" in line.lower() or "reason" in line.lower()]
    said = (causes or lines or [type(error).__name__])[0].rstrip(".")
    return said.removeprefix("OOM kill reason: ")
