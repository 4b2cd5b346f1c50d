"""The recipe's augmentations as one call, each with draws of its own and held to its contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from augkit.contracts.components import Augment, RecordsParameters
from augkit.contracts.rules import STATELESS, check_augmented, check_same, contract, harmless
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

    def takes_stored_pixels(self) -> bool:
        """Return true."""
        return True

    def ignores_padding(self) -> bool:
        """Return whether one of the augmentations does."""
        from augkit.training.batches import ignores_padding

        return any(ignores_padding(augmentation) for _, augmentation in self._augment)

    def __call__(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Augment."""
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


class FirstChecked:
    """An augmentation whose first batch is held to its contract."""

    def __init__(self, name: str, augmentation: Augment) -> None:
        self._name = name
        self._augmentation = augmentation
        self._checked = False

    def takes_stored_pixels(self) -> bool:
        """Return whether the augmentation does; the batch that is checked is float32."""
        from augkit.training.batches import takes_stored_pixels

        return self._checked and takes_stored_pixels(self._augmentation)

    def ignores_padding(self) -> bool:
        """Return whether the augmentation does."""
        from augkit.training.batches import ignores_padding

        return ignores_padding(self._augmentation)

    def __call__(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Augment; the first time, twice."""
        if self._checked:
            return self._augmentation(images, masks, draws)
        self._checked = True
        with contract(f"augmentation '{self._name}'", component=self._name), harmless(images=images, masks=masks):
            answer = check_augmented(self._augmentation(images, masks, draws), images, masks)
            for first, again in zip(answer, self._augmentation(images, masks, draws), strict=True):
                check_same(first, again, "between two equal calls", STATELESS, 0.0 if images.is_cpu else 0.01)
        return answer


def _place(index: int, name: str) -> str:
    """Return what the draws of an augmentation are forked by: its place in the recipe's list and its name."""
    return f"{index}.{name}"
