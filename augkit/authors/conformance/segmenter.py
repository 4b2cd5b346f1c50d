"""What a segmenter has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from augkit.authors.conformance.bench import CONDUCT, UnansweredError, answers_to
from augkit.authors.conformance.fresh import ask_fresh_process
from augkit.authors.conformance.toy import SIZE, dice, draw_set, in_shards
from augkit.authors.conformance.training import TrainingBench, compare_fits, fits_again, resumes
from augkit.contracts.components import Predictor, Workspace
from augkit.contracts.rules import (
    BreachError,
    check_array,
    check_dtype,
    check_finite,
    check_same,
    check_scores,
    check_shape,
    check_unit,
    own_augmentation,
)
from augkit.data.arrays import ImageSet, Scores
from augkit.data.draws import TensorDraws
from augkit.data.formats import shows

if TYPE_CHECKING:
    from torch import Tensor

USABLE = "returns_float32, returns_one_score_per_pixel, scores_are_finite, scores_in_range and scores_share_a_pixel"
ALONE = "make the scores of image i depend only on image i"
_APART = 0.1
"""By how much the scores of foreground and background differ at least."""

ROUNDING = 1e-3
"""Kernels for other batch sizes may add in another order."""


class SegmenterBench(TrainingBench):
    """A segmenter with 24 training pairs and 9 images to segment."""

    noun: ClassVar[str] = "segmenter"
    augmented = 0

    @cached_property
    def train(self) -> ImageSet:
        """The training pairs."""
        return draw_set(24, "train", format=self.format)

    @cached_property
    def test(self) -> ImageSet:
        """The pairs to segment, not trained on."""
        return draw_set(9, "test", format=self.format)

    @property
    def wanted(self) -> tuple[int, ...]:
        """The shape of the scores."""
        return (len(self.test), len(self.format.classes), SIZE, SIZE)

    def fit(self, space: Workspace, train: ImageSet | None = None) -> None:
        """Fit once in a workspace, without a validation set, and count the batches that were augmented."""

        def augment(images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
            self.augmented += 1
            return images, masks

        self.component.fit(train or self.train, ImageSet.empty((SIZE, SIZE), self.format), augment, space)

    def fitted(self) -> Path:
        """Return the folder of a complete fit."""
        space, train = self.space("fit"), self.train
        self.once("fit()", lambda: self.fit(space), space.folder, images=train.images, masks=train.masks)
        return space.folder

    def opened(self) -> Predictor:
        """Return what open() returns."""
        folder = self.fitted()
        predictor: Predictor = self.once("open()", lambda: self.component.open(folder, "cpu"), None)
        return predictor

    def predicted(self, name: str = "predicting", index: Sequence[int] = tuple(range(9))) -> Any:
        """Return whatever the predictor returns for some of the test images."""
        predict, images = self.opened(), self.test.images[list(index)]
        return self.once(name, lambda: predict(images), None, images=images)

    def scores(self) -> Scores:
        """Return the scores, where they are scores."""
        predicted: Scores = self.predicted()
        answers_to(lambda: check_scores(predicted, self.test.images.shape, len(self.format.classes)), USABLE)
        return predicted

    def exercise(self) -> None:
        """Fit, open, predict."""
        self.predicted()


def returns_float32(bench: SegmenterBench) -> None:
    """Scores are float32."""
    check_dtype(bench.predicted(), "", "float32 0..1", bench.wanted)


def returns_one_score_per_pixel(bench: SegmenterBench) -> None:
    """There is one score per pixel of every image, (N, 1, H, W), and class, (N, K, H, W)."""
    answers_to(lambda: check_dtype(bench.predicted(), "", "float32", bench.wanted), "returns_float32")
    check_shape(bench.predicted(), "", "float32 0..1", bench.wanted)


def scores_are_finite(bench: SegmenterBench) -> None:
    """No score is infinite or not a number."""
    answers_to(lambda: check_dtype(bench.predicted(), "", "float32", bench.wanted), "returns_float32")
    check_finite(bench.predicted())


def scores_in_range(bench: SegmenterBench) -> None:
    """Scores are in 0..1: probabilities, not logits."""
    answers_to(lambda: check_dtype(bench.predicted(), "", "float32", bench.wanted), "returns_float32")
    answers_to(lambda: check_finite(bench.predicted()), "scores_are_finite")
    check_unit(bench.predicted())


def scores_share_a_pixel(bench: SegmenterBench) -> None:
    """The scores of several classes sum up to 1 at most: what is missing is the background's."""
    first = "returns_float32, returns_one_score_per_pixel, scores_are_finite and scores_in_range"
    answers_to(lambda: check_array(bench.predicted(), "", "float32", bench.wanted), first)
    answers_to(lambda: check_finite(bench.predicted()), first)
    answers_to(lambda: check_unit(bench.predicted()), first)
    check_scores(bench.predicted(), bench.test.images.shape, len(bench.format.classes))


