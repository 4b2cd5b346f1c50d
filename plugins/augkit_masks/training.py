"""Training masks as they are: Mask2LesionAug of the paper paints each once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import ANYTHING, DrawnMasks, Draws, InputError, Masks, Problem, Workspace, shows


@dataclass(frozen=True)
class Training:
    """Masks of the training set, each as often as any other.

    The first N masks are the training masks in order, so ``per_real: 1.0`` uses each exactly once. What is left of the
    last round is a keyed choice without repetition. Empty masks are left out: they say nothing of where to paint.
    """

    takes = ANYTHING

    def draw(self, masks: Masks, count: int, draws: Draws[NDArray[Any]], space: Workspace) -> DrawnMasks:
        """Return `count` training masks; each record names its ``parent``."""
        return self.draw_part(masks, count, 0, count, draws, space)

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: Draws[NDArray[Any]], space: Workspace
    ) -> DrawnMasks:
        """Return some of them, balanced over all."""
        usable = np.flatnonzero(shows(np.asarray(masks)).any(axis=(1, 2)))
        n = len(usable)
        if n == 0:
            what = f"{len(masks)} training masks, all empty; allowed: at least one with foreground"
            raise InputError(Problem("training", what))
        parents = np.arange(count) % n
        rest = count % n
        if rest:
            shuffled = np.argsort(draws[:1].uniform("choice", shape=(n,))[0], kind="stable")
            parents[count - rest :] = np.sort(shuffled[:rest])
        parents = usable[parents[start:stop]]
        return DrawnMasks(np.asarray(masks)[parents], tuple({"parent": int(parent)} for parent in parents))
