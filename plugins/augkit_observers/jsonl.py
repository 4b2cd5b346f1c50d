"""Every event of a run as one line of JSON, for other programs: ``runs/events/20261123-184510-4711.jsonl``."""

from __future__ import annotations

import json
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from augkit import events, hookimpl
from augkit.store import append_line


class JsonLines:
    """Appends the events of each run to a file of its own, with the time of each."""

    def __init__(self) -> None:
        self._file: Path | None = None

    @hookimpl
    def augkit_event(self, event: events.Event) -> None:
        """Write one event."""
        if isinstance(event, events.RunStarted):
            self._file = event.root / "events" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
        if self._file is not None:
            facts = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **events.to_plain(event)}
            append_line(self._file, json.dumps(_finite(facts), allow_nan=False, ensure_ascii=False))


def _finite(value: Any) -> Any:
    """Return plain data without what JSON cannot say: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inside) for key, inside in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


observer = JsonLines()
