"""How fast a stage goes, in words."""

from __future__ import annotations

import time
from collections.abc import Mapping

from augkit.amounts import duration


class Pace:
    """How fast one running stage goes, measured from its first report so that a resumed one is not flattered."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def facts(self, step: int, total: int, values: Mapping[str, float]) -> str:
        """Return step, values, rate and time left, as of now."""
        now = time.monotonic()
        first_step, first_at = self._first = self._first or (step, now)
        done = step - first_step
        parts = [f"step {step}/{total}"]
        parts += [f"{name} {value:.3g}" for name, value in values.items()]
        if done > 0 and now > first_at:
            rate = done / (now - first_at)
            parts += [f"{rate:.1f}/s", f"{duration((total - step) / rate)} left"]
        return "  ".join(parts)
