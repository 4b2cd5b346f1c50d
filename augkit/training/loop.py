"""One loop that checkpoints, resumes, survives faults and stops well.

A plugin brings networks, optimisers and a step (`Learner`); `train` does the rest. Everything random in a step comes
from the step's number, so a checkpoint is tensors and a counter, and an interrupted training ends in the same bits as
an uninterrupted one on the same kind of machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from augkit.contracts.components import Workspace
from augkit.data.stored import write_history, write_training_facts
from augkit.errors import DivergedError, Problem
from augkit.training import ranks, rehearsal
from augkit.training.checkpoints import (
    Learner,
    State,
    circumstances,
    load_checkpoint,
    save_checkpoint,
)
from augkit.training.precision import (
    reproducible,
)
from augkit.training.stopping import deferred_signals, interrupted

LOG_EVERY = 25
"""Steps between two looks at the watched values; between them the host never waits for the device."""

CHECKPOINT_SECONDS = 20.0
"""Between two checkpoints, where saving one takes no longer than `SAVING_SECONDS`; else more, in proportion."""

SAVING_SECONDS = 0.4
"""A fiftieth of `CHECKPOINT_SECONDS`: no training spends more of its time on saving."""

MOST_FAULTS = 3
"""How often a training may go back, and how many steps it may leave out, because of values that are not finite."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialise networks inside this context from `seed`; the process's own generator is left as it was."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def train(learner: Learner, space: Workspace, steps: int) -> None:
    """Run `learner.step` for 0 .. steps - 1, or for what is left of them.

    Writes ``history.json``, the means of the watched values, and ``training.json``: ``steps``, the steps ``skipped``,
    how often it went ``back``, the ``circumstances`` that decide bits, and their ``changes`` since it began.

    A watched value or a weight that is not finite sends the training back to the last checkpoint, none of which ever
    holds such a value. The steps since then are done again, each checked by itself. A fault that does not come again
    was the machine's, and the result has the bits of an undisturbed training; a step that fails again always would,
    because it depends on its number alone, so it is left out. After three of either it raises `DivergedError`.

    Raises `InterruptedRunError` after a signal, with the state saved. The last checkpoint stays, so that a failure
    after the last step does not cost the training; `remove_checkpoints` ends its life.
    """
    training = _Training(learner, space, steps)
    trial = rehearsal.current()
    with deferred_signals() as pending, reproducible():
        training.resume()
        if trial:
            trial.begin()
        while training.done < steps:
            training.step()
            fault = training.look()

            # All ranks end together, and save together when the first one's clock says so.
            late = ranks.rank() == 0 and time.monotonic() - training.saved_at > training.pause()
            stop, save = divmod(ranks.agree(2 * pending.signal + late), 2)
            if not fault and (stop or save or training.done == steps):
                fault = training.save()
            if stop:
                what = "the last sound state is saved" if fault else "the state is saved"
                raise interrupted(stop, f"step {training.done} of {steps}", f"interrupted; {what}")
            if fault:
                training.go_back(fault)
            elif trial:
                training.done = trial.next(training.done, steps, training.wait)
    if trial:
        trial.end(training.saving / training.pause())
    training.conclude()


