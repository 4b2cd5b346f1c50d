"""Masks drawn by hand, from a folder of drawings: the Mask2Lesion paper's Figure 3 (c) and (d)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws, DrawnMasks, InputError, Masks, Problem, Takes, Within, Workspace
from augkit.images import SUFFIXES, average_resize, read_drawing
from augkit_masks.training import Training
from augkit_masks.validity import fill_holes


@dataclass(frozen=True)
class Drawn:
    """Drawings of masks from a folder, each as often as any other.

    root:      the folder with the drawings, PNG, JPEG, TIFF, BMP or WEBP, relative to the current directory; folders in
               it are not looked into.
    ink:       what the foreground is drawn in: ``dark`` on light paper or ``light`` on dark paper. What is transparent
               is white paper.
    threshold: brightness (luma, 0 black .. 1 white) below which ``dark`` ink, or above which ``light`` ink, begins.
               Soft edges and colours become foreground or background by it alone.
    fill:      also take what the ink encloses, for drawings that are outlines.

    A drawing becomes as large as the training masks, squeezing its aspect ratio, by averaging its brightness before
    the threshold is applied. A line thinner than a pixel of the training masks becomes pale by that: it is lost at 0.5
    and stays with a threshold near its paper's brightness, such as 0.9 for ``dark``. A record holds ``file``.

    It takes one class: brightness tells ink from paper, and no more.
    """

    root: Path
    ink: Literal["dark", "light"] = "dark"
    threshold: Annotated[float, Within(0.01, 0.99)] = 0.5
    fill: bool = False
    takes = Takes(None, None, None, why="brightness tells ink from paper, and no classes")

    def sources(self) -> Sequence[Path]:
        """Return the drawings, sorted by name; `InputError` where there is no folder or no drawing in it."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise InputError(Problem(str(root), "is not a folder", "Correct the option root"))
        files = [path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
        if not files:
            raise InputError(Problem(str(root), f"holds no file ending in {', '.join(SUFFIXES)}", "Add drawings"))
        return sorted(files)

    def draw(self, masks: Masks, count: int, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return `count` drawings of the training masks' size; `InputError` naming every drawing that is no mask."""
        return self.draw_part(masks, count, 0, count, draws, space)

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: ArrayDraws, space: Workspace
    ) -> DrawnMasks:
        """Return some of them."""
        files = self.sources()
        drawings = self._read(files, masks.shape[1], masks.shape[2])
        space.log.note(f"{len(files)} drawings, covering {_shares(drawings)} of the frame")
        chosen = Training().draw_part(drawings, count, start, stop, draws, space)
        names = [files[int(record["parent"])].name for record in chosen.records]  # type: ignore[arg-type]
        return DrawnMasks(chosen.masks, tuple({"file": name} for name in names))

    def _read(self, files: Sequence[Path], height: int, width: int) -> Masks:
        drawings = np.empty((len(files), height, width), np.bool_)
        problems: list[Problem] = []
        for i, path in enumerate(files):
            try:
                drawings[i] = self._mask(path, height, width)
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(*problems)
        return drawings

    def _mask(self, path: Path, height: int, width: int) -> Masks:
        brightness = read_drawing(path)
        if self.fill:
            brightness[fill_holes(self._is_ink(brightness))] = 0 if self.ink == "dark" else 1
        mask = self._is_ink(average_resize(brightness, height, width))
        if mask.all():
            what = f"is {self.ink} ink all over at {width} x {height} pixels; allowed: some background"
            other = "light" if self.ink == "dark" else "dark"
            raise InputError(Problem(str(path), what, f"Write 'ink: {other}', or change threshold"))
        if not mask.any():
            what = f"has no {self.ink} ink at {width} x {height} pixels; allowed: some foreground"
            hint = "Draw thicker lines, write 'fill: true' for outlines, or change threshold or ink"
            raise InputError(Problem(str(path), what, hint))
        return mask

    def _is_ink(self, brightness: NDArray[np.float32]) -> Masks:
        ink: Masks = brightness < self.threshold if self.ink == "dark" else brightness > self.threshold
        return ink


def _shares(masks: Masks) -> str:
    """Return what masks cover, as in ``4.1% .. 22.0%``."""
    shares = masks.mean(axis=(1, 2))
    return f"{shares.min():.1%} .. {shares.max():.1%}"
