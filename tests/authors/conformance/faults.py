"""One small component of each kind that keeps its contract, or breaks it in one way: what the kit is tested with.

``fault`` names the misbehaviour; empty is none. Each is planted in the call that answers (paint, draw, augment,
predict, load).
"""

import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from augkit import ANYTHING, Channel, DrawnMasks, Format, Frame, ImageSet, Splits, shows
from augkit.authors.conformance.toy import draw_set
from augkit.data.formats import from_unit, in_unit
from augkit.store import read_json, write_json

STATE = {"calls": 0}
"""Where a component that keeps a state keeps it."""

EXECUTOR = ThreadPoolExecutor(1)

NO_FAULT = "keeps the thread of its executor"

CONDUCT = {
    "raises": lambda: 1 / 0,
    "hangs": lambda: time.sleep(30),
    "exits": lambda: sys.exit(0),
    "prints": lambda: print("painting now"),  # noqa: T201
    "uses the global generator": lambda: np.random.random(),  # noqa: NPY002
    "uses torch's global generator": lambda: torch.rand(1),
    "uses the standard library's generator": lambda: random.random(),
    "leaves a thread running": lambda: threading.Thread(target=time.sleep, args=(3,), daemon=True).start(),
    NO_FAULT: lambda: EXECUTOR.submit(int).result(),
    "changes threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
}
"""Faults that are the same in every kind."""


def misbehave(fault):
    """Do what a fault does besides the answer."""
    if fault in CONDUCT:
        CONDUCT[fault]()


def stray(fault, values):
    """Return the values, changed a little more at each call where the fault says so."""
    if fault != "keeps state":
        return values
    STATE["calls"] += 1
    return np.roll(values, STATE["calls"], axis=2) if values.dtype == bool else values + STATE["calls"]


@dataclass(frozen=True)
class Painter:
    """Skin and lesion in two colours."""

    fault: str = ""

    def fit(self, train, space):
        write_json(space.folder / "colours.json", [[200, 160, 140], [90, 60, 50]])

    def open(self, folder, device):
        colours = np.array(read_json(folder / "colours.json"))

        def paint(masks, draws):
            misbehave(self.fault)
            images = colours[masks.astype(int)] + draws.integers("noise", 0, 9, (*masks.shape[1:], 3))
            if self.fault == "mutates its input":
                masks[:, 0, 0] = True
            if self.fault == "ignores the mask":
                images = colours[np.zeros_like(masks, int)] + draws.integers("noise", 0, 9, (*masks.shape[1:], 3))
            if self.fault == "depends on the batch":
                images = images + len(masks)
            images = stray(self.fault, images)
            return BAD_IMAGES.get(self.fault, lambda images: images)(images.astype(np.uint8))

        return paint


BAD_IMAGES = {
    "wrong shape": lambda images: images.transpose(0, 3, 1, 2),
    "wrong dtype": lambda images: images / 255,
    "wrong range": lambda images: (images / 255).astype(np.uint8),
    "NaN": lambda images: np.full(images.shape, np.nan),
}


@dataclass(frozen=True)
class Squares:
    """Squares of a drawn side."""

    fault: str = ""

    def draw(self, masks, count, draws, space):
        misbehave(self.fault)
        side = draws.integers("side", 4, 20)
        drawn = np.zeros((count, *masks.shape[1:]), bool)
        for mask, one in zip(drawn, side, strict=True):
            mask[4 : 4 + one, 4 : 4 + one] = True
        if self.fault == "mutates its input":
            masks[0, 0, 0] = True
        if self.fault == "depends on the batch":
            drawn[:, :, -count:] = True
        if self.fault == "writes elsewhere":
            (space.folder.parent / "elsewhere.txt").write_text("x")
        drawn = stray(self.fault, drawn)
        drawn = BAD_MASKS.get(self.fault, lambda drawn: drawn)(drawn)
        record = {"side": float("nan")} if self.fault == "NaN" else {}
        return DrawnMasks(drawn, tuple({**record, "number": int(one)} for one in side))

    def draw_part(self, masks, count, start, stop, draws, space):
        begin = 0 if self.fault == "counts from the part" else start
        return self.draw(masks, stop - start, draws[begin : begin + stop - start], space)


