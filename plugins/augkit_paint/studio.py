"""What the page works with: generators, mask sources, training images, a judge; knows nothing of the web."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import (
    Format,
    GeneratorPart,
    Images,
    ImageSet,
    InputError,
    MaskPart,
    Masks,
    Painter,
    Parts,
    Problem,
    SegmenterPart,
    shows,
)
from augkit.figures import class_colour
from augkit.images import IGNORED, as_shown
from augkit.metrics import dice
from augkit_paint import drawings
from augkit_paint.likeness import Likeness
from augkit_paint.lines import recipe_lines
from augkit_paint.workers import Worker

QUICK = 60.0
"""Milliseconds below which an image is always painted as a run paints it, and never as a draft."""

_KEPT = 64
"""Painted images that are remembered."""

_LONGEST = 60
"""Letters of options that are shown."""

_FOREGROUND = "#ebebeb"
_IGNORED = "#8a8f98"


@dataclass(frozen=True)
class Painted:
    """Images (N, H, W, C) as they would be stored.

    exact:        whether they are the very bytes that a run stores.
    milliseconds: that painting took.
    """

    images: Images
    exact: bool
    milliseconds: float


@dataclass
class Generator:
    """A generator with a worker of its own.

    part:    what it is; of a folder that somebody gave, or of a recipe.
    command: how it is trained, where it is not.
    """

    part: GeneratorPart
    command: str
    device: str
    worker: Worker = field(default_factory=lambda: Worker("generator"))
    always_exact: bool = False
    exact_milliseconds: float = 0.0
    _draft_milliseconds: float = field(default=0.0, init=False)
    _batches: int = field(default=1, init=False)
    _painter: Painter | None = field(default=None, init=False)

    def opened(self, mask: Masks, format: Format) -> Painter:
        """Return the painter; the first call opens it and sees how long it takes. For its worker alone."""
        from augkit.training import PAINTING_BATCH  # here, because the page does not wait for torch

        if self._painter is None:
            painter = self.part.open(self.device)
            if painter.format != format:
                what = f"paints {painter.format}; allowed: {format}, as the others"
                raise InputError(Problem(f"generator '{self.part.name}'", what))
            for _ in range(2):  # the first call prepares what the second finds prepared
                self._draft_milliseconds = self._milliseconds(painter, mask, True)
            quick = self._draft_milliseconds < QUICK / 3
            self._batches = PAINTING_BATCH
            guess = self._draft_milliseconds * PAINTING_BATCH
            self._take(self._milliseconds(painter, mask, False) if quick else guess)
            self._painter = painter
        return self._painter

    def learn(self, painted: Painted) -> None:
        """Learn from the painting of one image how long one takes that a run would store."""
        if painted.exact:
            self._take(painted.milliseconds)
        else:  # the first guess may be of a moment at which the machine had much to do
            self.exact_milliseconds = min(self.exact_milliseconds, self._batches * painted.milliseconds)

    def _take(self, milliseconds: float) -> None:
        self.exact_milliseconds = milliseconds
        self.always_exact = milliseconds < QUICK or milliseconds < 1.5 * self._draft_milliseconds

    def _milliseconds(self, painter: Painter, mask: Masks, draft: bool) -> float:
        began = time.perf_counter()
        painter.paint(mask[None], self.part.seed, [0], draft)
        return (time.perf_counter() - began) * 1000


@dataclass
class Studio:
    """Everything on one table.

    parts:    of the first recipe; None where there are only folders of generators.
    train:    the training images; None where nobody knows them.
    masks:    the mask sources, at least one.
    scratch:  a folder for what mask sources keep.
    drawings: the folder to which drawings are appended.
    """

    generators: Sequence[Generator]
    masks: Sequence[MaskPart]
    format: Format
    size: tuple[int, int]
    seed: int
    scratch: Path
    drawings: Path
    train: ImageSet | None = None
    parts: Parts | None = None
    segmenter: SegmenterPart | None = None
    device: str = "auto"
    desk: Worker = field(default_factory=lambda: Worker("desk"))
    judge_worker: Worker = field(default_factory=lambda: Worker("judge"))
    _remembered: OrderedDict[tuple[Any, ...], Painted] = field(default_factory=OrderedDict)

    @cached_property
    def start(self) -> Masks:
        """The mask that the page begins with: a training mask, or what the first source draws."""
        return self.masks[0].draw(0, self._folder(0)) if self.masks else self._disc()

    def facts(self) -> dict[str, Any]:
        """Return what the page needs to know, JSON-ready."""
        return {
            "height": self.size[0],
            "width": self.size[1],
            "format": str(self.format),
            "seed": self.seed,
            "labels": self._labels(),
            "generators": [
                {
                    "name": one.part.name,
                    "title": _titled(one.part.name, one.part.options),
                    "trained": one.part.folder is not None,
                    "command": one.command,
                }
                for one in self.generators
            ],
            "sources": [
                {"name": one.name, "title": _titled(one.name, one.options), "weights": one.has_weights}
                for one in self.masks
            ],
            "segmenter": None
            if self.segmenter is None
            else {"name": self.segmenter.name, "real_only": self.segmenter.real_only},
            "training": 0 if self.train is None else len(self.train),
            "drawings": str(self.drawings),
            "appends": self.format.binary,
        }

    def untrained(self) -> list[str]:
        """Return a sentence for each generator that is not trained."""
        waiting = [one for one in self.generators if one.part.folder is None]
        return [f"Not trained yet: {_titled(one.part.name, one.part.options)}. Run: {one.command}" for one in waiting]

    def mask_of(self, data: bytes) -> Masks:
        """Return the mask (H, W) whose labels are these bytes, row by row. Raises `InputError`."""
        height, width = self.size
        if len(data) != height * width:
            what = f"found {len(data)} bytes; allowed: {height * width}, a label for each of {width} x {height} pixels"
            raise InputError(Problem("mask", what))
        labels = np.frombuffer(data, np.uint8).reshape(self.size)
        wrong = np.setdiff1d(labels, [label["label"] for label in self._labels()])
        if len(wrong):
            allowed = ", ".join(str(label["label"]) for label in self._labels())
            raise InputError(Problem("mask", f"found the label {wrong[0]}; allowed: {allowed}"))
        return labels.astype(np.bool_) if self.format.binary else labels

    def generator(self, number: int) -> Generator:
        """Return a trained generator. Raises `InputError`."""
        one = self.generators[_place("generator", number, len(self.generators))]
        if one.part.folder is None:
            raise InputError(Problem(f"generator '{one.part.name}'", "is not trained yet", f"Run: {one.command}"))
        return one

    def paint(self, one: Generator, mask: Masks, numbers: Sequence[int], draft: bool = False) -> Painted:
        """Return the images of some numbers for a mask; for the generator's own worker."""
        painter = one.opened(self.start, self.format)
        draft = draft and not one.always_exact
        key = (id(one), tuple(numbers), draft, sha256(mask.tobytes()).digest())
        if key in self._remembered:
            return replace(self._remembered[key], milliseconds=0.0)
        began = time.perf_counter()
        images = painter.paint(np.repeat(mask[None], len(numbers), axis=0), one.part.seed, numbers, draft)
        painted = Painted(images, not draft, (time.perf_counter() - began) * 1000)
        if len(numbers) == 1:
            one.learn(painted)
        self._remembered[key] = painted
        while len(self._remembered) > _KEPT:
            self._remembered.popitem(last=False)
        return painted

    def shown(self, images: Images) -> NDArray[np.uint8]:
        """Return images (..., H, W, C) as pictures, uint8 (..., H, W, 3)."""
        return as_shown(images, self.format)

    def draw(self, source: int, number: int) -> Masks:
        """Return mask `number` of a source, (H, W)."""
        place = _place("source", source, len(self.masks))
        return self.masks[place].draw(number, self._folder(place))

    def weights(self, source: int) -> tuple[str, ...]:
        """Return what each weight of a source changes."""
        place = _place("source", source, len(self.masks))
        return self.masks[place].weights(self._folder(place))

    def shaped(self, source: int, weights: Sequence[float]) -> Masks:
        """Return the mask (H, W) that a source shapes by weights."""
        wanted = len(self.weights(source))
        if len(weights) != wanted or not all(np.isfinite(weights)):
            raise InputError(Problem("weights", f"found {len(weights)}; allowed: {wanted} finite numbers"))
        place = _place("source", source, len(self.masks))
        return self.masks[place].shaped(np.clip(weights, -3, 3).tolist(), self._folder(place))

    def judge(self, mask: Masks, image: Images) -> dict[str, Any]:
        """Return what speaks for and against an image (H, W, C) of a mask: JSON-ready but for ``found``, (H, W)."""
        facts: dict[str, Any] = {"empty": not bool(shows(mask).any())}
        if self._find is not None:
            found = self._find(image[None])
            facts["found"] = found[0]
            facts["adherence"] = float(dice(found, mask[None], len(self.format.classes))[0])
        if self.parts is not None:
            place, distance = self.parts.nearest(self.shown(image))
            facts["nearest"] = {"place": place, "id": self.parts.train.ids[place], "distance": distance}
        if self._likeness is not None:
            alike = self._likeness.of(mask)
            facts["alike"] = {"overlap": alike.overlap, "usual": alike.usual, "unlike": alike.unlike}
        return facts

    def training_picture(self, place: int) -> NDArray[np.uint8]:
        """Return a training image as a picture, uint8 (H, W, 3)."""
        if self.train is None:
            raise InputError(Problem("training image", "the training images are not known"))
        return self.shown(np.asarray(self.train.images[_place("training image", place, len(self.train))]))

    def append(self, one: Generator, mask: Masks, number: int) -> Path:
        """Write a mask and its image to the folder of drawings and return the mask's file."""
        if not self.format.binary:
            what = f"the mask source folder takes one class; found {len(self.format.classes)}"
            raise InputError(Problem(str(self.drawings), what, "Save the pair instead"))
        if not mask.any() or mask.all():
            raise InputError(Problem("mask", "is of one level only; allowed: some foreground and some background"))
        painted = one.worker.submit("append", lambda: self.paint(one, mask, [number])).result()
        facts = {"generator": one.part.name, "seed": self.seed, "number": number}
        return drawings.append(self.drawings, mask, self.shown(painted.images[0]), facts)

    def lines(self, one: Generator, number: int) -> str:
        """Return the lines of a recipe that paint what is on the page."""
        if not self.format.binary:
            return "# The mask source folder takes one class, so no recipe reads these drawings.\n"
        generator = one.part.name, one.part.options
        return recipe_lines(self.seed, generator, str(self.drawings), number, drawings.count(self.drawings))

    def _labels(self) -> list[dict[str, Any]]:
        names = self.format.classes
        colours = [_FOREGROUND] if len(names) == 1 else [class_colour(k) for k in range(1, len(names) + 1)]
        labels = [{"label": 0, "name": "background", "colour": ""}]
        labels += [{"label": k, "name": n, "colour": c} for k, (n, c) in enumerate(zip(names, colours, strict=True), 1)]
        return labels + ([{"label": IGNORED, "name": "ignored", "colour": _IGNORED}] if self.format.ignore else [])

    @cached_property
    def _find(self) -> Callable[[Images], Masks] | None:
        return None if self.segmenter is None else self.segmenter.open(self.device)

    @cached_property
    def _likeness(self) -> Likeness | None:
        return None if self.train is None else Likeness(np.asarray(self.train.masks), self.format)

    def _folder(self, source: int) -> Path:
        return self.scratch / f"source-{source}"

    def _disc(self) -> Masks:
        return disc(self.size, self.format)


def disc(size: tuple[int, int], format: Format) -> Masks:
    """Return a mask (H, W) with one disc of the first class."""
    y, x = np.mgrid[: size[0], : size[1]]
    inside = (y / size[0] - 0.5) ** 2 + (x / size[1] - 0.5) ** 2 < 0.06
    return np.asarray(inside) if format.binary else inside.astype(np.uint8)


def _place(what: str, number: int, count: int) -> int:
    if not 0 <= number < count:
        raise InputError(Problem(what, f"found {number}; allowed: 0 to {count - 1}"))
    return number


def _titled(name: str, options: Any) -> str:
    """Return a component with its options in few words."""
    said = ", ".join(f"{key} {value}" for key, value in dict(options).items())
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]} …"
    return f"{name} ({said})" if said else name
