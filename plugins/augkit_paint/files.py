"""Files that somebody loads into the page, decoded by augkit's own reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augkit import Format, InputError, Masks, Problem
from augkit.images import IGNORED, read_header, read_image, read_levels, read_mask
from augkit.store import temporary_folder

MOST_PIXELS = 16_000_000
"""Of a file that is loaded into the page."""

SHOWN_SIDE = 1024
"""Pixels of the longer side of a picture that is sent back."""


def load_mask(data: bytes, size: tuple[int, int], format: Format) -> tuple[Masks, str]:
    """Return the mask (H, W) in the bytes of a file, of another size squeezed to the nearest pixels, and a remark."""
    with temporary_folder({"mask": data}) as folder, _named("mask", folder):
        file = _small_enough(folder / "mask")
        if format.binary:
            levels: Masks = read_mask(file)
        else:
            levels = _labels(file, format)
    if levels.shape == size:
        return levels, ""
    found = f"{levels.shape[1]} x {levels.shape[0]}"
    remark = f"The file has {found} pixels; the nearest ones are taken for {size[1]} x {size[0]}."
    rows, columns = ((np.arange(to) * 2 + 1) * side // (2 * to) for side, to in zip(levels.shape, size, strict=True))
    return levels[rows[:, None], columns], remark


def load_picture(data: bytes) -> NDArray[np.uint8]:
    """Return a picture to draw over, uint8 (H, W, 3), with every n-th pixel of a large one."""
    with temporary_folder({"picture": data}) as folder, _named("picture", folder):
        image = read_image(_small_enough(folder / "picture"))
    step = -(-max(image.shape[:2]) // SHOWN_SIDE)
    return np.ascontiguousarray(image[::step, ::step])


def _labels(file: Path, format: Format) -> Masks:
    levels = read_levels(file).astype(np.int64)
    allowed = [*range(len(format.classes) + 1), *([IGNORED] if format.ignore else [])]
    wrong = np.setdiff1d(levels, allowed)
    if len(wrong):
        names = ", ".join(f"{k} {name}" for k, name in enumerate(("background", *format.classes)))
        what = f"holds the label {wrong[0]}; allowed: {names}{f', {IGNORED} ignored' if format.ignore else ''}"
        raise InputError(Problem(str(file), what))
    return levels.astype(np.uint8)


def _small_enough(file: Path) -> Path:
    width, height = read_header(file).size
    if width * height > MOST_PIXELS:
        what = f"has {width} x {height} pixels; allowed: {MOST_PIXELS // 1_000_000} million"
        raise InputError(Problem(str(file), what, "Shrink it first"))
    return file


class _named:  # noqa: N801 - a context manager
    """Speak of the file as somebody gave it, not of where it was put."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._place = f"the {name}", str(folder / name)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            raise InputError(
                *(
                    replace(
                        problem,
                        where=self._name,
                        what=problem.what.replace(self._place, self._name),
                        hint=problem.hint.replace(self._place, self._name),
                    )
                    for problem in error.problems
                )
            ) from None