BAD_MASKS = {
    "wrong shape": lambda drawn: drawn[:, :16],
    "wrong dtype": lambda drawn: drawn.astype(np.uint8),
    "wrong range": lambda drawn: drawn & False,
}


@dataclass(frozen=True)
class Flip:
    """Mirror half of the samples and brighten them a little."""

    fault: str = ""

    def takes_stored_pixels(self):
        return self.fault == "takes stored pixels as floats"

    def parameters(self, draws):
        light = draws.uniform("light", 0.5, 1.0)
        told = {"flip": draws.boolean("flip"), "light": light}
        return {**told, **BAD_PARAMETERS[self.fault](light)} if self.fault in BAD_PARAMETERS else told

    def __call__(self, images, masks, draws):
        misbehave(self.fault)
        if self.fault in CHANGES:
            return CHANGES[self.fault](images, masks, draws)
        mirrored = draws.boolean("flip")[:, None, None, None]
        light = draws.uniform("light", 0.5, 1.0)[:, None, None, None]
        changed = torch.where(mirrored, images.flip(3), images) * light
        moved = torch.where(mirrored, masks.flip(3), masks)
        if self.fault == "mutates its input":
            images.zero_()
        if self.fault == "moves the image only":
            moved = masks
        if self.fault == "depends on the batch":
            changed = changed - 0.01 * len(images) * changed
        if self.fault == "keeps state":
            STATE["calls"] += 1
            changed = changed * (1 - 0.01 * STATE["calls"])
        return BAD_PAIRS.get(self.fault, lambda images, masks: (images, masks))(changed, moved)


BAD_PAIRS = {
    "wrong shape": lambda images, masks: (images[:, :, ::2], masks),
    "wrong dtype": lambda images, masks: (images.double(), masks),
    "wrong range": lambda images, masks: (images * 255, masks),
    "NaN": lambda images, masks: (images * float("nan"), masks),
    "soft masks": lambda images, masks: (images, masks * 0.7),
    "blurs the mask": lambda images, masks: (images, (masks + masks.roll(1, 3)) / 2),
    "shifts the mask by two pixels": lambda images, masks: (images, masks.roll(2, 3)),
    "drops the second class": lambda images, masks: (images, masks[:, :1]),
    "lets the classes grow": lambda images, masks: (images, masks.maximum(masks.roll(1, 3))),
    "moves the second of three classes": lambda images, masks: (images, moved_class(masks, lambda one: one.roll(3, 2))),
    "drops the second of three classes": lambda images, masks: (images, moved_class(masks, torch.zeros_like)),
    "works on channels 0 to 2": lambda images, masks: (torch.stack([images[:, i] for i in range(3)], dim=1), masks),
    "reads the global seed": lambda images, masks: (images * (1 - torch.initial_seed() % 2**20 / 2**21), masks),
}
"""What is done to an answer that was right."""


def moved_class(masks, move):
    """Return masks of which the second class of three or more is moved."""
    if masks.shape[1] < 3:
        return masks
    moved = masks.clone()
    moved[:, 1] = move(masks[:, 1])
    return moved


def light_of(draws):
    return draws.uniform("light", 0.5, 1)[:, None, None, None]


CHANGES = {
    "normalises by the batch": lambda images, masks, draws: (images * light_of(draws) / images.max(), masks),
    "draws by position": lambda images, masks, draws: (
        images * torch.linspace(0.5, 1, len(images))[:, None, None, None] * light_of(draws),
        masks,
    ),
    "ignores the epoch": lambda images, masks, draws: (images * 0.5, masks),
    "works in place": lambda images, masks, draws: (images.mul_(light_of(draws)), masks),
    "returns its input": lambda images, masks, draws: (images, masks),
    "hides half and moves the mask": lambda images, masks, draws: (
        torch.cat([images[:, :, :6] * light_of(draws), torch.zeros_like(images[:, :, 6:])], dim=2),
        masks.flip(3),
    ),
    "hides nearly all": lambda images, masks, draws: (
        torch.cat([images[:, :, :6], light_of(draws).expand_as(images[:, :, 6:])], dim=2),
        masks,
    ),
}
"""What is done in place of mirroring."""

