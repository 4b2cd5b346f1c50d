"""Pasting on a GPU: the whole batch at once, without ever making the host wait.

What a CPU does object by object in small patches, happens here to whole frames, one slot of the plan after the other,
for samples that get an object and for those that do not. The positions read are the same. Pixels are channels-first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample, max_pool2d

from augkit.training import as_floats
from augkit_classical.pasting.plan import (
    CLEAR,
    FLOOR,
    LEAST_KEPT,
    MOST_GAIN,
    MOST_SHIFT,
    MOST_STRETCH,
    MOST_UNEVEN,
    SMALLEST,
    TRACE,
    TRIES,
    Plan,
    ring_width,
)

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDS = 8
"""How often the pieces of the foreground are followed along rows and columns.

A piece that winds more often than that counts as several, which can be pasted apart.
"""


def paste(images: Tensor, masks: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """As `host.paste`."""
    images, masks = as_floats(images, masks)
    foreground = (masks > 0.5).any(dim=1)
    roots, ranks, counts = (one[plan.donors] for one in _objects(foreground))
    pictures, labels, filled = images[plan.donors], masks[plan.donors], foreground[plan.donors]
    scene = _Scene(images.clone(), masks.clone(), foreground.clone(), plan.hide * foreground.sum((1, 2)))
    for slot in range(plan.rotate.shape[1]):
        rank = ((plan.first * counts).floor().long() + slot) % counts.clamp(min=1) + 1
        there = (slot < plan.wanted) & (slot < counts)
        root = (ranks == rank[:, None]).int().argmax(1)
        inside = filled & (roots == root[:, None, None]) & there[:, None, None]
        cut = _cut(pictures, labels, filled, inside, plan, slot)
        scene.paste(cut, plan.places[:, slot], plan)
    return scene.images, scene.masks


def _objects(foreground: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pieces of the foreground, bool (N, H, W), that lie wholly in the frame.

    roots:  int64 (N, H, W), the first pixel in reading order of the piece that a pixel belongs to.
    ranks:  int64 (N, H W), at the first pixel of each of these pieces its number, from 1; elsewhere 0.
    counts: int64 (N,).
    """
    count, height, width = foreground.shape
    pixels = height * width
    names = pixels - torch.arange(pixels, device=foreground.device).view(height, width)  # the first is the largest
    names = names * foreground
    for _ in range(_ROUNDS):
        for dim in (1, 2):
            for back in (False, True):
                names = _followed(names, foreground, dim, back, pixels + 1)
    roots = pixels - names
    edge = torch.ones(height, width, dtype=torch.bool, device=foreground.device)
    edge[1:-1, 1:-1] = False
    # In one dimension, where sums over an index have a deterministic form.
    own = torch.arange(count, device=foreground.device)[:, None, None] * pixels
    place = (own + roots.clamp(max=pixels - 1)).flatten()
    none = torch.zeros_like(place)
    area = none.scatter_add(0, place, foreground.flatten().long()).view(count, pixels)
    touching = none.scatter_add(0, place, (foreground & edge).flatten().long()).view(count, pixels)
    whole = (area >= SMALLEST) & (touching == 0)
    return roots, whole.long().cumsum(1) * whole, whole.sum(1)


def _followed(names: Tensor, foreground: Tensor, dim: int, back: bool, most: int) -> Tensor:
    """Return the largest of the names, int64 (N, H, W), met so far in each run of foreground along an axis."""
    if back:
        names, foreground = names.flip(dim), foreground.flip(dim)
    runs = (~foreground).long().cumsum(dim) * most
    found = ((names + runs).cummax(dim).values - runs) * foreground
    return found.flip(dim) if back else found


@dataclass(frozen=True)
class _Cut:
    """An object of each sample, turned and scaled, in the middle of a canvas (h, w); see `cutting.Cut`.

    layers: float32 (N, C + K + 3, h, w): picture, labels, inside, cover and ring.
    x, y, wide, high: int64 (N,), its box; there: bool (N,), whether there is one.
    came: float32 (N, C), mean colour of the ground it came from; even: float32 (N,), the spread.
    """

    layers: Tensor
    x: Tensor
    y: Tensor
    wide: Tensor
    high: Tensor
    there: Tensor
    came: Tensor
    even: Tensor


