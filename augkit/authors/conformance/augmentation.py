"""What an augmentation has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from augkit.authors.conformance.bench import CONDUCT, Bench, UnansweredError, answers_to
from augkit.authors.conformance.toy import SEED, draw_set
from augkit.contracts.rules import (
    BreachError,
    check_augmented,
    check_binary,
    check_dtype,
    check_finite,
    check_pair,
    check_same,
    check_shape,
    check_unit,
)
from augkit.data.draws import Draws

if TYPE_CHECKING:
    from torch import Tensor

COUNT = 9
USABLE = "returns_two, keeps_dtypes, keeps_shapes, is_finite, images_in_range and masks_in_range"
KEYED = "make sample i depend only on image i, mask i and sample i of the draws"
ROUNDING = 1e-5
"""Sums of another order differ by this much in float32."""


class AugmentationBench(Bench):
    """An augmentation with a batch of 9 pairs on the CPU."""

    noun: ClassVar[str] = "augmentation"

    @cached_property
    def images(self) -> Tensor:
        """Toy images, float32 (9, 3, H, W) in 0..1."""
        import torch

        return torch.from_numpy(draw_set(COUNT, "batch").images.transpose(0, 3, 1, 2).copy()).float() / 255

    @cached_property
    def masks(self) -> Tensor:
        """Their masks, float32 (9, 1, H, W) in {0, 1}."""
        import torch

        return torch.from_numpy(draw_set(COUNT, "batch").masks[:, None].copy()).float()

    def draws(self, epoch: int = 0) -> Draws[Tensor]:
        """The batch's draws in an epoch."""
        import torch

        return Draws.on_device(SEED, "batch", torch.arange(COUNT), epoch)

    def augmented(self, name: str = "a call", index: Sequence[int] = tuple(range(COUNT)), epoch: int = 0) -> Any:
        """Return whatever the augmentation returns for some of the samples."""
        images, masks, draws = self.images[list(index)], self.masks[list(index)], self.draws(epoch)[list(index)]
        return self.once(name, lambda: self.component(images, masks, draws), None, images=images, masks=masks)

    def pair(self) -> tuple[Tensor, Tensor]:
        """Return images and masks, where they are such."""
        answer: tuple[Tensor, Tensor] = self.augmented()
        answers_to(lambda: check_augmented(answer, self.images, self.masks), USABLE)
        return answer

    def exercise(self) -> None:
        """Augment a batch."""
        import torch  # before the call, so that its thread and its generator are there to be watched

        torch.get_num_threads()
        self.augmented()

    def two(self) -> tuple[Any, Any]:
        """Return the two things of the answer, where there are two."""
        answers_to(lambda: check_pair(self.augmented()), "returns_two")
        images, masks = self.augmented()
        return images, masks

    def shapes(self) -> tuple[tuple[str, Any, tuple[int, ...]], ...]:
        """Return name, value and wanted shape of both parts of the answer."""
        images, masks = self.two()
        return ("images ", images, tuple(self.images.shape)), ("masks ", masks, tuple(self.masks.shape))


def returns_two(bench: AugmentationBench) -> None:
    """The answer is a tuple (images, masks)."""
    check_pair(bench.augmented())


def keeps_dtypes(bench: AugmentationBench) -> None:
    """Images and masks are float32 tensors, as they came."""
    for what, value, shape in bench.shapes():
        check_dtype(value, what, "float32", shape)


def keeps_shapes(bench: AugmentationBench) -> None:
    """Images and masks have the shapes with which they came."""
    for what, value, shape in bench.shapes():
        answers_to(lambda v=value, s=shape: check_dtype(v, "", "float32", s), "keeps_dtypes")  # type: ignore[misc]
        check_shape(value, what, "float32", shape)


def is_finite(bench: AugmentationBench) -> None:
    """No value is infinite or not a number."""
    for what, value, shape in bench.shapes():
        answers_to(lambda v=value, s=shape: check_dtype(v, "", "float32", s), "keeps_dtypes")  # type: ignore[misc]
        check_finite(value, what)


