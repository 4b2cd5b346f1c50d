"""The folder to which drawings are appended, which the mask source ``folder`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from augkit import Images, Masks
from augkit.images import encode_png
from augkit.store import append_line, write_bytes

PAINTED = "painted"
"""The folder in it for the images, where the mask source does not look."""

KEYS = "drawings.jsonl"


def append(folder: Path, mask: Masks, picture: Images, facts: dict[str, Any]) -> Path:
    """Write a mask, bool (H, W), as the next drawing, and its picture, uint8 (H, W, 3), beside it; return its file.

    facts: what the picture was painted with; a line of ``drawings.jsonl``.
    """
    number = 1 + max((int(file.stem) for file in folder.glob("[0-9]*.png") if file.stem.isdecimal()), default=0)
    file = folder / f"{number:04d}.png"
    write_bytes(folder / PAINTED / file.name, encode_png(picture))
    write_bytes(file, encode_png(mask))
    append_line(folder / KEYS, json.dumps({"file": file.name, **facts}, ensure_ascii=False))
    return file


def count(folder: Path) -> int:
    """Return how many drawings there are."""
    return len(list(folder.glob("*.png"))) if folder.is_dir() else 0