def _cut(pictures: Tensor, labels: Tensor, filled: Tensor, inside: Tensor, plan: Plan, slot: int) -> _Cut:
    """Return the objects that are `inside`, bool (N, H, W), turned and scaled as the slot says."""
    height, width = inside.shape[1:]
    ring = ring_width(height, width)
    reach = max(ring, plan.margin)
    x, y, wide, high = _box(inside)
    across, down = width // 2 + 2 + reach, height // 2 + 2 + reach
    angle, scale = torch.deg2rad(plan.rotate[:, slot]), plan.scale[:, slot]
    c, s = (angle.cos() / scale)[:, None, None], (angle.sin() / scale)[:, None, None]
    right = torch.arange(-across, across + 1, device=inside.device)
    below = torch.arange(-down, down + 1, device=inside.device)[:, None]
    at_x = c * right - s * below + (x + (wide - 1) / 2)[:, None, None]
    at_y = s * right + c * below + (y + (high - 1) / 2)[:, None, None]
    grid = torch.stack([(2 * at_x + 1) / width - 1, (2 * at_y + 1) / height - 1], dim=3)
    object_, others = inside[:, None].float(), (filled & ~inside)[:, None].float()
    both = torch.cat([pictures, others, labels * object_], dim=1)
    both = grid_sample(both, grid, mode="bilinear", padding_mode="border", align_corners=False)
    channels = pictures.shape[1]
    picture, others, classes = both[:, :channels], both[:, channels : channels + 1], both[:, channels + 1 :]
    now = classes.sum(1, keepdim=True) > 0.5
    x, y, wide, high = _box(now[:, 0])
    fits = (x > reach) & (y > reach) & (x + wide < len(right) - reach) & (y + high < len(below) - reach)
    fits &= (wide * high >= SMALLEST) & (wide <= width) & (high <= height)
    whole = _grown(now, 2 * ring + 1) & ~_grown(now, 2 * max(plan.margin, 1) + 1)
    ground = whole & (others < TRACE)
    fits &= ground.sum((1, 2, 3)) >= CLEAR * whole.sum((1, 2, 3))
    kinds = torch.arange(classes.shape[1], device=inside.device)[:, None, None]
    winner = classes.argmax(1, keepdim=True) == kinds
    cover = _cover(now, plan.margin) * (others <= 0.5)
    came, even = _level(picture, ground)
    layers = torch.cat([picture, winner, now, cover, ground], dim=1)
    return _Cut(layers, x, y, wide, high, fits, came, even)


