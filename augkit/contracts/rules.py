"""What plugins return, held to their contract: each rule once, for real runs and for the conformance kit.

A rule raises `BreachError`, which says what was found and what to return instead. A run holds every answer to the rules
of shape and dtype, and the first few samples to all of them; `augkit.authors.conformance` holds a component to all.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import ChecksFormat, ChecksFrame, ChecksMasks, Frame, HasFormat
from augkit.contracts.manners import Settings
from augkit.data.arrays import DrawnMasks, Images, Masks, Record, Scores, Splits
from augkit.data.formats import IGNORED, Format, Takes, shows
from augkit.errors import ContractError, Problem, said_by

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 8
"""Samples that a run asks for twice."""

SLACK = 1e-4
"""By how much pixels may leave 0..1: rounding."""

STATELESS = "make a sample's answer depend on its inputs and its draws alone"


class BreachError(Exception):
    """A component broke its contract: what it did, what it should do, and at which sample (an index) if at one."""

    def __init__(self, found: str, wanted: str, sample: int | None = None) -> None:
        super().__init__(f"{found}; {wanted}")
        self.found, self.wanted, self.sample = found, wanted, sample

    def told(self, subject: str, names: Sequence[str] = ()) -> str:
        """Return the breach in one line about `subject`, as in ``your generator``; `names` are those of samples."""
        where = "" if self.sample is None else f" for sample {(names or range(self.sample + 1))[self.sample]}"
        return f"{subject} {self.found}{where}; {self.wanted}"


@contextmanager
def contract(subject: str, names: Sequence[str] = (), component: str = "") -> Iterator[None]:
    """Tell a breach of `subject`'s contract to its author; `names` are those of the samples."""
    try:
        yield
    except BreachError as breach:
        raise ContractError(Problem("contract", breach.told(subject, names)), component=component) from None


# Data sets


def check_splits(splits: Splits) -> None:
    """Refuse splits that share a group or an id, differ in size, or have nothing to train on or to compare with."""
    if not isinstance(splits, Splits):
        raise BreachError(f"returned {describe(splits)}", "return augkit.Splits")
    check_split_sizes(splits)
    check_split_names(splits)


def check_split_sizes(splits: Splits) -> None:
    """Refuse splits of several image sizes, and those without training or test samples."""
    if len(splits.train) == 0 or len(splits.test) == 0:
        found = f"has {len(splits.train)} training and {len(splits.test)} test samples"
        raise BreachError(found, "return at least one of each")
    formats = {"train": splits.train.format, "validation": splits.validation.format, "test": splits.test.format}
    if len(set(formats.values())) > 1:
        found = ", ".join(f"{format} in {name}" for name, format in formats.items())
        raise BreachError(f"has different formats: {found}", "return one format for all splits")
    sizes = {"train": splits.train.size, "validation": splits.validation.size, "test": splits.test.size}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size[0]} x {size[1]} in {name}" for name, size in sizes.items())
        raise BreachError(f"has different image sizes: {found}", "return one size for all splits")


def check_format(promised: Format, found: Format) -> None:
    """Refuse splits of another format than the data set's ``format()`` said; windows may have been left open."""
    if not promised.promises(found):
        raise BreachError(f"returned {found} where format() says {promised}", "say and return the same")


def check_split_names(splits: Splits) -> None:
    """Refuse groups and ids that are in two splits, or are no text."""
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for what in ("group", "id"):
        owners: dict[str, str] = {}
        for part, samples in parts.items():
            for name in getattr(samples, f"{what}s"):
                if not isinstance(name, str):
                    raise BreachError(f"has {what} {name!r} in {part}, which is {describe(name)}", "return text")
                if any("\ud800" <= letter <= "\udfff" for letter in name):
                    raise BreachError(f"has {what} {name!r} in {part}, which is no UTF-8", "return text in UTF-8")
                if owners.setdefault(name, part) != part:
                    found = f"has {what} '{name}' in {owners[name]} and {part}"
                    raise BreachError(found, f"put each {what} in one split only")


MOST_DIFFERENT = 0.1
"""The largest share of pixels in which a mask and its native mask, sampled at the mask's size, may differ."""


