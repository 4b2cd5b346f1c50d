"""What a generator has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from augkit.authors.conformance.bench import CONDUCT, UnansweredError, answers_to
from augkit.authors.conformance.fresh import ask_fresh_process
from augkit.authors.conformance.toy import draw_masks, draw_set, draws_of
from augkit.authors.conformance.training import TrainingBench, fits_again, resumes
from augkit.contracts.components import Synthesizer, Workspace
from augkit.contracts.rules import (
    BreachError,
    check_brightness,
    check_dtype,
    check_images,
    check_same,
    check_shape,
    describe,
)
from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.draws import ArrayDraws
from augkit.data.formats import in_unit
from augkit.store import read_json

PAINTED = 9
"""Images that are painted; no power of two, so that the last batch of most generators is not full."""

KEYED = "make image i depend only on mask i and sample i of the draws"


class GeneratorBench(TrainingBench):
    """A generator with 16 training pairs and 9 masks to paint."""

    noun: ClassVar[str] = "generator"

    @cached_property
    def train(self) -> ImageSet:
        """The training pairs."""
        return draw_set(16, "train", format=self.format)

    @cached_property
    def masks(self) -> Masks:
        """The masks to paint, bool (9, H, W), or label maps uint8."""
        return draw_masks(PAINTED, "paint", format=self.format)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the images."""
        return (*self.masks.shape, len(self.format.channels))

    @property
    def dtype(self) -> str:
        """What images are, for people."""
        return "uint8 0..255" if self.format.dtype == "uint8" else self.format.dtype

    @property
    def draws(self) -> ArrayDraws:
        """The draws of the images to paint."""
        return draws_of(PAINTED, "paint")

    def fit(self, space: Workspace) -> None:
        """Fit once in a workspace."""
        self.component.fit(self.train, space)

    def fitted(self) -> Path:
        """Return the folder of a complete fit."""
        space, train = self.space("fit"), self.train
        self.once("fit()", lambda: self.fit(space), space.folder, images=train.images, masks=train.masks)
        return space.folder

    def opened(self, name: str = "open()") -> Synthesizer:
        """Return what open() returns; one for each `name`."""
        folder = self.fitted()
        painter: Synthesizer = self.once(name, lambda: self.component.open(folder, "cpu"), None)
        return painter

    def painted(self, name: str = "painting", paint: Synthesizer | None = None) -> Any:
        """Return whatever painting all masks returns; by an opened generator that painted nothing before."""
        paint = paint or self.opened()
        masks, draws = self.masks, self.draws
        return self.once(name, lambda: paint(masks, draws), None, masks=masks)

    def images(self) -> Images:
        """Return the images, where they are images."""
        painted = self.painted()
        answers_to(
            lambda: check_images(painted, self.masks.shape, self.format), "returns_uint8 and returns_one_image_per_mask"
        )
        images: Images = painted
        return images

    def part(self, name: str, index: Sequence[int]) -> Any:
        """Return whatever painting some of the masks returns."""
        paint, masks, draws = self.opened(), self.masks[list(index)], self.draws[list(index)]
        return self.once(name, lambda: paint(masks, draws), None, masks=masks)

    def exercise(self) -> None:
        """Fit, open, paint."""
        self.painted()


def returns_uint8(bench: GeneratorBench) -> None:
    """Images are uint8, 0..255; those of a set of another dtype are of that dtype."""
    check_dtype(bench.painted(), "", bench.dtype, bench.shape)


def returns_one_image_per_mask(bench: GeneratorBench) -> None:
    """There is one image (H, W, 3) per mask, of the mask's size; (H, W, C) where the set has C channels."""
    answers_to(lambda: check_dtype(bench.painted(), "", bench.dtype, bench.shape), "returns_uint8")
    check_shape(bench.painted(), "", bench.dtype, bench.shape)


def uses_the_whole_range(bench: GeneratorBench) -> None:
    """Images are in 0..255, or in the windows of the set's channels, and not in 0..1."""
    painted = bench.painted()
    answers_to(lambda: check_dtype(painted, "", bench.dtype, bench.shape), "returns_uint8")
    if bench.format.bytes_to_unit:
        check_brightness(painted)
        return
    low, high = bench.format.windows
    widest = int((high - low).argmax())
    if np.ptp(painted) <= 1:
        wanted = f"scale the images to {low[widest]:g}..{high[widest]:g}"
        raise BreachError(f"returned {describe(painted)}", wanted)