def _box(inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x, y, width and height, int64 (N,), of what is true in bool (N, H, W); 0 where nothing is."""
    found = []
    for dim in (1, 2):
        line = inside.any(dim)
        place = torch.arange(line.shape[1], device=line.device)
        first = torch.where(line, place, line.shape[1]).amin(1)
        size = (torch.where(line, place, -1).amax(1) - first + 1).clamp(min=0)
        found.append((first * (size > 0), size))
    (x, wide), (y, high) = found
    return x, y, wide, high


def _grown(inside: Tensor, side: int) -> Tensor:
    """Return bool (N, 1, h, w): what a square of an odd side reaches from what is true."""
    return max_pool2d(inside.float(), side, 1, side // 2) > 0


def _cover(inside: Tensor, margin: int) -> Tensor:
    """As `cutting._cover`, for bool (N, 1, h, w)."""
    steps = torch.zeros_like(inside, dtype=torch.float32)
    for step in range(1, margin + 1):
        steps += _grown(inside, 2 * step + 1)
    return torch.where(inside, 1.0, steps / (2 * margin + 1))


def _level(picture: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean colour, (N, C), where bool (N, 1, h, w), and the spread of all colours around theirs, (N,)."""
    count = where.sum((2, 3)).clamp(min=1)
    mean = (picture * where).sum((2, 3)) / count
    away = (picture - mean[:, :, None, None]) * where
    return mean, ((away * away).sum((2, 3)) / count).mean(1).sqrt()


class _Scene:
    """The samples that objects are pasted into."""

    def __init__(self, images: Tensor, masks: Tensor, taken: Tensor, left: Tensor) -> None:
        self.images, self.masks = images, masks
        self._taken, self._left = taken[:, None], left

    def paste(self, cut: _Cut, places: Tensor, plan: Plan) -> None:
        """Paste each object at the first of its places, float32 (N, TRIES, 2), where it fits, if there is one."""
        height, width = self._taken.shape[2:]
        right = (places[..., 0] * (width - cut.wide + 1)[:, None]).floor().long() - cut.x[:, None]
        below = (places[..., 1] * (height - cut.high + 1)[:, None]).floor().long() - cut.y[:, None]
        shape = cut.layers[:, [-3, -1]]
        wanted = (CLEAR * cut.layers[:, -1].sum((1, 2))).clamp(min=1)
        chosen = torch.zeros_like(cut.x)
        hides, lies, likeness = torch.zeros_like(self._left), torch.zeros_like(cut.came), torch.ones_like(cut.even)
        open_ = cut.there
        for number in range(TRIES):
            moved = _moved(shape, right[:, number], below[:, number], (height, width)) > 0
            hidden = (moved[:, :1] & self._taken).sum((1, 2, 3))
            ground = moved[:, 1:] & ~self._taken
            mean, uneven = _level(self.images, ground)
            alike = (uneven + FLOOR) / (cut.even + FLOOR)
            fits = open_ & (hidden <= self._left) & (ground.sum((1, 2, 3)) >= wanted)
            fits &= ((mean - cut.came).abs().amax(1) <= MOST_SHIFT) & (alike <= MOST_UNEVEN)
            chosen = torch.where(fits, number, chosen)
            hides, likeness = torch.where(fits, hidden, hides), torch.where(fits, alike, likeness)
            lies = torch.where(fits[:, None], mean, lies)
            open_ = open_ & ~fits
        found = cut.there & ~open_
        at = [one.gather(1, chosen[:, None])[:, 0] for one in (right, below)]
        layers = _moved(cut.layers, at[0], at[1], (height, width)) * found[:, None, None, None]
        self._blend(layers, cut.came, lies, likeness, hides, plan.match)

    def _blend(self, layers: Tensor, came: Tensor, lies: Tensor, likeness: Tensor, hides: Tensor, match: float) -> None:
        """As `host._Scene._blend`, with layers (N, C + K + 3, H, W) where they belong in the frame."""
        channels = self.images.shape[1]
        picture, labels = layers[:, :channels], layers[:, channels:-3]
        inside, cover = layers[:, -3:-1].chunk(2, dim=1)
        lies = (came + match * (lies - came))[:, :, None, None]
        came = came[:, :, None, None]
        away = picture - came
        gain = (1 + match * (likeness.clamp(1 / MOST_GAIN, MOST_GAIN) - 1))[:, None, None, None]
        darker, brighter = (
            gain * (new / old.clamp(min=1e-3)).clamp(max=MOST_STRETCH)
            for new, old in ((lies, came), (1 - lies, 1 - came))
        )
        still = away * torch.where(away < 0, darker, brighter)
        had, has = ((one.abs() * inside).sum((1, 2, 3)) for one in (away, still))
        kept = (has >= LEAST_KEPT * had)[:, None, None, None]
        cover = cover * kept * ((inside > 0) | ~self._taken)
        self.images = self.images + cover * ((lies + still).clamp(0, 1) - self.images)
        here = (inside > 0) & kept
        self.masks = torch.where(here, labels, self.masks)
        self._taken |= here
        self._left = self._left - hides * here.flatten(1).any(1)


def _moved(layers: Tensor, right: Tensor, below: Tensor, size: tuple[int, int]) -> Tensor:
    """Return layers (N, C, h, w) with their corner at (right, below), int64 (N,), of a frame (H, W); 0 outside."""
    there = []
    for at, side, most in ((below, size[0], layers.shape[2]), (right, size[1], layers.shape[3])):
        index = torch.arange(side, device=at.device) - at[:, None]
        there.append((index.clamp(0, most - 1), (index >= 0) & (index < most)))
    (rows, is_row), (columns, is_column) = there
    sample = torch.arange(len(layers), device=layers.device)[:, None, None]
    moved = layers.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved * (is_row[:, :, None] & is_column[:, None, :])[:, None]