BAD_PARAMETERS = {
    "tells parameters of the batch": lambda light: {"light": light - light.mean()},
    "tells one parameter for all": lambda light: {"light": light.mean()},
}


@dataclass(frozen=True)
class Dark:
    """Dark is foreground; the level is learnt."""

    fault: str = ""

    @property
    def augments_with(self):
        return "a mirror" if self.fault == "says that it augments by itself" else ""

    def check_frame(self, frame):
        if frame.width != 31:
            return
        if self.fault == "fails at sizes":
            raise KeyError(frame.width)
        text = "no" if self.fault == "refuses sizes without a word" else f"found {frame}; allowed: any other"
        raise ValueError(text)

    def fit(self, train, validation, augment, space):
        if self.fault == "takes arrays only":
            train.images.mean()
        if self.fault == "reads everything at once":
            np.asarray(train.images)
        levels = []
        for image, mask in zip(train.images, train.masks, strict=True):
            if self.fault != "never augments":
                pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
                augment(pixels, torch.from_numpy(mask.copy())[None, None].float(), None)
            levels.append((image[mask].mean() + image[~mask].mean()) / 2)
        shards = self.fault == "learns otherwise from shards" and not isinstance(train.images, np.ndarray)
        write_json(space.folder / "level.json", float(np.mean(levels)) + shards)

    def open(self, folder, device):
        level = read_json(folder / "level.json")

        def predict(images):
            misbehave(self.fault)
            scores = (images.mean(axis=3)[:, None] < level) * np.float32(0.8)
            if self.fault == "learns nothing":
                scores = np.zeros_like(scores)
            if self.fault == "mutates its input":
                images[0] = 0
            if self.fault == "depends on the batch":
                scores = scores * (1 - 0.01 * len(images))
            if self.fault == "keeps state":
                STATE["calls"] += 1
                scores = scores * (1 - 0.01 * STATE["calls"])
            return BAD_SCORES.get(self.fault, lambda scores: scores)(scores.astype(np.float32))

        return predict


BAD_SCORES = {
    "wrong shape": lambda scores: scores[:, 0],
    "wrong dtype": lambda scores: scores.astype(np.float64),
    "wrong range": lambda scores: scores * 10 - 5,
    "NaN": lambda scores: np.full_like(scores, np.nan),
}


@dataclass(frozen=True)
class Toys:
    """The kit's own toy data, with a file beside it."""

    root: Path
    fault: str = ""

    def sources(self):
        return [self.root]

    def load(self):
        misbehave(self.fault)
        if self.fault == "mutates its input":
            self.root.write_text("changed")
        train, test = draw_set(8, "train"), draw_set(4, "test")
        images, groups = train.images, train.groups
        if self.fault == "wrong shape":
            test = draw_set(4, "test", 64, 64)
        if self.fault == "wrong dtype":
            images = images / 255
        if self.fault == "wrong range":
            images = (images / 255).astype(np.uint8)
        if self.fault == "NaN":
            groups = (float("nan"), *groups[1:])
        if self.fault == "shares groups":
            groups = test.groups * 2
        images = stray(self.fault, images).astype(images.dtype)
        train = ImageSet(train.ids, images, train.masks, groups, train.origins)
        return Splits(train, ImageSet.empty(train.size), test)

    def frame(self):
        return Frame(64, 32) if self.fault == "tells another size" else Frame(32, 32)

    def native_masks(self, ids):
        masks = dict(zip(draw_set(4, "test").ids, draw_set(4, "test").masks, strict=True))
        if self.fault == "gives one native mask less":
            ids = ids[1:]
        for name in ids:
            mask = masks[name].repeat(3, axis=0).repeat(2, axis=1)
            yield mask.T if self.fault == "turns native masks" else mask

    def native_images(self, ids):
        images = dict(zip(draw_set(4, "test").ids, draw_set(4, "test").images, strict=True))
        for name in ids:
            yield images[name] if self.fault == "resizes native images" else images[name].repeat(3, 0).repeat(2, 1)


