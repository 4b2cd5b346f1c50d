"""What a training tells of itself: ``history.json``, ``training.json``, ``health.json``. None of them is required."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augkit.store import read_json, write_json


def write_history(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the means of the watched values, a row per look at them."""
    write_json(folder / "history.json", rows)


def read_history(folder: Path) -> Sequence[Mapping[str, float]]:
    """Return the rows of a training's history; empty where it kept none."""
    rows: Sequence[Mapping[str, float]] = _read(folder / "history.json") or []
    return rows


def write_training_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write how a training went: its steps, those left out, and the circumstances that decide bits."""
    write_json(folder / "training.json", facts)


def read_training_facts(folder: Path) -> Mapping[str, Any]:
    """Return how a training went; empty where it did not say."""
    facts: Mapping[str, Any] = _read(folder / "training.json") or {}
    return facts


def read_health(folder: Path) -> Mapping[str, Any]:
    """Return what a generator judged of its training (see `Generator.fit`), for any reader; empty where it did not."""
    health: Mapping[str, Any] = _read(folder / "health.json") or {}
    return health


def _read(file: Path) -> Any:
    return read_json(file) if file.is_file() else None
