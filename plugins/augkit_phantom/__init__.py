"""Drawn dermoscopy: the data set that comes with augkit, so that a first run needs no download.

Every image is drawn from numbers that belong to (seed, split, index): nothing is stored, and the first ten images are
the same whether ten or two hundred are asked for. The drawings follow the statistics of ISIC 2017 (lesion size,
squashed 4:3 frames, hair, rulers, vignettes) and contain no pixel of any photograph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from augkit import AtLeast, Dataset, Draws, Frame, ImageSet, Splits, Within, hookimpl, sample_keys

if TYPE_CHECKING:
    from augkit import Images, Masks

__all__ = ["Phantom", "augkit_datasets"]


@dataclass(frozen=True)
class Phantom:
    """Drawn skin lesions as a dermatoscope shows them, with exact masks.

    train, test, validation: number of images in each split.
    size: side of the square frame in pixels; features grow with it.
    seed: the data's own seed, apart from the run's, so that arms and repeats share one data set.
    """

    train: Annotated[int, AtLeast(1)] = 200
    test: Annotated[int, AtLeast(1)] = 150
    validation: Annotated[int, AtLeast(0)] = 0
    size: Annotated[int, Within(32, 512)] = 64
    seed: Annotated[int, AtLeast(0)] = 0

    def sources(self) -> Sequence[Path]:
        """Return no files: the options alone decide what `load` returns."""
        return ()

    def frame(self) -> Frame:
        """Return the size that every image is drawn at."""
        return Frame(self.size, self.size)

    def counts(self) -> Mapping[str, int]:
        """Return the number of images in each split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def load(self) -> Splits:
        """Draw the three splits."""
        return Splits(
            train=self._split("train", self.train),
            validation=self._split("validation", self.validation),
            test=self._split("test", self.test),
        )

    def _split(self, name: str, count: int) -> ImageSet:
        if count == 0:
            return ImageSet.empty((self.size, self.size))
        ids = tuple(f"phantom-{name}-{i:06d}" for i in range(count))
        images, masks = self._draw(name, ids)
        return ImageSet(ids, images, masks, groups=ids, origins=("real",) * count)

    def _draw(self, name: str, ids: tuple[str, ...]) -> tuple[Images, Masks]:
        from augkit_phantom.drawing import draw

        return draw(Draws.of(self.seed, f"phantom/{name}", sample_keys(ids)), self.size)


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set ``phantom``."""
    return {"phantom": Phantom}