def keeps_no_state(bench: SegmenterBench) -> None:
    """A second call with the same images gives the same scores as the first."""
    check_same(bench.scores(), bench.predicted("predicting again"), "between two equal calls", ALONE)


def batch_independent(bench: SegmenterBench) -> None:
    """An image has the same scores alone, in a batch of 7 and in a shuffled batch, but for rounding."""
    scores = bench.scores()
    batches = {"alone": (4,), "in a batch of 7": tuple(range(7)), "in a shuffled batch": (5, 2, 8, 0, 7, 3, 1, 6, 4)}
    for when, index in batches.items():
        part = bench.predicted(f"predicting {when}", index)
        check_shape(part, f"{when} ", "float32 0..1", (len(index), *bench.wanted[1:]))
        check_same(scores[list(index)], part, when, ALONE, ROUNDING)


def augments_its_batches(bench: SegmenterBench) -> None:
    """The recipe's augmentations are applied in training, unless the segmenter says that it augments by itself."""
    bench.fitted()
    own = own_augmentation(bench.component)
    if own and bench.augmented:
        raise BreachError(f"called augment in fit() though it augments with {own}", "leave it, or do not say so")
    if not own and not bench.augmented:
        raise BreachError("never called augment in fit()", "apply it to every training batch, or arms do not differ")


def learns(bench: SegmenterBench) -> None:
    """Dark ellipses are found better than by the best guess without looking; of several classes, more or less."""
    wanted = shows(bench.test.masks)
    if len(bench.format.classes) > 1:  # as many steps as one class needs do not tell several apart
        score = bench.scores().sum(axis=1)
        inside, outside = float(score[wanted].mean()), float(score[~wanted].mean())
        if not inside > outside + _APART:
            said = f"gave dark ellipses a score of {inside:.2f} on average, and what is around them {outside:.2f}"
            raise BreachError(said, "train longer, or look for a mistake in the training")
        return
    found = dice(bench.scores().sum(axis=1) > 0.5, wanted)
    chance = max(dice(guess, wanted) for guess in _guesses(bench))
    if not found > chance:
        said = f"reached Dice {found:.2f} on dark ellipses, and a guess without looking {chance:.2f}"
        raise BreachError(said, "train longer, or look for a mistake in the training")


def _guesses(bench: SegmenterBench) -> list[Any]:
    """Return everything, and the pixels that are usually foreground."""
    usual = shows(bench.train.masks).mean(axis=0)
    shape = bench.test.masks.shape
    return [np.broadcast_to(usual >= level, shape) for level in (0, 0.25, 0.5)]


def takes_sets_in_shards(bench: SegmenterBench) -> None:
    """A set in shards, which is read by index and never at once, gives the files of the same set in memory."""
    answers_to(lambda: fits_again(bench), "fits_again")
    wanted = "use augkit.training.Batches, or images[begin:end]: sets of millions are in shards"
    space, at_once = bench.space("fit on shards"), list[str]()
    train = in_shards(bench.train, at_once.append)
    try:
        bench.once("fit() on a set in shards", lambda: bench.fit(space, train), space.folder)
    except UnansweredError:
        if breach := bench.conduct.get("raises_nothing"):
            raise BreachError(breach.found, wanted) from None
        raise
    if at_once:
        raise BreachError(f"read all {at_once[0]} of a set in shards at once in fit()", wanted)
    compare_fits(bench.fitted(), space.folder, "fit() on the same set in shards", "leave the order to space.seed")


def opens_in_a_fresh_process(bench: SegmenterBench) -> None:
    """What fit() left is enough: another process opens it and gives the same scores."""
    scores = bench.scores()
    answer = ask_fresh_process(bench, bench.fitted(), {"images": bench.test.images})
    answers_to(lambda: check_scores(answer, bench.test.images.shape, bench.wanted[1]), "raises_nothing")
    wanted = "leave everything that open() needs in the folder"
    check_same(scores, answer, "in a fresh process", wanted, ROUNDING)


CHECKS: Sequence[Callable[[SegmenterBench], None]] = (
    *CONDUCT,
    returns_float32,
    returns_one_score_per_pixel,
    scores_are_finite,
    scores_in_range,
    scores_share_a_pixel,
    keeps_no_state,
    batch_independent,
    augments_its_batches,
    learns,
    fits_again,
    resumes,
    takes_sets_in_shards,
    opens_in_a_fresh_process,
)
"""The checks of a segmenter."""