def images_in_range(bench: AugmentationBench) -> None:
    """Images stay in 0..1."""
    images, _ = bench.two()
    answers_to(lambda: check_dtype(images, "", "float32", images.shape), "keeps_dtypes")
    answers_to(lambda: check_finite(images), "is_finite")
    check_unit(images, "image ", slack=1e-4)


def masks_in_range(bench: AugmentationBench) -> None:
    """Masks stay in 0..1."""
    _, masks = bench.two()
    answers_to(lambda: check_dtype(masks, "", "float32", masks.shape), "keeps_dtypes")
    answers_to(lambda: check_finite(masks), "is_finite")
    check_unit(masks, "mask ", slack=1e-4)


def masks_stay_binary(bench: AugmentationBench) -> None:
    """Masks stay exactly 0 or 1."""
    _, masks = bench.two()
    answers_to(lambda: check_dtype(masks, "", "float32", masks.shape), "keeps_dtypes")
    answers_to(lambda: check_finite(masks), "is_finite")
    check_binary(masks)


def keeps_no_state(bench: AugmentationBench) -> None:
    """A second call with the same batch and keys gives the same bytes as the first."""
    for one, other in zip(bench.pair(), bench.augmented("a second call"), strict=True):
        check_same(one, other, "between two equal calls", KEYED)


def batch_independent(bench: AugmentationBench) -> None:
    """A sample changes in the same way alone, in a batch of 7 and in a shuffled batch."""
    pair = bench.pair()
    batches = {"alone": (4,), "in a batch of 7": tuple(range(7)), "in a shuffled batch": (5, 2, 8, 0, 7, 3, 1, 6, 4)}
    for when, index in batches.items():
        for one, other in zip(pair, bench.augmented(f"a call {when}", index), strict=True):
            if tuple(one[list(index)].shape) != tuple(other.shape):
                raise BreachError(f"returned {tuple(other.shape)} {when}", f"return {tuple(one[list(index)].shape)}")
            check_same(one[list(index)], other, when, KEYED, ROUNDING)


def epochs_differ(bench: AugmentationBench) -> None:
    """The same sample changes in another way in the next epoch."""
    first, second = bench.pair(), bench.augmented("a call in the next epoch", epoch=1)
    if all(np.array_equal(one.numpy(), other.numpy()) for one, other in zip(first, second, strict=True)):
        raise BreachError("gave equal batches in two epochs", "draw what changes from the draws")


def image_and_mask_move_together(bench: AugmentationBench) -> None:
    """An image that shows its own mask still shows it afterwards, to within one pixel of the outline."""
    bench.pair()
    masks, draws = bench.masks, bench.draws()
    shown = masks.expand(-1, 3, -1, -1) * 0.6 + 0.2
    images, after = bench.once("an image of its mask", lambda: bench.component(shown, masks, draws), None)
    wrong = [_disagreement(image.mean(0).numpy(), mask[0].numpy() > 0.5) for image, mask in zip(images, after)]  # noqa: B905
    worst = int(np.argmax(wrong))
    if wrong[worst] > 0.01:
        found = f"moved image and mask apart: {wrong[worst]:.0%} of the pixels disagree"
        raise BreachError(found, "apply one and the same change of place to both", worst)


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
    for name, values in whole.items():
        if len(values) != COUNT:
            raise BreachError(f"told {len(values)} values of '{name}' for {COUNT} samples", "tell one per sample")
        check_same(values[index], part[name], f"of the parameter '{name}' in another batch", KEYED, ROUNDING)


def stored_pixels_change_alike(bench: AugmentationBench) -> None:
    """Stored pixels, where the augmentation takes them, change as their float32 values do."""
    import torch

    from augkit.training.batches import as_floats, takes_stored_pixels

    if not takes_stored_pixels(bench.component):
        raise UnansweredError("it takes no stored pixels, which is optional")
    images, masks = (bench.images * 255).round().to(torch.uint8), bench.masks.to(torch.uint8)
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
    keeps_no_state,
    batch_independent,
    epochs_differ,
    image_and_mask_move_together,
    parameters_are_keyed,
    stored_pixels_change_alike,
)
"""The checks of an augmentation."""
