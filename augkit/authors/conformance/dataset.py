"""What a data set has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from augkit.authors.conformance.bench import CONDUCT, Bench, UnansweredError, answers_to
from augkit.contracts.components import (
    Frame,
    HasCounts,
    HasFormat,
    HasFrame,
    HasNativeMasks,
    HasNativePairs,
    HasRemarks,
)
from augkit.contracts.rules import (
    BreachError,
    check_brightness,
    check_format,
    check_labels,
    check_native_count,
    check_native_image,
    check_native_mask,
    check_same,
    check_split_names,
    check_split_sizes,
    check_splits,
    describe,
)
from augkit.data.arrays import Splits
from augkit.data.formats import Format, shows

PARTS = ("train", "validation", "test")
USABLE = "returns_splits, splits_have_samples_of_one_size and splits_share_nothing"


class DatasetBench(Bench):
    """A data set, loaded twice."""

    noun: ClassVar[str] = "data set"

    @staticmethod
    def formats(component: Any) -> Sequence[Format]:
        """Return one format, which nobody asks for: a data set has its own."""
        return [Format()]

    def listed(self) -> Any:
        """Return whatever sources() returns."""
        return self.once("sources()", self.component.sources, None)

    def loaded(self, name: str = "load()") -> Any:
        """Return whatever load() returns."""
        before = self._contents()
        answer = self.once(name, self.component.load, None)
        changed = [str(path) for path, data in before.items() if not path.is_file() or path.read_bytes() != data]
        if changed:
            breach = BreachError(f"changed the file {changed[0]} in {name}", "only read the user's files")
            self.blame("leaves_inputs_alone", breach)
        return answer

    def splits(self) -> Splits:
        """Return the splits, where they are splits."""
        splits: Splits = self.loaded()
        answers_to(lambda: check_splits(splits), USABLE)
        return splits

    def exercise(self) -> None:
        """List, load, tell."""
        self.loaded()
        if isinstance(self.component, HasRemarks):
            self.once("remarks()", lambda: list(self.component.remarks()), None)
        if isinstance(self.component, HasCounts):
            self.once("counts()", lambda: dict(self.component.counts()), None)

    def _contents(self) -> dict[Path, bytes]:
        listed = self.listed()
        paths = [path for path in listed if isinstance(path, Path)] if isinstance(listed, Sequence) else []
        return {path: path.read_bytes() for path in paths if path.is_file()}


def lists_its_files(bench: DatasetBench) -> None:
    """sources() lists existing files, none twice; an empty list says that the options alone decide."""
    listed = bench.listed()
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise BreachError(f"listed {describe(listed)} in sources()", "return a list of paths")
    wrong = [path for path in listed if not (isinstance(path, Path) and path.is_file())]
    if wrong:
        raise BreachError(f"listed {wrong[0]!r} in sources(), which is no file", "list pathlib.Path of existing files")
    if len(set(listed)) < len(listed):
        raise BreachError("listed a file twice in sources()", "list every file once")


def returns_splits(bench: DatasetBench) -> None:
    """The answer is augkit.Splits."""
    if not isinstance(bench.loaded(), Splits):
        raise BreachError(f"returned {describe(bench.loaded())}", "return augkit.Splits")


def splits_have_samples_of_one_size(bench: DatasetBench) -> None:
    """There are training and test samples, and all images have one size."""
    _need_splits(bench)
    check_split_sizes(bench.loaded())


def frame_is_the_images_size(bench: DatasetBench) -> None:
    """frame(), if there is one, gives the size of the images of load()."""
    if not isinstance(bench.component, HasFrame):
        return
    told = bench.once("frame()", bench.component.frame, None)
    if not isinstance(told, Frame):
        raise BreachError(f"returned {describe(told)} in frame()", "return augkit.Frame(height, width)")
    loaded = Frame(*bench.splits().train.size)
    if told != loaded:
        raise BreachError(f"told of images of {told} and loaded some of {loaded}", "tell the size of load()'s images")


def tells_its_format(bench: DatasetBench) -> None:
    """format() says what load() returns; it may be missing where that is 8-bit RGB with one class."""
    told = Format()
    if isinstance(bench.component, HasFormat):
        told = bench.once("format()", bench.component.format, None)
        if not isinstance(told, Format):
            raise BreachError(f"returned {describe(told)} in format()", "return augkit.Format")
    found = bench.splits().train.format
    if found != told and not isinstance(bench.component, HasFormat):
        raise BreachError(f"returned {found} and has no method format()", "say before it is read what load() returns")
    check_format(told, found)


def labels_are_known(bench: DatasetBench) -> None:
    """Label maps hold 0, the numbers of the classes and, where the format says so, 255 for what does not count."""
    for part in PARTS:
        samples = getattr(bench.splits(), part)
        check_labels(samples.masks, samples.format)


def splits_share_nothing(bench: DatasetBench) -> None:
    """No group (patient, lesion) and no id is in two splits."""
    _need_splits(bench)
    check_split_names(bench.loaded())


def uses_the_whole_range(bench: DatasetBench) -> None:
    """8-bit images are in 0..255 and not in 0..1."""
    train = bench.splits().train
    if train.format.bytes_to_unit:
        check_brightness(train.images)


def has_foreground(bench: DatasetBench) -> None:
    """The training and the test masks have foreground."""
    for part in ("train", "test"):
        if not shows(getattr(bench.splits(), part).masks).any():
            raise BreachError(f"has no foreground in the {part} masks", "make masks true inside the structure")


def native_masks_belong_to_their_ids(bench: DatasetBench) -> None:
    """native_masks(ids), if there is one, gives the masks of load() before they were resized, in that order."""
    if not isinstance(bench.component, HasNativeMasks):
        return
    samples = bench.splits().test
    ids = samples.ids[::-1]
    natives = bench.once("native_masks()", lambda: list(bench.component.native_masks(ids)), None)
    check_native_count(len(natives), len(ids))
    for i, (native, mask) in enumerate(zip(natives, samples.masks[::-1], strict=True)):
        check_native_mask(native, mask, i)


def native_images_fit_their_masks(bench: DatasetBench) -> None:
    """native_images(ids), if there is one, gives images of the size of the native masks, which load() resizes."""
    if not isinstance(bench.component, HasNativePairs):
        return
    answers_to(lambda: native_masks_belong_to_their_ids(bench), "native_masks_belong_to_their_ids")
    ids = bench.splits().test.ids[::-1]
    masks = list(bench.component.native_masks(ids))
    natives = bench.once("native_images()", lambda: list(bench.component.native_images(ids)), None)
    check_native_count(len(natives), len(ids))
    for i, (native, mask) in enumerate(zip(natives, masks, strict=True)):
        check_native_image(native, mask, i, bench.splits().test.format)


def keeps_no_state(bench: DatasetBench) -> None:
    """Loading again gives the same samples."""
    first, second = bench.splits(), bench.loaded("load() again")
    wanted = "let the options, and the files of sources(), alone decide"
    for part in PARTS:
        one, other = getattr(first, part), getattr(second, part)
        if (one.ids, one.groups) != (other.ids, other.groups):
            raise BreachError(f"gave other {part} samples when loaded again", wanted)
        check_same(one.images, other.images, "when loaded again", wanted)
        check_same(one.masks, other.masks, "when loaded again", wanted)


def _need_splits(bench: DatasetBench) -> None:
    if not isinstance(bench.loaded(), Splits):
        raise UnansweredError("the answer is not usable; see returns_splits")


CHECKS: Sequence[Callable[[DatasetBench], None]] = (
    *CONDUCT,
    lists_its_files,
    returns_splits,
    splits_have_samples_of_one_size,
    frame_is_the_images_size,
    tells_its_format,
    labels_are_known,
    splits_share_nothing,
    uses_the_whole_range,
    has_foreground,
    native_masks_belong_to_their_ids,
    native_images_fit_their_masks,
    keeps_no_state,
)
"""The checks of a data set."""
