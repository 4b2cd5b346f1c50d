"""Progress in a notebook: one bar for the run and one for each running stage, below the cell that runs it."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from augkit import events, hookimpl
from augkit.amounts import duration
from augkit_observers.pace import Pace

UPDATE_SECONDS = 0.2
"""Between two updates of the bars."""


class NotebookDisplay:
    """Shows a run as HTML that is replaced as it goes on; what stages say stays."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown_at = 0.0
        self._total = 0
        self._done = 0
        self._running: dict[str, tuple[Pace, float, str]] = {}
        self._said: list[str] = []

    @hookimpl
    def augkit_event(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.RunStarted():
                self._total, self._done, self._running, self._said = len(event.stages), 0, {}, []
                self._handle = _display(self._html()) if event.stages else None
            case events.StageStarted():
                self._running[event.stage] = (Pace(), 0.0, "")
            case events.StageAdvanced():
                pace, _, _ = self._running.get(event.stage, (Pace(), 0.0, ""))
                share = event.step / max(1, event.total)
                self._running[event.stage] = (pace, share, pace.facts(event.step, event.total, event.values))
            case events.StageNoted():
                self._said.append(f"{event.stage}: {event.text}")
            case events.StageFinished():
                self._running.pop(event.stage, None)
                self._done += 1
            case events.RunFinished():
                self._running = {}
                self._said.append(f"{self._done} stages built in {duration(event.seconds)}")
        self._update(at_once=isinstance(event, events.RunFinished | events.StageNoted))

    def _update(self, at_once: bool) -> None:
        now = time.monotonic()
        if self._handle is not None and (at_once or now - self._shown_at >= UPDATE_SECONDS):
            self._shown_at = now
            self._handle.update(_html_object(self._html()))

    def _html(self) -> str:
        rows = [_row("all stages", self._done / max(1, self._total), f"{self._done} of {self._total}")]
        rows += [_row(stage, share, facts) for stage, (_, share, facts) in self._running.items()]
        said = "".join(f"<div>{escape(line)}</div>" for line in self._said)
        return f"<div><table>{''.join(rows)}</table>{said}</div>"


def _row(title: str, share: float, facts: str) -> str:
    bar = f'<progress max="1" value="{share:.4f}"></progress>'
    return f"<tr><td>{escape(title)}</td><td>{bar}</td><td>{escape(facts)}</td></tr>"


def _display(html: str) -> Any:
    from IPython.display import display

    return display(_html_object(html), display_id=True)


def _html_object(html: str) -> Any:
    from IPython.display import HTML

    return HTML(html)
