"""The progress display: a live line per running stage on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from augkit import duration, events, hookimpl

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines of one stage."""


class ProgressDisplay:
    """Shows stage, step, losses, rate and time left, of all stages that run side by side."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._stages: tuple[str, ...] = ()
        self._running: dict[str, _Line] = {}

    @hookimpl
    def augkit_event(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.RunStarted():
                self._start_run(event)
            case events.StageStarted():
                self._start_stage(event.stage)
            case events.StageAdvanced():
                self._advance(event)
            case events.StageNoted():
                self._say(f"  {event.stage}: {event.text}")
            case events.StageFinished():
                self._end_stage(event.stage)
                self._say(f"  done  {event.stage:<44} {duration(event.seconds):>8}")
            case events.RunFinished():
                self._end_run()

    def _start_run(self, event: events.RunStarted) -> None:
        self._stages = event.stages
        self._running = {}
        if event.stages:
            self._say(f"{len(event.stages)} stages to build, {event.reused} already there")
        if self._console.is_terminal and event.stages:
            columns = (
                TextColumn("  {task.fields[place]}  {task.description}", markup=False),
                BarColumn(24),
                TextColumn("{task.fields[facts]}", markup=False),
            )
            self._live = Progress(*columns, console=self._console, transient=True)
            self._live.start()

    def _start_stage(self, stage: str) -> None:
        line = self._running[stage] = _Line(time.monotonic())
        if self._live is not None:
            line.task = self._live.add_task(stage, total=None, place=self._place(stage), facts="")
        else:
            self._say(f"  {self._place(stage)} {stage}")

    def _advance(self, event: events.StageAdvanced) -> None:
        line = self._running.get(event.stage)
        if line is None:
            return
        facts = line.facts(event.step, event.total, event.values)
        if self._live is not None and line.task is not None:
            self._live.update(line.task, completed=event.step, total=event.total, facts=facts)
        elif time.monotonic() - line.said_at >= PLAIN_SECONDS:
            line.said_at = time.monotonic()
            self._say(f"        {event.stage}: {facts}")

    def _end_stage(self, stage: str) -> None:
        line = self._running.pop(stage, None)
        if self._live is not None and line is not None and line.task is not None:
            self._live.remove_task(line.task)

    def _end_run(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _place(self, stage: str) -> str:
        number = self._stages.index(stage) + 1 if stage in self._stages else 0
        return f"[{number}/{len(self._stages)}]"

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@dataclass
class _Line:
    """One running stage: how fast it goes, measured from its first report so that a resumed one is not flattered."""

    said_at: float
    task: TaskID | None = None
    first_step: int | None = None
    first_at: float = 0.0

    def facts(self, step: int, total: int, values: Mapping[str, float]) -> str:
        now = time.monotonic()
        if self.first_step is None:
            self.first_step, self.first_at = step, now
        done = step - self.first_step
        parts = [f"step {step}/{total}"]
        parts += [f"{name} {value:.3g}" for name, value in values.items()]
        if done > 0 and now > self.first_at:
            rate = done / (now - self.first_at)
            parts += [f"{rate:.1f}/s", f"{duration((total - step) / rate)} left"]
        return "  ".join(parts)


observer = ProgressDisplay(Console(stderr=True))
