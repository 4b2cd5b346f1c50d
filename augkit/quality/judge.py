"""How good synthetic images are: do they follow their masks, look real, vary, and not repeat the training set?

Every number stands beside what real images that were held out get, because it means nothing alone. None of them tells
whether the images help a segmenter: that is what comparing arms is for.

Images that are not 8-bit RGB are measured as the pictures that people see (`augkit.data.formats.as_shown`): grey within
their windows, of several channels the first three, so that one unit is a grey level everywhere. Grids are looked for in
each channel, and adherence is judged from the pixels that the segmenter takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Synthesizer
from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.draws import Draws
from augkit.data.formats import Format, as_shown, in_unit
from augkit.data.stored import Quality
from augkit.metrics import dice, grid
from augkit.quality.copies import near_copies
from augkit.quality.distribution import density_and_coverage, kernel_distance, sliced_wasserstein
from augkit.quality.features import NAME, Features, Scale, describe
from augkit.quality.memorisation import RARE, Memorisation, Sides, nearest_in_features, nearest_in_pixels
from augkit.quality.pictures import SHOWN, adherence_picture, closest_picture, diversity_picture

MOST = 2000
"""Synthetic images, evenly chosen, that are compared with the real ones; adherence and nearest images use all."""

JUDGED = 16_384
"""Synthetic images, evenly chosen, of a larger set that are judged at all."""

KEYS = 4
"""Draws painted for one mask to see how much they differ."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What quality is judged from.

    train:     what the generator learned from.
    held_out:  real samples that neither the generator nor `segment` has seen.
    synthetic: what the generator painted, or of more than `JUDGED` images some, as `some_of` chooses them.
    segment:   images (N, H, W, C) -> masks (N, H, W), as they are in `train`, by a segmenter that learned from real
               images only; None where there is none, so that it is not judged whether images follow their masks.
    paint:     the generator.
    painted:   how many images there are in all; 0 for those of `synthetic`.
    """

    train: ImageSet
    held_out: ImageSet
    synthetic: ImageSet
    segment: Callable[[Images], Masks] | None
    paint: Synthesizer
    seed: int
    painted: int = 0

    def shown(self) -> Material:
        """Return the same with images as people see them."""
        return replace(self, train=_shown(self.train), held_out=_shown(self.held_out), synthetic=_shown(self.synthetic))


def some_of(samples: ImageSet) -> ImageSet:
    """Return the samples of a synthetic set that are judged: all, or `JUDGED`, evenly chosen."""
    return samples if len(samples) <= JUDGED else samples.take(_evenly(len(samples), JUDGED))


def _shown(samples: ImageSet) -> ImageSet:
    """Return samples as 8-bit RGB pictures, of which nobody will ask the masks."""
    if samples.format.rgb:
        return samples
    images, masks = as_shown(np.asarray(samples.images), samples.format), np.zeros(samples.masks.shape, np.bool_)
    return replace(samples, images=images, masks=masks, format=Format())


def judge(material: Material) -> Quality:
    """Return the quality of a synthetic set."""
    # Held-out images of which the generator saw a copy would flatter it.
    leaked = near_copies(material.held_out.images, material.train.images, material.train.format)
    fair = material.held_out.take(np.flatnonzero(~leaked)) if not leaked.all() else material.held_out

    # What is measured of the synthetic images, and of held-out real ones beside it.
    adherence = None if material.segment is None else _adherence(material, fair, material.segment)
    seen, seen_fair = material.shown(), _shown(fair)
    views = _Views.of(seen, seen_fair)
    memory = _memorisation(seen, seen_fair, views)
    masks, drawn = _drawn_again(material)

    # Numbers for machines, then pictures.
    record = {
        "origin": material.synthetic.origins[0],
        "features": NAME,
        **({} if material.train.format.rgb else {"shown_as": "8-bit pictures"}),
        "images": {
            "training": len(material.train),
            "held_out": len(fair),
            "held_out_copies_left_out": len(material.held_out) - len(fair),
            "synthetic": len(material.synthetic),
            **({"painted": material.painted} if material.painted > len(material.synthetic) else {}),
        },
        **({} if adherence is None else {"adherence": adherence.record}),
        **_distribution_record(seen, seen_fair, views),
        "grid": _grid_record(material, fair),
        "diversity": _diversity_record(drawn, views),
        "memorisation": _memorisation_record(material, memory),
    }
    synthetic, real = (material.synthetic, memory.pixels.train), (fair, memory.pixels.real_train)
    pictures = {
        **({} if adherence is None else {"adherence": adherence.picture}),
        "closest": closest_picture(material.train, {"synthetic": synthetic, "held-out": real}),
        "diversity": diversity_picture(masks, drawn, material.train.format),
    }
    return Quality(record, _per_image(material, adherence, memory), pictures)


@dataclass(frozen=True)
class _Views:
    """The scaled features of all training, synthetic and held-out images."""

    scale: Scale
    train: Features
    synthetic: Features
    held_out: Features

    @staticmethod
    def of(material: Material, held_out: ImageSet) -> _Views:
        train = describe(material.train.images)
        scale = Scale.of(train)
        synthetic, real = (scale.apply(describe(part.images)) for part in (material.synthetic, held_out))
        return _Views(scale, scale.apply(train), synthetic, real)


# Adherence: the reference segmenter finds the mask that the image was painted for.


@dataclass(frozen=True)
class _Adherence:
    """How well synthetic images follow their masks: the Dice of each, float64 (N,), and what is kept of it."""

    dice: Values
    record: Mapping[str, float]
    picture: bytes


def _adherence(material: Material, held_out: ImageSet, segment: Callable[[Images], Masks]) -> _Adherence:
    samples = material.synthetic
    classes, asked = len(samples.format.classes), np.asarray(samples.masks)
    segmented = segment(samples.images)
    followed = dice(segmented, asked, classes)
    ceiling = dice(segment(held_out.images), np.asarray(held_out.masks), classes)
    order = np.argsort(Draws.of(material.seed, "shuffle", np.arange(len(segmented))).bits("order"))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    shuffled = dice(segmented, asked[other], classes)
    record = {
        **_summary(followed),
        "shuffled_masks": float(shuffled.mean()),
        "held_out": float(ceiling.mean()),
        "held_out_error": _error(ceiling),
    }
    return _Adherence(followed, record, adherence_picture(samples, segmented, followed))


def _summary(values: Values) -> dict[str, float]:
    low, middle = np.quantile(values, (0.05, 0.5))
    return {"dice": float(values.mean()), "error": _error(values), "percentile_5": float(low), "median": float(middle)}


def _error(values: Values) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


# Distribution: synthetic images against training images, and held-out ones against the same.


def _distribution_record(material: Material, held_out: ImageSet, views: _Views) -> dict[str, Any]:
    n = min(len(material.train), len(material.synthetic), len(held_out), MOST)
    chosen = _evenly(len(material.train), n)
    record: dict[str, Any] = {"compared": n}
    if n < 4:
        return record  # too few for a standard error
    kid = kernel_distance(views.train, views.synthetic[_evenly(len(views.synthetic), MOST)])
    floor = kernel_distance(views.train, views.held_out)
    record[f"kid_{NAME}"] = {
        "value": kid.value, "error": kid.error, "held_out": floor.value, "held_out_error": floor.error
    }  # fmt: skip
    fake, real = views.synthetic[_evenly(len(views.synthetic), n)], views.held_out[_evenly(len(held_out), n)]
    pairs = [density_and_coverage(views.train[chosen], one) for one in (fake, real)]
    for name, value, reference in zip(("density", "coverage"), *pairs, strict=True):
        record[f"{name}_{NAME}"] = {"value": value, "held_out": reference}
    training = material.train.images[chosen]
    fakes, reals = (part.images[_evenly(len(part), n)] for part in (material.synthetic, held_out))
    distances, floors = (sliced_wasserstein(training, images, material.seed) for images in (fakes, reals))
    record["swd_patches"] = {
        str(side): {"value": value, "held_out": floors[side]} for side, value in distances.items()
    }  # fmt: skip
    return record


def _grid_record(material: Material, held_out: ImageSet) -> dict[str, float | None]:
    training, painted, real = (
        np.asarray(part.images[_evenly(len(part), MOST)]) for part in (material.train, material.synthetic, held_out)
    )
    format = material.train.format
    return {"value": _worst_grid(painted, training, format), "held_out": _worst_grid(real, training, format)}


def _worst_grid(painted: Images, real: Images, format: Format) -> float | None:
    """Return the `grid` of RGB images, otherwise that of the channel that has most of it."""
    if format.rgb:
        return grid(painted, real)
    ours, theirs = (in_unit(images, format) * 255 for images in (painted, real))
    places = range(len(format.channels))
    found = [grid(ours[..., place : place + 1], theirs[..., place : place + 1]) for place in places]
    return max((one for one in found if one is not None), default=None)


def _evenly(total: int, most: int) -> NDArray[np.int64]:
    """Return up to `most` indices of 0 .. total - 1, spread evenly."""
    return np.arange(min(total, most), dtype=np.int64) * total // max(1, min(total, most))


# Diversity: the same mask, painted several times.


def _drawn_again(material: Material) -> tuple[Masks, Images]:
    """Return some masks, (n, H, W), and pictures of `KEYS` new images of each, uint8 (n, KEYS, H, W, 3)."""
    masks = np.asarray(material.synthetic.masks[_evenly(len(material.synthetic), 2 * SHOWN)])
    draws = Draws.of(material.seed, "diversity", np.arange(len(masks) * KEYS, dtype=np.int64))
    painted = as_shown(material.paint(np.repeat(masks, KEYS, axis=0), draws), material.train.format)
    return masks, painted.reshape(len(masks), KEYS, *painted.shape[1:])


def _diversity_record(images: Images, views: _Views) -> dict[str, float]:
    """Return how far images of one mask are apart, and real training images, in grey levels and features."""
    flat = images.reshape(len(images) * KEYS, *images.shape[2:])
    features = views.scale.apply(describe(flat)).reshape(len(images), KEYS, -1)
    real = views.train[_evenly(len(views.train), len(flat))]
    within, between = _apart(features), _apart(real[None])
    return {
        "masks": len(images),
        "keys": KEYS,
        "pixels": _apart(images.reshape(len(images), KEYS, -1).astype(np.float64)),
        NAME: within,
        f"real_{NAME}": between,
        "share_of_real": within / between if between > 0 else 0.0,
    }


def _apart(groups: Features) -> float:
    """Return the mean root mean square difference of all pairs within groups, float64 (groups, members, d)."""
    i, j = np.triu_indices(groups.shape[1], 1)
    if not len(i):
        return 0.0
    return float(np.mean([np.sqrt(np.square(one[i] - one[j]).mean(axis=1)).mean() for one in groups]))


# Memorisation.


def _memorisation(material: Material, held_out: ImageSet, views: _Views) -> Memorisation:
    fake, train, real = material.synthetic.images, material.train.images, held_out.images
    groups = np.array(held_out.groups)
    same = groups[:, None] == groups  # an image's own patient is no measure of how near others are
    pixels = Sides(
        nearest_in_pixels(fake, train),
        nearest_in_pixels(fake, real),
        nearest_in_pixels(real, train),
        nearest_in_pixels(real, real, same),
    )
    features = Sides(
        nearest_in_features(views.synthetic, views.train),
        nearest_in_features(views.synthetic, views.held_out),
        nearest_in_features(views.held_out, views.train),
        nearest_in_features(views.held_out, views.held_out, same),
    )
    return Memorisation(pixels, features, len(train))


def _memorisation_record(material: Material, memory: Memorisation) -> dict[str, float]:
    owners = np.array(material.train.groups)[memory.pixels.train.index] == np.array(material.synthetic.groups)
    related = np.isin(np.array(material.synthetic.groups), np.array(material.train.groups))
    return {
        "suspicious": int(memory.suspicious.sum()),
        "suspicious_share": float(memory.suspicious.mean()),
        "held_out_share": memory.expected,
        "rare": RARE,
        "nearest_is_training_chance": memory.training / (memory.training + len(memory.pixels.real_train.index)),
        **_sides_record(memory.pixels, "pixels", memory.training),
        **_sides_record(memory.features, NAME, memory.training),
        "drawn_from_training_masks": int(related.sum()),
        "nearest_is_own_image_share": float(owners[related].mean()) if related.any() else 0.0,
        "nearest_is_own_image_chance": 1 / len(material.train),
    }


def _sides_record(sides: Sides, kind: str, training: int) -> dict[str, float]:
    return {
        f"ratio_{kind}": float(np.median(sides.ratios)),
        f"held_out_ratio_{kind}": float(np.median(sides.real_ratios)),
        f"threshold_{kind}": sides.thresholds[0],
        f"threshold_ratio_{kind}": sides.thresholds[1],
        f"nearest_is_training_share_{kind}": float(sides.nearer_to_training.mean()),
        f"copying_z_{kind}": sides.copying_z(training),
    }


def _per_image(
    material: Material, adherence: _Adherence | None, memory: Memorisation
) -> dict[str, Sequence[str | float | bool]]:
    follows = {} if adherence is None else {"adherence": [round(float(value), 6) for value in adherence.dice]}
    return {
        "ids": material.synthetic.ids,
        **follows,
        "nearest_real": [material.train.ids[i] for i in memory.pixels.train.index],
        "nearest_real_pixels": [round(float(value), 4) for value in memory.pixels.train.distance],
        f"nearest_real_{NAME}": [round(float(value), 4) for value in memory.features.train.distance],
        "suspicious": [bool(value) for value in memory.suspicious],
    }