def check_native_mask(native: Masks, mask: Masks, sample: int) -> Masks:
    """Return `native`; refuse anything but the (h, w), bool or labels, of which `mask` (H, W) is the resized form."""
    wanted = f"return the mask of load() before it was resized, as {mask.dtype} (h, w)"
    if getattr(native, "dtype", None) != mask.dtype or native.ndim != 2 or native.size == 0:
        raise BreachError(f"returned {describe(native)} as a native mask", wanted, sample)
    rows, columns = (((np.arange(m) + 0.5) * n / m).astype(int) for m, n in zip(mask.shape, native.shape, strict=True))
    different = float((native[np.ix_(rows, columns)] != mask).mean())
    if different > MOST_DIFFERENT:
        found = f"returned a native mask that differs from its mask of load() in {different:.0%} of the pixels"
        raise BreachError(found, wanted, sample)
    return native


def check_native_image(native: Images, mask: Masks, sample: int, format: Format) -> Images:
    """Return `native`; refuse anything but an image (h, w, C) of the size of its native mask (h, w)."""
    shape = (*mask.shape, len(format.channels))
    wanted = f"yield {format.dtype} (h, w, {shape[2]}), the image as it is in its file, of the size of its native mask"
    if getattr(native, "dtype", None) != format.dtype or native.shape != shape:
        raise BreachError(f"returned {describe(native)} as a native image beside {describe(mask)}", wanted, sample)
    return native


def check_native_count(found: int, wanted: int) -> None:
    """Refuse fewer or more native masks or images than ids."""
    if found != wanted:
        raise BreachError(f"returned {found} native masks or images for {wanted} ids", "return one per id, in order")


# Mask sources


def check_masks(drawn: DrawnMasks, count: int, real: tuple[int, ...], format: Format) -> None:
    """Refuse what a mask source must not return; `real` is the shape of the training masks."""
    check_is_drawn(drawn)
    check_array(drawn.masks, "masks ", "bool" if format.binary else "uint8", (count, *real[1:]))
    check_labels(drawn.masks, format)
    check_filled(drawn)
    check_records(drawn, count, real[0])


def check_is_drawn(drawn: DrawnMasks) -> None:
    """Refuse anything but `DrawnMasks`."""
    if not isinstance(drawn, DrawnMasks):
        raise BreachError(f"returned {describe(drawn)}", "return augkit.DrawnMasks")


def check_labels(masks: Masks, format: Format) -> None:
    """Refuse label maps with labels that no class has."""
    if masks.dtype == np.bool_:
        return
    classes = len(format.classes)
    wrong = (masks > classes) & ~(format.ignore & (masks == IGNORED))
    bad = np.flatnonzero(wrong.any(axis=(1, 2)))
    if len(bad):
        label = int(masks[bad[0]][wrong[bad[0]]][0])
        allowed = f"return 0 to {classes}{' or 255' if format.ignore else ''}"
        raise BreachError(f"returned the label {label}", allowed, int(bad[0]))


def check_filled(drawn: DrawnMasks) -> None:
    """Refuse masks without foreground."""
    empty = np.flatnonzero(~shows(drawn.masks).any(axis=(1, 2)))
    if len(empty):
        found = f"returned {len(empty)} empty masks of {len(drawn.masks)}, the first"
        raise BreachError(found, "return masks with foreground", int(empty[0]))


def check_records(drawn: DrawnMasks, count: int, parents: int) -> None:
    """Refuse records that cannot be written, or that name a training mask that is not there."""
    if len(drawn.records) != count:
        raise BreachError(f"returned {len(drawn.records)} records", f"return one per mask, {count}")
    for i, record in enumerate(drawn.records):
        _check_record(record, i, parents)


def _check_record(record: Record, index: int, parents: int) -> None:
    try:
        json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        found = f"returned record {index}, which cannot be written ({error})"
        raise BreachError(found, "return text and finite plain numbers") from None
    parent = record.get("parent", 0)
    if type(parent) is not int or not 0 <= parent < parents:
        found = f"returned record {index} with parent {parent!r}"
        raise BreachError(found, f"write an int in 0 .. {parents - 1}, or no parent")


