"""The options of a data folder, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Within
from augkit.images import fraction_faults
from augkit_folder.labels import faults_of_classes
from augkit_folder.names import Names

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class FolderOptions:
    """Images and masks in two sub-folders of `root`, all resized to size x size.

    root:        the data folder, relative to the current directory.
    images:      name of the sub-folder with the images; a file's name without ending is the sample's id.
    masks:       name of the sub-folder with the masks: 0 is background, one other level is foreground. It may be the
                 same folder where mask_prefix or mask_suffix tells masks from images.
    mask_suffix: a mask's name without ending is its image's id followed by this, such as ``_segmentation``; empty for
                 equal names.
    mask_prefix: what masks' names begin with before the id, such as ``mask_``.
    image_prefix, image_suffix: what images' names begin and end with around the id, such as ``_0000``.
    join_masks:  several masks of one image, numbered as ``_mask_1`` or in its folder, are one mask; otherwise refused.
    layout:      ``two-folders``, or ``folder-per-image``, where root holds one folder per image, whose name is the id,
                 with the sub-folders `images`, with one file, and `masks`; their names may begin with the id. Or
                 ``folder-per-patient``, where root holds one folder per patient, each with the sub-folders `images`
                 and `masks`; its name stands before the ids, ``patient1/a``, and is the group.
    split:       ``drawn`` by the fractions, or ``folders``: the folders train, val and test lie in root, or in the
                 sub-folders of images and masks. Their names then stand before the ids: ``test-case01``.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; masks are always ``nearest``.
    test_fraction, validation_fraction: the share of groups that goes to each split. Every group is drawn by itself, so
                 the shares are met on average, and adding an image never moves another one to another split.
    seed:        of the split; the run's seed does not change it.
    mask_threshold: the grey level, 1 to 255, from which on a mask is foreground where it is a JPEG or holds more than
                 two levels; null refuses such masks. Masks with 0 and one other level are never cut.
    skip_unread: leave out what cannot be read; otherwise a folder is refused of which more than a tenth of the images
                 lies in sub-folders or has an ending that cannot be read.
    sub_folders: of images and masks, which have the same ones: ``unread`` leaves them out; ``ids`` reads them at any
                 depth, and the path is the id: ``patient1/a``; ``groups`` also makes the first sub-folder the group.
    groups:      a CSV file with the columns ``id,group`` (the patient, say), relative to the current directory; null
                 makes every image its own group unless sub_folders groups it. No group is in two splits.
    pixels:      what images are: ``rgb``; ``grey``, with one channel of 8 or 16 bits or float32; or ``channels``, any
                 number of them, in TIFF files. They are kept as the files have them.
    window:      the numbers [low, high] that become black and white, in every channel. Null is 0 and 255 for 8 bits,
                 and otherwise the 0.5 and 99.5 percentiles of the training pixels inside the masks. RGB of 16 bits
                 needs one.
    as_rgb:      shows grey images as 8-bit RGB, these [low, high] black and white, to what takes nothing else.
    classes:     null for one class, or the names of classes with what masks hold where they are: a whole number (a grey
                 level or palette index), or a colour such as ``"#ff0000"``. ``background`` may be one of the names; it
                 is 0, or black, otherwise. The order is that of the labels.
    ignore:      what masks hold, number or colour as in classes, where pixels count neither in a loss nor in a score.
    """

    root: Path
    images: str = "images"
    masks: str = "masks"
    mask_suffix: str = ""
    mask_prefix: str = ""
    image_prefix: str = ""
    image_suffix: str = ""
    join_masks: bool = False
    layout: Literal["two-folders", "folder-per-image", "folder-per-patient"] = "two-folders"
    split: Literal["drawn", "folders"] = "drawn"
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    mask_threshold: Annotated[int, Within(1, 255)] | None = None
    skip_unread: bool = False
    sub_folders: Literal["unread", "ids", "groups"] = "unread"
    groups: Path | None = None
    pixels: Literal["rgb", "grey", "channels"] = "rgb"
    window: tuple[float, float] | None = None
    as_rgb: tuple[float, float] | None = None
    classes: dict[str, int | str] | None = None
    ignore: int | str | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{option}: found '{name}'; allowed: the name of a folder in root, without '/', '\\' or '..'"
            for option, name in (("images", self.images), ("masks", self.masks))
            if name in ("", ".", "..") or _crosses_folders(name)
        ]
        faults += [
            f"{option}: found '{text}'; allowed: the {end} of a file name, without '/' or '\\'"
            for option, text in self.names._asdict().items()
            for end in ["end" if option.endswith("suffix") else "beginning"]
            if _crosses_folders(text)
        ]
        if self.images == self.masks and not (self.mask_prefix or self.mask_suffix):
            faults.append(
                f"images and masks: found '{self.images}' twice; allowed: one folder for both where mask_prefix or "
                "mask_suffix tells masks from images"
            )
        if self.layout == "folder-per-image" and (self.split == "folders" or any(self.names)):
            faults.append(
                "layout: found folder-per-image; allowed: without 'split: folders' and prefixes or suffixes of names"
            )
        if self.layout != "two-folders" and self.below:
            faults.append(f"sub_folders: found {self.sub_folders}; allowed: unread with 'layout: {self.layout}'")
        if self.layout == "folder-per-patient" and (self.split == "folders" or self.groups is not None):
            what = "found folder-per-patient; allowed: without 'split: folders' and groups, which the folders are"
            faults.append(f"layout: {what}")
        if self.sub_folders == "groups" and self.groups is not None:
            faults.append("sub_folders: found groups beside a file of groups; allowed: one of the two, or ids")
        faults += fraction_faults(self.test_fraction, self.validation_fraction)
        faults += self._faults_of_pixels()
        if faults:
            raise ValueError("; ".join(faults))

    def _faults_of_pixels(self) -> list[str]:
        faults = [
            f"{option}: found {list(ends)}; allowed: two numbers, the lower one first"
            for option, ends in (("window", self.window), ("as_rgb", self.as_rgb))
            if ends is not None and not ends[0] < ends[1]
        ]
        if self.as_rgb is not None and self.pixels != "grey":
            faults.append(f"as_rgb: found 'pixels: {self.pixels}'; allowed: with 'pixels: grey'")
        if self.as_rgb is not None and self.window is not None:
            faults.append("as_rgb and window: found both; allowed: one of the two")
        if self.classes is None:
            return faults if self.ignore is None else [*faults, "ignore: found without classes; allowed: with classes"]
        if self.join_masks:
            faults.append("join_masks: found true beside classes; allowed: one label map for each image")
        if self.mask_threshold is not None:
            faults.append("mask_threshold: found beside classes; allowed: without classes")
        return faults + faults_of_classes(self.classes, self.ignore)

    @property
    def plain(self) -> bool:
        """Whether images are 8-bit RGB with one class."""
        return self.pixels == "rgb" and self.window is None and self.classes is None

    @property
    def below(self) -> bool:
        """Whether files in sub-folders are read."""
        return self.sub_folders != "unread"

    @property
    def names(self) -> Names:
        """What stands around the ids in names of files."""
        return Names(self.image_prefix, self.image_suffix, self.mask_prefix, self.mask_suffix)

    @property
    def folder(self) -> Path:
        """The root, with ~ for the home folder."""
        return Path(self.root).expanduser()

    @property
    def groups_file(self) -> Path | None:
        """The CSV file of groups."""
        return None if self.groups is None else Path(self.groups).expanduser()


def _crosses_folders(name: str) -> bool:
    return any(mark in name for mark in ("/", "\\", "\0"))
