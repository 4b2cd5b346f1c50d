"""The ISIC challenge's lesion segmentation data of 2016, 2017 and 2018, read from the folders as published.

Sources: Gutman et al. 2016 (arXiv:1605.01397), Codella et al. 2018 (arXiv:1710.05006), Codella et al. 2019
(arXiv:1902.03368). The Mask2Lesion paper (Abhishek & Hamarneh 2019) trains on the 2,000 training images of 2017 and
evaluates on its 150 validation images, at 128 x 128, resized by nearest neighbour: the defaults here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import Dataset, Frame, Images, InputError, Masks, Splits, Within, hookimpl
from augkit.images import load_splits, read_image, read_mask, sum_up, turned_apart, unfit_pairs
from augkit_isic.files import match_split
from augkit_isic.layout import Part, Year, find_root, parts_of

__all__ = ["Isic", "augkit_datasets"]


@dataclass(frozen=True)
class Isic:
    """Dermoscopy images with lesion masks, from the ISIC challenge folders (Task 1 / Part 1).

    root:   the folder that holds the challenge's folders, relative to the current directory; null looks in
            ``$AUGKIT_DATA/isic<year>`` and then in ``data/isic<year>``.
    year:   of the challenge.
    size:   side of the square frame in pixels; the aspect ratio is squeezed, as in the paper.
    resize: of images; masks are always ``nearest``. ``nearest`` is the paper's, ``area`` does not alias.
    test:   the set to evaluate on. The paper's "150 test images" are the validation set of 2017; 2016 has none.

    A folder of the challenge may also lie in a folder of its own name, as some programs unzip it.
    Which images show one lesion is not published, so every image is its own group.
    """

    root: Path | None = None
    year: Year = 2017
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "nearest"
    test: Literal["validation", "test"] = "validation"

    def __post_init__(self) -> None:
        parts = parts_of(self.year)
        if self.test not in parts:
            raise ValueError(f"test: {self.test}: the {self.year} challenge has no {self.test} set; write 'test: test'")

    def sources(self) -> Sequence[Path]:
        """Return the image and mask files of the folders in use, sorted.

        `InputError` where a folder or a file's partner is missing, or where headers tell that a file will not be read.
        """
        root, parts = self._places()
        pairs, problems = [], []
        for part in parts:
            found, wrong = match_split(root, part)
            pairs += found
            problems += wrong
        problems += unfit_pairs(pairs)
        if problems:
            raise InputError(*sum_up(problems))
        return sorted(path for pair in pairs for path in (pair.image, pair.mask))

    def frame(self) -> Frame:
        """Return the size that every image is resized to."""
        return Frame(self.size, self.size)

    def counts(self) -> Mapping[str, int]:
        """Return the number of images in each split; there is no validation set."""
        root, (train, test) = self._places()
        return {"train": len(match_split(root, train)[0]), "validation": 0, "test": len(match_split(root, test)[0])}

    def load(self) -> Splits:
        """Return training set, no validation set, and the evaluation set; `InputError` naming every bad file."""
        root, (train_part, test_part) = self._places()
        train, train_problems = match_split(root, train_part)
        test, test_problems = match_split(root, test_part)
        return load_splits(train, [], test, self.size, self.resize, [*train_problems, *test_problems])

    def remarks(self) -> Sequence[str]:
        """Return whether images are turned by EXIF and their masks are not."""
        root, parts = self._places()
        return turned_apart(pair for part in parts for pair in match_split(root, part)[0])

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the mask of each id as it is in its file."""
        root, parts = self._places()
        file_of = {pair.id: pair.mask for part in parts for pair in match_split(root, part)[0]}
        return (read_mask(file_of[name]) for name in ids)

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image of each id as it is in its file."""
        root, parts = self._places()
        file_of = {pair.id: pair.image for part in parts for pair in match_split(root, part)[0]}
        return (read_image(file_of[name]) for name in ids)

    def _places(self) -> tuple[Path, tuple[Part, Part]]:
        parts = parts_of(self.year)
        used = parts["train"], parts[self.test]
        return find_root(None if self.root is None else Path(self.root), self.year, used), used


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"isic": Isic}
