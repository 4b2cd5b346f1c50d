"""Masks with grey levels between background and foreground, and the option that cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from augkit import InputError, Problem
from augkit.images import BLURRED, TWO_LEVELS, read_header

_HALF = "Write 'mask_threshold: 128' to count grey levels from 128 on as the structure"


def advise_threshold(problem: Problem) -> Problem:
    """Return the problem with the option that would read the mask; unchanged where no option would."""
    if BLURRED in problem.what:
        return replace(problem, hint=f"{_HALF}, or export the masks again as PNG")
    if TWO_LEVELS in problem.what:
        hint = f"{_HALF} if the edges are blurred, 'mask_threshold: 1' if every level is the structure"
        return replace(problem, hint=hint)
    return problem


def cut_masks(root: Path, masks: Sequence[Path], threshold: int) -> str:
    """Return the sentence that says which masks are cut at a grey level."""
    jpegs = sum(_is_jpeg(path) for path in masks)
    are = f"{jpegs} of {len(masks)} masks are JPEG; " if jpegs else ""
    which = "in JPEG masks and in those with more than two levels"
    return f"{root}: {are}{which}, grey levels from {threshold} on are the structure (mask_threshold)"


def _is_jpeg(path: Path) -> bool:
    try:
        return read_header(path).format == "JPEG"
    except InputError:
        return False