class _Training:
    """A training in progress: `done` of its steps are done; saving its state, last at `saved_at`, took `saving` s."""

    def __init__(self, learner: Learner, space: Workspace, steps: int) -> None:
        self._learner = learner
        self._space = space
        self._steps = steps
        self._state = State(learner, space.device)
        self._beginning: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._checked_until = 0
        self.done = 0
        self.saved_at = time.monotonic()
        self.saving = 0.0

    def wait(self) -> None:
        """Let the device finish what it was given."""
        if self._space.device != "cpu":
            torch.accelerator.synchronize(torch.device(self._space.device))

    def pause(self) -> float:
        """Return the seconds between two checkpoints: more where saving them takes long."""
        return CHECKPOINT_SECONDS * max(1.0, self.saving / SAVING_SECONDS)

    def resume(self) -> None:
        """Continue from the newest checkpoint, if there is one."""
        found = load_checkpoint(self._space)
        if found is None:
            self._beginning = self._state.tensors(), {"done": 0, **self._state.facts()}
            return
        self._become(*found)
        self._space.log.note(f"continues at step {self.done}")
        before, now = found[1]["circumstances"], circumstances(self._learner, self._space.device)
        changed = [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]
        if changed:
            self._state.changes.append(f"step {self.done}: {', '.join(changed)}")
            what = "since the checkpoint; the result can differ in its last digits"
            self._space.log.note(f"{', '.join(changed)} {what}")

    def step(self) -> None:
        """Do one step; after a fault, see at once whether it is sound, and leave it out if not."""
        if self.done < self._checked_until:
            self._step_and_check()
        elif self.done not in self._state.skipped:
            self._state.add(self._learner.step(self.done))
        self.done += 1

    def look(self) -> str:
        """Log the watched values if it is time; return what is wrong with them, or nothing."""
        if self.done % LOG_EVERY and self.done != self._steps:
            return ""
        means = self._state.means()
        fault = _not_finite(means)
        if not fault:
            self._state.close(self.done, means)
            self._space.log.progress(self.done, self._steps, means)
        return fault

    def save(self) -> str:
        """Write a checkpoint, or return what is wrong with the state and write none."""
        began = time.monotonic()
        tensors = self._state.tensors()
        fault = _not_finite(tensors)
        if not fault:
            if ranks.rank() == 0:
                now = {"circumstances": circumstances(self._learner, self._space.device)}
                save_checkpoint(self._space, self.done, tensors, self._state.facts() | now)
            self.saved_at = time.monotonic()
            self.saving = self.saved_at - began
            self._beginning = None
        return fault

    def go_back(self, fault: str) -> None:
        """Return to the last sound state; the steps from there to here will be checked one by one."""
        found = load_checkpoint(self._space) or self._beginning
        if found is None or self._state.back == MOST_FAULTS:
            raise self._diverged(fault, self.done)
        self._state.back += 1
        self._checked_until = self.done
        self._space.log.note(f"step {self.done}: {fault}; goes back to step {found[1]['done']}")
        self._become(*found)

    def conclude(self) -> None:
        """Write the history and the facts of the training."""
        state = self._state
        facts = {"steps": self._steps, "skipped": state.skipped, "back": state.back, "changes": state.changes}
        now = {"circumstances": circumstances(self._learner, self._space.device)}
        write_history(self._space.folder, state.history)
        write_training_facts(self._space.folder, facts | now)

    def _step_and_check(self) -> None:
        state = self._state
        if self.done in state.skipped:
            return
        before = state.copies(), state.facts()
        values = self._learner.step(self.done)
        state.add(values)
        fault = _not_finite(values) or _not_finite(state.live())
        if ranks.agree(bool(fault)):
            if len(state.skipped) == MOST_FAULTS:
                raise self._diverged(fault, self.done + 1)
            state.restore(*before)
            state.skipped.append(self.done)
            self._space.log.note(f"step {self.done + 1} is left out: {fault}, again")

    def _become(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self._state.restore(tensors, facts)
        self.done = facts["done"]

    def _diverged(self, fault: str, step: int) -> DivergedError:
        hint = "Lower the learning rate, or look for broken input images"
        return DivergedError(Problem(f"step {step} of {self._steps}", fault, hint))


def _not_finite(values: Mapping[str, float | Tensor]) -> str:
    """Return which of the values are not finite, in words; nothing if all are."""
    bad = [name for name, value in values.items() if not torch.isfinite(torch.as_tensor(value)).all()]
    others = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
    return f"{', '.join(bad[:4])}{others} became infinite or not a number" if bad else ""