@dataclass(frozen=True)
class AnyPainter(Painter):
    """Ground and classes in levels of grey, for images of any kind."""

    takes = ANYTHING

    def fit(self, train, space):
        write_json(space.folder / "format.json", train.format.facts())

    def open(self, folder, device):
        format = Format.of(read_json(folder / "format.json"))

        def paint(masks, draws):
            shape = (*masks.shape[1:], len(format.channels))
            level = np.where(shows(masks), 0.4 - 0.05 * (masks % 5), 0.8)[..., None]
            unit = level + draws.uniform("noise", 0, 0.02, shape)
            if self.fault == "returns 0..1 for other windows" and not format.bytes_to_unit:
                return unit.astype(format.dtype)
            images = from_unit(unit.astype(np.float32), format)
            if self.fault == "returns uint8 for int16" and format.dtype == "int16":
                return images.astype(np.uint8)
            return images

        return paint


@dataclass(frozen=True)
class AnySquares(Squares):
    """Squares in stripes of all classes."""

    takes = ANYTHING

    def draw(self, masks, count, draws, space):
        drawn = super().draw(masks, count, draws, space)
        if masks.dtype == bool or self.fault == "returns bool for label maps":
            return drawn
        labels = np.unique(masks[shows(masks)])
        if self.fault == "draws an unknown label":
            labels = labels + 1
        stripes = labels[np.arange(masks.shape[2]) % len(labels)]
        return DrawnMasks(np.where(drawn.masks, stripes, 0).astype(np.uint8), drawn.records)


@dataclass(frozen=True)
class AnyFlip(Flip):
    """Mirror and brighten images of any kind."""

    takes = ANYTHING


@dataclass(frozen=True)
class AnyDark(Dark):
    """Dark is foreground, in images of any kind; of which class, it does not know."""

    takes = ANYTHING

    def fit(self, train, validation, augment, space):
        augment(None, None, None)
        levels = []
        for image, mask in zip(train.images, train.masks, strict=True):
            unit, inside = in_unit(image[None], train.format)[0], shows(mask)
            levels.append((unit[inside].mean() + unit[~inside].mean()) / 2)
        level = float(np.mean(levels))
        write_json(space.folder / "level.json", [level, train.format.facts()])

    def open(self, folder, device):
        level, facts = read_json(folder / "level.json")
        format = Format.of(facts)
        classes = len(format.classes)

        def predict(images):
            dark = in_unit(images, format).mean(axis=3)[:, None] < level
            share = 0.8 if self.fault == "sums up above 1" else 0.8 / classes
            return np.repeat(dark, classes, axis=1) * np.float32(share)

        return predict


@dataclass(frozen=True)
class AnyToys:
    """Toy slices with three classes."""

    root: Path
    fault: str = ""

    def sources(self):
        return [self.root]

    def format(self):
        open_ = Format("int16", (Channel("ct", "ct"),), ("one", "two", "three"))
        return Format() if self.fault == "tells another format" else open_

    def load(self):
        format = Format("int16", (Channel("ct", "ct", -100, 300),), ("one", "two", "three"))
        train, test = draw_set(8, "train", format=format), draw_set(4, "test", format=format)
        if self.fault == "holds an unknown label":
            test.masks[1, 3, 3] = 4
        return Splits(train, ImageSet.empty(train.size, format), test)


@dataclass(frozen=True)
class SilentToys:
    """Toy slices of a data set that does not say what they are."""

    def sources(self):
        return []

    def load(self):
        return AnyToys(Path()).load()
