"""What an augmentation has to do, with images that are not square, and masks of one class and of more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from augkit.authors.conformance.bench import CONDUCT, Bench, UnansweredError, answers_to
from augkit.authors.conformance.toy import SEED, draw_masks, draw_set
from augkit.contracts.rules import (
    BreachError,
    as_array,
    check_augmented,
    check_binary,
    check_dtype,
    check_finite,
    check_pair,
    check_same,
    check_shape,
    check_unit,
    describe,
)
from augkit.data.draws import Draws
from augkit.data.formats import in_unit

if TYPE_CHECKING:
    from torch import Tensor

COUNT = 9
HEIGHT, WIDTH = 24, 32
"""Not square, and so small that torch wakes no threads for a batch, which takes longer than its arithmetic."""

EPOCHS = 3
"""In how many epochs image and mask are compared; what is applied to some samples only, all draw in one of them."""

USABLE = "returns_two, keeps_dtypes, keeps_shapes, is_finite, images_in_range and masks_in_range"
KEYED = "make sample i depend only on image i, mask i and sample i of the draws"
ROUNDING = 1e-5
"""Sums of another order differ by this much in float32."""

MOST_APART = 0.005
"""The largest share of pixels in which an image and its mask may disagree off the outline: strong blur rounds corners.

A shift of two pixels, of which the outline hides one, makes about four times as many.
"""

MOST_HIDDEN = 0.5
"""The largest share of an image that may be hidden; of an image that is moved, nearly all pixels change."""


class AugmentationBench(Bench):
    """An augmentation with a batch of 9 pairs on the CPU."""

    noun: ClassVar[str] = "augmentation"

    @cached_property
    def images(self) -> Tensor:
        """Toy images, float32 (9, C, 24, 32) in 0..1, mottled: nearly every pixel differs from the next."""
        import torch

        images = in_unit(draw_set(COUNT, "batch", HEIGHT, WIDTH, self.format).images, self.format)
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    @cached_property
    def masks(self) -> Tensor:
        """Their masks as every run has them, float32 (9, K, 24, 32) in {0, 1}, and K + 1 with ignored pixels."""
        import torch

        from augkit.training.pixels import one_hot

        labels = torch.from_numpy(draw_masks(COUNT, "batch", HEIGHT, WIDTH, self.format).copy())
        return one_hot(labels, len(self.format.classes), background=self.format.ignore).float()

    @cached_property
    def classes(self) -> Tensor:
        """Masks of several classes that share no pixel: of one class, inside and outside, (9, 2, 24, 32)."""
        import torch

        return torch.cat([self.masks, 1 - self.masks], dim=1) if self.format.binary else self.masks

    def foreground(self, masks: Tensor) -> Tensor:
        """Return masks (N, 1, H, W) of all foreground classes together."""
        return masks[:, : len(self.format.classes)].sum(dim=1, keepdim=True)

    def draws(self, epoch: int = 0, seed: int = SEED) -> Draws[Tensor]:
        """The batch's draws in an epoch."""
        import torch

        return Draws.on_device(seed, "batch", torch.arange(COUNT), epoch)

    def call(self, name: str, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> Any:
        """Return whatever the augmentation returns for copies of images and masks."""
        images, masks = images.clone(), masks.clone()
        return self.once(name, lambda: self.component(images, masks, draws), None, images=images, masks=masks)

    def augmented(self, name: str = "a call") -> Any:
        """Return whatever the augmentation returns for the batch."""
        return self.call(name, self.images, self.masks, self.draws())

    def augmented_part(self, name: str, index: Tensor) -> Any:
        """Return whatever the augmentation returns for some of the samples."""
        images, masks = (whole.index_select(0, index) for whole in (self.images, self.masks))
        return self.call(name, images, masks, self.draws()[index])

    def augmented_classes(self) -> Any:
        """Return whatever the augmentation returns for masks of several classes."""
        if not self.format.binary:
            return self.augmented()
        return self.call("a call with two classes", self.images, self.classes, self.draws())

    def pair(self) -> tuple[Tensor, Tensor]:
        """Return images and masks, where they are such."""
        answer: tuple[Tensor, Tensor] = self.augmented()
        answers_to(lambda: check_augmented(answer, self.images, self.masks), USABLE)
        return answer

    def exercise(self) -> None:
        """Augment a batch with masks of one class and of two, or of the classes that there are."""
        import torch  # before the call, so that its thread and its generator are there to be watched

        torch.get_num_threads()
        self.augmented()
        self.augmented_classes()

    def answers(self) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
        """Yield name, value and wanted shape of both parts of both answers, where these have two parts."""
        for answer, masks in ((self.augmented(), self.masks), (self.augmented_classes(), self.classes)):
            answers_to(lambda pair=answer: check_pair(pair), "returns_two")  # type: ignore[misc]
            yield "image", answer[0], tuple(self.images.shape)
            yield "mask", answer[1], tuple(masks.shape)

    def values(self, wanted: str) -> Iterator[Any]:
        """Yield the images or the masks (`wanted`) of both answers, where they are finite float32."""
        for what, value, shape in self.answers():
            if what == wanted:
                answers_to(lambda v=value, s=shape: check_dtype(v, "", "float32", s), "keeps_dtypes")  # type: ignore[misc]
                answers_to(lambda v=value: check_finite(v), "is_finite")  # type: ignore[misc]
                yield value


def returns_two(bench: AugmentationBench) -> None:
    """The answer is a tuple (images, masks)."""
    check_pair(bench.augmented())
    check_pair(bench.augmented_classes())


def keeps_dtypes(bench: AugmentationBench) -> None:
    """Images and masks are float32 tensors, as they came."""
    for what, value, shape in bench.answers():
        check_dtype(value, f"{what}s ", "float32", shape)


def keeps_shapes(bench: AugmentationBench) -> None:
    """Images and masks have the shapes with which they came: not square, masks with one class or two."""
    for what, value, shape in bench.answers():
        answers_to(lambda v=value, s=shape: check_dtype(v, "", "float32", s), "keeps_dtypes")  # type: ignore[misc]
        check_shape(value, f"{what}s ", "float32", shape)


def is_finite(bench: AugmentationBench) -> None:
    """No value is infinite or not a number."""
    for what, value, shape in bench.answers():
        answers_to(lambda v=value, s=shape: check_dtype(v, "", "float32", s), "keeps_dtypes")  # type: ignore[misc]
        check_finite(value, f"{what}s ")


def images_in_range(bench: AugmentationBench) -> None:
    """Images stay in 0..1."""
    for images in bench.values("image"):
        check_unit(images, "image ", slack=1e-4)


def masks_in_range(bench: AugmentationBench) -> None:
    """Masks stay in 0..1."""
    for masks in bench.values("mask"):
        check_unit(masks, "mask ", slack=1e-4)


def masks_stay_binary(bench: AugmentationBench) -> None:
    """Masks stay exactly 0 or 1."""
    for masks in bench.values("mask"):
        check_binary(masks)


def classes_stay_apart(bench: AugmentationBench) -> None:
    """Of classes that share no pixel, none comes to share one."""
    masks = list(bench.values("mask"))[1]
    answers_to(lambda: check_shape(masks, "", "float32", tuple(bench.classes.shape)), "keeps_shapes")
    shared = (masks.sum(dim=1) > 1 + ROUNDING).flatten(1).any(dim=1).nonzero()
    if len(shared):
        wanted = "where masks have several classes, let one of them win each pixel"
        raise BreachError("put a pixel in two classes", wanted, int(shared[0]))


def keeps_every_class(bench: AugmentationBench) -> None:
    """Of several classes none disappears from all masks that show it."""
    if len(bench.format.classes) == 1:
        raise UnansweredError("it is given one class")
    _, masks = bench.pair()
    for place, name in enumerate(bench.format.classes):
        had, has = (one[:, place].flatten(1).any(dim=1) for one in (bench.masks, masks))
        if had.any() and not (had & has).any():
            found = f"lost the class '{name}' in all {int(had.sum())} masks that show it"
            raise BreachError(found, "do with every class what is done with the first")


def returns_new_images(bench: AugmentationBench) -> None:
    """The images returned are memory of their own, so that the next step may change them in place."""
    bench.pair()
    if "leaves_inputs_alone" in bench.conduct:
        raise UnansweredError("it works on what it is given; see leaves_inputs_alone")
    given, masks = bench.images.clone(), bench.masks.clone()
    given, (images, _) = bench.once(
        "a call for new images", lambda: (given, bench.component(given, masks, bench.draws())), None
    )
    if np.may_share_memory(as_array(given), as_array(images)):
        raise BreachError("returned the images that it was given", "return a copy where nothing changes")


def keeps_no_state(bench: AugmentationBench) -> None:
    """A second call with the same batch and keys gives the same bytes as the first, whatever torch's global seed."""
    from augkit.training.loop import seeded

    first = bench.pair()
    with seeded(SEED):  # a seed may be read without use of the generator, which nobody else would notice
        second = bench.augmented("a second call")
    for one, other in zip(first, second, strict=True):
        check_same(one, other, "between two equal calls", KEYED)


def order_independent(bench: AugmentationBench) -> None:
    """A sample changes in the same way wherever it stands in its batch."""
    _check_batch(bench, "in a shuffled batch", (5, 2, 8, 0, 7, 3, 1, 6, 4))


def batch_independent(bench: AugmentationBench) -> None:
    """A sample changes in the same way alone and in a batch of 7."""
    for sample in (0, 4):  # one of them may be the brightest of all, and the same whoever is beside it
        _check_batch(bench, "alone", (sample,))
    _check_batch(bench, "in a batch of 7", tuple(range(7)))


def _check_batch(bench: AugmentationBench, when: str, index: Sequence[int]) -> None:
    """Refuse samples that change in another way in the batch `index`, in any value by more than rounding."""
    import torch

    where = torch.tensor(index)
    for whole, other in zip(bench.pair(), bench.augmented_part(f"a call {when}, {index}", where), strict=True):
        wanted = whole.index_select(0, where)
        if tuple(wanted.shape) != tuple(other.shape):
            raise BreachError(f"returned {tuple(other.shape)} {when}", f"return {tuple(wanted.shape)}")
        check_same(wanted, torch.where((other - wanted).abs() > ROUNDING, other, wanted), when, KEYED)


def epochs_differ(bench: AugmentationBench) -> None:
    """The same sample changes in another way in the next epoch, and under another seed."""
    first = bench.pair()
    for when, draws in (("in two epochs", bench.draws(epoch=1)), ("under two seeds", bench.draws(seed=SEED + 1))):
        second = bench.call(f"a call for batches {when}", bench.images, bench.masks, draws)
        if all(np.array_equal(one.numpy(), other.numpy()) for one, other in zip(first, second, strict=True)):
            raise BreachError(f"gave equal batches {when}", "draw what changes from the draws")


def image_and_mask_move_together(bench: AugmentationBench) -> None:
    """An image that shows its own mask still shows it afterwards, to within one pixel of the outline."""
    share, sample = _most_apart(bench)
    if share > MOST_APART:
        found = f"moved image and mask apart: {share:.0%} of the pixels disagree"
        raise BreachError(found, "apply one and the same change of place to both", sample)


def hides_without_moving(bench: AugmentationBench) -> None:
    """Where an image stops showing its mask because part of it is hidden, nothing moves: neither mask nor the rest."""
    if _most_apart(bench)[0] <= MOST_APART:
        raise UnansweredError("its images go on showing their masks, so that nothing is hidden")
    images, masks = bench.pair()
    moved = (masks != bench.masks).flatten(1).any(dim=1).nonzero()
    if len(moved):
        raise BreachError("moved a mask that its image no longer shows", "leave masks where they are", int(moved[0]))
    changed = ((images - bench.images).abs() > ROUNDING).any(dim=1).float().mean(dim=(1, 2))
    worst = int(changed.argmax())
    if changed[worst] > MOST_HIDDEN:
        found = f"changed {changed[worst]:.0%} of an image that no longer shows its mask"
        raise BreachError(found, "hide less than half of an image, and leave the rest as it is", worst)


def _most_apart(bench: AugmentationBench) -> tuple[float, int]:
    """Return the largest share of pixels in which an image of its own mask disagrees with it, and at which sample."""
    bench.pair()
    shown, found = bench.foreground(bench.masks).expand_as(bench.images) * 0.6 + 0.2, []
    for epoch in range(EPOCHS):
        images, masks = bench.call(f"an image of its mask in epoch {epoch}", shown, bench.masks, bench.draws(epoch))
        answers_to(lambda moved=masks: check_binary(moved), "masks_stay_binary")  # type: ignore[misc]
        pairs = zip(images.mean(dim=1).numpy(), bench.foreground(masks)[:, 0].numpy() > 0.5, strict=True)
        found += [(_disagreement(image, mask), sample) for sample, (image, mask) in enumerate(pairs)]
    return max(found, key=lambda one: one[0])


def _disagreement(image: Any, mask: Any) -> float:
    """Return the share of pixels off the mask's outline that are on the wrong side of the image's middle level."""
    from scipy.ndimage import binary_dilation, binary_erosion

    if mask.all() or not mask.any():
        return 0.0
    seen = image > (image[mask].mean() + image[~mask].mean()) / 2
    square = np.ones((3, 3), bool)
    outline = binary_dilation(mask, square) & ~binary_erosion(mask, square, border_value=1)
    return float(((seen != mask) & ~outline).mean())


def parameters_are_keyed(bench: AugmentationBench) -> None:
    """The parameters that are told for a sample, where they are told, belong to its key."""
    if not hasattr(bench.component, "parameters"):
        raise UnansweredError("it has no method parameters(draws), which is optional")
    index, tell = [5, 2, 8], bench.component.parameters
    whole = bench.once("parameters()", lambda: tell(bench.draws()), None)
    part = bench.once("parameters() of some", lambda: tell(bench.draws()[index]), None)
    if not whole:
        raise BreachError("told no parameter", "tell what is drawn, or have no method parameters(draws)")
    for name, values in whole.items():
        if tuple(getattr(values, "shape", ())) != (COUNT,):
            raise BreachError(f"told {describe(values)} as '{name}' of {COUNT} samples", "tell one number per sample")
        check_same(values[index], part[name], f"of the parameter '{name}' in another batch", KEYED, ROUNDING)


def stored_pixels_change_alike(bench: AugmentationBench) -> None:
    """Stored pixels, where the augmentation takes them, change as their float32 values do."""
    import torch

    from augkit.training.batches import as_floats, takes_stored_pixels

    if not takes_stored_pixels(bench.component):
        raise UnansweredError("it takes no stored pixels, which is optional")
    images, masks = bench.images, bench.masks.to(torch.uint8)
    if bench.format.bytes_to_unit:
        images = (images * 255).round().to(torch.uint8)
    call = bench.once("stored pixels", lambda: bench.component(images, masks, bench.draws()), None, images=images)
    answers_to(lambda: check_pair(call), "returns_two")
    for one, other in zip(bench.pair(), as_floats(*call), strict=True):
        check_same(one, other, "for stored pixels", "return what float32 gives", ROUNDING)


CHECKS: Sequence[Callable[[AugmentationBench], None]] = (
    *CONDUCT,
    returns_two,
    keeps_dtypes,
    keeps_shapes,
    is_finite,
    images_in_range,
    masks_in_range,
    masks_stay_binary,
    classes_stay_apart,
    keeps_every_class,
    returns_new_images,
    keeps_no_state,
    order_independent,
    batch_independent,
    epochs_differ,
    image_and_mask_move_together,
    hides_without_moving,
    parameters_are_keyed,
    stored_pixels_change_alike,
)
"""The checks of an augmentation."""