def same_key_same_bytes(bench: GeneratorBench) -> None:
    """Two opened generators give the same bytes for the same masks and keys."""
    first = bench.images()
    second = bench.painted("painting after opening again", bench.opened("open() again"))
    check_same(first, second, "after opening again", KEYED)


def keeps_no_state(bench: GeneratorBench) -> None:
    """A second call with the same masks and keys gives the same bytes as the first."""
    check_same(bench.images(), bench.painted("painting again"), "between two equal calls", KEYED)


def batch_independent(bench: GeneratorBench) -> None:
    """An image has the same bytes alone, in a batch of 7 and in a shuffled batch."""
    images = bench.images()
    for when, index in BATCHES.items():
        part = bench.part(f"painting {when}", index)
        shape = (len(index), *bench.masks.shape[1:])
        answers_to(lambda p=part, s=shape: check_images(p, s, bench.format), "paints_one")  # type: ignore[misc]
        check_same(images[list(index)], part, when, KEYED)


BATCHES = {"alone": (4,), "in a batch of 7": tuple(range(7)), "in a shuffled batch": (5, 2, 8, 0, 7, 3, 1, 6, 4)}
"""How an image is asked for again -> the masks of that batch."""


def paints_one(bench: GeneratorBench) -> None:
    """One mask gives one image."""
    bench.images()
    check_images(bench.part("painting alone", BATCHES["alone"]), (1, *bench.masks.shape[1:]), bench.format)


def follows_the_mask(bench: GeneratorBench) -> None:
    """An image changes mostly where its mask does."""
    images, masks = bench.images(), bench.masks
    turned = masks[:, ::-1, ::-1].copy()  # every ellipse elsewhere, and just as many pixels
    paint, draws = bench.opened(), bench.draws
    others = bench.once("painting turned masks", lambda: paint(turned, draws), None, masks=turned)
    one, other = (in_unit(some, bench.format) * 255 for some in (images, others))
    change = np.abs(one - other).mean(axis=3)
    moved = masks != turned
    inside = np.array([one[where].mean() for one, where in zip(change, moved, strict=True)])
    outside = np.array([one[~where].mean() for one, where in zip(change, moved, strict=True)])
    if not (inside > outside).mean() > 0.75:
        found = f"paints without regard to the mask: changes of {inside.mean():.3g} levels where masks differ, "
        raise BreachError(f"{found}{outside.mean():.3g} elsewhere", "paint lesions where the mask is true")


def opens_in_a_fresh_process(bench: GeneratorBench) -> None:
    """What fit() left is enough: another process opens it and paints the same bytes."""
    images = bench.images()
    arrays = {"masks": bench.masks, "keys": bench.draws.keys}
    answer = ask_fresh_process(bench, bench.fitted(), arrays)
    answers_to(lambda: check_images(answer, bench.masks.shape, bench.format), "raises_nothing")
    check_same(images, answer, "in a fresh process", "leave everything that open() needs in the folder")


def health_is_readable(bench: GeneratorBench) -> None:
    """A generator that judges itself writes a state and sentences in health.json."""
    file = bench.fitted() / "health.json"
    if not file.is_file():
        raise UnansweredError("it writes no health.json, which is optional")
    health = read_json(file)
    states, sentences = ("ok", "weak", "collapsed"), health.get("sentences")
    if health.get("state") not in states or not isinstance(sentences, list):
        found = f"wrote state {health.get('state')!r} and sentences {sentences!r} in health.json"
        raise BreachError(found, f"write a state of {', '.join(states)} and a list of sentences")


CHECKS: Sequence[Callable[[GeneratorBench], None]] = (
    *CONDUCT,
    returns_uint8,
    returns_one_image_per_mask,
    uses_the_whole_range,
    paints_one,
    same_key_same_bytes,
    keeps_no_state,
    batch_independent,
    follows_the_mask,
    health_is_readable,
    fits_again,
    resumes,
    opens_in_a_fresh_process,
)
"""The checks of a generator."""