# Generators and segmenters


_ROUNDING = 1e-3
"""By how much the scores of a pixel may sum up to more than 1."""


def check_images(images: Images, shape: tuple[int, ...], format: Format) -> Images:
    """Return `images`; refuse anything but images of a format and the masks' `shape`, and 0..1 for 0..255."""
    check_array(images, "", "uint8 0..255" if format.dtype == "uint8" else format.dtype, (*shape, len(format.channels)))
    if format.dtype == "float32":
        check_finite(images)
    if format.bytes_to_unit and len(images) >= SAMPLES:
        check_brightness(images)
    return images


def check_brightness(images: Images) -> None:
    """Refuse several images that are all black in 0..255: they were meant as 0..1."""
    if images.size and images.max() <= 1:
        raise BreachError(f"returned {describe(images)}", "scale the images to 0..255")


def check_scores(values: Scores, shape: tuple[int, ...], classes: int = 1) -> Scores:
    """Return `values`; refuse anything but float32 (N, K, H, W) in 0..1 for images of `shape` (N, H, W, C).

    The scores of a pixel sum up to 1 at most.
    """
    check_array(values, "", "float32 0..1", (shape[0], classes, *shape[1:3]))
    check_finite(values)
    check_unit(values)
    if classes > 1 and (most := float(values.sum(axis=1).max(initial=0))) > 1 + _ROUNDING:
        raise BreachError(
            f"returned scores that sum up to {most:.4g} in a pixel", "return shares of 1, as softmax does"
        )
    return values


def check_finite(values: Any, what: str = "") -> None:
    """Refuse NaN and infinity in an array or tensor whose first axis counts samples."""
    flat = as_array(values).reshape(len(values), -1)
    bad = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    if len(bad):
        raise BreachError(f"returned {what}values that are not finite", "return 0..1, finite", int(bad[0]))


def check_unit(values: Any, what: str = "", slack: float = 0.0) -> None:
    """Refuse finite values outside 0..1 by more than `slack`, which is for rounding."""
    flat = as_array(values).reshape(len(values), -1)
    bad = np.flatnonzero((flat.min(axis=1) < -slack) | (flat.max(axis=1) > 1 + slack))
    if len(bad):
        one = flat[bad[0]]
        found = f"returned {what}values in {one.min():.4g} .. {one.max():.4g}"
        raise BreachError(found, "return 0..1, finite", int(bad[0]))


def refusal_of(component: object, frame: Frame | None, format: Format) -> str:
    """Return what a component has against images of this size and format; empty where it takes them."""
    takes = takes_of(component)
    if takes.refuses(format):
        return f"takes {takes}; found {format}{f' ({takes.why})' if takes.why else ''}"
    if isinstance(component, ChecksFormat) and (said := _said(lambda: component.check_format(format))):
        return said
    if frame is None:
        return ""
    return _said(lambda: component.check_frame(frame)) if isinstance(component, ChecksFrame) else ""


def format_of(dataset: object) -> Format:
    """Return what a data set says of its pixels before they are read; 8-bit RGB with one class if it says nothing."""
    return dataset.format() if isinstance(dataset, HasFormat) else Format()


def unlike(frame: Frame | None, format: Format, other_frame: Frame | None, other: Format) -> str:
    """Return how images of an external set differ from those of the data set, `other`; '' where they are alike.

    Windows that the data set finds in its pixels are its own, whatever the external set finds; sizes count where both
    are known.
    """
    differences = []
    if not other.promises(format):
        differences.append((str(format), str(other)))
    if frame is not None and other_frame is not None and frame != other_frame:
        differences.append((str(frame), str(other_frame)))
    if not differences:
        return ""
    found, allowed = (" of ".join(words) for words in zip(*differences, strict=True))
    return f"found {found}; allowed: {allowed}"


def takes_of(component: object) -> Takes:
    """Return what a component, or its class, says it takes; what is said by nothing is 8-bit RGB with one class."""
    takes = getattr(component, "takes", None)
    return takes if isinstance(takes, Takes) else Takes()


