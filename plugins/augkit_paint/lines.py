"""The lines of a recipe that paint what is on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def recipe_lines(seed: int, generator: tuple[str, Mapping[str, Any]], folder: str, number: int, drawings: int) -> str:
    """Return ``seed`` and ``synthesize`` of a recipe that paints the drawings of a folder.

    number:   of the image on the page, which the recipe paints, too.
    drawings: how many there are in the folder.
    """
    name, options = generator
    masks = {"folder": {"root": folder, "ink": "light"}}
    return (
        f"seed: {seed}\n"
        "synthesize:\n"
        f"  - generator: {_flow({name: dict(options)})}\n"
        f"    masks: {_flow(masks)}\n"
        f"    count: {max(drawings, number + 1)}\n"
        f"# With one drawing in the folder, image {number} is the one on the page, byte for byte.\n"
    )


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1_000_000, allow_unicode=True)
    return text.strip()
