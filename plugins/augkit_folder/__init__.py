"""Any folder of images and masks as a data set, split so that no patient is on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Dataset, InputError, Masks, Problem, Splits, Within, hookimpl
from augkit.images import Pair, load_splits, read_mask, sum_up, unfit_images, unfit_masks
from augkit_folder.files import check_places, match_files
from augkit_folder.levels import advise_threshold, cut_masks
from augkit_folder.listing import Contents, contents_of, left_out
from augkit_folder.splits import assign_groups, cut

__all__ = ["Folder", "augkit_datasets"]

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class Folder:
    """Images and masks in two sub-folders of `root`, all resized to size x size.

    root:        the data folder, relative to the current directory.
    images:      name of the sub-folder with the images; a file's name without ending is the sample's id.
    masks:       name of the sub-folder with the masks: 0 is background, one other level is foreground.
    mask_suffix: a mask's name without ending is its image's name without ending followed by this, such as
                 ``_segmentation``; empty for equal names.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; masks are always ``nearest``.
    test_fraction, validation_fraction: the share of groups that goes to each split. Every group is drawn by itself, so
                 the shares are met on average, and adding an image never moves another one to another split.
    seed:        of the split; the run's seed does not change it.
    mask_threshold: the grey level, 1 to 255, from which on a mask is foreground where it is a JPEG or holds more than
                 two levels; null refuses such masks. Masks with 0 and one other level are never cut.
    skip_unread: leave out what cannot be read; otherwise a folder is refused of which more than a tenth of the images
                 lies in sub-folders or has an ending that cannot be read.
    groups:      a CSV file with the columns ``id,group`` (the patient, say), relative to the current directory; null
                 makes every image its own group. No group is in two splits.
    """

    root: Path
    images: str = "images"
    masks: str = "masks"
    mask_suffix: str = ""
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    mask_threshold: Annotated[int, Within(1, 255)] | None = None
    skip_unread: bool = False
    groups: Path | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{option}: found '{name}'; allowed: the name of a folder in root, without '/', '\\' or '..'"
            for option, name in (("images", self.images), ("masks", self.masks))
            if name in ("", ".", "..") or _crosses_folders(name)
        ]
        if _crosses_folders(self.mask_suffix):
            faults.append(
                f"mask_suffix: found '{self.mask_suffix}'; allowed: the end of a file name, without '/' or '\\'"
            )
        if self.test_fraction == 0:
            faults.append("test_fraction: found 0; allowed: above 0, as arms are compared on the test split")
        if self.test_fraction + self.validation_fraction >= 1:
            faults.append(
                "test_fraction + validation_fraction: found 1 or more; allowed: below 1, the rest is to train on"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return the files of both sub-folders, sorted, and the groups file.

        `InputError` where one is missing, where names do not fit together, or where headers tell that a file will not
        be read: a recipe is checked before it runs. The rest is found when the files are read.
        """
        _, problems = self._pairs()
        images, masks = self._contents()
        if not self.skip_unread:
            problems += left_out((images, masks))
        problems += unfit_images(images.read) + self._unfit_masks(masks.read)
        if problems:
            raise InputError(*sum_up(problems))
        return sorted(images.read + masks.read) + ([] if self._groups is None else [self._groups])

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        pairs, problems = self._pairs()
        if not pairs:
            raise InputError(*problems)
        parts, split_problems = cut(pairs, self.test_fraction, self.validation_fraction, self.seed, self._root)
        found = [*problems, *split_problems]
        try:
            return load_splits(*parts, self.size, self.resize, found, self.mask_threshold)
        except InputError as error:
            raise InputError(*map(self._advised, error.problems)) from error

    def remarks(self) -> Sequence[str]:
        """Return which files are not read, and which masks are cut at a grey level."""
        images, masks = self._contents()
        told = [f"{one.folder}: {one.told()}" for one in (images, masks) if one.unread]
        return told if self.mask_threshold is None else [*told, cut_masks(masks, self.mask_threshold)]

    def _contents(self) -> tuple[Contents, Contents]:
        return contents_of(self._root / self.images), contents_of(self._root / self.masks)

    def _unfit_masks(self, files: Sequence[Path]) -> list[Problem]:
        return [self._advised(problem) for problem in unfit_masks(files, self.mask_threshold)]

    def _advised(self, problem: Problem) -> Problem:
        """Return the problem of a mask whose grey levels could be cut with the option that does it."""
        return problem if self.mask_threshold is not None else advise_threshold(problem)

    def _pairs(self) -> tuple[list[Pair], list[Problem]]:
        """Return images with their masks and groups, and what is wrong with names."""
        check_places(self._root, self.images, self.masks, self._groups)
        pairs, problems = match_files(self._root / self.images, self._root / self.masks, self.mask_suffix)
        if not pairs:
            return pairs, problems
        pairs, group_problems = assign_groups(pairs, self._groups)
        return pairs, problems + group_problems

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the mask of each id as it is in its file."""
        pairs, _ = match_files(self._root / self.images, self._root / self.masks, self.mask_suffix)
        file_of = {pair.id: pair.mask for pair in pairs}
        return (read_mask(file_of[name], self.mask_threshold) for name in ids)

    @property
    def _root(self) -> Path:
        return self.root.expanduser()

    @property
    def _groups(self) -> Path | None:
        return None if self.groups is None else self.groups.expanduser()


def _crosses_folders(name: str) -> bool:
    return any(mark in name for mark in ("/", "\\", "\0"))


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"folder": Folder}