def own_augmentation(segmenter: object) -> str:
    """Return what a segmenter augments with by itself, in words; empty where it applies the recipe's augmentations."""
    return str(getattr(segmenter, "augments_with", ""))


def refusal_of_masks(component: object, masks: Masks) -> str:
    """Return what a component says against training masks, as `ImageSet` has them; empty as for `refusal_of`."""
    return _said(lambda: component.check_masks(masks)) if isinstance(component, ChecksMasks) else ""


def _said(check: Callable[[], None]) -> str:
    try:
        check()
    except ValueError as error:
        return said_by(error) or "refused what it was given, without saying what is allowed"
    return ""


# Augmentations


def check_augmented(answer: tuple[Tensor, Tensor], images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return `answer`; refuse anything but images and masks like those given, both in 0..1.

    Stored pixels, uint8, may be answered by uint8 in 0..255 or by float32. Soft masks are let through: blending samples
    makes them. The kit asks for binary ones unless that is excepted.
    """
    check_like(answer, images, masks)
    for what, got in zip(("image ", "mask "), answer, strict=True):
        check_finite(got, what.replace(" ", "s "))
        if str(got.dtype) != "torch.uint8":
            check_unit(got, what, slack=SLACK)
        elif what == "mask ":
            check_stored_masks(got)
    return answer


def check_like(answer: tuple[Tensor, Tensor], images: Tensor, masks: Tensor) -> None:
    """Refuse anything but a tensor of images and one of masks, of dtypes and shapes like those given."""
    check_pair(answer)
    for what, given, got in zip(("images ", "masks "), (images, masks), answer, strict=True):
        dtype = str(given.dtype).removeprefix("torch.")
        if dtype == "uint8" and str(getattr(got, "dtype", "")) == "torch.float32":
            dtype = "float32"
        check_array(got, what, dtype, tuple(given.shape))


def check_sample(answer: tuple[Tensor, Tensor], sample: int) -> None:
    """Refuse pixels outside 0..1 in one sample of a batch that `check_like` let through: cheap enough for every batch.

    It looks at bytes in the order in which they lie, which takes a fifth of the time of asking the tensor.
    """
    for what, got in zip(("image ", "mask "), answer, strict=True):
        values = as_array(got[sample])
        low, high = values.min(), values.max()
        most = 255 if values.dtype == np.uint8 and what == "image " else 1
        if not (low >= -SLACK and high <= most + SLACK):  # also where one is not a number
            kind = f"{what}values in {low:.4g} .. {high:.4g}"
            raise BreachError(
                f"returned {kind if high - low < np.inf else f'{what}values that are not finite'}",
                "return 0..1, finite",
                sample,
            )


def check_extremes(lowest: float, highest: float) -> None:
    """Refuse what a device has seen of many batches: minus the lowest value, and the highest, in 0..1."""
    if not (lowest <= SLACK and highest <= 1 + SLACK):
        found = f"returned values in {-lowest:.4g} .. {highest:.4g}"
        raise BreachError(
            found if highest - lowest < np.inf else "returned values that are not finite", "return 0..1, finite"
        )


def check_stored_masks(masks: Tensor) -> None:
    """Refuse stored masks, uint8, of anything but 0 and 1."""
    bad = (masks > 1).flatten(1).any(dim=1).nonzero()
    if len(bad):
        raise BreachError(f"returned {describe(masks)} as masks", "return 0 and 1 in stored masks", int(bad[0]))


def check_pair(answer: tuple[Tensor, Tensor]) -> None:
    """Refuse anything but two things."""
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise BreachError(f"returned {describe(answer)}", "return a tuple (images, masks)")


def check_binary(masks: Tensor) -> None:
    """Refuse masks with values between 0 and 1."""
    flat = masks.reshape(len(masks), -1)
    bad = ((flat != 0) & (flat != 1)).any(dim=1).nonzero()
    if len(bad):
        found = f"returned mask values in {float(flat.min()):.4g} .. {float(flat.max()):.4g}, not all 0 or 1"
        raise BreachError(found, "cut the masks at 0.5", int(bad[0]))


# All kinds


def check_array(value: Any, what: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Refuse anything but an array or tensor of this dtype (with its range, for people) and shape."""
    check_dtype(value, what, dtype, shape)
    check_shape(value, what, dtype, shape)


def check_dtype(value: Any, what: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Refuse anything but an array or tensor of this dtype."""
    found = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if found != dtype.split(" ")[0]:
        raise BreachError(f"returned {what}{describe(value)}", f"return {dtype} {shape}")


def check_shape(value: Any, what: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Refuse an array or tensor of another shape."""
    if tuple(value.shape) != shape:
        raise BreachError(f"returned {what}{describe(value)}", f"return {dtype} {shape}")


def check_same(first: Any, second: Any, when: str, why: str, tolerance: float = 0.0) -> None:
    """Refuse two answers of which a sample differs by more than `tolerance` on average.

    when: as in ``between two calls``; why: what the author may have done.
    """
    one, two = as_array(first), as_array(second)
    if one.shape != two.shape:
        raise BreachError(f"returned {describe(two)} {when} and {describe(one)} before", why)
    if one.size == 0:
        return
    distance = np.abs(one.astype(np.float64) - two).reshape(len(one), -1).mean(axis=1)
    changed = np.flatnonzero(distance > tolerance)
    if len(changed):
        found = f"changed {len(changed)} of {len(one)} answers {when}, the first"
        raise BreachError(found, why, int(changed[0]))


@contextmanager
def harmless(**inputs: Any) -> Iterator[None]:
    """Refuse a call that changes its inputs (arrays or tensors), a global random generator or another of `Settings`."""
    before, settings = {name: as_array(value).copy() for name, value in inputs.items()}, Settings.now()
    yield
    check_untouched(before, inputs)
    check_random_states(settings)
    check_settings(settings)


@contextmanager
def settled() -> Iterator[None]:
    """Refuse a call that changes torch's threads, its default dtype or the working folder; costs microseconds."""
    torch: Any = sys.modules["torch"]
    threads, dtype, folder = torch.get_num_threads(), torch.get_default_dtype(), Path.cwd()
    before = Settings(folder, threads, dtype, {})
    yield
    if (torch.get_num_threads(), torch.get_default_dtype(), Path.cwd()) != (threads, dtype, folder):
        check_settings(before)


def check_untouched(before: Mapping[str, NDArray[Any]], inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that differ from the copies in `before`."""
    for name, old in before.items():
        new = as_array(inputs[name])
        changed = [i for i in range(len(old)) if not np.array_equal(old[i], new[i])]
        if changed:
            raise BreachError(f"changed the {name} that it was given", "work on a copy", changed[0])


def check_random_states(before: Settings) -> None:
    """Refuse a global random generator that has moved since."""
    if moved := before.used_generators(Settings.now()):
        found = f"used the global random generator of {' and '.join(sorted(moved))}"
        raise BreachError(found, "take every random number from the draws or the seed that you are given")


def torch_threads() -> tuple[int, int]:
    """Return how many threads torch computes with, and how many run in this process, those of executors aside.

    An executor keeps its threads for the next call; they end with it, and with the process.
    """
    torch = sys.modules.get("torch")
    kept = sys.modules.get("concurrent.futures.thread")
    running = [thread for thread in threading.enumerate() if not (kept and thread in kept._threads_queues)]
    return (torch.get_num_threads() if torch else 0), len(running)


def check_settings(before: Settings) -> None:
    """Refuse another number of torch threads, which changes the bits of everybody's sums, default dtype or folder."""
    if changes := before.changes(Settings.now()):
        raise BreachError(" and ".join(changes), "leave what belongs to the whole process to the user")


def describe(value: object) -> str:
    """Return what a value is, for people: ``float64 0..1 (6, 8, 8, 3)`` or ``a list``."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return f"a {type(value).__name__}"
    text = str(dtype).removeprefix("torch.")
    values = as_array(value)
    if values.size and values.dtype != np.bool_ and np.issubdtype(values.dtype, np.number):
        text += f" {values.min():.4g}..{values.max():.4g}"
    return f"{text} {tuple(values.shape)}"


def as_array(value: Any) -> NDArray[Any]:
    """Return an array or tensor as an array, without copying where it is in memory."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
