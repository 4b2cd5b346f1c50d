"""The shipped candidates, sized by what a data set is: how many images, how large, how many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from augkit.planning.document import Value

BATCH = 8


@dataclass(frozen=True)
class Numbers:
    """What a data set is.

    images:  to train on.
    side:    of the images, in pixels, the shorter one.
    classes: of its masks.
    """

    images: int
    side: int
    classes: int


@dataclass(frozen=True)
class Entry:
    """One entry of the portfolio: a name for an arm, why it is there, and what a recipe says of it."""

    name: str
    why: str
    synthesize: Sequence[Value]
    augment: Sequence[Value]


def portfolio(numbers: Numbers) -> tuple[Entry, ...]:
    """Return the candidates, the plain one first; which of them a format refuses is not looked at."""
    strong: list[Value] = [{"classical-strong": {}}]
    texture: dict[str, Value] = {"texture": {}}
    textures = [
        Entry(
            f"strong-texture-{masks}-{per_real}",
            f"as strong, and {per_real} image{'s' if per_real > 1 else ''} per training image, put together from "
            f"training images in {'their own masks' if masks == 'training' else 'masks bent from theirs'}",
            [_source(texture, masks, per_real)],
            strong,
        )
        for masks in ("training", "elastic")
        for per_real in (1, 3)
    ]
    return (
        Entry("nothing", "no augmentation at all", [], []),
        Entry("paper", "flips and rotations, as in the Mask2Lesion paper", [], [{"classical-paper": {}}]),
        Entry("strong", "any pose, elastic deformation, colour, blur and noise", [], strong),
        Entry("strong-paste", "as strong, and objects pasted from other images", [], [*strong, {"paste": {}}]),
        *textures,
        Entry(
            "strong-gan",
            "as strong, and a GAN that paints an image into masks bent from the training masks",
            [_source(gan(numbers), "elastic", 1)],
            strong,
        ),
        Entry(
            "strong-flow",
            "as strong, and a rectified flow that paints them",
            [_source(flow(numbers), "elastic", 1)],
            strong,
        ),
    )


def segmenter(numbers: Numbers) -> dict[str, Value]:
    """Return the segmenter that all candidates train with the same steps: more for more images and classes."""
    wide = 8 if numbers.side <= 64 else 16 if numbers.side <= 128 else 32
    options: dict[str, Value] = {
        "width": wide if numbers.classes == 1 else 2 * wide,
        "steps": _hundreds(20 * numbers.images, 600, 3000),
        "batch_size": BATCH,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "loss": "bce_dice",
    }
    return {"unet": options}


def gan(numbers: Numbers) -> dict[str, Value]:
    """Return a GAN that trains about 600 steps, and more where there are many images."""
    per_epoch = -(-numbers.images // BATCH)
    epochs = max(3, round(_hundreds(4 * numbers.images, 600, 2000) / per_epoch))
    decay = max(1, round(0.4 * epochs))
    width = 12 if numbers.side <= 64 else 24
    return {"mask2lesion-spade": {"width": width, "epochs": epochs - decay, "decay_epochs": decay, "batch_size": BATCH}}


def flow(numbers: Numbers) -> dict[str, Value]:
    """Return a rectified flow that paints in 8 evaluations of its network."""
    options: dict[str, Value] = {
        "width": 16 if numbers.side <= 64 else 32,
        "steps": _hundreds(10 * numbers.images, 1500, 6000),
        "batch_size": BATCH,
        "ema": 0.995,
        "solver": "exponential",
        "solver_steps": 8,
    }
    return {"flow": options}


def document_of(entry: Entry, dataset: Mapping[str, Value], rest: Mapping[str, Value]) -> dict[str, Value]:
    """Return the recipe of an entry; `rest` is what all have in common besides the data set, the segmenter included."""
    own = {"synthesize": list(entry.synthesize), "augment": list(entry.augment)}
    used = cast(dict[str, Value], {key: steps for key, steps in own.items() if steps})
    return {"name": entry.name, "seed": 0, "dataset": dict(dataset), **used, **rest}


def _source(generator: dict[str, Value], masks: str, per_real: int) -> dict[str, Value]:
    return {"generator": generator, "masks": {masks: {}}, "per_real": per_real}


def _hundreds(wanted: int, least: int, most: int) -> int:
    return max(least, min(most, round(wanted / 100) * 100))
