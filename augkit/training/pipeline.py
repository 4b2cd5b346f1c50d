"""The recipe's augmentations as one call, each with draws of its own and held to its contract."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from augkit.contracts.components import Augment, RecordsParameters
from augkit.contracts.rules import (
    STATELESS,
    check_augmented,
    check_extremes,
    check_like,
    check_same,
    check_sample,
    contract,
    harmless,
    settled,
)
from augkit.data.draws import TensorDraws

if TYPE_CHECKING:
    from torch import Tensor


class Pipeline:
    """The recipe's augmentations in order; each has its own draws, by its name and place in the list.

    A call takes float32, or stored pixels as in `augkit.training.batches.Batch`, which stay what they are for as long
    as the augmentations take them; it returns float32.
    """

    def __init__(self, augment: Sequence[tuple[str, Augment]], ignore: bool = False) -> None:
        """`ignore`: as in `Format`: there are pixels of no class, so masks keep the background as their last class."""
        self._augment = augment
        self._ignore = ignore
        self._checked = [augmentation for _, augmentation in augment if isinstance(augmentation, Checked)]

    def takes_stored_pixels(self) -> bool:
        """Return true."""
        return True

    def ignores_padding(self) -> bool:
        """Return whether one of the augmentations does."""
        from augkit.training.batches import ignores_padding

        return any(ignores_padding(augmentation) for _, augmentation in self._augment)

    def __call__(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Augment."""
        answer = self._apply(images, masks, draws)
        if self._checked and answer[0].is_cpu and not self._is_finite(answer):
            for augmentation in self._checked:
                augmentation.suspect()
            self._apply(images, masks, draws)  # tells whose it is, if it is not the images' own
        return answer

    def _is_finite(self, answer: tuple[Tensor, Tensor]) -> bool:
        from augkit.training.threads import all_finite

        return all(all_finite(pixels) for pixels in answer)

    def conclude(self) -> None:
        """Refuse what a device has seen of the answers meanwhile."""
        for augmentation in self._checked:
            augmentation.conclude()

    def _apply(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        from augkit.training.batches import as_floats, ignores_padding, suited, with_background

        ignoring = [i for i, (_, augmentation) in enumerate(self._augment) if ignores_padding(augmentation)]
        if self._ignore:
            ignoring = []
        if ignoring:  # what works on objects need not know of the background before that
            masks = masks[:, :-1]
        for i, (name, augmentation) in enumerate(self._augment):
            if i in ignoring[:1]:
                masks = with_background(masks)
            images, masks = augmentation(*suited(augmentation, images, masks), draws.fork(_place(i, name)))
        return as_floats(images, masks)


def drawn_parameters(augment: Sequence[tuple[str, Augment]], draws: TensorDraws) -> list[dict[str, list[Any]]]:
    """Return what each of the recipe's augmentations draws: name -> one value per sample; {} where it does not say."""
    return [
        {key: values.tolist() for key, values in augmentation.parameters(draws.fork(_place(i, name))).items()}
        if isinstance(augmentation, RecordsParameters)
        else {}
        for i, (name, augmentation) in enumerate(augment)
    ]


EVERY = 256
"""Batches from one full check of an augmentation to the next."""


class Checked:
    """An augmentation held to its contract: every batch by what costs next to nothing, some batches to all of it.

    Of every batch it looks at dtypes, shapes, the pixels of one sample (each in its turn) and what belongs to the whole
    process; of the first and every `EVERY`-th at every pixel, the inputs and a second answer. A device is not waited
    for: `conclude` tells what was seen there.
    """

    def __init__(self, name: str, augmentation: Augment) -> None:
        self._name = name
        self._augmentation = augmentation
        self._calls = 0
        self._extremes: Tensor | None = None

    def takes_stored_pixels(self) -> bool:
        """Return whether the augmentation does; the first batch, which is checked, is float32."""
        from augkit.training.batches import takes_stored_pixels

        return self._calls > 0 and takes_stored_pixels(self._augmentation)

    def ignores_padding(self) -> bool:
        """Return whether the augmentation does."""
        from augkit.training.batches import ignores_padding

        return ignores_padding(self._augmentation)

    def __call__(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Augment; now and then, twice."""
        call, self._calls = self._calls, self._calls + 1
        if call % EVERY == 0 and not _is_recorded(images):
            return self.checked(images, masks, draws)
        with self._contract(), settled():
            answer = self._augmentation(images, masks, draws)
            check_like(answer, images, masks)
            if len(images) and images.is_cpu:
                check_sample(answer, call % len(images))
        if not images.is_cpu:
            self._remember(answer)
        return answer

    def checked(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Augment twice, and hold everything to the contract."""
        with self._contract(), harmless(images=images, masks=masks):
            answer = check_augmented(self._augmentation(images, masks, draws), images, masks)
            for first, again in zip(answer, self._augmentation(images, masks, draws), strict=True):
                check_same(first, again, "between two equal calls", STATELESS, 0.0 if images.is_cpu else 0.01)
        return answer

    def suspect(self) -> None:
        """Check the next batch fully."""
        self._calls = 0

    def conclude(self) -> None:
        """Refuse what a device has seen meanwhile."""
        if self._extremes is None:
            return
        with self._contract():
            check_extremes(*self._extremes.tolist())

    def _contract(self) -> AbstractContextManager[None]:
        return contract(f"augmentation '{self._name}'", component=self._name)

    def _remember(self, answer: tuple[Tensor, Tensor]) -> None:
        """Let the device remember the lowest and the highest value of the first samples, in 0..1."""
        import torch

        for got in answer:
            if got.is_floating_point() and len(got):
                low, high = got[0].aminmax()
                found = torch.stack([-low, high]).float()
                if self._extremes is None:
                    self._extremes = None if _is_recorded(got) else found
                else:
                    torch.maximum(self._extremes, found, out=self._extremes)


def _is_recorded(images: Tensor) -> bool:
    """Return whether a GPU only notes down what it is told: nothing can be looked at then."""
    import torch

    return images.is_cuda and torch.cuda.is_current_stream_capturing()


def _place(index: int, name: str) -> str:
    """Return what the draws of an augmentation are forked by: its place in the recipe's list and its name."""
    return f"{index}.{name}"
