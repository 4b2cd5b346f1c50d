"""What stages took beside what was estimated: a record for machines, rows of text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from augkit.amounts import bytes_text, duration


def cost_record(stages: Iterable[tuple[str, Mapping[str, Any]]]) -> Mapping[str, Any]:
    """Return what (title, manifest) of some stages took beside what was estimated, JSON-ready.

    The totals are of the stages that have an estimated time: `seconds` is what they took, `estimated_seconds` what was
    expected of them; null where none has one.
    """
    rows = []
    for title, manifest in stages:
        real = {"seconds": manifest["seconds"], "memory": manifest.get("peak_memory"), "disk": _bytes(manifest)}
        rows.append({"stage": title, **real, "estimate": manifest.get("estimate")})
    known = [row for row in rows if row["estimate"] and row["estimate"]["seconds"] is not None]
    total = {
        "seconds": sum(row["seconds"] for row in known) if known else None,
        "estimated_seconds": sum(row["estimate"]["seconds"] for row in known) if known else None,
    }
    return {"stages": rows, "estimated_stages": total}


def cost_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return a `cost_record` as rows of text, the header first: the stages with an estimated time, and their total.

    Nothing where no stage has one.
    """
    known = [row for row in record["stages"] if row["estimate"] and row["estimate"]["seconds"] is not None]
    if not known:
        return []
    header = ["stage", "time estimated", "taken", "difference", "memory estimated", "taken", "disk estimated", "taken"]
    rows = [
        [
            row["stage"],
            *_times(row["estimate"]["seconds"], row["seconds"]),
            *(bytes_text(one[what]) for what in ("memory", "disk") for one in (row["estimate"], row)),
        ]
        for row in known
    ]
    total = record["estimated_stages"]
    return [header, *rows, ["in all", *_times(total["estimated_seconds"], total["seconds"]), *["–"] * 4]]


def _times(estimated: float, taken: float) -> list[str]:
    difference = "–" if taken == 0 else f"{100 * (estimated / taken - 1):+.0f} %"
    return [duration(estimated), duration(taken), difference]


def _bytes(manifest: Mapping[str, Any]) -> int:
    return sum(int(file["bytes"]) for file in manifest["files"].values())
